//! `/v0/tokens`: create, list, show, change, refresh and delete tokens.
//!
//! Only the admin may give, take or see what is the admin's: a token with the scope TOKENS would else be as good as an admin token.

use axum::response::Response;
use pipewright_compiler::plan::RowFilters;
use serde_json::{Value, json};

use super::call::{Call, json_response};
use super::error::ApiError;
use super::extract::Path;
use super::jwt::{ClaimedScope, Claims, Limits};
use super::scope::Scope;
use crate::catalog::{Current, now_micros, refuse_long_name};
use crate::state::{StateError, Token};

/// Longest time that a JWT may be worth something from now, in seconds: ten years.
const LONGEST_JWT: u64 = 10 * 366 * 24 * 3600;

/// What a request says of a token.
const KNOWN: &[&str] = &[
    "name",
    "description",
    "scope",
    "scopes",
    "expiration_time",
    "limits",
    "token",
    "origin",
];

fn require_tokens(call: &Call) -> Result<(), ApiError> {
    Call::require(call.access.manages_tokens(), "TOKENS")
}

/// A token as the API shows it. The secret is for those who may manage tokens.
fn shown(call: &Call, token: &Token) -> Result<Value, ApiError> {
    let secret = if may_touch(call, token) {
        call.app.catalog.state().tokens().secret(&token.id)?
    } else {
        None
    };
    Ok(json!({
        "id": token.id,
        "name": token.name,
        "description": token.description,
        "token": secret,
        "scopes": token.scopes,
        "created_at": crate::catalog::format_micros(token.created_at * 1000),
    }))
}

/// Whether the caller may change or see a token: the admin's only as admin.
fn may_touch(call: &Call, token: &Token) -> bool {
    call.access.is_admin() || !Scope::from_json(&token.scopes).contains(&Scope::Admin)
}

fn forbidden_admin() -> ApiError {
    ApiError::Forbidden(
        "the token may not do this: only an ADMIN token manages ADMIN tokens".to_owned(),
    )
}

/// All tokens.
pub(super) async fn list(call: Call) -> Result<Response, ApiError> {
    require_tokens(&call)?;
    let tokens = call.app.catalog.state().tokens().list()?;
    let tokens = tokens
        .iter()
        .map(|token| shown(&call, token))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(json_response(&json!({ "tokens": tokens })))
}

/// One token by name, id or secret. Every token may look at itself.
pub(super) async fn get(Path(reference): Path<String>, call: Call) -> Result<Response, ApiError> {
    if !call.access.manages_tokens() {
        let own = call
            .app
            .catalog
            .state()
            .tokens()
            .list()?
            .into_iter()
            .find(|token| token.id == call.access.id);
        let matches = |token: &Token| {
            token.name == reference
                || token.id == reference
                || call
                    .app
                    .catalog
                    .state()
                    .tokens()
                    .secret(&token.id)
                    .ok()
                    .flatten()
                    .as_deref()
                    == Some(&reference)
        };
        return match own.filter(matches) {
            Some(token) => Ok(json_response(&shown(&call, &token)?)),
            None => Err(ApiError::Forbidden(
                "the token may not do this: it needs ADMIN or TOKENS".to_owned(),
            )),
        };
    }
    let token = find(&call, &reference)?;
    Ok(json_response(&shown(&call, &token)?))
}

/// The token of that secret, id or name.
fn find(call: &Call, reference: &str) -> Result<Token, ApiError> {
    let tokens = call.app.catalog.state().tokens();
    let by_secret = tokens.find_by_secret(reference)?;
    let by_id_or_name = || {
        let list = tokens.list()?;
        // An id first: a name is of somebody's choice.
        let by_id = list.iter().find(|token| token.id == reference);
        let by_name = || list.iter().find(|token| token.name == reference);
        Ok::<_, StateError>(by_id.or_else(by_name).cloned())
    };
    by_secret
        .map_or_else(by_id_or_name, |token| Ok(Some(token)))?
        .ok_or_else(|| ApiError::NotFound("there is no such token".to_owned()))
}

/// Makes a token, or with `expiration_time` a JWT.
pub(super) async fn create(call: Call) -> Result<Response, ApiError> {
    require_tokens(&call)?;
    let name = call
        .parameters
        .given("name")
        .ok_or_else(|| {
            ApiError::BadRequest("parameter `name` is missing: the name of the token".to_owned())
        })?
        .to_owned();
    call.parameters.refuse_others(KNOWN)?;
    let current = call.current();
    let limits = &current.plan.project.config.limits;
    refuse_long_name(&name, limits)?;
    if call.parameters.value_of("expiration_time").is_some() {
        return create_jwt(&call, &name);
    }
    refuse_limits(&call)?;
    let tokens = call.app.catalog.state().tokens();
    let (present, most) = (tokens.count()?, limits.tokens);
    if most > 0 && present >= most {
        return Err(ApiError::Forbidden(format!(
            "the workspace has {present} tokens, and may have {most} (`tokens` in `pipewright.toml`)"
        )));
    }
    if uuid::Uuid::try_parse(&name).is_ok() {
        return Err(ApiError::BadRequest(format!(
            "`{name}` cannot be the name of a token: it reads like an id"
        )));
    }
    let scopes = scopes(&call, &call.current()).await?;
    let stored: Value = scopes.iter().map(Scope::to_json).collect();
    let made = tokens.create(&name, &stored).map_err(|error| match error {
        StateError::TokenExists(_) => {
            ApiError::Conflict(format!("there is another token with the name `{name}`"))
        }
        error => error.into(),
    })?;
    let description = call.parameters.given("description").unwrap_or("");
    if !description.is_empty() {
        tokens.update(&made.token.id, None, Some(description))?;
    }
    call.app.reload_tokens()?;
    let token = Token {
        description: description.to_owned(),
        ..made.token
    };
    Ok(json_response(&shown(&call, &token)?))
}

/// Only what a token carries itself is looked at with every request.
fn refuse_limits(call: &Call) -> Result<(), ApiError> {
    match call.parameters.value_of("limits") {
        None | Some(Value::Null) => Ok(()),
        Some(_) => Err(ApiError::BadRequest(
            "`limits` are for tokens with an `expiration_time`".to_owned(),
        )),
    }
}

/// The scopes that a request asks for, each about something that is there.
async fn scopes(call: &Call, current: &Current) -> Result<Vec<Scope>, ApiError> {
    let mut scopes = Vec::new();
    for text in call.parameters.all_of("scope") {
        let parsed = Scope::parse(text).ok_or_else(|| ApiError::BadRequest(format!("`{text}` is no scope: use ADMIN, TOKENS, PIPES:CREATE, PIPES:READ:<pipe>, PIPES:DROP:<pipe>, DATASOURCES:CREATE, DATASOURCES:READ:<data source>[:<filter>], DATASOURCES:APPEND:<data source> or DATASOURCES:DROP:<data source>")))?;
        scopes.extend(parsed);
    }
    if let Some(Value::Array(entries)) = call.parameters.value_of("scopes") {
        for entry in entries {
            scopes.push(Scope::asked(entry).map_err(ApiError::BadRequest)?);
        }
    }
    if scopes.is_empty() {
        return Err(ApiError::BadRequest(
            "parameter `scope` is missing: what the token may do".to_owned(),
        ));
    }
    if scopes.contains(&Scope::Admin) && !call.access.is_admin() {
        return Err(forbidden_admin());
    }
    for scope in &mut scopes {
        resolve(current, scope)?;
        if let Scope::ReadRows(table, filter) = scope {
            check_filter(call, table, filter).await?;
        }
    }
    // `DROP:name` is about whichever there is.
    scopes.retain(|scope| match scope {
        Scope::DropPipe(name) => current.plan.project.datasource(name).is_none(),
        Scope::DropDatasource(name) => current.plan.project.pipe(name).is_none(),
        _ => true,
    });
    scopes.sort();
    scopes.dedup();
    Ok(scopes)
}

/// Replaces an id by the name; a resource that is not there is an error.
fn resolve(current: &Current, scope: &mut Scope) -> Result<(), ApiError> {
    let (kind, either) = (
        scope.kind(),
        matches!(scope, Scope::DropPipe(_) | Scope::DropDatasource(_)),
    );
    let (Scope::ReadPipe(name)
    | Scope::DropPipe(name)
    | Scope::ReadDatasource(name)
    | Scope::ReadRows(name, _)
    | Scope::AppendDatasource(name)
    | Scope::DropDatasource(name)) = scope
    else {
        return Ok(());
    };
    let pipe = current
        .objects
        .pipe_name(name)
        .filter(|_| either || kind.starts_with("PIPES"));
    let datasource = current
        .objects
        .datasource_name(name)
        .filter(|_| either || kind.starts_with("DATASOURCES"));
    let service = kind == "DATASOURCES:READ"
        && (super::access::is_service_table(name) || is_shared(current, name));
    match pipe.or(datasource).map(ToOwned::to_owned) {
        Some(found) => *name = found,
        None if service => {}
        None => {
            return Err(ApiError::BadRequest(format!(
                "there is no {} `{name}`",
                if kind.starts_with("PIPES") {
                    "pipe"
                } else {
                    "data source"
                }
            )));
        }
    }
    Ok(())
}

/// Whether a name is a data source of another workspace.
fn is_shared(current: &Current, name: &str) -> bool {
    name.contains('.')
        && current
            .plan
            .project
            .datasources
            .keys()
            .any(|known| known.to_string() == name)
}

/// A filter must be an expression, and one over the columns of its table.
async fn check_filter(call: &Call, table: &str, filter: &str) -> Result<(), ApiError> {
    RowFilters::check(filter).map_err(|error| ApiError::BadRequest(error.to_string()))?;
    let name = table
        .split('.')
        .map(pipewright_compiler::sql::quote_identifier)
        .collect::<Vec<_>>()
        .join(".");
    let described = call
        .app
        .engine
        .describe(&format!("SELECT 1 FROM {name} WHERE (\n{filter}\n)"))
        .await;
    described.map(drop).map_err(|error| {
        ApiError::BadRequest(format!("`{filter}` does not filter `{table}`: {error}"))
    })
}

/// Signs a JWT with the scopes of the body.
fn create_jwt(call: &Call, name: &str) -> Result<Response, ApiError> {
    let bad = |message: &str| ApiError::BadRequest(message.to_owned());
    let expiry = call.parameters.value_of("expiration_time");
    let exp = expiry.and_then(|value| {
        value
            .as_u64()
            .or_else(|| value.as_str()?.trim().parse().ok())
    });
    let exp = exp.ok_or_else(|| bad("`expiration_time` is a time in seconds since 1970"))?;
    if call.parameters.all_of("scope").next().is_some() {
        return Err(bad(
            "a token with an `expiration_time` has `scopes`, a list of {\"type\": …, \"resource\": …}, and no `scope`",
        ));
    }
    let now = u64::try_from(now_micros() / 1_000_000).unwrap_or(0);
    if exp <= now || exp > now + LONGEST_JWT {
        return Err(bad(
            "`expiration_time` must be in the future, at most ten years from now",
        ));
    }
    let scopes = call
        .parameters
        .value_of("scopes")
        .cloned()
        .ok_or_else(|| bad("`scopes` is missing: a list of {\"type\": …, \"resource\": …}"))?;
    let mut scopes: Vec<ClaimedScope> = serde_json::from_value(scopes)
        .map_err(|error| ApiError::BadRequest(format!("`scopes` cannot be read: {error}")))?;
    let current = call.current();
    for claimed in &mut scopes {
        let mut scope = claimed.scope().map_err(ApiError::BadRequest)?;
        resolve(&current, &mut scope)?;
        // An id is signed as the name, which is what requests are compared with.
        if let Some(name) = scope.resource() {
            name.clone_into(&mut claimed.resource);
        }
    }
    let limits =
        match call.parameters.value_of("limits").cloned() {
            Some(limits) => Some(serde_json::from_value::<Limits>(limits).map_err(|error| {
                ApiError::BadRequest(format!("`limits` cannot be read: {error}"))
            })?),
            None => None,
        };
    let claims = Claims {
        workspace_id: call.app.workspace().to_owned(),
        name: name.to_owned(),
        exp,
        scopes,
        limits,
    };
    let token = call.app.served.load().tokens.sign(&claims)?;
    Ok(json_response(&json!({ "token": token })))
}

/// Changes what a token may do, or its description.
pub(super) async fn change(
    Path(reference): Path<String>,
    call: Call,
) -> Result<Response, ApiError> {
    require_tokens(&call)?;
    let token = find(&call, &reference)?;
    if !may_touch(&call, &token) {
        return Err(forbidden_admin());
    }
    call.parameters.refuse_others(KNOWN)?;
    refuse_limits(&call)?;
    let given = |name: &str| call.parameters.given(name);
    if given("name").is_some_and(|name| name != token.name) {
        return Err(ApiError::BadRequest(
            "a token keeps its name: make another one".to_owned(),
        ));
    }
    if given("expiration_time").is_some() {
        return Err(ApiError::BadRequest(
            "a token that is stored has no `expiration_time`: make one that has".to_owned(),
        ));
    }
    let gives_scopes = call.parameters.all_of("scope").next().is_some()
        || call.parameters.value_of("scopes").is_some();
    if gives_scopes && call.app.catalog.state().tokens().is_admin(&token) {
        return Err(ApiError::Forbidden(
            "the workspace's admin token keeps its scope, so that nobody locks themselves out"
                .to_owned(),
        ));
    }
    let scopes: Option<Value> = if gives_scopes {
        let scopes = scopes(&call, &call.current()).await?;
        Some(scopes.iter().map(Scope::to_json).collect())
    } else {
        None
    };
    let description = call.parameters.text_of("description");
    call.app
        .catalog
        .state()
        .tokens()
        .update(&token.id, scopes.as_ref(), description)?;
    call.app.reload_tokens()?;
    let token = find(&call, &token.id)?;
    Ok(json_response(&shown(&call, &token)?))
}

/// Gives a token another secret.
pub(super) async fn refresh(
    Path(reference): Path<String>,
    call: Call,
) -> Result<Response, ApiError> {
    require_tokens(&call)?;
    let token = find(&call, &reference)?;
    if !may_touch(&call, &token) {
        return Err(forbidden_admin());
    }
    call.app.catalog.state().tokens().refresh(&token)?;
    call.app.reload_tokens()?;
    Ok(json_response(&shown(&call, &token)?))
}

/// Deletes a token. The admin token can only be refreshed, so that nobody locks themselves out.
pub(super) async fn delete(
    Path(reference): Path<String>,
    call: Call,
) -> Result<Response, ApiError> {
    require_tokens(&call)?;
    let token = find(&call, &reference)?;
    if !may_touch(&call, &token) {
        return Err(forbidden_admin());
    }
    if call.app.catalog.state().tokens().is_admin(&token) {
        return Err(ApiError::BadRequest(
            "the admin token cannot be deleted: refresh it".to_owned(),
        ));
    }
    call.app.catalog.state().tokens().delete(&token.name)?;
    call.app.reload_tokens()?;
    Ok(json_response(&json!({ "ok": true })))
}
