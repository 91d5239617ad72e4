//! `/v0/jobs`: what was asked for and goes on. An admin sees all of it, other tokens what they have asked for.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use serde_json::{Map, Value, json};

use super::access::Access;
use super::call::origin;
use super::error::ApiError;
use super::extract::Path;
use super::parameters::Parameters;
use super::{App, Json};
use crate::catalog::format_micros;
use crate::jobs::{Job, JobStatus, SubmitError, Wanted};

/// How many jobs a list has.
const LISTED: u32 = 100;

pub(super) async fn list(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json, ApiError> {
    let (parameters, access) = asked(&app, &uri, &headers)?;
    let wanted = Wanted {
        kind: parameters.text_of("kind"),
        status: parameters.text_of("status"),
        asked_by: (!access.is_admin()).then_some(access.id.as_str()),
    };
    let jobs = app.data()?.jobs.list(&wanted, LISTED)?;
    let origin = origin(&headers);
    let jobs: Vec<Value> = jobs.iter().map(|job| body(job, &origin)).collect();
    Ok(Json(json!({ "jobs": jobs })))
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json, ApiError> {
    let (_, access) = asked(&app, &uri, &headers)?;
    let job = find(&app, &access, &id)?;
    Ok(Json(body(&job, &origin(&headers))))
}

pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json, ApiError> {
    let (_, access) = asked(&app, &uri, &headers)?;
    let before = find(&app, &access, &id)?;
    let job = app.data()?.jobs.cancel(&id)?.ok_or_else(|| no_such(&id))?;
    if before.status.is_final() || matches!(job.status, JobStatus::Done | JobStatus::Error) {
        return Err(ApiError::BadRequest(format!(
            "job `{id}` has ended already: there is nothing to cancel"
        )));
    }
    Ok(Json(body(&job, &origin(&headers))))
}

fn asked(app: &App, uri: &Uri, headers: &HeaderMap) -> Result<(Parameters, Arc<Access>), ApiError> {
    let parameters = Parameters::of_address(uri);
    let served = app.served.load_full();
    let access = served.tokens.access(headers, parameters.text_of("token"))?;
    app.rates.take(&access).map_err(ApiError::Limited)?;
    Ok((parameters, access))
}

/// Where a job's request says whose it is; the list of the state file knows it too.
const ASKED_BY: &str = "asked_by";

/// A job's request with whose it is.
pub(super) fn by(access: &Access, mut request: Value) -> Value {
    request[ASKED_BY] = access.id.as_str().into();
    request
}

fn sees(access: &Access, job: &Job) -> bool {
    access.is_admin() || job.request[ASKED_BY] == access.id
}

/// A job that the token may see. Of others it is not even told whether they are there.
fn find(app: &App, access: &Access, id: &str) -> Result<Job, ApiError> {
    let job = app.data()?.jobs.find(id)?;
    match job {
        Some(job) if sees(access, &job) => Ok(job),
        None if access.is_admin() => Err(no_such(id)),
        _ => Err(ApiError::Forbidden(
            "the token may see the jobs that it has asked for: others need an admin token"
                .to_owned(),
        )),
    }
}

fn no_such(id: &str) -> ApiError {
    ApiError::NotFound(format!("there is no job `{id}`"))
}

/// What was asked of a job, without what it needs to know and nobody asked for.
pub(super) fn shown(job: &Job) -> impl Iterator<Item = (&String, &Value)> {
    let request = job.request.as_object().into_iter().flatten();
    let hides_rows = job.request["hides_rows"] == true;
    request.filter(move |(name, _)| match name.as_str() {
        ASKED_BY | "hides_rows" | "view" | "view_id" | "filled" | "snapshot" | "is_whole"
        | "followed" | "followers" | "memory_bytes" => false,
        "query_sql" => !hides_rows,
        _ => true,
    })
}

/// A job as the API shows it: its own fields, then those of its request and result.
pub(super) fn body(job: &Job, origin: &str) -> Value {
    let time = |milliseconds: i64| format_micros(milliseconds.saturating_mul(1000));
    let mut fields = Map::new();
    fields.insert("id".to_owned(), job.id.clone().into());
    fields.insert("job_id".to_owned(), job.id.clone().into());
    fields.insert("kind".to_owned(), job.kind.clone().into());
    fields.insert("status".to_owned(), job.status.as_str().into());
    fields.insert("created_at".to_owned(), time(job.created_at).into());
    fields.insert("updated_at".to_owned(), time(job.updated_at).into());
    fields.insert("started_at".to_owned(), job.started_at.map(time).into());
    fields.insert(
        "is_cancellable".to_owned(),
        matches!(job.status, JobStatus::Waiting | JobStatus::Working).into(),
    );
    fields.insert(
        "job_url".to_owned(),
        format!("{origin}/v0/jobs/{}", job.id).into(),
    );
    for (name, value) in shown(job) {
        fields.entry(name.clone()).or_insert_with(|| value.clone());
    }
    fields.insert("progress".to_owned(), job.progress.clone());
    if let Some(result) = &job.result {
        fields.insert("statistics".to_owned(), result.clone());
    }
    if let Some(error) = &job.error {
        fields.insert("error".to_owned(), error.clone().into());
    }
    Value::Object(fields)
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Full(_) => Self::TooMany,
            SubmitError::TooManyOfKind(_) => {
                Self::Forbidden(format!("job limits exceeded: {error}"))
            }
            SubmitError::UnknownKind(_) => Self::BadRequest(error.to_string()),
            SubmitError::State(error) => error.into(),
        }
    }
}
