//! `GET|POST /v0/pipes/<name>.<format>`: the published node of a pipe, or a query over it with `q`.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::call::Call;
use super::error::ApiError;
use super::extract::{Path, Whole};
use super::fence::Fence;
use super::parameters::Parameters;
use super::query::{answer_query, now, readable_pipe, request, secret_names};
use super::record::{Asked, Pending, answered};
use super::run::{Format, run};
use super::{App, fixed, pipes, staged};

/// `name.format` is the data of an endpoint; any other path is the pipe itself.
pub(super) async fn answer(
    State(app): State<Arc<App>>,
    Path(file): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    Whole(body): Whole,
) -> Response {
    let data = file
        .rsplit_once('.')
        .and_then(|(name, ending)| Some((name, Format::of_ending(ending)?)));
    let Some((name, format)) = data else {
        let call = Call::new(&app, &uri, &headers, &body).await;
        let answer = if method == Method::GET || method == Method::HEAD {
            let accepts = headers.get_all(header::ACCEPT).iter();
            let wants_text = accepts
                .filter_map(|accepted| accepted.to_str().ok())
                .any(|accepted| accepted.contains("text/plain") && !accepted.contains("json"));
            call.and_then(|call| pipes::get(&call, &file, wants_text))
        } else {
            // Without an ending there is nothing to post to; the router knows only the path.
            Err(ApiError::MethodNotAllowed)
        };
        let mut response = answer.into_response();
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            let methods = HeaderValue::from_static("GET, HEAD, PUT, DELETE");
            response.headers_mut().insert(header::ALLOW, methods);
        }
        return response;
    };
    let started = Instant::now();
    let asked = Asked {
        method: &method,
        uri: &uri,
        headers: &headers,
        started,
    };
    let mut pending = None;
    let answer = endpoint(&app, name, format, asked, &body, &mut pending).await;
    answered(&app, "/v0/pipes", started, pending, answer)
}

async fn endpoint(
    app: &Arc<App>,
    name: &str,
    format: Format,
    asked: Asked<'_>,
    body: &Bytes,
    pending: &mut Option<Pending>,
) -> Result<Response, ApiError> {
    let mut parameters = Parameters::read(asked.uri, asked.headers, body).await?;
    parameters.require_no_text()?;
    let served = app.served.load_full();
    let access = served
        .tokens
        .access(asked.headers, parameters.text_of("token"))?;
    let served = staged::served(app, served, &parameters).await?;
    let named = app.catalog.current();
    let name = named.objects.pipe_name(name).unwrap_or(name);
    let pipe = readable_pipe(&served, &access, name)?;
    if let Some(object) = named.objects.pipe(name) {
        *pending = Some(Pending::new(
            &app.service,
            asked,
            &access,
            (&object.id, name),
            &parameters,
        ));
    }
    app.rates.take(&access).map_err(ApiError::Limited)?;
    let node = pipe.endpoint_node().ok_or_else(|| {
        ApiError::NotFound(format!(
            "pipe `{name}` has no published node: add `TYPE endpoint` to one, or, where Classic is meant, `kind = \"classic\"` under `[project]` in pipewright.toml"
        ))
    })?;
    if let Some(text) = parameters.given("q").map(ToOwned::to_owned) {
        return answer_query(
            app,
            &served,
            &access,
            &text,
            Some(name),
            parameters,
            format,
            pending,
        )
        .await;
    }
    fixed::fix(&mut parameters, &access, &served.plan, &node.id)?;
    let settings = parameters.output_settings()?;
    let values = parameters.values();
    let (now, secrets) = (now(), secret_names(&served));
    let compiled = served
        .plan
        .compile_node_for(&node.id, request(&values, &now, &secrets), &access.filters)
        .map_err(|error| ApiError::query(&served.plan, error))?;
    // What it reads is its author's text.
    let fence = Fence::default();
    run(app, &served, &compiled, format, settings, fence, pending).await
}
