//! What handlers take from a request. A request that cannot be taken apart is answered like every other mistake, as JSON; what the library would say is plain text.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::App;
use super::error::ApiError;

/// The variable parts of a path.
#[derive(Debug)]
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|path| Self(path.0))
            .map_err(|rejection| ApiError::Body(rejection.status(), rejection.body_text()))
    }
}

/// The whole body.
#[derive(Debug)]
pub(super) struct Whole(pub(super) Bytes);

impl FromRequest<Arc<App>> for Whole {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let read = in_time(app, Bytes::from_request(request, app)).await?;
        read.map(Self)
            .map_err(|rejection| match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => too_long(app.body_bytes),
                status => ApiError::Body(status, rejection.body_text()),
            })
    }
}

/// Waits for a body that is kept in memory, but not without end: as long as it comes, it takes room from others.
pub(super) async fn in_time<T>(app: &App, body: impl Future<Output = T>) -> Result<T, ApiError> {
    tokio::time::timeout(app.patience.whole, body)
        .await
        .map_err(|_| ApiError::Timeout("the body came too slowly".to_owned()))
}

/// What is said of a body that is longer than bodies may be.
pub(super) fn too_long(body_bytes: usize) -> ApiError {
    let message = format!("the body is longer than {body_bytes} bytes");
    ApiError::Body(StatusCode::PAYLOAD_TOO_LARGE, message)
}
