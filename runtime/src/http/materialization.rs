//! `…/nodes/<node>/materialization`: a node begins to fill a data source with every insert into what it reads, or stops.

use axum::response::Response;
use pipewright_compiler::graph::NodeId;
use pipewright_compiler::project::{Pipe, prose};
use pipewright_compiler::sql::quote_identifier;
use pipewright_compiler::{emit, project::ResourceName};
use pipewright_grammar::syntax::NodeKind;
use serde_json::json;

use super::call::{Call, find_node, find_pipe, json_response, no_content, valid_name};
use super::datasource_describe::reader_pipes;
use super::describe::{self, Wanted};
use super::error::ApiError;
use super::extract::Path;
use super::nodes::{edited, pipe_text, sql_of};
use super::population;
use crate::catalog::{
    Change, Current, DatasourceParts, DatasourceText, NodeText, PipeText, Writer,
};
use crate::engine::Column;

/// Makes a materialized view of a node.
pub(super) async fn create(
    Path((reference, node_reference)): Path<(String, String)>,
    call: Call,
) -> Result<Response, ApiError> {
    call.require_create_pipes()?;
    Call::finish(async move {
        let writer = call.app.catalog.write().await;
        let current = writer.current();
        let pipe = find_pipe(&current, &reference)?;
        let node = find_node(&current, pipe, &node_reference)?;
        let already = match node.kind {
            NodeKind::Materialized => Some("is already being materialized"),
            NodeKind::Endpoint => Some("is published: unpublish it first"),
            NodeKind::Copy => Some("is a copy node: remove its copy first"),
            _ => None,
        };
        if let Some(already) = already {
            return Err(ApiError::BadRequest(format!(
                "node `{}` {already}",
                node.name.value
            )));
        }
        let (path, mut text) = pipe_text(&current, pipe);
        let mut parts = text.node(&node.name.value)?;
        // The request may bring another query for the node.
        parts.sql = sql_of(&call).unwrap_or(parts.sql);
        let mut change = Change::default();
        prepare(&call, &writer, pipe, &mut parts, &mut change).await?;
        parts.kind = Some("materialized".to_owned());
        text.replace(&node.name.value, &parts)?;
        change.files.insert(path, Some(text.into_text()));
        let id = NodeId {
            pipe: pipe.name.clone(),
            node: node.name.value.clone(),
        };
        let (current, job) = population::commit(&call, &writer, change, &id).await?;
        let pipe = find_pipe(&current, &id.pipe.name)?;
        let state = call.app.catalog.state();
        let made = describe::pipe(&current, pipe, &call.host, state, &Wanted::all());
        Ok(population::with_job(&call, made, job.as_ref()))
    })
    .await
}

/// What would be made of a node: the columns of its result, and a data source for them. Nothing is made.
pub(super) async fn analyze(
    Path((reference, node_reference)): Path<(String, String)>,
    call: Call,
) -> Result<Response, ApiError> {
    call.require_create_pipes()?;
    let writer = call.app.catalog.write().await;
    let current = writer.current();
    let pipe = find_pipe(&current, &reference)?;
    let node = find_node(&current, pipe, &node_reference)?;
    let (_, text) = pipe_text(&current, pipe);
    let mut parts = text.node(&node.name.value)?;
    let columns = columns(&call, &writer, pipe, &parts).await?;
    let usual = format!("{}_mv", node.name.value);
    let target = call.parameters.given("datasource").unwrap_or(&usual);
    parts.make_standard();
    parts.kind = Some("materialized".to_owned());
    parts.set_directive("DATASOURCE", Some(target.to_owned()));
    let pipe_file = PipeText::create(pipe.description.as_deref(), &[parts])?.into_text();
    let shown = columns
        .iter()
        .map(|column| json!({ "name": column.name, "type": column.type_name }));
    Ok(json_response(&json!({
        "analysis": {
            "sql": current.node_sql(node),
            "node": { "name": node.name.value, "dependencies": describe::dependencies(&current, pipe, node) },
            "pipe": { "name": pipe.name.name, "datafile": pipe_file },
            "datasource": {
                "name": target,
                "columns": shown.collect::<Vec<_>>(),
                "datafile": datasource_text(&call, &columns)?.into_text(),
            },
        },
        "warnings": [],
    })))
}

/// Lets a node and its data source be, without the view between them.
pub(super) async fn remove(
    Path((reference, node_reference)): Path<(String, String)>,
    call: Call,
) -> Result<Response, ApiError> {
    call.require_create_pipes()?;
    Call::finish(async move {
        let writer = call.app.catalog.write().await;
        let current = writer.current();
        let pipe = find_pipe(&current, &reference)?;
        let node = find_node(&current, pipe, &node_reference)?;
        if node.kind != NodeKind::Materialized {
            return Err(ApiError::BadRequest(format!(
                "node `{}` is not materialized",
                node.name.value
            )));
        }
        let change = edited(&current, pipe, &node.name.value, NodeText::make_standard)?;
        call.commit(&writer, change).await?;
        Ok(no_content())
    })
    .await
}

/// Writes the target into a node, and the target's own file into the change when there is no such data source.
pub(super) async fn prepare(
    call: &Call,
    writer: &Writer<'_>,
    pipe: &Pipe,
    node: &mut NodeText,
    change: &mut Change,
) -> Result<(), ApiError> {
    let current = writer.current();
    let wanted = call.parameters.given("datasource").ok_or_else(|| {
        ApiError::BadRequest(
            "parameter `datasource` is missing: the data source to fill".to_owned(),
        )
    })?;
    let target = current
        .objects
        .datasource_name(wanted)
        .unwrap_or(wanted)
        .to_owned();
    let before = current.plan.project.datasource(&target);
    let overrides = before.is_some() && call.parameters.flag("override_datasource")?;
    if overrides {
        may_be_overridden(call, &current, &target)?;
    }
    let has_engine = call.parameters.given("engine").is_some();
    if !has_engine
        && call
            .parameters
            .pairs()
            .iter()
            .any(|(name, _)| name.starts_with("engine_"))
    {
        return Err(ApiError::BadRequest(
            "`engine_*` parameters need `engine`".to_owned(),
        ));
    }
    node.set_directive("DATASOURCE", Some(target.clone()));
    if before.is_some() && !overrides {
        return Ok(());
    }
    if !overrides {
        valid_name(&target)?;
        if current.is_taken(&target) || pipe.node(&target).is_some() {
            return Err(super::call::taken(&target));
        }
    }
    let columns = columns(call, writer, pipe, node).await?;
    let mut text = datasource_text(call, &columns)?;
    let described = before.and_then(|before| before.syntax.description.as_ref());
    if let Some(description) = described {
        text.describe(&prose::described(&description.value))?;
    }
    let path = current.datasource_path(&target);
    let path = path.map_or_else(
        || format!("datasources/{target}.datasource"),
        ToOwned::to_owned,
    );
    let tokens = before.map_or(&[][..], |before| &before.syntax.tokens);
    let text = super::pipes::head(tokens) + &text.into_text();
    change.files.insert(path, Some(text));
    change.anew = overrides.then_some(target);
    Ok(())
}

/// Whether a data source may be put in the place of another with its rows: who does that could also delete it, and nothing else reads or fills it.
fn may_be_overridden(call: &Call, current: &Current, target: &str) -> Result<(), ApiError> {
    Call::require(
        call.access.drops_datasource(target),
        &format!("PIPES:CREATE and DATASOURCES:DROP:{target}"),
    )?;
    let users = current
        .plan
        .table(target)
        .map(|table| reader_pipes(current, table));
    let users = users.unwrap_or_default();
    if users.is_empty() {
        return Ok(());
    }
    Err(ApiError::Conflict(format!(
        "`override_datasource` cannot be performed: {} read or fill data source `{target}`",
        users.join(", ")
    )))
}

/// The columns of a node's result, by the engine.
async fn columns(
    call: &Call,
    writer: &Writer<'_>,
    pipe: &Pipe,
    node: &NodeText,
) -> Result<Vec<Column>, ApiError> {
    let current = writer.current();
    let mut plain = node.clone();
    plain.make_standard();
    let (path, mut text) = pipe_text(&current, pipe);
    match pipe.node(&node.name) {
        Some(_) => text.replace(&node.name, &plain)?,
        None => text.append(&plain)?,
    }
    let plan = writer
        .compile(Change::of_file(path, Some(text.into_text())))
        .await?;
    let id = NodeId {
        pipe: ResourceName::local(&pipe.name.name),
        node: node.name.clone(),
    };
    let compiled = emit::default_sql(&plan, &id).map_err(|error| ApiError::query(&plan, error))?;
    call.app
        .engine
        .describe(compiled.sql.text())
        .await
        .map_err(|error| ApiError::engine(&plan, &compiled.sql, error))
}

/// The file of a data source with these columns. Without another wish, states are merged by what is not a state.
fn datasource_text(call: &Call, columns: &[Column]) -> Result<DatasourceText, ApiError> {
    let is_state = |column: &&Column| column.type_name.contains("AggregateFunction(");
    let schema = columns.iter().map(|column| {
        let name = quote_identifier_always(&column.name);
        format!("{name} {}", column.type_name)
    });
    // A description is the node's.
    let mut parts = DatasourceParts {
        description: None,
        indexes: None,
        schema: schema.collect::<Vec<_>>().join(", "),
        ..super::datasource_create::parts(&call.parameters)
    };
    let has = |parts: &DatasourceParts, key: &str| parts.engine.iter().any(|(it, _)| it == key);
    if !has(&parts, "ENGINE") {
        let states = columns.iter().any(|column| is_state(&column));
        let engine = if states {
            "AggregatingMergeTree"
        } else {
            "MergeTree"
        };
        parts
            .engine
            .insert(0, ("ENGINE".to_owned(), engine.to_owned()));
    }
    if !has(&parts, "ENGINE_SORTING_KEY") {
        let keys = columns
            .iter()
            .filter(|column| !is_state(column) && !column.type_name.starts_with("Nullable("));
        let keys: Vec<_> = keys.map(|column| quote_identifier(&column.name)).collect();
        let key = if keys.is_empty() {
            "tuple()".to_owned()
        } else {
            keys.join(", ")
        };
        parts.engine.push(("ENGINE_SORTING_KEY".to_owned(), key));
    }
    Ok(DatasourceText::create(&parts)?)
}

fn quote_identifier_always(name: &str) -> String {
    let name = name.replace('\\', "\\\\").replace('`', "\\`");
    let name = name.replace('\n', "\\n").replace('\r', "\\r");
    format!("`{name}`")
}
