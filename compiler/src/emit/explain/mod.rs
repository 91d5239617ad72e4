//! A pipe for people, in three layers: its nodes as a tree of who reads whom, with the tables at the leaves; the statement with what the rules of the
//! optimizer did to it; and, where there is an engine, how it would run that. `explain/<pipe>.txt` has the first two.

mod engine;
mod json;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use pipewright_grammar::source::Span;

pub use engine::{EngineView, IndexUse, NodeView, PlanView, TableRead};
pub use json::explain_json;

use super::sql::{compiled_sql, sql_before_rules};
use crate::graph::{NodeId, Vertex};
use crate::plan::{CopyMode, PipePlan, Plan, Role, Schedule, TablePlan};
use crate::template::{Parameter, Values};

/// The tree of nodes is shown to this depth; no longer chain can be compiled.
const MAX_DEPTH: usize = 200;

/// What an explanation is about.
#[derive(Debug, Clone, Copy)]
pub struct Explained<'a> {
    /// The project.
    pub plan: &'a Plan,
    /// The pipe.
    pub pipe: &'a PipePlan,
    /// The values of its parameters.
    pub values: &'a Values,
    /// What an engine says of it.
    pub engine: Option<&'a EngineView>,
    /// Whether the text shows the statement before the rules too.
    pub before: bool,
}

/// The explanation of a pipe with its defaults and without an engine, ending in a newline.
pub fn explain(plan: &Plan, pipe: &PipePlan) -> String {
    explain_text(Explained {
        plan,
        pipe,
        values: &Values::default(),
        engine: None,
        before: false,
    })
}

/// The explanation of a pipe, ending in a newline.
pub fn explain_text(explained: Explained<'_>) -> String {
    let Explained { plan, pipe, .. } = explained;
    let mut out = String::new();
    let role = pipe
        .output_node()
        .map_or("empty pipe", |node| role_name(&node.role));
    line(&mut out, 0, &format!("{} ({role})", pipe.name));
    if let Some(description) = plan
        .project
        .pipes
        .get(&pipe.name)
        .and_then(|pipe| pipe.description.as_deref())
    {
        for text in description.lines() {
            line(&mut out, 1, text);
        }
    }
    parameters(&mut out, &pipe.parameters);
    if let Some(output) = pipe.output_node() {
        section(&mut out, "nodes");
        let mut shown = BTreeSet::new();
        tree(
            explained,
            &mut out,
            &Vertex::Node(output.id.clone()),
            &output.id,
            1,
            &mut shown,
        );
        if let Some(text) = fills(&output.role) {
            line(&mut out, 1, &text);
        }
        shown_tables(plan, &mut out, &output.id);
        statement(&mut out, explained, &output.id);
        if let Some(view) = explained.engine.and_then(|engine| engine.plan.as_ref()) {
            engine_plan(&mut out, view);
        }
    }
    out
}

fn section(out: &mut String, name: &str) {
    line(out, 0, "");
    line(out, 0, name);
}

/// The statement, what the rules did, and what it was before.
fn statement(out: &mut String, explained: Explained<'_>, id: &NodeId) {
    let plan = explained.plan;
    section(out, "sql");
    let compiled = match compiled_sql(plan, id, explained.values) {
        Ok(compiled) => compiled,
        Err(error) => return line(out, 1, &format!("cannot be compiled: {error}")),
    };
    let lines = |out: &mut String, text: &str| text.lines().for_each(|text| line(out, 1, text));
    lines(out, compiled.sql.text());
    if compiled.rewrites.is_empty() {
        return;
    }
    section(out, "rules");
    for rewrite in compiled.rewrites.iter() {
        let at = place(plan, rewrite.at);
        line(out, 1, &format!("{}  {}{at}", rewrite.rule, rewrite.what));
    }
    if explained.before
        && let Ok(before) = sql_before_rules(plan, id, explained.values)
    {
        section(out, "sql before the rules");
        lines(out, before.sql.text());
    }
}

/// `, file:line`, where it is known.
fn place(plan: &Plan, at: Option<Span>) -> String {
    let found = at.and_then(|span| {
        let file = plan.project.sources.files().get(span.source.0 as usize)?;
        let number = file
            .text()
            .get(..span.start as usize)?
            .matches('\n')
            .count()
            + 1;
        Some(format!("  ({}:{number})", file.name()))
    });
    found.unwrap_or_default()
}

fn engine_plan(out: &mut String, view: &PlanView) {
    section(out, "engine");
    for read in &view.reads {
        let (parts, granules) = (read.parts, read.granules);
        let text = format!(
            "{}  {} of {} parts, {} of {} granules",
            read.table, parts.0, parts.1, granules.0, granules.1
        );
        line(out, 1, &text);
        for index in &read.indexes {
            let name = index
                .name
                .as_deref()
                .map_or(String::new(), |name| format!(" {name}"));
            let keys = if index.keys.is_empty() {
                String::new()
            } else {
                format!(" ({})", index.keys.join(", "))
            };
            let (after, before) = index.granules;
            let text = format!(
                "{}{name}{keys}  {after} of {before} granules, {}",
                index.kind, index.condition
            );
            line(out, 2, &text);
        }
    }
    section(out, "plan");
    for step in &view.steps {
        line(out, 1, step);
    }
}

fn line(out: &mut String, depth: usize, text: &str) {
    if !text.is_empty() {
        out.push_str(&"  ".repeat(depth));
    }
    out.push_str(text.trim_end());
    out.push('\n');
}

fn parameters(out: &mut String, parameters: &[Parameter]) {
    if parameters.is_empty() {
        return;
    }
    line(out, 0, "");
    line(out, 0, "parameters");
    let name_width = parameters
        .iter()
        .map(|parameter| parameter.name.len())
        .max()
        .unwrap_or(0);
    let type_width = parameters
        .iter()
        .map(|parameter| parameter.data_type.len())
        .max()
        .unwrap_or(0);
    for parameter in parameters {
        let mut text = format!(
            "{:name_width$}  {:type_width$}",
            parameter.name, parameter.data_type
        );
        match &parameter.default {
            Some(default) => _ = write!(text, "  = {default}"),
            None if parameter.required == Some(true) => text.push_str("  required"),
            None => {}
        }
        if let Some(description) = &parameter.description {
            _ = write!(text, "  — {description}");
        }
        line(out, 1, &text);
    }
}

/// A vertex and what it reads, indented below it; what was shown before is named again and not repeated.
fn tree(
    explained: Explained<'_>,
    out: &mut String,
    vertex: &Vertex,
    from: &NodeId,
    depth: usize,
    shown: &mut BTreeSet<Vertex>,
) {
    let plan = explained.plan;
    let label = match vertex {
        Vertex::Node(id) if id.pipe == from.pipe => id.node.clone(),
        other => other.to_string(),
    };
    let what = match vertex {
        Vertex::Node(id) => plan
            .pipes
            .get(&id.pipe)
            .and_then(|pipe| pipe.node(&id.node))
            .map_or("node", |node| role_name(&node.role)),
        Vertex::Datasource(_) => "data source",
        Vertex::Service(_) => "service data source",
    };
    let sources = plan.graph.sources(vertex);
    let reads: Vec<&Vertex> = if matches!(vertex, Vertex::Node(_)) {
        sources.into_iter().collect()
    } else {
        Vec::new()
    };
    let again = !shown.insert(vertex.clone()) && !reads.is_empty();
    line(
        out,
        depth,
        &format!(
            "{label}  {what}{}{}",
            if again { ", see above" } else { "" },
            if again {
                String::new()
            } else {
                facts(explained, vertex)
            }
        ),
    );
    if !again && depth >= MAX_DEPTH && !reads.is_empty() {
        line(out, depth + 1, "…");
    } else if !again {
        for source in reads {
            tree(explained, out, source, from, depth + 1, shown);
        }
    }
}

/// What the engine says of a node: the rows that it would read and the columns that it gives.
fn facts(explained: Explained<'_>, vertex: &Vertex) -> String {
    let Vertex::Node(id) = vertex else {
        return String::new();
    };
    let Some(view) = explained.engine.and_then(|engine| engine.nodes.get(id)) else {
        return String::new();
    };
    let mut text = String::new();
    if let Some(rows) = view.rows {
        _ = write!(text, ", reads about {rows} rows");
    }
    let columns: Vec<String> = view
        .columns
        .iter()
        .map(|(name, kind)| format!("{name} {kind}"))
        .collect();
    if !columns.is_empty() {
        _ = write!(text, ": {}", columns.join(", "));
    }
    text
}

fn role_name(role: &Role) -> &'static str {
    match role {
        Role::Standard => "node",
        Role::Endpoint => "endpoint",
        Role::Materialized { .. } => "materialized view",
        Role::Copy { .. } => "copy",
        Role::Sink => "sink",
    }
}

/// What a node does with its rows by itself.
fn fills(role: &Role) -> Option<String> {
    Some(match role {
        Role::Materialized { target } => format!("fills {target} with every insert"),
        Role::Copy {
            target,
            schedule,
            mode,
        } => {
            let how = if *mode == CopyMode::Replace {
                "replaces the rows of"
            } else {
                "adds rows to"
            };
            let when = match schedule {
                Schedule::OnDemand => "on demand".to_owned(),
                Schedule::Cron(cron) => format!("by schedule {cron} (UTC)"),
            };
            format!("{how} {target} {when}")
        }
        _ => return None,
    })
}

/// The tables that a node reads, itself or through others.
fn tables<'a>(plan: &'a Plan, output: &NodeId) -> Vec<&'a TablePlan> {
    let closure = plan.graph.closure(&Vertex::Node(output.clone()));
    closure
        .into_iter()
        .filter_map(|vertex| {
            if let Vertex::Datasource(name) = vertex {
                plan.tables.get(name)
            } else {
                None
            }
        })
        .collect()
}

fn shown_tables(plan: &Plan, out: &mut String, output: &NodeId) {
    let tables = tables(plan, output);
    if tables.is_empty() {
        return;
    }
    line(out, 0, "");
    line(out, 0, "tables");
    for table in tables {
        let mut text = format!("{}  {}", table.name, table.engine.name);
        let keys = [
            ("partition by", &table.engine.partition_key),
            ("order by", &table.engine.sorting_key),
            ("ttl", &table.engine.ttl),
        ];
        for (name, key) in keys {
            if let Some(key) = key {
                _ = write!(text, ", {name} {key}");
            }
        }
        if let Some(connector) = crate::connect::connector_of(plan, &table.name) {
            _ = write!(
                text,
                ", rows from {}, not started by the embedded engine",
                connector.system.words()
            );
        }
        line(out, 1, &text);
    }
}
