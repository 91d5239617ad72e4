//! `/v0/variables`: the workspace's own secrets. Values go in and are bound; none ever comes out.

use axum::response::Response;
use serde_json::{Value, json};

use super::call::{Call, json_response};
use super::error::ApiError;
use super::extract::Path;
use crate::state::{MAX_VALUE, Variable};

pub(super) async fn list(call: Call) -> Result<Response, ApiError> {
    require_admin(&call)?;
    let variables = call.app.catalog.state().variables().list()?;
    let variables: Vec<Value> = variables.iter().map(body).collect();
    Ok(json_response(&json!({ "variables": variables })))
}

pub(super) async fn get(Path(name): Path<String>, call: Call) -> Result<Response, ApiError> {
    require_admin(&call)?;
    Ok(json_response(&body(&find(&call, &name)?)))
}

pub(super) async fn create(call: Call) -> Result<Response, ApiError> {
    require_admin(&call)?;
    let name = call
        .parameters
        .text_of("name")
        .ok_or_else(|| missing("name"))?
        .to_owned();
    valid_name(&name)?;
    if let Some(kind) = call.parameters.text_of("type")
        && kind != "secret"
    {
        return Err(ApiError::BadRequest(format!(
            "`{kind}` is no type of a variable: `secret` is the only one"
        )));
    }
    if call.app.catalog.state().variables().find(&name)?.is_some() {
        return Err(ApiError::Conflict(format!(
            "there is a variable `{name}` already: PUT /v0/variables/{name} gives it another value"
        )));
    }
    set(&call, &name)
}

pub(super) async fn change(Path(name): Path<String>, call: Call) -> Result<Response, ApiError> {
    require_admin(&call)?;
    find(&call, &name)?;
    set(&call, &name)
}

pub(super) async fn delete(Path(name): Path<String>, call: Call) -> Result<Response, ApiError> {
    require_admin(&call)?;
    if !call.app.catalog.state().variables().remove(&name)? {
        return Err(no_such(&name));
    }
    call.app.reload_variables()?;
    Ok(json_response(&json!({ "ok": true })))
}

fn set(call: &Call, name: &str) -> Result<Response, ApiError> {
    let value = call
        .parameters
        .text_of("value")
        .ok_or_else(|| missing("value"))?;
    if value.len() > MAX_VALUE {
        return Err(ApiError::BadRequest(format!(
            "the value of `{name}` is longer than {MAX_VALUE} bytes"
        )));
    }
    let editor = format!("token: '{}'", call.access.name);
    call.app
        .catalog
        .state()
        .variables()
        .set(name, value, &editor)?;
    call.app.reload_variables()?;
    Ok(json_response(&body(&find(call, name)?)))
}

fn find(call: &Call, name: &str) -> Result<Variable, ApiError> {
    let found = call.app.catalog.state().variables().find(name)?;
    found.ok_or_else(|| no_such(name))
}

fn require_admin(call: &Call) -> Result<(), ApiError> {
    call.require_admin("variables need")
}

fn missing(name: &str) -> ApiError {
    ApiError::BadRequest(format!("parameter `{name}` is missing"))
}

fn no_such(name: &str) -> ApiError {
    ApiError::NotFound(format!("there is no variable `{name}`"))
}

/// A name that a template can bind.
fn valid_name(name: &str) -> Result<(), ApiError> {
    if pipewright_compiler::project::is_valid_name(name) {
        Ok(())
    } else {
        Err(ApiError::BadRequest(format!(
            "`{name}` cannot be the name of a variable: use letters, digits and underscores, not starting with a digit"
        )))
    }
}

fn body(variable: &Variable) -> Value {
    let time = |milliseconds: i64| {
        jiff::Timestamp::from_millisecond(milliseconds)
            .unwrap_or_default()
            .strftime("%Y-%m-%dT%H:%M:%S")
            .to_string()
    };
    json!({
        "name": variable.name,
        "type": "secret",
        "edited_by": variable.edited_by,
        "created_at": time(variable.created_at),
        "updated_at": time(variable.updated_at),
    })
}
