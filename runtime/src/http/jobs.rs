//! `/v0/jobs`: what was asked for and goes on.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri, header};
use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::parameters::Parameters;
use super::{App, Json};
use crate::catalog::format_micros;
use crate::jobs::{Job, JobStatus, SubmitError};

/// How many jobs a list has.
const LISTED: u32 = 100;

pub(super) async fn list(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json, ApiError> {
    let parameters = authorized(&app, &uri, &headers)?;
    let wanted = |name: &str, value: &str| {
        parameters
            .text_of(name)
            .is_none_or(|wanted| wanted == value)
    };
    let jobs = app.data()?.jobs.list(LISTED)?;
    let jobs: Vec<Value> = jobs
        .iter()
        .filter(|job| wanted("kind", &job.kind) && wanted("status", job.status.as_str()))
        .map(|job| body(job, host(&headers)))
        .collect();
    Ok(Json(json!({ "jobs": jobs })))
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json, ApiError> {
    authorized(&app, &uri, &headers)?;
    let job = app.data()?.jobs.find(&id)?.ok_or_else(|| no_such(&id))?;
    Ok(Json(body(&job, host(&headers))))
}

pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json, ApiError> {
    authorized(&app, &uri, &headers)?;
    let job = app.data()?.jobs.cancel(&id)?.ok_or_else(|| no_such(&id))?;
    if matches!(job.status, JobStatus::Done | JobStatus::Error) {
        return Err(ApiError::BadRequest(format!(
            "job `{id}` has ended already"
        )));
    }
    Ok(Json(body(&job, host(&headers))))
}

fn authorized(app: &App, uri: &Uri, headers: &HeaderMap) -> Result<Parameters, ApiError> {
    let parameters = Parameters::read(uri, headers, &Bytes::new())?;
    let served = app.served.load_full();
    let access = served.tokens.access(headers, parameters.text_of("token"))?;
    if access.is_admin() {
        Ok(parameters)
    } else {
        Err(ApiError::Forbidden("jobs need an admin token".to_owned()))
    }
}

fn no_such(id: &str) -> ApiError {
    ApiError::NotFound(format!("there is no job `{id}`"))
}

/// Where the request was sent to.
pub(super) fn host(headers: &HeaderMap) -> &str {
    headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("localhost")
}

/// A job as the API shows it: its own fields, then those of its request and result.
pub(super) fn body(job: &Job, host: &str) -> Value {
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
        format!("http://{host}/v0/jobs/{}", job.id).into(),
    );
    for (name, value) in job.request.as_object().into_iter().flatten() {
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
