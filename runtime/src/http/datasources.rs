//! `/v0/datasources`: what they are, and whole files into them.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use pipewright_compiler::plan::TablePlan;
use serde_json::{Value, json};

use super::access::Access;
use super::call::Call;
use super::datasource_create;
use super::datasource_describe::{body, sizes, with_columns, with_size};
use super::describe::keep;
use super::error::ApiError;
use super::extract::{Path, Whole};
use super::form_fields;
use super::import;
use super::operations::Done;
use super::parameters::Parameters;
use super::staged;
use super::{App, Json, Served};
use crate::engine::EngineError;
use crate::ingest::IngestError;

pub(super) async fn list(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json, ApiError> {
    let (served, access, parameters) = authenticated(&app, &uri, &headers)?;
    let attributes = parameters.words("attrs");
    let sizes = sizes(&app, None).await?;
    let readable = served.plan.tables.values().filter(|table| {
        table.name.workspace.is_none() && access.reads_datasource(&table.name.name)
    });
    let mut shown: Vec<Value> = Vec::new();
    for table in readable {
        let table = with_columns(&app, table).await?;
        shown.push(keep(with_size(&app, &table, &sizes), &attributes));
    }
    Ok(Json(json!({ "datasources": shown })))
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (served, access, parameters) = authenticated(&app, &uri, &headers)?;
    let (name, as_text) = match name.strip_suffix(".datasource") {
        Some(name) => (named(&app, name.to_owned()), true),
        None => (named(&app, name), false),
    };
    let table = table(&served, &access, &name, Access::reads_datasource)?;
    if as_text {
        return super::datasource_change::text(&app.catalog.current(), &name);
    }
    let described = body(&app, table).await?;
    Ok(Json(keep(described, &parameters.words("attrs"))).into_response())
}

/// `POST /v0/datasources?mode=append|replace&name=…&format=…`, with the rows as body or as a part of a form; or the definition of a new one.
pub(super) async fn post(State(app): State<Arc<App>>, request: Request) -> Response {
    let started = Instant::now();
    let answered = match form_fields::in_address(&app, request).await {
        Ok(request) if datasource_create::is_definition(&request) => {
            datasource_create::create(&app, request).await
        }
        Ok(request) => import::write(&app, request).await,
        Err(error) => Err(error),
    };
    let response = answered.unwrap_or_else(IntoResponse::into_response);
    app.metrics.request(
        "/v0/datasources",
        response.status().as_u16(),
        started.elapsed(),
    );
    response
}

/// `POST /v1/datasources/<name>/append`: rows to those that are there.
pub(super) async fn append(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let path = "/v1/datasources/{datasource}/append";
    write_to(&app, path, name, import::Mode::Append, request).await
}

/// `POST /v1/datasources/<name>/replace`: rows in the place of those that are there.
pub(super) async fn replace(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let path = "/v1/datasources/{datasource}/replace";
    write_to(&app, path, name, import::Mode::Replace, request).await
}

async fn write_to(
    app: &Arc<App>,
    path: &'static str,
    name: String,
    mode: import::Mode,
    request: Request,
) -> Response {
    let started = Instant::now();
    let answered = import::write_to(app, name, mode, request).await;
    let response = answered.unwrap_or_else(IntoResponse::into_response);
    let status = response.status().as_u16();
    app.metrics.request(path, status, started.elapsed());
    response
}

/// `POST /v0/datasources/<name>/truncate`: all rows away.
pub(super) async fn truncate(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let (served, access, _) = authenticated(&app, &uri, &headers)?;
    let name = named(&app, name);
    let table = table(&served, &access, &name, Access::drops_datasource)?;
    let started = Instant::now();
    let truncated = app.data()?.ingest.truncate(table).await;
    let error = truncated.as_ref().err().map(ToString::to_string);
    let done = Done::new("truncate", &table.name.name).since(started);
    Done { error, ..done }.record(&app);
    truncated?;
    Ok(StatusCode::RESET_CONTENT)
}

/// `POST /v0/datasources/<name>/delete?delete_condition=…`: the rows that a condition names away, as a job.
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    Whole(body): Whole,
) -> Result<Response, ApiError> {
    let parameters = Parameters::read(&uri, &headers, &body).await?;
    staged::refuse_changes_of(&Method::POST, &parameters)?;
    let served = app.served.load_full();
    let access = served
        .tokens
        .access(&headers, parameters.text_of("token"))?;
    app.rates.take(&access).map_err(ApiError::Limited)?;
    let name = named(&app, name);
    let table = table(&served, &access, &name, Access::drops_datasource)?;
    let condition = parameters.text_of("delete_condition").ok_or_else(|| {
        ApiError::BadRequest("say which rows: `delete_condition=<SQL condition>`".to_owned())
    })?;
    let dry_run = parameters.flag("dry_run")?;
    let ingest = &app.data()?.ingest;
    if dry_run {
        // How many rows a condition holds for tells of every value in them.
        let sees_all = access.reads_datasource(&name) && !access.filters.hides(&name);
        let needed =
            format!("DATASOURCES:DROP:{name} and DATASOURCES:READ:{name} without a filter");
        Call::require(sees_all, &needed)?;
        let counted = ingest.matching(&served.plan, table, condition, app.timeout);
        let rows = counted.await?;
        return Ok(Json(json!({ "rows_to_be_deleted": rows })).into_response());
    }
    ingest
        .check_condition(&served.plan, table, condition)
        .await?;
    let request = json!({ "datasource": { "id": id(&app, &name), "name": name }, "delete_condition": condition });
    let request = super::jobs::by(&access, request);
    let job = app.data()?.jobs.submit("delete_data", &request)?;
    Ok((
        StatusCode::CREATED,
        Json(super::jobs::body(&job, &super::call::origin(&headers))),
    )
        .into_response())
}

pub(super) type Authenticated = (Arc<Served>, Arc<Access>, Parameters);

pub(super) fn authenticated(
    app: &App,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Authenticated, ApiError> {
    let parameters = Parameters::of_address(uri);
    let served = app.served.load_full();
    let access = served.tokens.access(headers, parameters.text_of("token"))?;
    app.rates.take(&access).map_err(ApiError::Limited)?;
    Ok((served, access, parameters))
}

/// The name of the data source that a name or an id means.
pub(super) fn named(app: &App, reference: String) -> String {
    let current = app.catalog.current();
    let name = current.objects.datasource_name(&reference);
    name.map(ToOwned::to_owned).unwrap_or(reference)
}

/// The id of a data source; its name where it has none.
fn id(app: &App, name: &str) -> String {
    let current = app.catalog.current();
    let object = current.objects.datasource(name);
    object.map_or_else(|| name.to_owned(), |object| object.id.clone())
}

pub(super) fn table<'a>(
    served: &'a Served,
    access: &Access,
    name: &str,
    may: fn(&Access, &str) -> bool,
) -> Result<&'a TablePlan, ApiError> {
    if !may(access, name) {
        return Err(ApiError::Forbidden(format!(
            "the token may not do that with data source `{name}`"
        )));
    }
    served
        .plan
        .table(name)
        .ok_or_else(|| ApiError::NotFound(format!("there is no data source `{name}`")))
}

/// How the engine begins to say where in a statement something happened: the statements that take rows are the server's own.
const INSIDE: [&str; 5] = [
    ": while executing",
    ": While executing",
    ": In scope",
    ": while reading",
    ": While processing",
];

/// What the engine says of rows, without the statement and the files through which they go: whoever may append is not to see those.
fn without_inside(message: &str) -> String {
    let end = INSIDE.iter().filter_map(|start| message.find(start)).min();
    let said = message[..end.unwrap_or(message.len())].trim_end();
    let view = message.split_once("while pushing to view ");
    let view = view.and_then(|(_, rest)| rest.split([' ', ':', ')']).next());
    let own = ["pw_", ".pipewright/", "file('", "/ingest/"];
    match view {
        _ if own.iter().any(|own| said.contains(own)) => {
            tracing::error!(message, "rows were not taken");
            "the engine does not take the rows; the log says why".to_owned()
        }
        Some(view) if !said.contains(view) => format!("{said}: while pushing to view {view}"),
        _ => said.to_owned(),
    }
}

impl From<IngestError> for ApiError {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Unreadable(message) => Self::BadRequest(message),
            IngestError::TooLong(message) => Self::Body(StatusCode::PAYLOAD_TOO_LARGE, message),
            IngestError::Busy => Self::TooMany,
            IngestError::Stopping | IngestError::Shut(_) => Self::Unavailable(error.to_string()),
            IngestError::Engine(EngineError::Exception { message, name, .. }) => {
                Self::BadRequest(format!("{} ({name})", without_inside(&message)))
            }
            IngestError::Engine(error @ EngineError::Unavailable(_)) => {
                Self::Unavailable(without_inside(&error.to_string()))
            }
            IngestError::Engine(error) => error.into(),
            error @ IngestError::Disk(_) => {
                tracing::error!(%error, "rows were not taken");
                Self::Internal("the rows were not taken; the log says why".to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_append_sees_neither_paths_nor_statements() {
        let view = "too large: while executing 'FUNCTION throwIf(pw_1)': while pushing to view pipewright.mv__a__n (b1)";
        assert_eq!(
            without_inside(view),
            "too large: while pushing to view pipewright.mv__a__n"
        );
        assert_eq!(
            without_inside(
                "Unexpected value 0 in enum: In scope SELECT * FROM file('/x/ingest/1')"
            ),
            "Unexpected value 0 in enum"
        );
        assert_eq!(
            without_inside(
                "Syntax error: failed at position 3: SELECT line AS pw_line FROM file('/home/x')"
            ),
            "the engine does not take the rows; the log says why"
        );
    }
}
