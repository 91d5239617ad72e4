//! `POST /v0/events?name=…`: JSON rows into a data source.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::OwnedSemaphorePermit;

use super::App;
use super::connections::Room;
use super::error::ApiError;
use super::extract::Whole;
use super::parameters::Parameters;
use crate::ingest;

/// How many times the longest body a packed one may be when it is unpacked.
const LONGEST: u64 = 20;

/// How many times its own length a packed body may be when it is unpacked. Rows rarely are more than fifty times.
const INFLATION: u64 = 200;

pub(super) async fn post(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
    room: Option<Extension<Room>>,
    Whole(body): Whole,
) -> Response {
    let started = Instant::now();
    let response = push(&app, &uri, &headers, room.map(|room| room.0), body)
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
    room: Option<Room>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let parameters = Parameters::of_address(uri);
    let served = app.served.load_full();
    let access = served.tokens.access(headers, parameters.text_of("token"))?;
    app.rates.take(&access).map_err(ApiError::Limited)?;
    let reference = parameters.given("name").ok_or_else(|| {
        ApiError::BadRequest("say which data source: `?name=<data source>`".to_owned())
    })?;
    let named = app.catalog.current();
    let name = named
        .objects
        .datasource_name(reference)
        .unwrap_or(reference);
    if !access.appends_to(name) {
        return Err(ApiError::Forbidden(format!(
            "the token may not append to data source `{name}`"
        )));
    }
    let table = served
        .plan
        .table(name)
        .ok_or_else(|| ApiError::NotFound(format!("there is no data source `{name}`")))?;
    app.require_tables(std::iter::once(&table.name)).await?;
    let whole = match parameters.text_of("format").unwrap_or("ndjson") {
        "ndjson" => false,
        "json" => true,
        other => {
            return Err(ApiError::BadRequest(format!(
                "`{other}` is no format of events; there are ndjson and json"
            )));
        }
    };
    let wait = parameters.flag("wait")?;
    let rows = Packed {
        encoding: header_text(headers, header::CONTENT_ENCODING),
        body,
        longest: app.body_bytes as u64,
        room,
        whole,
    };
    // What the rows take of the memory for bodies is given back when they are written down.
    let (lines, rows, _held) = rows.unpacked().await?;
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

fn header_text(headers: &HeaderMap, name: header::HeaderName) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

/// Rows as they came.
struct Packed {
    encoding: String,
    body: Bytes,
    /// How long a body may be.
    longest: u64,
    room: Option<Room>,
    /// Whether they are JSON of any layout, and not lines.
    whole: bool,
}

/// Lines, how many there are, and what they have of the memory for bodies.
type Unpacked = (Bytes, u64, Option<OwnedSemaphorePermit>);

impl Packed {
    fn is_packed(&self) -> bool {
        self.body.starts_with(&[0x1f, 0x8b])
    }

    /// The rows as lines. Many of them take longer than a thread that all requests share may be kept.
    async fn unpacked(self) -> Result<Unpacked, ApiError> {
        if !self.is_packed() && self.body.len() <= AT_ONCE {
            return self.lines();
        }
        let unpacked = tokio::task::spawn_blocking(move || self.lines()).await;
        unpacked.map_err(|error| {
            tracing::error!(%error, "rows cannot be unpacked");
            ApiError::Internal("the rows cannot be unpacked; the log says why".to_owned())
        })?
    }

    fn lines(self) -> Result<Unpacked, ApiError> {
        let (whole, mut held) = (self.whole, None);
        let body = self.plain(&mut held)?;
        let (lines, rows) = ingest::json_lines(body, whole)?;
        Ok((lines, rows, held))
    }

    /// The body without its gzip, if it has one. It is as long as `longest` allows, and takes its share of the memory for bodies while it grows.
    fn plain(self, held: &mut Option<OwnedSemaphorePermit>) -> Result<Bytes, ApiError> {
        if !self.is_packed() {
            if self.encoding.eq_ignore_ascii_case("gzip") {
                return Err(ApiError::BadRequest("the body is not gzip".to_owned()));
            }
            return Ok(self.body);
        }
        let limit = (self.body.len() as u64 * INFLATION)
            .max(self.longest)
            .min(self.longest * LONGEST);
        let mut decoder = flate2::read::MultiGzDecoder::new(self.body.as_ref());
        let (mut plain, mut piece) = (Vec::new(), vec![0; PIECE]);
        loop {
            let read = decoder.read(&mut piece).map_err(|error| {
                ApiError::BadRequest(format!("the gzip data is damaged: {error}"))
            })?;
            if read == 0 {
                return Ok(plain.into());
            }
            if (plain.len() + read) as u64 > limit {
                return Err(ApiError::Body(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    format!("the body is longer than {limit} bytes when it is unpacked"),
                ));
            }
            // The vector grows by doubling, so that it may be twice as large as what is in it.
            let grows = plain.capacity() - plain.len() < read;
            let more = plain.capacity().max(read) as u64;
            let room = self.room.as_ref().filter(|_| grows);
            if room.is_some_and(|room| !room.hold(more, held)) {
                return Err(ApiError::TooMany);
            }
            plain.extend_from_slice(&piece[..read]);
        }
    }
}

/// Rows up to this length are read where their request is.
const AT_ONCE: usize = 1 << 16;

/// How much is unpacked at a time.
const PIECE: usize = 1 << 16;
