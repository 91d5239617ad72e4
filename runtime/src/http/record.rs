//! A request's row in the statistics: begun when it is known whose it is, finished when the last byte is out or it has failed.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, Method, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;

use super::App;
use super::access::Access;
use super::error::ApiError;
use super::parameters::Parameters;
use crate::engine::Statistics;
use crate::service::{PipeRequest, Row, Service};

/// What queries that are no pipe's are counted under.
pub(crate) const QUERY_API: &str = "query_api";

/// A request that has not ended.
#[derive(Debug)]
pub(crate) struct Pending {
    service: Service,
    started: Instant,
    row: PipeRequest,
}

/// The parts of a request that are written down.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) started: Instant,
}

impl Pending {
    /// Begins a row. Of a POST the parameters are not written down, nor is a token ever.
    pub(crate) fn new(
        service: &Service,
        asked: Asked<'_>,
        access: &Access,
        (id, name): (&str, &str),
        parameters: &Parameters,
    ) -> Self {
        let with_parameters = asked.method == Method::GET;
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let pairs = parameters
            .pairs()
            .iter()
            .filter(|(name, _)| with_parameters && name != "token");
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let agent = asked
            .headers
            .get(header::USER_AGENT)
            .and_then(|agent| agent.to_str().ok());
        let row = PipeRequest {
            start_datetime: now.saturating_sub(asked.started.elapsed()).as_secs(),
            pipe_id: id.to_owned(),
            pipe_name: name.to_owned(),
            token: access.id.clone(),
            token_name: access.name.clone(),
            url: Some(address(asked.uri, with_parameters)),
            request_id: service.request_id(),
            parameters: pairs
                .map(|(name, value)| (name.clone(), text(value)))
                .collect(),
            method: asked.method.to_string(),
            user_agent: agent.map(ToOwned::to_owned),
            status_code: 200,
            ..PipeRequest::default()
        };
        Self {
            service: service.clone(),
            started: asked.started,
            row,
        }
    }

    /// The answer is out.
    pub(crate) fn succeed(mut self, statistics: Option<Statistics>, result_rows: u64) {
        if let Some(statistics) = statistics {
            self.row.read_rows = statistics.rows_read;
            self.row.read_bytes = statistics.bytes_read;
            self.row.cpu_time = statistics.elapsed.as_secs_f64();
        }
        self.row.result_rows = result_rows;
        self.record();
    }

    /// There was no answer.
    pub(crate) fn fail(mut self, error: &ApiError) {
        self.row.error = 1;
        self.row.error_message = Some(error.message());
        self.row.status_code = error.status().as_u16();
        self.record();
    }

    /// The answer broke off.
    pub(crate) fn break_off(mut self, message: String) {
        self.row.error = 1;
        self.row.error_message = Some(message);
        self.record();
    }

    fn record(mut self) {
        self.row.duration = self.started.elapsed().as_secs_f64();
        self.service.record(Row::Request(self.row));
    }
}

/// The response to a query, counted; one that failed is written down, others are when their last byte is out.
pub(crate) fn answered(
    app: &App,
    route: &'static str,
    started: Instant,
    pending: Option<Pending>,
    answer: Result<Response, ApiError>,
) -> Response {
    if let (Some(pending), Err(error)) = (pending, &answer) {
        pending.fail(error);
    }
    let response = answer.into_response();
    let status = response.status().as_u16();
    app.metrics.request(route, status, started.elapsed());
    response
}

/// The path, with the parameters but for the token.
fn address(uri: &Uri, with_parameters: bool) -> String {
    let mut out = uri.path().to_owned();
    if !with_parameters {
        return out;
    }
    let is_token = |pair: &&str| {
        form_urlencoded::parse(pair.as_bytes())
            .next()
            .is_some_and(|(name, _)| name == "token")
    };
    for (at, pair) in uri
        .query()
        .unwrap_or("")
        .split('&')
        .filter(|pair| !pair.is_empty() && !is_token(pair))
        .enumerate()
    {
        out.push(if at == 0 { '?' } else { '&' });
        out.push_str(pair);
    }
    out
}

/// How many lines end in these bytes.
pub(crate) fn lines_in(bytes: &[u8]) -> u64 {
    bytes.split(|byte| *byte == b'\n').skip(1).count() as u64
}

/// How many rows a JSON answer has, as it says near its end; how many lines other whole answers have.
pub(crate) fn rows_of(format: &str, bytes: &[u8]) -> u64 {
    let lines = || lines_in(bytes);
    match format {
        "JSON" | "JSONStrings" | "JSONCompact" => {
            let tail = &bytes[bytes.len().saturating_sub(400)..];
            let text = String::from_utf8_lossy(tail);
            let number = text
                .rsplit_once("\"rows\":")
                .map(|(_, rest)| rest.trim_start());
            let digits = number.map(|rest| {
                rest.split(|character: char| !character.is_ascii_digit())
                    .next()
                    .unwrap_or("")
            });
            digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
        }
        "JSONEachRow" | "JSONCompactEachRow" | "CSV" | "TSV" => lines(),
        "CSVWithNames" | "TSVWithNames" => lines().saturating_sub(1),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_not_in_the_address() {
        let address = |text: &str, all: bool| address(&text.parse().unwrap(), all);
        assert_eq!(
            address("/v0/pipes/a.json?x=1&token=p.secret&y=2", true),
            "/v0/pipes/a.json?x=1&y=2"
        );
        assert_eq!(
            address("/v0/pipes/a.json?%74oken=p.secret", true),
            "/v0/pipes/a.json"
        );
        assert_eq!(address("/v0/pipes/a.json?x=1", false), "/v0/pipes/a.json");
    }

    #[test]
    fn rows_are_read_from_the_answer() {
        assert_eq!(
            rows_of(
                "JSON",
                b"{\"data\":[],\n\t\"rows\": 12,\n\t\"statistics\":{\"rows_read\": 7}}"
            ),
            12
        );
        assert_eq!(rows_of("CSVWithNames", b"\"a\"\n1\n2\n"), 2);
        assert_eq!(rows_of("Parquet", b"PAR1"), 0);
    }
}
