//! Which columns of data sources end up in what the project gives: endpoints, sinks, and data sources that are filled for queries from outside.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{ColumnId, Lineage};
use crate::graph::{NodeId, Vertex};
use crate::plan::{Plan, Role, TablePlan};
use crate::project::ResourceName;
use crate::sql::outline;

/// A column of a data source that nothing depends on which the project gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unused {
    /// The column.
    pub column: ColumnId,
    /// Its type as written.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub data_type: Option<String>,
    /// Nodes whose SQL names it all the same: without the column, the engine refuses them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub named_in: Vec<String>,
    /// What of the table itself needs it: keys, `TTL`, an index, a default.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kept_by: Vec<&'static str>,
}

/// The columns of data sources that no endpoint, sink or filled data source depends on, neither for values nor for which rows there are.
pub fn unused(plan: &Plan, lineage: &Lineage) -> Vec<Unused> {
    let used = used(plan, lineage);
    let named = named(lineage);
    let mut found = Vec::new();
    for (name, columns) in &lineage.tables {
        let vertex = Vertex::Datasource(name.clone());
        let table = plan.tables.get(name);
        let any = ColumnId {
            vertex: vertex.clone(),
            column: None,
        };
        // The columns of a data source without a file are those of the node that makes it.
        if used.contains(&any) || table.is_none_or(|table| table.made_by.is_some()) {
            continue;
        }
        for column in &columns.columns {
            let id = ColumnId::new(vertex.clone(), &column.name);
            if used.contains(&id) {
                continue;
            }
            let declared = table.and_then(|table| {
                let mut columns = table.columns.iter();
                columns.find(|declared| declared.name == column.name)
            });
            let nodes = named.get(&id).into_iter().flatten();
            found.push(Unused {
                data_type: declared.and_then(|declared| declared.data_type.clone()),
                named_in: nodes.map(ToString::to_string).collect(),
                kept_by: table.map_or_else(Vec::new, |table| kept_by(table, &column.name)),
                column: id,
            });
        }
    }
    found
}

/// Everything that what the project gives depends on.
fn used(plan: &Plan, lineage: &Lineage) -> BTreeSet<ColumnId> {
    let mut walk = Walk {
        plan,
        lineage,
        used: BTreeSet::new(),
        alive: BTreeSet::new(),
        waiting: Vec::new(),
    };
    for pipe in plan.pipes.values() {
        for node in &pipe.nodes {
            if matches!(node.role, Role::Endpoint | Role::Sink) {
                walk.all(&Vertex::Node(node.id.clone()));
            }
        }
    }
    // What is filled and read by no node is there for queries from outside.
    for name in lineage.tables.keys() {
        let vertex = Vertex::Datasource(name.clone());
        let is_filled = !plan.graph.sources(&vertex).is_empty();
        if is_filled && plan.graph.readers(&vertex).is_empty() {
            walk.all(&vertex);
        }
    }
    walk.run();
    walk.used
}

struct Walk<'w> {
    plan: &'w Plan,
    lineage: &'w Lineage,
    used: BTreeSet<ColumnId>,
    /// Those of whose rows something depends.
    alive: BTreeSet<Vertex>,
    waiting: Vec<ColumnId>,
}

impl Walk<'_> {
    fn all(&mut self, vertex: &Vertex) {
        self.waiting.push(ColumnId {
            vertex: vertex.clone(),
            column: None,
        });
        let columns = self.lineage.columns(vertex);
        for column in columns.into_iter().flat_map(|columns| &columns.columns) {
            let id = ColumnId::new(vertex.clone(), &column.name);
            self.waiting.push(id);
        }
    }

    fn run(&mut self) {
        while let Some(id) = self.waiting.pop() {
            if !self.used.insert(id.clone()) {
                continue;
            }
            self.waiting.extend(self.lineage.sources(&id));
            if id.column.is_none() {
                self.all(&id.vertex);
            }
            self.rows(&id.vertex);
        }
    }

    /// Which rows there are depends on the conditions of a node, and on those of all that it reads or that fills it.
    fn rows(&mut self, vertex: &Vertex) {
        if !self.alive.insert(vertex.clone()) {
            return;
        }
        let mut waiting = vec![vertex.clone()];
        while let Some(vertex) = waiting.pop() {
            let filters = self
                .lineage
                .columns(&vertex)
                .map(|columns| &columns.filters);
            self.waiting.extend(filters.into_iter().flatten().cloned());
            for source in self.plan.graph.sources(&vertex) {
                if self.alive.insert(source.clone()) {
                    waiting.push(source.clone());
                }
            }
        }
    }
}

/// The nodes that name each column of a data source, themselves or through nodes that pass it on.
fn named(lineage: &Lineage) -> BTreeMap<ColumnId, BTreeSet<&NodeId>> {
    let mut named: BTreeMap<ColumnId, BTreeSet<&NodeId>> = BTreeMap::new();
    for (node, columns) in &lineage.nodes {
        let mut seen = BTreeSet::new();
        let mut waiting: Vec<ColumnId> = columns.mentions.iter().cloned().collect();
        while let Some(id) = waiting.pop() {
            if !seen.insert(id.clone()) {
                continue;
            }
            if matches!(id.vertex, Vertex::Node(_)) {
                waiting.extend(lineage.sources(&id));
            } else {
                named.entry(id).or_default().insert(node);
            }
        }
    }
    named
}

/// What of a table needs one of its columns.
pub(super) fn kept_by(table: &TablePlan, column: &str) -> Vec<&'static str> {
    let has = |text: &str| outline::names(text).iter().any(|name| name == column);
    let engine = &table.engine;
    let clauses = [
        ("sorting key", engine.sorting_key.as_deref()),
        ("primary key", engine.primary_key.as_deref()),
        ("partition key", engine.partition_key.as_deref()),
        ("sampling key", engine.sampling_key.as_deref()),
        ("TTL", engine.ttl.as_deref()),
    ];
    let mut kept: Vec<&'static str> = clauses
        .into_iter()
        .filter(|(_, text)| text.is_some_and(has))
        .map(|(name, _)| name)
        .collect();
    if engine.arguments.iter().any(|text| has(text)) {
        kept.push("engine");
    }
    if table.indexes.iter().any(|index| has(&index.expression)) {
        kept.push("index");
    }
    let others = table.columns.iter().filter(|other| other.name != column);
    for other in others {
        if other.default.as_ref().is_some_and(|(_, text)| has(text)) && !kept.contains(&"default") {
            kept.push("default");
        }
        if other.ttl.as_deref().is_some_and(has) && !kept.contains(&"TTL") {
            kept.push("TTL");
        }
    }
    kept
}

/// What of the table of a data source needs one of its columns.
pub(super) fn needed_by_table(plan: &Plan, name: &ResourceName, column: &str) -> Vec<&'static str> {
    plan.tables
        .get(name)
        .map_or_else(Vec::new, |table| kept_by(table, column))
}
