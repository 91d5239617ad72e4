//! `explain/<pipe>.txt`: a pipe for people. Its parameters, its nodes as a tree of who reads whom, the tables at the leaves, and the statement.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::default_sql;
use crate::graph::{NodeId, Vertex};
use crate::plan::{CopyMode, PipePlan, Plan, Role, Schedule};
use crate::template::Parameter;

/// The tree of nodes is shown to this depth; no longer chain can be compiled.
const MAX_DEPTH: usize = 200;

/// The explanation of a pipe, ending in a newline.
pub fn explain(plan: &Plan, pipe: &PipePlan) -> String {
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
        line(&mut out, 0, "");
        line(&mut out, 0, "nodes");
        let mut shown = BTreeSet::new();
        tree(
            plan,
            &mut out,
            &Vertex::Node(output.id.clone()),
            &output.id,
            1,
            &mut shown,
        );
        filled(&mut out, &output.role);
        tables(plan, &mut out, &output.id);
        line(&mut out, 0, "");
        line(&mut out, 0, "sql");
        match default_sql(plan, &output.id) {
            Ok(compiled) => compiled
                .sql
                .text()
                .lines()
                .for_each(|text| line(&mut out, 1, text)),
            Err(error) => line(&mut out, 1, &format!("cannot be compiled: {error}")),
        }
    }
    out
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
    plan: &Plan,
    out: &mut String,
    vertex: &Vertex,
    from: &NodeId,
    depth: usize,
    shown: &mut BTreeSet<Vertex>,
) {
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
        &format!("{label}  {what}{}", if again { ", see above" } else { "" }),
    );
    if !again && depth >= MAX_DEPTH && !reads.is_empty() {
        line(out, depth + 1, "…");
    } else if !again {
        for source in reads {
            tree(plan, out, source, from, depth + 1, shown);
        }
    }
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

fn filled(out: &mut String, role: &Role) {
    let text = match role {
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
        _ => return,
    };
    line(out, 1, &text);
}

fn tables(plan: &Plan, out: &mut String, output: &NodeId) {
    let closure = plan.graph.closure(&Vertex::Node(output.clone()));
    let tables: Vec<_> = closure
        .into_iter()
        .filter_map(|vertex| {
            if let Vertex::Datasource(name) = vertex {
                plan.tables.get(name)
            } else {
                None
            }
        })
        .collect();
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
        line(out, 1, &text);
    }
}
