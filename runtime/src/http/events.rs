//! `POST /v0/events?name=…`: JSON rows into a data source.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::App;
use super::error::ApiError;
use super::parameters::Parameters;
use crate::ingest;

/// How much larger a body may be than its gzip.
const INFLATION: u64 = 20;

pub(super) async fn post(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let started = Instant::now();
    let response = push(&app, &uri, &headers, body)
        .await
        .unwrap_or_else(IntoResponse::into_response);
    app.metrics
        .request("/v0/events", response.status().as_u16(), started.elapsed());
    response
}

async fn push(
    app: &Arc<App>,
    uri: &Uri,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let parameters = Parameters::read(uri, headers, &Bytes::new())?;
    let served = app.served.load_full();
    let access = served.tokens.access(headers, parameters.text_of("token"))?;
    let name = parameters.text_of("name").ok_or_else(|| {
        ApiError::BadRequest("say which data source: `?name=<data source>`".to_owned())
    })?;
    if !access.appends_to(name) {
        return Err(ApiError::Forbidden(format!(
            "the token may not append to data source `{name}`"
        )));
    }
    let table = served
        .plan
        .table(name)
        .ok_or_else(|| ApiError::NotFound(format!("there is no data source `{name}`")))?;
    let whole = match parameters.text_of("format").unwrap_or("ndjson") {
        "ndjson" => false,
        "json" => true,
        other => {
            return Err(ApiError::BadRequest(format!(
                "`{other}` is no format of events; there are ndjson and json"
            )));
        }
    };
    let wait = super::is_true(parameters.text_of("wait"));
    let body = plain(headers, body, app.body_bytes as u64 * INFLATION)?;
    let (lines, rows) = ingest::json_lines(&body, whole)?;
    drop(body);
    let counts = app.data()?.events.push(table, lines, rows, wait).await?;
    let status = if wait {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    Ok((status, super::Json(counts_body(counts))).into_response())
}

pub(super) fn counts_body(counts: ingest::Counts) -> serde_json::Value {
    serde_json::json!({ "successful_rows": counts.successful, "quarantined_rows": counts.quarantined })
}

/// The body without its gzip, if it has one.
fn plain(headers: &HeaderMap, body: Bytes, limit: u64) -> Result<Bytes, ApiError> {
    let encoding = headers
        .get(header::CONTENT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    if !body.starts_with(&[0x1f, 0x8b]) {
        return match encoding {
            "" | "identity" => Ok(body),
            "gzip" => Err(ApiError::BadRequest("the body is not gzip".to_owned())),
            other => Err(ApiError::Body(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!("`{other}` is not read; send gzip or plain rows"),
            )),
        };
    }
    let mut plain = Vec::new();
    let read = flate2::read::MultiGzDecoder::new(body.as_ref())
        .take(limit + 1)
        .read_to_end(&mut plain);
    read.map_err(|error| ApiError::BadRequest(format!("the gzip data is damaged: {error}")))?;
    if plain.len() as u64 > limit {
        return Err(ApiError::Body(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is longer than {limit} bytes"),
        ));
    }
    Ok(plain.into())
}
