//! `GET|POST /v0/sql`: a query over pipes and data sources; one that begins with `%` is a template, and `_` is the pipe that `pipeline` names.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use serde_json::json;

use super::call::{Call, json_response};
use super::error::ApiError;
use super::extract::Whole;
use super::parameters::Parameters;
use super::query::{answer_query, readable_pipe};
use super::record::{Asked, Pending, QUERY_API, answered};
use super::run::Format;
use super::{App, staged};

pub(super) async fn answer(
    State(app): State<Arc<App>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    Whole(body): Whole,
) -> Response {
    let started = Instant::now();
    let asked = Asked {
        method: &method,
        uri: &uri,
        headers: &headers,
        started,
    };
    let mut pending = None;
    let answer = query(&app, asked, &body, &mut pending).await;
    answered(&app, "/v0/sql", started, pending, answer)
}

async fn query(
    app: &Arc<App>,
    asked: Asked<'_>,
    body: &Bytes,
    pending: &mut Option<Pending>,
) -> Result<Response, ApiError> {
    let mut parameters = Parameters::read(asked.uri, asked.headers, body).await?;
    let served = app.served.load_full();
    let access = served
        .tokens
        .access(asked.headers, parameters.text_of("token"))?;
    *pending = Some(Pending::new(
        &app.service,
        asked,
        &access,
        (QUERY_API, QUERY_API),
        &parameters,
    ));
    app.rates.take(&access).map_err(ApiError::Limited)?;
    let served = staged::served(app, served, &parameters).await?;
    let text = parameters
        .text
        .take()
        .or_else(|| parameters.text_of("q").map(ToOwned::to_owned));
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
        return Err(ApiError::BadRequest(
            "no query: send it as `q`, or as the body of a POST".to_owned(),
        ));
    };
    let named = app.catalog.current();
    let pipeline = match parameters.given("pipeline") {
        None => None,
        Some(name) => {
            let name = named.objects.pipe_name(name).unwrap_or(name);
            readable_pipe(&served, &access, name)?;
            Some(name.to_owned())
        }
    };
    answer_query(
        app,
        &served,
        &access,
        &text,
        pipeline.as_deref(),
        parameters,
        Format::JSON,
        pending,
    )
    .await
}

/// `/v0/sql_tables`: the tables that a query names, each with its database.
pub(super) async fn tables(call: Call) -> Result<Response, ApiError> {
    let sql = query_of(&call)?;
    let scanned = pipewright_compiler::sql::scan(sql)
        .map_err(|error| ApiError::BadRequest(error.to_string()))?;
    let mut tables: Vec<(String, String)> = scanned
        .tables
        .iter()
        .filter(|table| !table.is_literal && !table.parameter)
        .map(|table| {
            (
                table.database.clone().unwrap_or_default(),
                table.name.clone(),
            )
        })
        .collect();
    tables.sort();
    tables.dedup();
    Ok(json_response(&json!({ "tables": tables })))
}

/// `/v0/sql_format`: the query as it is. What people have written stays as they have written it.
pub(super) async fn format(call: Call) -> Result<Response, ApiError> {
    let sql = query_of(&call)?;
    Ok(json_response(&json!({ "q": sql })))
}

fn query_of(call: &Call) -> Result<&str, ApiError> {
    let given = call.parameters.given("q");
    given
        .or(call.parameters.text.as_deref())
        .ok_or_else(|| ApiError::BadRequest("parameter `q` is missing: a query".to_owned()))
}
