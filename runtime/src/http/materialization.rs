//! `…/nodes/<node>/materialization`: a node begins to fill a data source with every insert into what it reads, or stops.

use axum::response::Response;
use futures::FutureExt as _;
use pipewright_compiler::graph::NodeId;
use pipewright_compiler::plan::{Inferred, Plan};
use pipewright_compiler::project::{Pipe, prose};
use pipewright_compiler::sql::quote_identifier;
use pipewright_compiler::{emit, project::ResourceName};
use pipewright_grammar::source::Span;
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
    Change, Current, DatasourceParts, DatasourceText, NodeText, PipeText, Writer, quoted_column,
};
use crate::engine::Column;

/// Makes a materialized view of a node.
pub(super) async fn create(
    Path((reference, node_reference)): Path<(String, String)>,
    call: Call,
) -> Result<Response, ApiError> {
    call.require_create_pipes()?;
    let asked = (reference, node_reference);
    call.change(asked, |call, writer, (pipe, node)| {
        created(call, writer, pipe, node).boxed()
    })
    .await
}

async fn created(
    call: &Call,
    writer: &Writer<'_>,
    reference: &str,
    node_reference: &str,
) -> Result<Response, ApiError> {
    let current = writer.current();
    let pipe = find_pipe(&current, reference)?;
    let node = find_node(&current, pipe, node_reference)?;
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
    parts.sql = sql_of(call).unwrap_or(parts.sql);
    let mut change = Change::default();
    let warnings = prepare(call, writer, pipe, &mut parts, &mut change).await?;
    parts.kind = Some("materialized".to_owned());
    text.replace(&node.name.value, &parts)?;
    change.files.insert(path, Some(text.into_text()));
    let id = NodeId {
        pipe: pipe.name.clone(),
        node: node.name.value.clone(),
    };
    let (current, job) = population::commit(call, writer, change, &id).await?;
    let pipe = find_pipe(&current, &id.pipe.name)?;
    let state = call.app.catalog.state();
    let mut made = describe::pipe(&current, pipe, &call.host, state, &Wanted::all());
    if !warnings.is_empty() {
        made["warnings"] = warnings.into();
    }
    Ok(population::with_job(call, made, job.as_ref()))
}

/// What would be made of a node: the columns of its result, and a data source for them. Nothing is made.
pub(super) async fn analyze(
    Path((reference, node_reference)): Path<(String, String)>,
    call: Call,
) -> Result<Response, ApiError> {
    call.require_create_pipes()?;
    let asked = (reference, node_reference);
    call.change(asked, |call, writer, (pipe, node)| {
        analyzed(call, writer, pipe, node).boxed()
    })
    .await
}

async fn analyzed(
    call: &Call,
    writer: &Writer<'_>,
    reference: &str,
    node_reference: &str,
) -> Result<Response, ApiError> {
    let current = writer.current();
    let pipe = find_pipe(&current, reference)?;
    let node = find_node(&current, pipe, node_reference)?;
    let (_, text) = pipe_text(&current, pipe);
    let mut parts = text.node(&node.name.value)?;
    let written = parts.sql.clone();
    let described = described(call, writer, pipe, &mut parts).await?;
    let columns = &described.columns;
    let sql = if parts.sql == written {
        current.node_sql(node)
    } else {
        parts.sql.clone()
    };
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
            "sql": sql,
            "node": { "name": node.name.value, "dependencies": describe::dependencies(&current, pipe, node) },
            "pipe": { "name": pipe.name.name, "datafile": pipe_file },
            "datasource": {
                "name": target,
                "columns": shown.collect::<Vec<_>>(),
                "datafile": datasource_text(call, &described)?.into_text(),
            },
        },
        "warnings": described.warnings(target),
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

/// Writes the target into a node, and the target's own file into the change when there is no such data source; then a node that groups gives states from now on. What
/// there is to say of that.
pub(super) async fn prepare(
    call: &Call,
    writer: &Writer<'_>,
    pipe: &Pipe,
    node: &mut NodeText,
    change: &mut Change,
) -> Result<Vec<serde_json::Value>, ApiError> {
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
        return Ok(Vec::new());
    }
    if !overrides {
        valid_name(&target)?;
        if current.is_taken(&target) || pipe.node(&target).is_some() {
            return Err(super::call::taken(&target));
        }
    }
    let described = described(call, writer, pipe, node).await?;
    let mut text = datasource_text(call, &described)?;
    let description = before.and_then(|before| before.syntax.description.as_ref());
    if let Some(description) = description {
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
    let warnings = described.warnings(&target);
    change.anew = overrides.then_some(target);
    Ok(warnings)
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

/// Where states are explained.
const DOCUMENTATION: &str =
    "https://github.com/pipewright/pipewright/blob/main/book/src/datafiles.md#a-materialized-view";

/// What a node would fill.
struct Described {
    columns: Vec<Column>,
    /// Where its aggregates become states.
    inferred: Option<Inferred>,
    /// Whether the node's author wrote values, which become states.
    is_rewritten: bool,
}

impl Described {
    /// What readers have to know.
    fn warnings(&self, target: &str) -> Vec<serde_json::Value> {
        let inferred = self.inferred.as_ref().filter(|_| self.is_rewritten);
        let readings = inferred.map(Inferred::readings);
        let readings = readings.filter(|readings| !readings.is_empty());
        let warning = readings.map(|readings| {
            // Command lines of the existing service show the lightest warning of several.
            json!({
                "code": "STATES",
                "weight": 100,
                "text": format!(
                    "`{target}` holds states, so that the groups of all inserts become one: read them with {}",
                    readings.join(", ")
                ),
                "documentation": DOCUMENTATION,
            })
        });
        warning.into_iter().collect()
    }
}

/// The columns of a node's result, by the engine. The aggregates of a node that groups are written as states, unless it is to fill a table of another engine.
async fn described(
    call: &Call,
    writer: &Writer<'_>,
    pipe: &Pipe,
    node: &mut NodeText,
) -> Result<Described, ApiError> {
    let current = writer.current();
    let mut plain = node.clone();
    plain.make_standard();
    let (path, mut text) = pipe_text(&current, pipe);
    match pipe.node(&node.name) {
        Some(_) => text.replace(&node.name, &plain)?,
        None => text.append(&plain)?,
    }
    let plan = writer
        .compile(Change::of_file(path.clone(), Some(text.into_text())))
        .await?;
    let id = NodeId {
        pipe: ResourceName::local(&pipe.name.name),
        node: node.name.clone(),
    };
    let mut compiled =
        emit::default_sql(&plan, &id).map_err(|error| ApiError::query(&plan, error))?;
    let engine = call.parameters.given("engine");
    let for_states = |engine: &str| engine.eq_ignore_ascii_case("AggregatingMergeTree");
    let (mut inferred, mut is_rewritten) = (None, false);
    if engine.is_none_or(for_states) {
        match plan.with_states(&compiled.sql) {
            Ok(written) if written.inferred.is_some() => {
                is_rewritten = written.edits.as_ref().is_none_or(|edits| !edits.is_empty());
                node.sql = with_edits(&plan, &path, &node.name, written.edits.as_deref())?;
                compiled.sql = written.sql;
                inferred = written.inferred;
            }
            // With an engine of its author's, the query is the author's, too.
            Err(error) if engine.is_none() => return Err(ApiError::query(&plan, error)),
            _ => {}
        }
    }
    let columns = writer
        .describe(call.app.engine.as_ref(), &plan, &compiled)
        .await?
        .map_err(|error| ApiError::engine(&plan, &compiled.sql, error))?;
    Ok(Described {
        columns,
        inferred,
        is_rewritten,
    })
}

/// The SQL of a node after edits of its file.
fn with_edits(
    plan: &Plan,
    path: &str,
    node: &str,
    edits: Option<&[(Span, String)]>,
) -> Result<String, ApiError> {
    let mut files = plan.project.sources.files().iter();
    let file = files.find(|file| file.name() == path);
    let is_of = |edits: &&[(Span, String)]| {
        let source = file.map(pipewright_grammar::source::SourceFile::id);
        edits.iter().all(|(span, _)| Some(span.source) == source)
    };
    let (Some(file), Some(edits)) = (file, edits.filter(is_of)) else {
        return Err(ApiError::BadRequest(
            "the aggregates of the node are made by its template, and cannot be written as states: write them with `-State`, or say the `engine`"
                .to_owned(),
        ));
    };
    let mut text = file.text().to_owned();
    for (span, replacement) in edits.iter().rev() {
        text.replace_range(span.start as usize..span.end as usize, replacement);
    }
    Ok(PipeText::new(text).node(node)?.sql)
}

/// The file of a data source with these columns. Without another wish, states are merged by the groups of the node, or by what is not a state.
fn datasource_text(call: &Call, described: &Described) -> Result<DatasourceText, ApiError> {
    let columns = &described.columns;
    let is_state = |column: &&Column| column.type_name.contains("AggregateFunction(");
    let schema = columns.iter().map(|column| {
        let name = quoted_column(&column.name);
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
        let states = described.inferred.is_some() || columns.iter().any(|it| is_state(&it));
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
        let key = match &described.inferred {
            Some(inferred) => inferred.sorting_key(),
            None => usual_key(columns),
        };
        parts.engine.push(("ENGINE_SORTING_KEY".to_owned(), key));
        if let Some(inferred) = &described.inferred
            && !has(&parts, "ENGINE_SETTINGS")
        {
            let is_key = |column: &&Column| inferred.keys.contains(&column.name);
            let keys = columns.iter().filter(is_key);
            // Groups of NULL are groups like others.
            if keys
                .into_iter()
                .any(|key| key.type_name.contains("Nullable("))
            {
                let setting = "allow_nullable_key = 1".to_owned();
                parts.engine.push(("ENGINE_SETTINGS".to_owned(), setting));
            }
        }
    }
    Ok(DatasourceText::create(&parts)?)
}

/// A sorting key of columns that the text of the query says nothing about.
fn usual_key(columns: &[Column]) -> String {
    let keys = columns.iter().filter(|column| {
        let of = &column.type_name;
        !of.contains("AggregateFunction(") && !of.starts_with("Nullable(")
    });
    let keys: Vec<_> = keys.map(|column| quote_identifier(&column.name)).collect();
    if keys.is_empty() {
        "tuple()".to_owned()
    } else {
        keys.join(", ")
    }
}
