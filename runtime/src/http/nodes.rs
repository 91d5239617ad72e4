//! `/v0/pipes/<pipe>/nodes`: append, edit, delete, publish and unpublish nodes.

use axum::response::Response;
use futures::FutureExt as _;
use pipewright_compiler::emit;
use pipewright_compiler::graph::NodeId;
use pipewright_compiler::plan::QueryError;
use pipewright_compiler::project::{Node, Pipe};
use pipewright_grammar::syntax::NodeKind;
use serde_json::Value;

use super::call::{Call, find_node, find_pipe, json_response, no_content, taken, valid_name};
use super::copies::{self, Wish};
use super::describe::{self, Wanted};
use super::error::ApiError;
use super::extract::Path;
use super::materialization;
use super::pipes::shown;
use super::population;
use crate::catalog::{Change, Current, NodeText, PipeText, Rename, Writer};

/// Directives that a materialized node of a request's JSON may have, beside those of the engine.
const MATERIALIZED_DIRECTIVES: &[(&str, &str)] = &[("datasource", "DATASOURCE")];

/// More keys than any engine has.
const MOST_ENGINE_KEYS: usize = 64;

/// Directives that a copy node of a request's JSON may have.
const COPY_DIRECTIVES: &[(&str, &str)] = &[
    ("target_datasource", "TARGET_DATASOURCE"),
    ("copy_schedule", "COPY_SCHEDULE"),
    ("schedule_cron", "COPY_SCHEDULE"),
    ("copy_mode", "COPY_MODE"),
    ("mode", "COPY_MODE"),
];

/// A node of a request's JSON.
pub(super) fn node_text(entry: &Value, default_name: &str) -> Result<NodeText, ApiError> {
    let bad = |message: String| ApiError::BadRequest(message);
    let text = |key: &str| {
        entry[key]
            .as_str()
            .map(str::trim)
            .filter(|text| !text.is_empty())
    };
    let name = text("name").unwrap_or(default_name).to_owned();
    valid_name(&name)?;
    let sql = text("sql")
        .ok_or_else(|| bad(format!("node `{name}` has no `sql`")))?
        .to_owned();
    let kind = kind_of(text("type").or(text("node_type")).unwrap_or("standard"))?;
    let mut node = NodeText {
        name,
        description: text("description").map(ToOwned::to_owned),
        sql,
        kind,
        directives: Vec::new(),
    };
    let directives = match node.kind.as_deref() {
        Some("materialized") => MATERIALIZED_DIRECTIVES,
        Some("copy") => COPY_DIRECTIVES,
        _ => &[],
    };
    for (key, keyword) in directives.iter().filter(|(key, _)| text(key).is_some()) {
        node.set_directive(keyword, text(key).map(ToOwned::to_owned));
    }
    if node.kind.as_deref() == Some("materialized") {
        set_engine(&mut node, entry)?;
    }
    Ok(node)
}

/// The engine of the data source that a node fills, for when no file makes it.
fn set_engine(node: &mut NodeText, entry: &Value) -> Result<(), ApiError> {
    let mut left = MOST_ENGINE_KEYS;
    for (key, value) in entry.as_object().into_iter().flatten() {
        let keyword = key.to_ascii_uppercase();
        let Some(value) = value.as_str().filter(|value| {
            (keyword == "ENGINE" || keyword.starts_with("ENGINE_")) && !value.trim().is_empty()
        }) else {
            continue;
        };
        left = left.checked_sub(1).ok_or_else(|| {
            ApiError::BadRequest(format!(
                "a node has at most {MOST_ENGINE_KEYS} `engine` and `engine_` keys"
            ))
        })?;
        if value.contains(['\n', '\r', '"'])
            || !keyword
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            return Err(ApiError::BadRequest(format!(
                "`{key}` cannot be written into a datafile: it has quotes or several lines"
            )));
        }
        node.set_directive(&keyword, Some(value.trim().to_owned()));
    }
    Ok(())
}

/// A node's type as datafiles write it; `None` for a plain one.
fn kind_of(text: &str) -> Result<Option<String>, ApiError> {
    match text.to_ascii_lowercase().as_str() {
        "standard" | "default" | "" => Ok(None),
        kind @ ("endpoint" | "materialized" | "copy") => Ok(Some(kind.to_owned())),
        other => Err(ApiError::BadRequest(format!(
            "`{other}` is no type of a node: use standard, materialized, endpoint or copy"
        ))),
    }
}

/// A node of the project as text.
pub(super) fn text_of(current: &Current, node: &Node) -> NodeText {
    let kind = match &node.kind {
        NodeKind::Standard => None,
        NodeKind::Endpoint => Some("endpoint"),
        NodeKind::Materialized => Some("materialized"),
        NodeKind::Copy => Some("copy"),
        NodeKind::Sink => Some("sink"),
        NodeKind::Stream => Some("stream"),
        NodeKind::Other(other) => Some(other.as_str()),
    };
    NodeText {
        name: node.name.value.clone(),
        description: node.description.clone(),
        sql: current.node_sql(node),
        kind: kind.map(ToOwned::to_owned),
        directives: node
            .directives
            .iter()
            .map(|directive| {
                (
                    directive.keyword.value.clone(),
                    directive.value.value.clone(),
                )
            })
            .collect(),
    }
}

/// The text of a pipe's file, to be edited.
pub(super) fn pipe_text(current: &Current, pipe: &Pipe) -> (String, PipeText) {
    let path = current
        .pipe_path(&pipe.name.name)
        .unwrap_or_default()
        .to_owned();
    let mut text = PipeText::new(current.files.get(&path).cloned().unwrap_or_default());
    // What is served because nothing else is said is said, so that no edit can change which node that is. Where an include has the node, it stays as it is.
    if pipe.published_by_default
        && let Some(endpoint) = pipe.endpoint()
        && let Ok(mut parts) = text.node(&endpoint.name.value)
    {
        parts.kind = Some("endpoint".to_owned());
        _ = text.replace(&endpoint.name.value, &parts);
    }
    (path, text)
}

/// The change that writes one node of a pipe anew.
pub(super) fn edited(
    current: &Current,
    pipe: &Pipe,
    node: &str,
    edit: impl FnOnce(&mut NodeText),
) -> Result<Change, ApiError> {
    let (path, mut text) = pipe_text(current, pipe);
    let mut parts = text.node(node)?;
    edit(&mut parts);
    text.replace(node, &parts)?;
    Ok(Change::of_file(path, Some(text.into_text())))
}

impl From<crate::catalog::EditError> for ApiError {
    fn from(error: crate::catalog::EditError) -> Self {
        Self::BadRequest(error.to_string())
    }
}

/// The SQL of a request: its body, or `sql`.
pub(super) fn sql_of(call: &Call) -> Option<String> {
    let text = call
        .parameters
        .text
        .as_deref()
        .or_else(|| call.parameters.text_of("sql"));
    text.map(str::trim)
        .filter(|sql| !sql.is_empty())
        .map(ToOwned::to_owned)
}

/// Appends a node.
pub(super) async fn append(
    Path(reference): Path<String>,
    call: Call,
) -> Result<Response, ApiError> {
    call.require_create_pipes()?;
    call.change(reference, |call, writer, reference| {
        appended(call, writer, reference).boxed()
    })
    .await
}

async fn appended(call: &Call, writer: &Writer<'_>, reference: &str) -> Result<Response, ApiError> {
    let current = writer.current();
    let pipe = find_pipe(&current, reference)?;
    let sql = sql_of(call).ok_or_else(|| {
        ApiError::BadRequest("no SQL: send it as the body of the request".to_owned())
    })?;
    let name = match call.parameters.given("name") {
        Some(name) => name.to_owned(),
        None => free_name(&current, pipe),
    };
    valid_name(&name)?;
    if pipe.node(&name).is_some() || current.is_taken(&name) {
        return Err(taken(&name));
    }
    let description = call.parameters.given("description").map(ToOwned::to_owned);
    let kind = kind_of(call.parameters.given("type").unwrap_or("standard"))?;
    let mut node = NodeText {
        name: name.clone(),
        description,
        sql,
        kind,
        directives: Vec::new(),
    };
    let (path, mut text) = pipe_text(&current, pipe);
    let mut change = Change::default();
    match node.kind.as_deref() {
        Some("materialized") => {
            materialization::prepare(call, writer, pipe, &mut node, &mut change).await?;
        }
        Some("copy") => {
            let wish = Wish::of(call, &current)?.complete()?;
            let target = wish.target()?;
            copies::require_target(call, target, wish.replaces())?;
            copies::refuse_other_uses(pipe, &name)?;
            wish.write(&mut node);
        }
        Some("endpoint") => unpublish_others(pipe, &mut text)?,
        _ => {}
    }
    text.append(&node)?;
    change.files.insert(path, Some(text.into_text()));
    let mut job = None;
    let current = if node.kind.as_deref() == Some("copy") {
        copies::commit(
            call,
            writer,
            change,
            &(pipe.name.name.clone(), name.clone()),
        )
        .await?
    } else if node.kind.as_deref() == Some("materialized") {
        let id = NodeId {
            pipe: pipe.name.clone(),
            node: name.clone(),
        };
        let made = population::commit(call, writer, change, &id).await?;
        job = made.1;
        made.0
    } else {
        call.commit(writer, change).await?
    };
    let made = describe_node(call, &current, &pipe.name.name, &name)?;
    Ok(population::with_job(call, made, job.as_ref()))
}

/// `<pipe>_<n>` that no node has.
fn free_name(current: &Current, pipe: &Pipe) -> String {
    let mut number = pipe.nodes.len();
    loop {
        let name = format!("{}_{number}", pipe.name.name);
        if pipe.node(&name).is_none() && !current.is_taken(&name) {
            return name;
        }
        number += 1;
    }
}

fn answer_node(
    call: &Call,
    current: &Current,
    pipe: &str,
    node: &str,
) -> Result<Response, ApiError> {
    Ok(json_response(&describe_node(call, current, pipe, node)?))
}

fn describe_node(
    call: &Call,
    current: &Current,
    pipe: &str,
    node: &str,
) -> Result<Value, ApiError> {
    let pipe = find_pipe(current, pipe)?;
    let node = pipe
        .node(node)
        .ok_or_else(|| ApiError::Internal("the node is gone again".to_owned()))?;
    Ok(describe::new_node(
        current,
        pipe,
        node,
        call.app.workspace(),
    ))
}

/// Changes a node's SQL, name or description.
pub(super) async fn edit(
    Path((reference, node_reference)): Path<(String, String)>,
    call: Call,
) -> Result<Response, ApiError> {
    call.require_create_pipes()?;
    let asked = (reference, node_reference);
    call.change(asked, |call, writer, (pipe, node)| {
        changed(call, writer, pipe, node).boxed()
    })
    .await
}

async fn changed(
    call: &Call,
    writer: &Writer<'_>,
    reference: &str,
    node_reference: &str,
) -> Result<Response, ApiError> {
    let current = writer.current();
    let pipe = find_pipe(&current, reference)?;
    let node = find_node(&current, pipe, node_reference)?;
    let (old, sql) = (node.name.value.clone(), sql_of(call));
    let name = call.parameters.given("name").unwrap_or(&old).to_owned();
    let description = call.parameters.text_of("description");
    if sql.is_none() && name == old && description.is_none() {
        return Err(ApiError::BadRequest(
            "no SQL: send it as the body of the request".to_owned(),
        ));
    }
    let mut change = Change::default();
    let (path, mut text) = pipe_text(&current, pipe);
    if name != old {
        valid_name(&name)?;
        if pipe.node(&name).is_some() || current.is_taken(&name) {
            return Err(taken(&name));
        }
        change.files = current.follow_node(&pipe.name.name, &old, &name);
        change.renames.push(Rename::Node {
            pipe: pipe.name.name.clone(),
            from: old.clone(),
            to: name.clone(),
        });
        if let Some(Some(followed)) = change.files.remove(&path) {
            text = PipeText::new(followed);
        }
    }
    let mut parts = text.node(&old)?;
    parts.name.clone_from(&name);
    parts.sql = sql.unwrap_or(parts.sql);
    if let Some(description) = description {
        parts.description = Some(description.trim().to_owned()).filter(|text| !text.is_empty());
    }
    text.replace(&old, &parts)?;
    change.files.insert(path, Some(text.into_text()));
    let current = call.commit(writer, change).await?;
    answer_node(call, &current, &pipe.name.name, &name)
}

/// Deletes a node; others that read it may be left with errors.
pub(super) async fn delete(
    Path((reference, node_reference)): Path<(String, String)>,
    call: Call,
) -> Result<Response, ApiError> {
    Call::require(call.access.deletes_nodes(), "PIPES:CREATE")?;
    Call::finish(async move {
        let writer = call.app.catalog.write().await;
        let current = writer.current();
        let pipe = find_pipe(&current, &reference)?;
        let node = find_node(&current, pipe, &node_reference)?;
        if node.kind == NodeKind::Endpoint {
            return Err(ApiError::BadRequest(format!(
                "node `{}` is published: published nodes can't be removed",
                node.name.value
            )));
        }
        let (path, mut text) = pipe_text(&current, pipe);
        text.remove(&node.name.value)?;
        let change = Change {
            tolerated: Some(path.clone()),
            ..Change::of_file(path, Some(text.into_text()))
        };
        call.commit(&writer, change).await?;
        Ok(no_content())
    })
    .await
}

/// Publishes a node in place of the one that was.
pub(super) async fn publish(
    Path((reference, node)): Path<(String, String)>,
    call: Call,
) -> Result<Response, ApiError> {
    call.require_create_pipes()?;
    publish_node(call, reference, node).await
}

/// The older way: the id of the node is the body.
pub(super) async fn publish_by_id(
    Path(reference): Path<String>,
    call: Call,
) -> Result<Response, ApiError> {
    call.require_create_pipes()?;
    let node = call
        .parameters
        .text
        .clone()
        .unwrap_or_default()
        .trim()
        .to_owned();
    publish_node(call, reference, node).await
}

async fn publish_node(
    call: Call,
    reference: String,
    node_reference: String,
) -> Result<Response, ApiError> {
    Call::finish(async move {
        let writer = call.app.catalog.write().await;
        let current = writer.current();
        let pipe = find_pipe(&current, &reference)?;
        let node =
            find_node(&current, pipe, &node_reference).map_err(|_| wrong_node(&node_reference))?;
        match node.kind {
            NodeKind::Materialized => {
                return Err(ApiError::BadRequest(format!(
                    "node `{}` fills a data source: remove its materialization first",
                    node.name.value
                )));
            }
            NodeKind::Copy => {
                return Err(ApiError::BadRequest(format!(
                    "node `{}` is a copy node: remove its copy first",
                    node.name.value
                )));
            }
            _ => {}
        }
        refuse_broken(&current, pipe, node)?;
        let (path, mut text) = pipe_text(&current, pipe);
        unpublish_others(pipe, &mut text)?;
        let mut parts = text.node(&node.name.value)?;
        parts.kind = Some("endpoint".to_owned());
        text.replace(&node.name.value, &parts)?;
        let change = Change::of_file(path, Some(text.into_text()));
        let current = call.commit(&writer, change).await?;
        published(&call, &current, &pipe.name.name)
    })
    .await
}

/// A node that reads what is gone would take the place of one that answers.
fn refuse_broken(current: &Current, pipe: &Pipe, node: &Node) -> Result<(), ApiError> {
    let id = NodeId {
        pipe: pipe.name.clone(),
        node: node.name.value.clone(),
    };
    match emit::default_sql(&current.plan, &id) {
        Err(error @ QueryError::Sql(_)) => Err(ApiError::query(&current.plan, error)),
        _ => Ok(()),
    }
}

pub(super) fn wrong_node(reference: &str) -> ApiError {
    ApiError::BadRequest(format!(
        "wrong node id: there is no node `{reference}` in this pipe"
    ))
}

fn unpublish_others(pipe: &Pipe, text: &mut PipeText) -> Result<(), ApiError> {
    let Some(endpoint) = pipe.endpoint() else {
        return Ok(());
    };
    let mut parts = text.node(&endpoint.name.value)?;
    // Without a word its last node would be served again.
    parts.kind = pipe.published_by_default.then(|| "standard".to_owned());
    Ok(text.replace(&endpoint.name.value, &parts)?)
}

/// A pipe with, where there is exactly one token that reads it and that may do nothing else, that token: for who may see tokens. Who may publish a pipe need not be
/// allowed to read all that it reads.
fn published(call: &Call, current: &Current, name: &str) -> Result<Response, ApiError> {
    let pipe = find_pipe(current, name)?;
    let mut out = describe::pipe(
        current,
        pipe,
        &call.host,
        call.app.catalog.state(),
        &Wanted::all(),
    );
    if !call.access.manages_tokens() {
        return Ok(json_response(&out));
    }
    let tokens = call.app.catalog.state().tokens();
    let reads = |token: &crate::state::Token| {
        token.scopes.as_array().is_some_and(|scopes| {
            scopes
                .iter()
                .any(|scope| scope["type"] == "PIPES:READ" && scope["resource"] == name)
        })
    };
    let mut readers = tokens.list()?.into_iter().filter(reads);
    // One that may do something else is not shown beside the pipe.
    let reads_only = |token: &crate::state::Token| {
        let scopes = token.scopes.as_array();
        scopes.is_some_and(|scopes| {
            scopes.len() == 1 && scopes[0].get("filter").is_none_or(Value::is_null)
        })
    };
    if let (Some(token), None) = (readers.next(), readers.next())
        && reads_only(&token)
        && let Some(secret) = tokens.secret(&token.id)?
    {
        out["token"] = secret.into();
    }
    Ok(json_response(&out))
}

/// Takes a node off the API.
pub(super) async fn unpublish(
    Path((reference, node)): Path<(String, String)>,
    call: Call,
) -> Result<Response, ApiError> {
    call.require_create_pipes()?;
    unpublish_node(call, reference, Some(node)).await
}

/// Takes whichever node of a pipe is published off the API.
pub(super) async fn unpublish_pipe(
    Path(reference): Path<String>,
    call: Call,
) -> Result<Response, ApiError> {
    call.require_create_pipes()?;
    unpublish_node(call, reference, None).await
}

async fn unpublish_node(
    call: Call,
    reference: String,
    node: Option<String>,
) -> Result<Response, ApiError> {
    Call::finish(async move {
        let writer = call.app.catalog.write().await;
        let current = writer.current();
        let pipe = find_pipe(&current, &reference)?;
        if let Some(node_reference) = &node {
            let node = find_node(&current, pipe, node_reference)
                .map_err(|_| wrong_node(node_reference))?;
            if node.kind != NodeKind::Endpoint {
                return Err(ApiError::BadRequest(format!(
                    "wrong node id: node `{}` is not published",
                    node.name.value
                )));
            }
        }
        let (path, mut text) = pipe_text(&current, pipe);
        unpublish_others(pipe, &mut text)?;
        let change = Change::of_file(path, Some(text.into_text()));
        let current = call.commit(&writer, change).await?;
        shown(&call, &current, &pipe.name.name, false)
    })
    .await
}
