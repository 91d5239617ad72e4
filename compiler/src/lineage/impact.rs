//! What would break without a column: the lineage with it and without it, compared.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::usage::needed_by_table;
use super::{ColumnId, Lineage, lineage_without};
use crate::graph::{NodeId, Vertex};
use crate::plan::{Plan, Role};

/// What a change of a column reaches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Impact {
    /// Nodes that the engine would refuse, each with what they are for.
    pub refused: BTreeMap<String, &'static str>,
    /// Published nodes that would lose or rename these columns of their answers.
    pub changed: BTreeMap<String, Vec<String>>,
    /// Nodes whose SQL could not be read: they may break.
    pub unknown: BTreeMap<String, &'static str>,
    /// Nodes that fill the column.
    pub filled_by: Vec<String>,
    /// What of the data source's own table needs it.
    pub needed_by_table: Vec<&'static str>,
}

impl Impact {
    /// The published nodes that would break: refused, or without some of their columns.
    pub fn breaks(&self) -> impl Iterator<Item = &str> {
        let refused = self
            .refused
            .iter()
            .filter(|(_, role)| **role != "node")
            .map(|(node, _)| node.as_str());
        refused.chain(self.changed.keys().map(String::as_str))
    }
}

/// What a node is for, in a word.
fn role(plan: &Plan, id: &NodeId) -> &'static str {
    let node = plan
        .pipes
        .get(&id.pipe)
        .and_then(|pipe| pipe.node(&id.node));
    match node.map(|node| &node.role) {
        Some(Role::Endpoint) => "endpoint",
        Some(Role::Materialized { .. }) => "materialized",
        Some(Role::Copy { .. }) => "copy",
        Some(Role::Sink) => "sink",
        Some(Role::Standard) | None => "node",
    }
}

/// What would break if a column were dropped or renamed.
pub fn impact(plan: &Plan, lineage: &Lineage, column: &ColumnId) -> Impact {
    let without = lineage_without(plan, column);
    let mut impact = Impact::default();
    if let (Vertex::Datasource(name), Some(column)) = (&column.vertex, &column.column) {
        impact.needed_by_table = needed_by_table(plan, name, column);
    }
    impact.filled_by = match &column.vertex {
        Vertex::Datasource(_) => lineage
            .sources(column)
            .into_iter()
            .filter(|source| matches!(source.vertex, Vertex::Node(_)))
            .map(|source| source.vertex.to_string())
            .collect(),
        _ => Vec::new(),
    };
    let mut refused: BTreeSet<&Vertex> = BTreeSet::new();
    let order = plan.graph.topological();
    for vertex in &order {
        let Vertex::Node(id) = vertex else { continue };
        let (Some(before), Some(after)) = (lineage.nodes.get(id), without.nodes.get(id)) else {
            continue;
        };
        let reads_refused = plan
            .graph
            .closure(vertex)
            .into_iter()
            .any(|source| refused.contains(source));
        if reads_refused || !after.unresolved.is_subset(&before.unresolved) {
            refused.insert(vertex);
            impact.refused.insert(id.to_string(), role(plan, id));
            continue;
        }
        if before.unknown && may_read(plan, lineage, vertex, column) {
            impact.unknown.insert(id.to_string(), role(plan, id));
        }
        let published = role(plan, id) != "node";
        if published && column.vertex != **vertex {
            let names = |columns: &super::Columns| -> BTreeSet<String> {
                columns
                    .columns
                    .iter()
                    .map(|column| column.name.clone())
                    .collect()
            };
            let lost: Vec<String> = names(before).difference(&names(after)).cloned().collect();
            if !lost.is_empty() {
                impact.changed.insert(id.to_string(), lost);
            }
        }
    }
    if let Vertex::Node(id) = &column.vertex
        && role(plan, id) != "node"
        && let Some(name) = &column.column
    {
        impact.changed.insert(id.to_string(), vec![name.clone()]);
    }
    impact
}

/// Whether a node reads what has a column, so that a part of it that cannot be read may name the column.
fn may_read(plan: &Plan, lineage: &Lineage, vertex: &Vertex, column: &ColumnId) -> bool {
    let closure = plan.graph.closure(vertex);
    if !closure.contains(&column.vertex) || column.vertex == *vertex {
        return false;
    }
    let Some(columns) = lineage.columns(vertex) else {
        return true;
    };
    let froms = columns.columns.iter().flat_map(|column| &column.from);
    let mut sources = froms.chain(&columns.open).chain(&columns.filters);
    sources.any(|source| source.column.is_none() || source == column)
}
