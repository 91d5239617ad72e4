//! Which path is answered by what. What `/openapi.json` says of these paths is in [`super::routes`], and a test compares the two.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::HttpBody as _;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post, put};
use tower::ServiceExt as _;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowHeaders, CorsLayer};

use super::entrance::token_first;
use super::error::ApiError;
use super::extract::too_long;
use super::{
    App, analyze, copies, datasource_change, datasources, deployments, endpoint, events, examples,
    explain, handover, health, jobs, materialization, metrics, nodes, page, pipes, population, sql,
    tags, tokens, variables, workspace,
};

/// A path and what answers there.
type Handled = (&'static str, MethodRouter<Arc<App>>);

/// The routes.
pub fn router(app: Arc<App>) -> Router {
    let mut routes = Router::new();
    let bounded = queries(&app).into_iter().chain(pipe_routes());
    for (path, handlers) in bounded.chain(datasource_routes()).chain(workspace_routes()) {
        routes = routes.route(path, handlers);
    }
    routes = routes.layer(from_fn_with_state(Arc::clone(&app), refuse_bodies));
    for (path, handlers) in streamed() {
        let handlers: MethodRouter<Arc<App>> = handlers.layer(from_fn(refuse_encodings));
        routes = routes.route(path, handlers.layer(DefaultBodyLimit::disable()));
    }
    routes = routes.layer(from_fn_with_state(Arc::clone(&app), token_first));
    for (path, handlers) in open() {
        routes = routes.route(path, handlers);
    }
    let routes = routes.method_not_allowed_fallback(method_not_allowed);
    let exact = routes
        .clone()
        .fallback(not_found)
        .with_state(Arc::clone(&app));
    let routes = routes
        .fallback(move |request| without_slash(exact.clone(), request))
        .layer(DefaultBodyLimit::max(app.body_bytes));
    guarded(routes).with_state(app)
}

/// Answers panics, and says to pages of other origins that they may read what is answered, be it that.
fn guarded<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    routes
        .layer(CatchPanicLayer::custom(panicked))
        .layer(cross_origin())
}

/// A mistake of ours ends one request, with an answer, and not its connection. What it was is on the standard error already.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    let said = "something broke while the request was answered; the log says what";
    ApiError::Internal(said.to_owned()).into_response()
}

/// What needs no token, and is described elsewhere.
fn open() -> Vec<Handled> {
    vec![
        ("/", get(page::page)),
        ("/page.js", get(page::script)),
        ("/page.css", get(page::style)),
        ("/openapi.json", get(page::openapi)),
        ("/health", get(health)),
        ("/metrics", get(metrics)),
        ("/v0/regions", get(workspace::regions)),
    ]
}

/// What runs queries, also while one version of the project hands over to another.
fn queries(app: &Arc<App>) -> Vec<Handled> {
    let answered = || from_fn_with_state(Arc::clone(app), handover::answer);
    vec![
        (
            "/v0/sql",
            get(sql::answer).post(sql::answer).layer(answered()),
        ),
        (
            "/v0/pipes/{pipe}",
            get(endpoint::answer)
                .post(endpoint::answer)
                .layer(answered())
                .put(pipes::change)
                .delete(pipes::delete),
        ),
    ]
}

fn pipe_routes() -> Vec<Handled> {
    vec![
        ("/v0/pipes", get(pipes::list).post(pipes::create)),
        ("/v0/pipes/{pipe}/explain", get(explain::pipe)),
        (
            "/v0/pipes/{pipe}/endpoint",
            put(nodes::publish_by_id).delete(nodes::unpublish_pipe),
        ),
        ("/v0/pipes/{pipe}/nodes", post(nodes::append)),
        (
            "/v0/pipes/{pipe}/nodes/{node}",
            put(nodes::edit).delete(nodes::delete),
        ),
        ("/v0/pipes/{pipe}/nodes/{node}/explain", get(explain::node)),
        (
            "/v0/pipes/{pipe}/nodes/{node}/endpoint",
            post(nodes::publish).delete(nodes::unpublish),
        ),
        (
            "/v0/pipes/{pipe}/nodes/{node}/materialization",
            post(materialization::create).delete(materialization::remove),
        ),
        (
            "/v0/pipes/{pipe}/nodes/{node}/analysis",
            get(materialization::analyze),
        ),
        (
            "/v0/pipes/{pipe}/nodes/{node}/population",
            post(population::create),
        ),
        (
            "/v0/pipes/{pipe}/nodes/{node}/copy",
            post(copies::create)
                .put(copies::update)
                .delete(copies::remove),
        ),
        ("/v0/pipes/{pipe}/copy", post(copies::run)),
        ("/v0/pipes/{pipe}/copy/pause", post(copies::pause)),
        ("/v0/pipes/{pipe}/copy/resume", post(copies::resume)),
        ("/v0/pipes/{pipe}/copy/cancel", post(copies::cancel)),
        ("/v1/pipes/{pipe}", get(pipes::file)),
        ("/examples/query.http", get(examples::address)),
    ]
}

fn datasource_routes() -> Vec<Handled> {
    vec![
        (EVENTS, post(events::post)),
        (
            "/v0/datasources/{datasource}",
            get(datasources::get)
                .put(datasource_change::change)
                .delete(datasource_change::delete),
        ),
        (
            "/v0/datasources/{datasource}/alter",
            post(datasource_change::alter),
        ),
        (
            "/v0/datasources/{datasource}/truncate",
            post(datasources::truncate),
        ),
        (
            "/v0/datasources/{datasource}/delete",
            post(datasources::delete),
        ),
    ]
}

fn workspace_routes() -> Vec<Handled> {
    vec![
        ("/v0/tokens", get(tokens::list).post(tokens::create)),
        (
            "/v0/tokens/{token}",
            get(tokens::get).put(tokens::change).delete(tokens::delete),
        ),
        ("/v0/tokens/{token}/refresh", post(tokens::refresh)),
        (
            "/v0/variables",
            get(variables::list).post(variables::create),
        ),
        (
            "/v0/variables/{variable}",
            get(variables::get)
                .put(variables::change)
                .delete(variables::delete),
        ),
        ("/v0/workspace", get(workspace::get)),
        ("/v1/workspace", get(workspace::get)),
        ("/v1/user/workspaces", get(workspace::list)),
        ("/v1/environments", get(workspace::environments)),
        ("/v0/workspaces/{workspace}", get(workspace::named)),
        ("/v0/user/workspaces", get(workspace::list)),
        ("/v0/auth", get(workspace::auth)),
        ("/v0/connectors", get(workspace::connectors)),
        ("/v0/environments", get(workspace::environments)),
        ("/v0/tags", get(tags::list).post(tags::create)),
        ("/v0/tags/{tag}", put(tags::change).delete(tags::delete)),
        (
            "/v0/workspaces/{workspace}/releases",
            get(workspace::releases),
        ),
        ("/v0/sql_tables", post(sql::tables)),
        ("/v0/sql_format", get(sql::format)),
        ("/v0/dependencies", get(workspace::dependencies)),
        ("/v0/jobs", get(jobs::list)),
        ("/v0/jobs/{job}", get(jobs::get)),
        ("/v0/jobs/{job}/cancel", post(jobs::cancel)),
        ("/v1/deploy", post(deployments::create)),
        ("/v1/rollback", post(deployments::rollback)),
        ("/v1/deployments", get(deployments::list)),
        (
            "/v1/deployments/{deployment}",
            get(deployments::get).delete(deployments::discard),
        ),
        (
            "/v1/deployments/{deployment}/set-live",
            post(deployments::set_live),
        ),
    ]
}

/// What reads its bodies piece by piece, however long.
fn streamed() -> Vec<Handled> {
    vec![
        (
            "/v0/datasources",
            get(datasources::list).post(datasources::post),
        ),
        (
            "/v1/datasources/{datasource}/append",
            post(datasources::append),
        ),
        (
            "/v1/datasources/{datasource}/replace",
            post(datasources::replace),
        ),
        ("/v0/analyze", post(analyze::post)),
    ]
}

/// A slash at the end of a path means nothing.
async fn without_slash(routes: Router, mut request: Request) -> Response {
    let path = request.uri().path();
    let shorter = path.trim_end_matches('/');
    if shorter.len() == path.len() || shorter.is_empty() {
        return not_found().await.into_response();
    }
    let mut target = shorter.to_owned();
    if let Some(query) = request.uri().query() {
        target.push('?');
        target.push_str(query);
    }
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = target.parse::<PathAndQuery>().ok();
    match Uri::from_parts(parts) {
        Ok(uri) => *request.uri_mut() = uri,
        Err(_) => return not_found().await.into_response(),
    }
    match routes.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// A body that says that it is too long is not read, nor one that says that it is packed: only rows may be.
async fn refuse_bodies(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let headers = request.headers();
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > app.body_bytes as u64) {
        return too_long(app.body_bytes).into_response();
    }
    let are_rows = request.uri().path().trim_end_matches('/') == EVENTS;
    match encoded_otherwise(headers, if are_rows { &PACKED[..1] } else { &[] }) {
        Some(refusal) => refusal.into_response(),
        None => next.run(request).await,
    }
}

/// Files of rows may be packed in some ways and no others.
async fn refuse_encodings(request: Request, next: Next) -> Response {
    match encoded_otherwise(request.headers(), &PACKED) {
        Some(refusal) => refusal.into_response(),
        None => next.run(request).await,
    }
}

/// How rows may be packed, events in the first way alone.
const PACKED: [&str; 2] = ["gzip", "zstd"];

const EVENTS: &str = "/v0/events";

/// The refusal of a body that is encoded, unless in one of these ways.
fn encoded_otherwise(headers: &HeaderMap, known: &[&str]) -> Option<ApiError> {
    let encoding = headers.get(header::CONTENT_ENCODING)?;
    let encoding = encoding.to_str().unwrap_or("?").trim();
    let is = |name: &str| encoding.eq_ignore_ascii_case(name);
    if encoding.is_empty() || is("identity") || known.iter().any(|name| is(name)) {
        return None;
    }
    let taken = match known {
        [] => "send the body as it is".to_owned(),
        known => format!("send {} or plain rows", known.join(", ")),
    };
    Some(ApiError::Body(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        format!("`{encoding}` is not read; {taken}"),
    ))
}

/// Pages of every origin may ask: what counts is the token, and no cookie is ever looked at.
fn cross_origin() -> CorsLayer {
    // A star does not stand for `Authorization`: what is asked for is named.
    CorsLayer::permissive()
        .allow_headers(AllowHeaders::mirror_request())
        .max_age(Duration::from_hours(1))
}

async fn not_found() -> ApiError {
    ApiError::NotFound("there is nothing at this path".to_owned())
}

async fn method_not_allowed() -> ApiError {
    ApiError::MethodNotAllowed
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::body::Body;

    use super::*;
    use crate::http::routes;

    #[tokio::test]
    async fn a_panic_is_answered() {
        async fn broken() {
            panic!("the test says so");
        }
        let routes: Router = guarded(Router::new().route("/", get(broken)));
        let request = Request::builder().header(header::ORIGIN, "https://page.example");
        let request = request.body(Body::empty()).unwrap();
        let answer = routes.oneshot(request).await.unwrap();
        assert_eq!(answer.status().as_u16(), 500);
        let headers = answer.headers();
        assert_eq!(headers[header::CONTENT_TYPE], "application/json");
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    }

    #[test]
    fn every_path_with_a_token_is_described() {
        let described: BTreeSet<&str> = routes::described()
            .iter()
            .map(|(path, _, _)| *path)
            .collect();
        let handled = pipe_routes().into_iter().chain(datasource_routes());
        let handled = handled.chain(workspace_routes()).chain(streamed());
        let mut handled: BTreeSet<&str> = handled.map(|(path, _)| path).collect();
        handled.extend(["/v0/sql", "/v0/pipes/{pipe}"]);
        assert_eq!(handled, described);
    }
}
