//! A compiled statement → engine → response.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt as _};
use pipewright_compiler::plan::Compiled;
use pipewright_compiler::template::Settings;

use super::admission::Place;
use super::error::ApiError;
use super::fence::Fence;
use super::record::{Pending, lines_in, rows_of};
use super::{App, Served, staged};
use crate::engine::{Answer, EngineError, Query};

/// A format of the engine and the media type of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) name: &'static str,
    media_type: &'static str,
}

const fn format(name: &'static str, media_type: &'static str) -> Format {
    Format { name, media_type }
}

const TEXT: &str = "text/plain; charset=utf-8";
const TSV: &str = "text/tab-separated-values; charset=utf-8";
const CSV: &str = "text/csv; charset=utf-8";
const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";
const BINARY: &str = "application/octet-stream";

/// The formats that a query may ask for.
const FORMATS: &[Format] = &[
    format("JSON", JSON),
    format("CSV", CSV),
    format("CSVWithNames", CSV),
    format("TSV", TSV),
    format("TSVWithNames", TSV),
    format("TabSeparated", TSV),
    format("TabSeparatedWithNamesAndTypes", TSV),
    format("PrettyCompact", TEXT),
    format("JSONEachRow", NDJSON),
    format("JSONStrings", JSON),
    format("JSONCompact", JSON),
    format("JSONCompactEachRow", NDJSON),
    format("JSONCompactEachRowWithNamesAndTypes", NDJSON),
    format("JSONStringsEachRowWithProgress", NDJSON),
    format("Parquet", "application/vnd.apache.parquet"),
    format("Prometheus", TEXT),
    format("Native", BINARY),
    format("RowBinaryWithNamesAndTypes", BINARY),
    format("ODBCDriver2", BINARY),
    format("Markdown", TEXT),
];

impl Format {
    /// The format of answers to queries that ask for none.
    pub(crate) const JSON: Self = format("JSON", JSON);

    /// The format of a path's ending.
    pub(crate) fn of_ending(ending: &str) -> Option<Self> {
        let name = match ending {
            "json" => "JSON",
            "csv" => "CSVWithNames",
            "ndjson" => "JSONEachRow",
            "parquet" => "Parquet",
            _ => return None,
        };
        Self::named(name)
    }

    /// A format by the engine's name for it, in any case.
    pub(crate) fn named(name: &str) -> Option<Self> {
        FORMATS
            .iter()
            .copied()
            .find(|format| format.name.eq_ignore_ascii_case(name))
    }
}

/// Runs a statement and hands its bytes through.
pub(crate) async fn run(
    app: &Arc<App>,
    served: &Served,
    compiled: &Compiled,
    format: Format,
    settings: Vec<(String, String)>,
    fence: Fence,
    pending: &mut Option<Pending>,
) -> Result<Response, ApiError> {
    staged::require_made(app, served, compiled)?;
    app.require_tables(compiled.datasources.iter()).await?;
    app.refuse_other_tables(&served.plan, compiled).await?;
    // Waiting longer than a query may run helps nobody: a full house is said at once.
    let place = app.admission.enter().ok_or(ApiError::TooMany)?;
    let mut query = Query::new(compiled.sql.text(), format.name)
        .timeout(app.timeout)
        .within(&served.plan.project.config.limits);
    query.settings.extend(settings);
    query.settings.extend(engine_settings(&compiled.settings));
    query.settings.extend(fence.setting);
    for name in &compiled.secrets {
        query = query.secret(name.clone(), served.secrets.get(name).unwrap_or_default());
    }
    let hides_rows = compiled.hides_rows || fence.hides_rows;
    let failed = |error: EngineError| {
        if hides_rows && is_about_prewhere(&error) {
            return ApiError::BadRequest(
                "`PREWHERE` cannot choose among the rows of a data source of which the token sees only some: write `WHERE`"
                    .to_owned(),
            );
        }
        let error = said(error, hides_rows);
        ApiError::engine(&served.plan, &compiled.sql, error)
    };
    let answer = app.engine.query(query).await.map_err(failed)?;
    let body = if answer.length().is_some() {
        count(app, &answer);
        let statistics = answer.statistics();
        let bytes = answer.bytes().await.map_err(failed)?;
        if let Some(pending) = pending.take() {
            pending.succeed(statistics, rows_of(format.name, &bytes));
        }
        Body::from(bytes)
    } else {
        Body::from_stream(Streamed {
            answer,
            app: Arc::clone(app),
            pending: pending.take(),
            lines: 0,
            hides_rows,
            format,
            _place: place,
        })
    };
    let mut response = body.into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(format.media_type),
    );
    Ok(response)
}

/// What the engine says of a statement. A token's row filter that is part of it is not shown.
fn said(error: EngineError, hides_rows: bool) -> EngineError {
    if hides_rows {
        error.without_statement()
    } else {
        error
    }
}

/// Whether the engine found a `PREWHERE` where there is no table: with a row filter, it is a query in the place of the table.
fn is_about_prewhere(error: &EngineError) -> bool {
    matches!(error, EngineError::Exception { name, .. } if name == "ILLEGAL_PREWHERE")
}

/// The engine's names for what templates ask for. A hint about a backend that is not there is no setting.
pub(super) fn engine_settings(settings: &Settings) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut set = |name: &str, value: String| out.push((name.to_owned(), value));
    if let Some(threads) = settings.max_threads.filter(|threads| *threads > 0) {
        set("max_threads", threads.to_string());
    }
    for name in &settings.activate {
        match name.as_str() {
            "analyzer" => set("enable_analyzer", "1".to_owned()),
            "optimize_aggregation_in_order" => set("optimize_aggregation_in_order", "1".to_owned()),
            _ => {}
        }
    }
    if settings.disable.as_deref() == Some("analyzer") {
        set("enable_analyzer", "0".to_owned());
    }
    out
}

/// Adds what a finished query read to the metrics.
fn count(app: &App, answer: &Answer) {
    if let Some(statistics) = answer.statistics() {
        app.metrics
            .read(statistics.rows_read, statistics.bytes_read);
    }
}

/// An answer that goes out while the query runs: it keeps its place among the concurrent queries until its last chunk.
struct Streamed {
    answer: Answer,
    app: Arc<App>,
    pending: Option<Pending>,
    lines: u64,
    hides_rows: bool,
    format: Format,
    _place: Place,
}

impl Streamed {
    fn end(&mut self) {
        if let Some(pending) = self.pending.take() {
            let header = u64::from(self.format.name.ends_with("WithNames"));
            pending.succeed(self.answer.statistics(), self.lines.saturating_sub(header));
        }
    }
}

impl Drop for Streamed {
    /// A client that went away has had what it wanted.
    fn drop(&mut self) {
        self.end();
    }
}

impl Stream for Streamed {
    type Item = Result<Bytes, EngineError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let chunk = self.answer.poll_next_unpin(context);
        let hides_rows = self.hides_rows;
        let chunk =
            chunk.map(|chunk| chunk.map(|bytes| bytes.map_err(|error| said(error, hides_rows))));
        match &chunk {
            Poll::Ready(None) => {
                count(&self.app, &self.answer);
                self.end();
            }
            Poll::Ready(Some(Ok(bytes))) if self.pending.is_some() => {
                self.lines += lines_in(bytes);
            }
            Poll::Ready(Some(Err(error))) => {
                if let Some(pending) = self.pending.take() {
                    pending.break_off(error.to_string());
                }
            }
            _ => {}
        }
        chunk
    }
}
