//! Who may send a body: a request's token is looked at before its body is read, so that nobody without one takes up memory and time.
//!
//! A token may also be a parameter in the body. Who gives it neither in a header nor in the address may therefore send a small body, and no other.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http_body_util::LengthLimitError;

use super::access::bearer_of;
use super::connections::SMALL;
use super::error::ApiError;
use super::extract::in_time;
use super::parameters::{MOST, too_many};
use super::run::Format;
use super::{App, staged};

/// Lets a request in that has a token, or whose body may have one.
pub(super) async fn token_first(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    // Without a body it is let in, and counted where it is answered.
    let begun = (!request.body().is_end_stream()).then(|| (counted(&request), Instant::now()));
    match admitted(&app, request).await {
        Ok(request) => next.run(request).await,
        Err(error) => {
            let answer = error.into_response();
            if let Some((Some(route), since)) = begun {
                let status = answer.status().as_u16();
                app.metrics.request(route, status, since.elapsed());
            }
            answer
        }
    }
}

/// What a request is counted as where it is let in.
fn counted(request: &Request) -> Option<&'static str> {
    let path = request.uri().path().trim_end_matches('/');
    let routes = ["/v0/sql", "/v0/events", "/v0/datasources"];
    let route = routes.into_iter().find(|route| *route == path);
    route.or_else(|| {
        let (name, ending) = path.strip_prefix("/v0/pipes/")?.rsplit_once('.')?;
        let is_data = !name.contains('/') && Format::of_ending(ending).is_some();
        is_data.then_some("/v0/pipes")
    })
}

async fn admitted(app: &App, request: Request) -> Result<Request, ApiError> {
    let is_data = matches!(counted(&request), Some("/v0/sql" | "/v0/pipes"));
    staged::refuse_changes(request.method(), request.uri(), is_data)?;
    let query = request.uri().query().unwrap_or("").as_bytes();
    if memchr::memchr_iter(b'&', query).count() >= MOST {
        return Err(too_many());
    }
    // Who brings no body is asked for the token where it is needed.
    if request.body().is_end_stream() {
        return Ok(request);
    }
    let token = form_urlencoded::parse(query)
        .filter(|(name, _)| name == "token")
        .last()
        .map(|(_, token)| token);
    let headers = request.headers();
    let tokens = Arc::clone(&app.served.load().tokens);
    if token.is_some() || bearer_of(headers).is_some() {
        tokens.access(headers, token.as_deref())?;
        return Ok(request);
    }
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > SMALL) {
        tokens.access(headers, None)?;
    }
    let (head, body) = request.into_parts();
    let most = usize::try_from(SMALL).unwrap_or(usize::MAX);
    let body = match in_time(app, to_bytes(body, most)).await? {
        Ok(body) => body,
        Err(error) => {
            let is_long = error
                .source()
                .is_some_and(<dyn std::error::Error>::is::<LengthLimitError>);
            if is_long {
                tokens.access(&head.headers, None)?;
            }
            return Err(ApiError::Body(StatusCode::BAD_REQUEST, error.to_string()));
        }
    };
    Ok(Request::from_parts(head, Body::from(body)))
}
