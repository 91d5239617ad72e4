//! `POST /v0/datasources` with a definition: a data source is made from a schema, without rows.

use std::collections::BTreeMap;

use axum::extract::{FromRequest as _, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::call::{Call, taken, valid_name};
use super::error::ApiError;
use super::extract::in_time;
use super::parameters::{Parameters, media_type};
use super::{App, Json, datasource_describe};
use crate::catalog::{Change, DatasourceParts, DatasourceText};

/// Whether a request tells what a data source is, and brings no rows.
pub(super) fn is_definition(request: &Request) -> bool {
    let parameters = Parameters::of_address(request.uri());
    if !matches!(parameters.given("mode"), None | Some("create")) {
        return false;
    }
    let headers = request.headers();
    let forms = ["application/x-www-form-urlencoded", "multipart/form-data"];
    let is_form = forms.contains(&media_type(headers).as_str());
    let is_empty = !headers.contains_key(header::TRANSFER_ENCODING)
        && headers
            .get(header::CONTENT_LENGTH)
            .is_none_or(|length| length == "0");
    // `curl -d` calls rows a form, too: those have the name of their data source before them.
    is_form && parameters.given("name").is_none()
        || is_empty && parameters.given("schema").is_some()
}

/// Makes the data source.
pub(super) async fn create(
    app: &std::sync::Arc<App>,
    request: Request,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let body = in_time(app, axum::body::to_bytes(body, app.body_bytes))
        .await?
        .map_err(|_| {
            ApiError::Body(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body is longer than {} bytes", app.body_bytes),
            )
        })?;
    let request = Request::from_parts(head, axum::body::Body::from(body));
    let call = Call::from_request(request, app).await?;
    Call::require(call.access.creates_datasources(), "DATASOURCES:CREATE")?;
    let missing = |name: &str, what: &str| {
        ApiError::BadRequest(format!("parameter `{name}` is missing: {what}"))
    };
    let name = call
        .parameters
        .given("name")
        .ok_or_else(|| missing("name", "the name of the data source"))?
        .to_owned();
    valid_name(&name)?;
    if let Some(mode) = call
        .parameters
        .given("mode")
        .filter(|mode| *mode != "create")
    {
        return Err(ApiError::BadRequest(format!(
            "mode `{mode}` needs rows: send them as the body or as a part of a form"
        )));
    }
    let parts = parts(&call.parameters);
    if parts.schema.is_empty() {
        return Err(missing(
            "schema",
            "the columns of the data source, such as `at DateTime, kind String`",
        ));
    }
    let text = DatasourceText::create(&parts)?.into_text();
    Call::finish(async move {
        let writer = call.app.catalog.write().await;
        let current = writer.current();
        if current.is_taken(&name) {
            return Err(taken(&name));
        }
        let path = format!("datasources/{name}.datasource");
        let change = Change::of_file(path, Some(text));
        let current = call.commit(&writer, change).await?;
        let table = current
            .plan
            .table(&name)
            .ok_or_else(|| ApiError::Internal("the data source is gone again".to_owned()))?;
        let made = datasource_describe::body(&call.app, table).await?;
        Ok(Json(json!({ "datasource": made })).into_response())
    })
    .await
}

/// What the parameters say of a data source; without columns if there is no schema.
pub(super) fn parts(parameters: &Parameters) -> DatasourceParts {
    let mut engine = BTreeMap::new();
    for (name, value) in parameters.pairs() {
        let keyword = name.to_ascii_uppercase();
        let is_engine = keyword == "ENGINE" || keyword.starts_with("ENGINE_");
        let Some(value) = value
            .as_str()
            .map(str::trim)
            .filter(|value| is_engine && !value.is_empty())
        else {
            continue;
        };
        engine.insert(keyword, value.to_owned());
    }
    // Sorted, which puts the engine itself before its keys.
    let engine = engine.into_iter().collect();
    let given = |name: &str| parameters.given(name).map(ToOwned::to_owned);
    DatasourceParts {
        description: given("description"),
        schema: given("schema").unwrap_or_default(),
        indexes: given("indexes"),
        engine,
    }
}
