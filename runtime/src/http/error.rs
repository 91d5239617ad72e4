//! Errors of the API: one type, one place where it becomes a response. Causes inside the process are logged and not shown.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use pipewright_compiler::mapped_text::MappedText;
use pipewright_compiler::plan::{Plan, QUERY_SOURCE, QueryError};
use pipewright_grammar::diagnostic::Diagnostic;
use pipewright_grammar::source::Span;
use serde_json::{Value, json};

use super::place;
use crate::catalog::ChangeError;
use crate::engine::EngineError;
use crate::state::StateError;

/// Where errors are explained.
const DOCUMENTATION: &str =
    "https://github.com/pipewright/pipewright/blob/main/book/src/http-api.md#errors";

/// Why a request was not answered with data.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// 400: the request cannot be compiled or run.
    BadRequest(String),
    /// 403: no token, an unknown one, or one that may not read this.
    Forbidden(String),
    /// 404.
    NotFound(String),
    /// 409: the name is taken, or something stands in the way.
    Conflict(String),
    /// 405.
    MethodNotAllowed,
    /// 408: the query took too long.
    Timeout(String),
    /// 413 or 400: the body cannot be read.
    Body(StatusCode, String),
    /// 429: too many requests wait for the engine.
    TooMany,
    /// 429: the token has used up its share; after so many seconds it may ask again.
    Limited(u64),
    /// 500: something broke here.
    Internal(String),
    /// 503: the engine is not there.
    Unavailable(String),
    /// What `custom_error` in a template asked for.
    Custom(StatusCode, Value),
}

impl ApiError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Timeout(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Body(status, _) | Self::Custom(status, _) => *status,
            Self::TooMany | Self::Limited(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// A request that did not compile.
    pub(crate) fn query(plan: &Plan, error: QueryError) -> Self {
        match error {
            QueryError::Template(error) => match (
                error
                    .status
                    .and_then(|status| StatusCode::from_u16(status).ok()),
                error.body,
            ) {
                (Some(status), Some(body)) => Self::Custom(status, *body),
                _ if error.is_authors => Self::BadRequest(error.message),
                _ => Self::BadRequest(placed(plan, &error.message, error.span)),
            },
            QueryError::Sql(diagnostic) => Self::BadRequest(diagnosed(plan, &diagnostic)),
            QueryError::NoSuchNode(name) => Self::NotFound(format!("there is no node `{name}`")),
        }
    }

    /// A statement that the engine refused or did not finish; its place is looked up in the `.pipe` file. Where that is not known, the node that was asked is named.
    pub(crate) fn engine(plan: &Plan, sql: &MappedText, error: EngineError) -> Self {
        match error {
            EngineError::Exception {
                name,
                message,
                position,
                ..
            } => {
                let span = match position {
                    Some(position) => sql.locate(position.offset),
                    None => place::of_message(plan, sql, &message),
                };
                let said = format!("{message} ({name})");
                Self::BadRequest(match (span, place::asked(plan, sql)) {
                    (None, Some(id)) => {
                        format!("pipe `{}`, node `{}`: {said}", id.pipe, id.node)
                    }
                    (span, _) => placed(plan, &said, span),
                })
            }
            error => error.into(),
        }
    }
}

/// An error of a statement that is not written in a file.
impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Exception { message, name, .. } => {
                Self::BadRequest(format!("{message} ({name})"))
            }
            error @ EngineError::Timeout { .. } => Self::Timeout(error.to_string()),
            error @ (EngineError::Unavailable(_)
            | EngineError::Busy { .. }
            | EngineError::Stopping
            | EngineError::Cancelled) => Self::Unavailable(error.to_string()),
            error @ EngineError::Unsupported { .. } => Self::BadRequest(error.to_string()),
            error => {
                tracing::error!(%error, "the engine failed");
                Self::Internal("the engine failed; the log says why".to_owned())
            }
        }
    }
}

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Invalid(_) | ChangeError::Refused(_) | ChangeError::Edit(_) => {
                Self::BadRequest(error.to_string())
            }
            ChangeError::Beyond(message) => Self::Forbidden(message),
            ChangeError::Unfinished(message) | ChangeError::Captured(message) => {
                Self::Conflict(message)
            }
            ChangeError::TablesHeld => Self::Conflict(error.to_string()),
            ChangeError::Engine(message) => Self::Unavailable(message),
            // Nobody sees it: the engine is asked, and the change made anew.
            ChangeError::Unasked => Self::Unavailable(error.to_string()),
            ChangeError::State(error) => error.into(),
            ChangeError::Io(error) => Self::from(StateError::from(error)),
        }
    }
}

impl From<StateError> for ApiError {
    fn from(error: StateError) -> Self {
        tracing::error!(%error, "the state cannot be used");
        Self::Internal("the state cannot be used; the log says why".to_owned())
    }
}

/// A message with its place in front, where it has one.
fn placed(plan: &Plan, message: &str, span: Option<Span>) -> String {
    match span {
        Some(span) if span.source == QUERY_SOURCE => format!("q, byte {}: {message}", span.start),
        Some(span) => match plan.project.sources.files().get(span.source.0 as usize) {
            Some(file) => {
                let (line, column) = file.line_column(span.start);
                format!("{}:{line}:{column}: {message}", file.name())
            }
            None => message.to_owned(),
        },
        None => message.to_owned(),
    }
}

fn diagnosed(plan: &Plan, diagnostic: &Diagnostic) -> String {
    let mut message = placed(plan, &diagnostic.message, diagnostic.primary());
    for help in &diagnostic.helps {
        message.push_str("; ");
        message.push_str(help);
    }
    message
}

impl ApiError {
    /// What is said of the error.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Custom(_, body) => body.to_string(),
            Self::MethodNotAllowed => "this path does not take that method".to_owned(),
            Self::Limited(_) => "the token may not make so many requests in a second".to_owned(),
            Self::TooMany => "too many requests are under way; try again in a second".to_owned(),
            Self::BadRequest(message)
            | Self::Forbidden(message)
            | Self::NotFound(message)
            | Self::Conflict(message)
            | Self::Timeout(message)
            | Self::Body(_, message)
            | Self::Internal(message)
            | Self::Unavailable(message) => message.clone(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let retry_after = if let Self::Limited(seconds) = self {
            seconds
        } else {
            1
        };
        let body = match self {
            Self::Custom(_, body) => body,
            error => error_body(&error.message()),
        };
        let mut response = (
            status,
            [(header::CONTENT_TYPE, "application/json")],
            body.to_string(),
        )
            .into_response();
        if status == StatusCode::TOO_MANY_REQUESTS {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, header::HeaderValue::from(retry_after));
        }
        response
    }
}

fn error_body(message: &str) -> Value {
    json!({ "error": message, "documentation": DOCUMENTATION })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::IngestError;
    use pipewright_compiler::compile;
    use pipewright_compiler::plan::RequestContext;
    use pipewright_compiler::project::SourceTree;
    use pipewright_compiler::template::{RenderContext, Values};

    /// What a caller of node `n` of `b` is told when the engine says this of it.
    fn told(files: &[(&str, &str)], message: &str) -> String {
        let files = files
            .iter()
            .map(|(name, sql)| ((*name).to_owned(), format!("NODE n\nSQL >\n    {sql}\n")));
        let (plan, _) = compile(SourceTree::new(files));
        let id = plan.pipe("b").unwrap().nodes[0].id.clone();
        let values = Values::new();
        let request = RequestContext {
            values: &values,
            render: RenderContext::default(),
        };
        let sql = plan.compile_node(&id, request).unwrap().sql;
        let error = EngineError::Exception {
            code: 47,
            name: "UNKNOWN_IDENTIFIER".to_owned(),
            message: message.to_owned(),
            position: None,
        };
        ApiError::engine(&plan, &sql, error).message()
    }

    #[test]
    fn an_error_is_placed_where_its_name_is_a_name() {
        let message = "Unknown expression identifier `desktop`";
        let a = ("a.pipe", "SELECT 'desktop' AS device /* desktop */");
        assert_eq!(
            told(
                &[a, ("b.pipe", "SELECT device FROM a WHERE desktop = 1")],
                message
            ),
            "b.pipe:3:32: Unknown expression identifier `desktop` (UNKNOWN_IDENTIFIER)"
        );
        // Both nodes have the name, and the message does not say which one it means.
        let a = ("a.pipe", "SELECT 1 AS desktop");
        assert_eq!(
            told(
                &[a, ("b.pipe", "SELECT desktop, x FROM (SELECT x FROM a)")],
                message
            ),
            "pipe `b`, node `n`: Unknown expression identifier `desktop` (UNKNOWN_IDENTIFIER)"
        );
    }

    #[test]
    fn an_engine_that_has_no_time_is_not_a_fault_wherever_it_is_asked() {
        let errors = || {
            [
                EngineError::Timeout {
                    limit: std::time::Duration::from_secs(1),
                },
                EngineError::Cancelled,
                EngineError::Unavailable("gone".to_owned()),
            ]
        };
        let statuses = errors().map(|error| ApiError::from(error).status().as_u16());
        assert_eq!(statuses, [408, 503, 503]);
        let of_rows = errors().map(|error| ApiError::from(IngestError::Engine(error)));
        assert_eq!(of_rows.map(|error| error.status().as_u16()), statuses);
    }
}
