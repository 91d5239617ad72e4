//! `/v0/pipes`: list, create, show, rename, describe and delete pipes.

use std::collections::BTreeSet;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;
use pipewright_compiler::graph::{NodeId, Vertex};
use pipewright_compiler::project::{Pipe, ResourceName};
use pipewright_grammar::syntax::TokenDecl;
use serde_json::{Value, json};

use super::App;
use super::call::{Call, find_pipe, json_response, no_content, taken, valid_name};
use super::copies;
use super::describe::{self, Wanted};
use super::error::ApiError;
use super::extract::Path;
use super::nodes::{node_text, text_of};
use super::population;
use crate::catalog::{Change, Current, NodeText, PipeText, Writer, tags_line};

/// The pipes that the token may read.
pub(super) async fn list(call: Call) -> Result<Response, ApiError> {
    let current = call.current();
    let wanted = Wanted {
        dependencies: call.parameters.flag("dependencies")?,
        attributes: call.parameters.words("attrs"),
        node_attributes: call.parameters.words("node_attrs"),
    };
    let pipes =
        current.plan.project.pipes.values().filter(|pipe| {
            pipe.name.workspace.is_none() && call.access.reads_pipe(&pipe.name.name)
        });
    let pipes: Vec<Value> = pipes
        .map(|pipe| {
            describe::pipe(
                &current,
                pipe,
                &call.host,
                call.app.catalog.state(),
                &wanted,
            )
        })
        .collect();
    Ok(json_response(&json!({ "pipes": pipes })))
}

/// One pipe by name or id. `.pipe` behind it means nothing, but for who wants text: that is its file.
pub(super) fn get(call: &Call, reference: &str, wants_text: bool) -> Result<Response, ApiError> {
    let current = call.current();
    let (reference, as_text) = match reference.strip_suffix(".pipe") {
        Some(reference) => (reference, wants_text),
        None => (reference, false),
    };
    let name = current.objects.pipe_name(reference).unwrap_or(reference);
    // Whether a pipe exists is told only to those who may read it.
    if !call.access.reads_pipe(name) {
        return Err(ApiError::Forbidden(format!(
            "the token may not read pipe `{reference}`"
        )));
    }
    let pipe = find_pipe(&current, reference)?;
    if as_text {
        let text = current
            .pipe_path(name)
            .and_then(|path| current.files.get(path))
            .cloned()
            .unwrap_or_default();
        // The media type without a charset: command lines compare it as a whole.
        return Ok(([(header::CONTENT_TYPE, "text/plain")], text).into_response());
    }
    Ok(json_response(&describe::pipe(
        &current,
        pipe,
        &call.host,
        call.app.catalog.state(),
        &Wanted::all(),
    )))
}

/// `/v1/pipes/<pipe>.pipe`: the text of a pipe.
pub(super) async fn file(Path(reference): Path<String>, call: Call) -> Result<Response, ApiError> {
    get(&call, &reference, true)
}

/// Creates a pipe, or puts another in its place: from JSON, from a name and an SQL query, or as a copy.
pub(super) async fn create(call: Call) -> Result<Response, ApiError> {
    call.require_create_pipes()?;
    let name = call
        .parameters
        .given("name")
        .ok_or_else(|| {
            ApiError::BadRequest("parameter `name` is missing: the name of the pipe".to_owned())
        })?
        .to_owned();
    valid_name(&name)?;
    call.change(name, |call, writer, name| {
        created(call, writer, name).boxed()
    })
    .await
}

async fn created(call: &Call, writer: &Writer<'_>, name: &str) -> Result<Response, ApiError> {
    let current = writer.current();
    if current.plan.project.datasource(name).is_some() {
        return Err(taken(name));
    }
    let before = current.plan.project.pipe(name);
    let (description, mut nodes) = content(call, &current, name)?;
    keep_endpoint(before, &mut nodes);
    copies::require_targets(call, &nodes)?;
    let description = description.or_else(|| before.and_then(|pipe| pipe.description.clone()));
    let tokens = before.map_or(&[][..], |pipe| &pipe.tokens);
    let tags = before.map_or(&[][..], |pipe| &pipe.tags);
    let text = tags_line(tags)
        + &head(tokens)
        + &PipeText::create(description.as_deref(), &nodes)?.into_text();
    let path = current
        .pipe_path(name)
        .map_or_else(|| format!("pipes/{name}.pipe"), ToOwned::to_owned);
    let change = Change::of_file(path, Some(text));
    let of_kind = |kind: &str| {
        let mut nodes = nodes.iter();
        nodes.find(|node| node.kind.as_deref() == Some(kind))
    };
    if let Some(view) = of_kind("materialized") {
        let id = NodeId {
            pipe: ResourceName::local(name),
            node: view.name.clone(),
        };
        let (current, job) = population::commit(call, writer, change, &id).await?;
        let mut made = described(call, &current, name, true)?;
        add_target(&current, view, &mut made);
        return Ok(population::with_job(call, made, job.as_ref()));
    }
    let current = match of_kind("copy") {
        Some(copy) => {
            let names = (name.to_owned(), copy.name.clone());
            copies::commit(call, writer, change, &names).await?
        }
        None => call.commit(writer, change).await?,
    };
    shown(call, &current, name, true)
}

/// What a new view fills.
fn add_target(current: &Current, view: &NodeText, made: &mut Value) {
    let Some(target) = view.directive("DATASOURCE") else {
        return;
    };
    let datasource = current.plan.project.datasource(target);
    let id = current.objects.datasource(target).map(|object| &object.id);
    made["datasource"] = json!({ "id": id, "name": target });
    made["created_datasource"] = datasource
        .is_some_and(|datasource| datasource.made_by.is_some())
        .into();
}

/// The lines of a file that the API does not touch when it writes a pipe or data source anew.
pub(super) fn head(tokens: &[TokenDecl]) -> String {
    let mut lines = String::new();
    for token in tokens {
        let (name, permission) = (&token.name.value, &token.permission.value);
        lines.extend(["TOKEN \"", name, "\" ", permission, "\n"]);
    }
    if !lines.is_empty() {
        lines.push('\n');
    }
    lines
}

/// What the request says that the pipe is made of.
fn content(
    call: &Call,
    current: &Current,
    name: &str,
) -> Result<(Option<String>, Vec<NodeText>), ApiError> {
    let description = call
        .parameters
        .text_of("description")
        .map(ToOwned::to_owned);
    if let Some(source) = call.parameters.given("from") {
        let source_name = current.objects.pipe_name(source).unwrap_or(source);
        if !call.access.reads_pipe(source_name) {
            return Err(ApiError::Forbidden(format!(
                "the token may not read pipe `{source}`"
            )));
        }
        let pipe = find_pipe(current, source)?;
        let nodes = pipe.nodes.iter().map(|node| {
            let mut text = text_of(current, node);
            // What the source serves or fills is its own affair.
            text.make_standard();
            text
        });
        return Ok((
            description.or_else(|| pipe.description.clone()),
            nodes.collect(),
        ));
    }
    let nodes = match call.parameters.value_of("nodes") {
        Some(Value::Array(entries)) => entries
            .iter()
            .enumerate()
            .map(|(at, entry)| node_text(entry, &format!("{name}_{at}")))
            .collect::<Result<Vec<_>, _>>()?,
        Some(_) => return Err(ApiError::BadRequest("`nodes` must be a list".to_owned())),
        None => {
            let sql = call
                .parameters
                .given("sql")
                .or(call.parameters.text.as_deref())
                .map(str::trim)
                .filter(|sql| !sql.is_empty());
            let sql = sql.ok_or_else(|| ApiError::BadRequest("no SQL: send `sql`, a list of `nodes`, or `from` with the name of another pipe".to_owned()))?;
            vec![NodeText {
                name: format!("{name}_0"),
                sql: sql.to_owned(),
                ..NodeText::default()
            }]
        }
    };
    if nodes.is_empty() {
        return Err(ApiError::BadRequest(
            "a pipe has at least one node".to_owned(),
        ));
    }
    let mut names = BTreeSet::new();
    for node in &nodes {
        if !names.insert(node.name.as_str()) {
            return Err(ApiError::Conflict(format!(
                "two nodes have the name `{}`: names must be unique",
                node.name
            )));
        }
    }
    Ok((description, nodes))
}

/// A pipe that takes the place of another keeps its endpoint, when the node has kept its name.
fn keep_endpoint(before: Option<&Pipe>, nodes: &mut [NodeText]) {
    let Some(endpoint) = before.and_then(Pipe::endpoint) else {
        return;
    };
    if nodes.iter().any(|node| node.kind.is_some()) {
        return;
    }
    if let Some(node) = nodes
        .iter_mut()
        .find(|node| node.name == endpoint.name.value)
    {
        node.kind = Some("endpoint".to_owned());
    }
}

/// Renames or describes a pipe.
pub(super) async fn change(
    Path(reference): Path<String>,
    call: Call,
) -> Result<Response, ApiError> {
    call.require_create_pipes()?;
    let reference = reference
        .strip_suffix(".pipe")
        .unwrap_or(&reference)
        .to_owned();
    call.change(reference, |call, writer, reference| {
        changed(call, writer, reference).boxed()
    })
    .await
}

async fn changed(call: &Call, writer: &Writer<'_>, reference: &str) -> Result<Response, ApiError> {
    let current = writer.current();
    let name = find_pipe(&current, reference)?.name.name.clone();
    let new_name = call.parameters.given("name").unwrap_or(&name).to_owned();
    let description = call.parameters.text_of("description");
    if call.parameters.given("name").is_none() && description.is_none() {
        return Err(ApiError::BadRequest(
            "nothing to change: give a new `name` or `description`".to_owned(),
        ));
    }
    let mut change = Change::default();
    if new_name != name {
        valid_name(&new_name)?;
        if current.is_taken(&new_name) {
            return Err(taken(&new_name));
        }
        change = current
            .rename_pipe(&name, &new_name)
            .ok_or_else(|| ApiError::NotFound(format!("there is no pipe `{reference}`")))?;
    }
    if let Some(description) = description {
        describe_pipe(&current, &name, &mut change, description)?;
    }
    let current = call.commit(writer, change).await?;
    shown(call, &current, &new_name, false)
}

/// Writes a description into the text that the change holds for a pipe, or else into the one in force.
fn describe_pipe(
    current: &Current,
    name: &str,
    change: &mut Change,
    description: &str,
) -> Result<(), ApiError> {
    let path = current.pipe_path(name).unwrap_or_default().to_owned();
    let renamed = change.files.iter().find(|(other, text)| {
        **other != path && text.is_some() && !current.files.contains_key(*other)
    });
    let (path, text) = match renamed {
        Some((path, text)) => (path.clone(), text.clone().unwrap_or_default()),
        None => (
            path.clone(),
            current.files.get(&path).cloned().unwrap_or_default(),
        ),
    };
    let mut text = PipeText::new(text);
    text.describe(description)?;
    change.files.insert(path, Some(text.into_text()));
    Ok(())
}

/// Deletes a pipe that nothing else reads.
pub(super) async fn delete(
    Path(reference): Path<String>,
    call: Call,
) -> Result<Response, ApiError> {
    let reference = reference
        .strip_suffix(".pipe")
        .unwrap_or(&reference)
        .to_owned();
    let current = call.current();
    let name = current.objects.pipe_name(&reference).unwrap_or(&reference);
    Call::require(call.access.drops_pipe(name), &format!("PIPES:DROP:{name}"))?;
    Call::finish(async move {
        let writer = call.app.catalog.write().await;
        let current = writer.current();
        let pipe = find_pipe(&current, &reference)?;
        let readers = readers(&current, pipe);
        if !readers.is_empty() {
            return Err(ApiError::Conflict(format!(
                "pipe `{}` is read by {}: change those first",
                pipe.name.name,
                readers.join(", ")
            )));
        }
        let name = pipe.name.name.clone();
        let path = current.pipe_path(&name).unwrap_or_default().to_owned();
        call.commit(&writer, Change::of_file(path, None)).await?;
        Ok(no_content())
    })
    .await
}

/// The nodes of other pipes that read a pipe.
fn readers(current: &Current, pipe: &Pipe) -> Vec<String> {
    let own = format!("{}.", pipe.name);
    let nodes = pipe.nodes.iter().map(|node| {
        Vertex::Node(NodeId {
            pipe: pipe.name.clone(),
            node: node.name.value.clone(),
        })
    });
    let mut readers: Vec<String> = nodes
        .flat_map(|vertex| current.readers(&vertex))
        .filter(|reader| reader.contains('.') && !reader.starts_with(&own))
        .collect();
    readers.sort();
    readers.dedup();
    readers
}

/// A pipe as the answer to a change of it.
pub(super) fn shown(
    call: &Call,
    current: &Current,
    name: &str,
    is_new: bool,
) -> Result<Response, ApiError> {
    Ok(json_response(&described(call, current, name, is_new)?))
}

fn described(call: &Call, current: &Current, name: &str, is_new: bool) -> Result<Value, ApiError> {
    let pipe = find_pipe(current, name)?;
    let mut out = describe::pipe(
        current,
        pipe,
        &call.host,
        call.app.catalog.state(),
        &Wanted::all(),
    );
    if is_new && let Some(nodes) = out["nodes"].as_array_mut() {
        for node in nodes {
            *node = describe::plainly(node.take());
        }
    }
    Ok(out)
}

impl App {
    /// The id of the workspace.
    pub(super) fn workspace(&self) -> &str {
        self.catalog.state().workspace_id()
    }
}
