//! `GET|POST /v0/sql`.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};

use super::App;
use super::error::ApiError;
use super::parameters::Parameters;
use super::query::answer_query;
use super::run::Format;

pub(super) async fn answer(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let started = Instant::now();
    let response = query(&app, &uri, &headers, &body)
        .await
        .unwrap_or_else(IntoResponse::into_response);
    app.metrics
        .request("/v0/sql", response.status().as_u16(), started.elapsed());
    response
}

async fn query(
    app: &Arc<App>,
    uri: &Uri,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Response, ApiError> {
    let mut parameters = Parameters::read(uri, headers, body)?;
    let served = app.served.load_full();
    let access = served.tokens.access(headers, parameters.text_of("token"))?;
    app.rates.take(&access).map_err(ApiError::Limited)?;
    let text = parameters
        .text
        .take()
        .or_else(|| parameters.text_of("q").map(ToOwned::to_owned));
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
        return Err(ApiError::BadRequest(
            "no query: send it as `q`, or as the body of a POST".to_owned(),
        ));
    };
    answer_query(app, &served, &access, &text, None, parameters, Format::JSON).await
}
