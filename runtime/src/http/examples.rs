//! `/examples/query.http`: the address at which an endpoint answers, with its parameters, as command lines print it.

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use form_urlencoded::Serializer;
use pipewright_compiler::plan::PipePlan;
use serde_json::Value;

use super::call::Call;
use super::error::ApiError;
use super::staged;

/// The formats in which an endpoint answers.
const FORMATS: [&str; 4] = ["json", "csv", "ndjson", "parquet"];

pub(super) async fn address(call: Call) -> Result<Response, ApiError> {
    let wanted = call
        .parameters
        .given("pipe")
        .ok_or_else(|| ApiError::BadRequest("say which endpoint: `?pipe=<name>`".to_owned()))?;
    let format = call.parameters.given("format").unwrap_or("json");
    if !FORMATS.contains(&format) {
        return Err(ApiError::BadRequest(format!(
            "`{format}` is no format of answers; there are {}",
            FORMATS.join(", ")
        )));
    }
    let current = call.current();
    let name = current.objects.pipe_name(wanted).unwrap_or(wanted);
    // Whether a pipe exists is told only to those who may read it.
    if !call.access.reads_pipe(name) {
        return Err(ApiError::Forbidden(format!(
            "the token may not read pipe `{wanted}`"
        )));
    }
    let in_force = call.app.served.load_full();
    let served = staged::served(&call.app, in_force, &call.parameters).await?;
    let pipe = served.plan.pipe(name);
    let pipe = pipe.filter(|pipe| pipe.endpoint_node().is_some());
    let pipe =
        pipe.ok_or_else(|| ApiError::NotFound(format!("there is no endpoint `{wanted}`")))?;
    let token = call.parameters.text_of("token");
    let text = format!(
        "{}/v0/pipes/{name}.{format}{}",
        call.host,
        query(pipe, token, call.parameters.given(staged::PARAMETER))
    );
    Ok(([(header::CONTENT_TYPE, "text/plain")], text).into_response())
}

/// A value for each parameter that has one, the version that is asked, and the token.
fn query(pipe: &PipePlan, token: Option<&str>, version: Option<&str>) -> String {
    let mut query = Serializer::new(String::new());
    let mut is_empty = true;
    for parameter in &pipe.parameters {
        let value = match parameter.example.as_ref().or(parameter.default.as_ref()) {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        };
        query.append_pair(&parameter.name, &value);
        is_empty = false;
    }
    let others = [(staged::PARAMETER, version), ("token", token)];
    for (name, value) in others {
        if let Some(value) = value {
            query.append_pair(name, value);
            is_empty = false;
        }
    }
    let start = if is_empty { "" } else { "?" };
    format!("{start}{}", query.finish())
}
