//! The server describes itself: `/openapi.json` for machines, and a page at `/` for people. Both show what the token may read.

use std::sync::{Arc, PoisonError};

use askama::Template;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use pipewright_compiler::emit;
use pipewright_compiler::plan::Plan;
use serde_json::{Map, Value, json};

use super::App;
use super::error::ApiError;
use super::routes;

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    version: &'a str,
    engine: &'a str,
}

/// Nothing but the page's own script and style, and requests to this server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page.
pub(super) async fn page(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let page = Page {
        version: env!("CARGO_PKG_VERSION"),
        engine: app.engine.version(),
    };
    let text = page
        .render()
        .map_err(|error| ApiError::Internal(error.to_string()))?;
    Ok(asset("text/html; charset=utf-8", text))
}

/// The page's script.
pub(super) async fn script() -> Response {
    asset(
        "text/javascript; charset=utf-8",
        include_str!("../../templates/page.js").to_owned(),
    )
}

/// The page's style.
pub(super) async fn style() -> Response {
    asset(
        "text/css; charset=utf-8",
        include_str!("../../templates/page.css").to_owned(),
    )
}

fn asset(media_type: &'static str, text: String) -> Response {
    let mut response = ([(header::CONTENT_TYPE, media_type)], text).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// The description of the API: the management routes for everyone, and of the endpoints those that the token may read.
pub(super) async fn openapi(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let served = app.served.load_full();
    let access = served.tokens.access_if_any(&headers, &uri)?;
    let readable = |path: &str| {
        let name = path
            .strip_prefix("/v0/pipes/")
            .and_then(|file| file.rsplit_once('.'))
            .map_or("", |(name, _)| name);
        access
            .as_ref()
            .is_some_and(|access| access.reads_pipe(name))
    };
    let kept = described(&app, &served.plan)?;
    let body = match &access {
        None => kept.nobodys.clone(),
        Some(_) => kept.document(readable).into(),
    };
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// What a project's endpoints are described as, made once for each plan: anybody may ask for it, as often as they like.
#[derive(Debug)]
pub(super) struct Described {
    plan: Arc<Plan>,
    /// The description without its paths.
    frame: Value,
    endpoints: Map<String, Value>,
    /// The description for who brings no token.
    nobodys: Bytes,
}

impl Described {
    /// The description, of the endpoints with those whose path is readable.
    fn document(&self, readable: impl Fn(&str) -> bool) -> String {
        let mut document = self.frame.clone();
        let endpoints = self.endpoints.iter().filter(|(path, _)| readable(path));
        let mut paths: Map<String, Value> = endpoints
            .map(|(path, item)| (path.clone(), item.clone()))
            .collect();
        for (path, method, described) in routes::described() {
            let item = paths.entry(*path).or_insert_with(|| json!({}));
            item[*method] = described.clone();
        }
        document["paths"] = paths.into();
        document["info"] = json!({ "title": "Pipewright", "version": env!("CARGO_PKG_VERSION") });
        document.to_string()
    }
}

fn described(app: &App, plan: &Arc<Plan>) -> Result<Arc<Described>, ApiError> {
    let mut kept = app.described.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kept) = kept.as_ref().filter(|kept| Arc::ptr_eq(&kept.plan, plan)) {
        return Ok(Arc::clone(kept));
    }
    let mut frame = serde_json::to_value(emit::openapi(plan))
        .map_err(|error| ApiError::Internal(error.to_string()))?;
    let endpoints = match frame["paths"].take() {
        Value::Object(endpoints) => endpoints,
        _ => Map::new(),
    };
    let plan = Arc::clone(plan);
    let mut made = Described {
        plan,
        frame,
        endpoints,
        nobodys: Bytes::new(),
    };
    made.nobodys = made.document(|_| false).into();
    let made = Arc::new(made);
    *kept = Some(Arc::clone(&made));
    Ok(made)
}
