//! Stage *serve*: request + `Plan` → SQL → engine → bytes. The only place that knows `axum`.
//!
//! Endpoints are data, not routes: one handler looks the pipe up in [`Served`], which a reload replaces as a whole.

mod access;
mod endpoint;
mod error;
mod metrics;
mod parameters;
mod query;
mod run;
mod sql;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use pipewright_compiler::plan::Plan;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower_http::cors::CorsLayer;

pub use access::{Access, Scope, TokenTable};
pub use metrics::Metrics;

use self::error::ApiError;
use crate::engine::Engine;

/// What is served: replaced as a whole when the project changes.
#[derive(Debug)]
pub struct Served {
    /// The project.
    pub plan: Plan,
    /// Who may read what.
    pub tokens: TokenTable,
    /// Secrets by name, for `tb_secret`. Only ever bound as parameters.
    pub secrets: Vec<(String, String)>,
}

/// All that a request needs.
#[derive(Debug)]
pub struct App {
    served: ArcSwap<Served>,
    engine: Arc<dyn Engine>,
    metrics: Metrics,
    slots: Arc<Semaphore>,
    timeout: Duration,
    body_bytes: usize,
}

impl App {
    /// An app over an engine. Limits come from the project's `[limits]`.
    pub fn new(served: Served, engine: Arc<dyn Engine>) -> Arc<Self> {
        let limits = served.plan.project.config.limits.clone();
        Arc::new(Self {
            served: ArcSwap::from_pointee(served),
            engine,
            metrics: Metrics::default(),
            slots: Arc::new(Semaphore::new(limits.concurrent_queries)),
            timeout: Duration::from_millis(limits.query_timeout_ms),
            body_bytes: limits.body_bytes,
        })
    }

    /// Replaces what is served; requests under way finish with what they started with.
    pub fn replace(&self, served: Served) {
        self.served.store(Arc::new(served));
    }
}

/// The routes.
pub fn router(app: Arc<App>) -> Router {
    let body_limit = DefaultBodyLimit::max(app.body_bytes);
    Router::new()
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .route("/v0/sql", get(sql::answer).post(sql::answer))
        .route(
            "/v0/pipes/{file}",
            get(endpoint::answer).post(endpoint::answer),
        )
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(body_limit)
        .layer(CorsLayer::permissive())
        .with_state(app)
}

/// Serves until `stop` is done, then finishes the requests under way.
pub async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    use axum::serve::ListenerExt as _;
    // Answers are small and complete: waiting to fill a packet only delays them.
    let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
    axum::serve(listener, router(app))
        .with_graceful_shutdown(stop)
        .await
}

async fn health(State(app): State<Arc<App>>) -> Response {
    let body = serde_json::json!({ "status": "ok", "engine": app.engine.version() });
    (
        [(header::CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
        .into_response()
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    (
        [(
            header::CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        app.metrics.encode(),
    )
        .into_response()
}

async fn not_found() -> ApiError {
    ApiError::NotFound("there is nothing at this path".to_owned())
}

async fn method_not_allowed() -> ApiError {
    ApiError::MethodNotAllowed
}
