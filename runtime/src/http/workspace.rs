//! The workspace as command lines ask for it: who one is, where, and what there is beside pipes and data sources.
//!
//! A server has one workspace and no regions, branches, connections or other members; these routes say so in the shape in which it is asked.

use axum::response::Response;
use serde_json::{Map, Value, json};

use super::call::{Call, json_response, origin};
use super::datasource_describe::reader_pipes;
use super::error::ApiError;
use super::extract::Path;

/// The name of the one workspace.
const NAME: &str = "pipewright";

fn described(call: &Call) -> Value {
    let id = call.app.workspace();
    let is_admin = call.access.is_admin();
    json!({
        "id": id,
        "name": NAME,
        "user_id": id,
        "user_email": "",
        "scope": if is_admin { "admin" } else { "read" },
        "main": null,
        "is_branch": false,
        "role": if is_admin { "admin" } else { "guest" },
        "owner": id,
        "plan": "",
        "release": null,
        "created_at": null,
        "members": [],
        "token": null,
    })
}

/// `/v0/workspace`, `/v0/workspaces/<id>`: this workspace.
pub(super) async fn get(call: Call) -> Result<Response, ApiError> {
    Ok(json_response(&described(&call)))
}

/// The same by its id or name.
pub(super) async fn named(Path(reference): Path<String>, call: Call) -> Result<Response, ApiError> {
    if reference == call.app.workspace() || reference == NAME {
        return Ok(json_response(&described(&call)));
    }
    Err(ApiError::NotFound(format!(
        "there is no workspace `{reference}`: this server has one"
    )))
}

/// `/v0/user/workspaces`: the workspaces of whoever asks.
pub(super) async fn list(call: Call) -> Result<Response, ApiError> {
    let id = call.app.workspace();
    Ok(json_response(&json!({
        "id": id,
        "email": "",
        "user_id": id,
        "workspaces": [described(&call)],
    })))
}

/// `/v0/auth`: whether the token is one.
pub(super) async fn auth(_call: Call) -> Result<Response, ApiError> {
    Ok(json_response(&json!({ "is_valid": true, "is_user": true })))
}

/// `/v0/regions`: this server alone. Asked for before there is a token.
pub(super) async fn regions(headers: axum::http::HeaderMap) -> Response {
    let address = origin(&headers);
    json_response(&json!({
        "regions": [{ "name": NAME, "provider": "", "host": address, "api_host": address }],
    }))
}

/// `/v0/connectors`: none.
pub(super) async fn connectors(_call: Call) -> Result<Response, ApiError> {
    Ok(json_response(&json!({ "connectors": [] })))
}

/// `/v0/environments`: no branches.
pub(super) async fn environments(_call: Call) -> Result<Response, ApiError> {
    Ok(json_response(&json!({ "environments": [] })))
}

/// `/v0/workspaces/<id>/releases`: none, as what is deployed is in force at once.
pub(super) async fn releases(
    Path(reference): Path<String>,
    call: Call,
) -> Result<Response, ApiError> {
    named(Path(reference), call).await?;
    Ok(json_response(&json!({ "releases": [] })))
}

/// `/v0/dependencies`: which pipes read or fill which data sources.
pub(super) async fn dependencies(call: Call) -> Result<Response, ApiError> {
    let current = call.current();
    let (pipe, only) = (
        call.parameters.given("pipe"),
        call.parameters.given("datasource"),
    );
    let matching = call.parameters.given("match").unwrap_or("");
    let alone = call.parameters.flag("no_deps")?;
    let mut out = Map::new();
    for table in current.plan.tables.values() {
        let name = table.name.to_string();
        if !call.access.reads_datasource(&name)
            || only
                .is_some_and(|only| current.objects.datasource_name(only).unwrap_or(only) != name)
            || !name.contains(matching)
        {
            continue;
        }
        let mut pipes = reader_pipes(&current, table);
        pipes.retain(|reader| call.access.reads_pipe(reader));
        if pipe.is_some_and(|pipe| !pipes.iter().any(|reader| reader == pipe))
            || alone && !pipes.is_empty()
        {
            continue;
        }
        out.insert(name, pipes.into());
    }
    Ok(json_response(
        &json!({ "dependencies": out, "incompatible_datasources": [] }),
    ))
}
