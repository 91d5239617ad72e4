//! `lineage.json`: who reads whom, and where columns come from.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use indexmap::IndexMap;

use crate::graph::{Edge, Vertex};
use crate::lineage::{self, ColumnId, Columns};
use crate::plan::{Plan, Role};

/// The graph as it is written out.
#[derive(Debug, Serialize)]
pub struct Lineage {
    /// What each thing is: `datasource`, `node` or `service`.
    pub vertices: BTreeMap<String, &'static str>,
    /// From the source of rows to what gets them, sorted.
    pub edges: Vec<LineageEdge>,
    /// The columns of each data source and node.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, ColumnsOf>,
}

/// The columns of one data source or node. `x.*` stands for any column of `x`.
#[derive(Debug, Serialize)]
pub struct ColumnsOf {
    /// Those that are known, in order.
    pub columns: IndexMap<String, Sources>,
    /// Columns on which it depends which rows there are, and in which order.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub rows: BTreeSet<ColumnId>,
    /// What columns that are not known may be made from.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub others: BTreeSet<ColumnId>,
    /// Whether a part of the SQL could not be read, or columns are missing here.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unknown: bool,
}

/// Where a column's values come from.
#[derive(Debug, Serialize)]
pub struct Sources {
    /// One step back.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub from: BTreeSet<ColumnId>,
    /// The data source columns all the way back, through views and copies too; for what is published or fills a data source.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub origins: BTreeSet<ColumnId>,
}

/// One edge.
#[derive(Debug, Serialize)]
pub struct LineageEdge {
    /// The source of rows.
    pub from: String,
    /// What gets them.
    pub to: String,
    /// How.
    pub kind: Edge,
}

/// The lineage of a project, with its columns.
pub fn lineage(plan: &Plan) -> Lineage {
    Lineage {
        columns: columns(plan),
        ..graph(plan)
    }
}

/// Who reads whom in a project, without columns.
pub fn graph(plan: &Plan) -> Lineage {
    let kind = |vertex: &Vertex| match vertex {
        Vertex::Datasource(_) => "datasource",
        Vertex::Node(_) => "node",
        Vertex::Service(_) => "service",
    };
    Lineage {
        vertices: plan
            .graph
            .vertices()
            .map(|vertex| (vertex.to_string(), kind(vertex)))
            .collect(),
        edges: plan
            .graph
            .edges()
            .into_iter()
            .map(|(from, to, kind)| LineageEdge {
                from: from.to_string(),
                to: to.to_string(),
                kind,
            })
            .collect(),
        columns: BTreeMap::new(),
    }
}

fn columns(plan: &Plan) -> BTreeMap<String, ColumnsOf> {
    let lineage = lineage::lineage(plan);
    let described = lineage.vertices().map(|(vertex, columns)| {
        let published = is_published(plan, &vertex);
        let sources = |column: &lineage::Column| Sources {
            from: column.from.clone(),
            origins: if published {
                lineage.origins(&ColumnId::new(vertex.clone(), &column.name))
            } else {
                BTreeSet::new()
            },
        };
        let Columns { filters, open, .. } = columns;
        let of = ColumnsOf {
            columns: columns
                .columns
                .iter()
                .map(|column| (column.name.clone(), sources(column)))
                .collect(),
            rows: filters.clone(),
            others: open.clone(),
            unknown: columns.unknown || columns.more,
        };
        (vertex.to_string(), of)
    });
    described.collect()
}

fn is_published(plan: &Plan, vertex: &Vertex) -> bool {
    let Vertex::Node(id) = vertex else {
        return false;
    };
    let node = plan
        .pipes
        .get(&id.pipe)
        .and_then(|pipe| pipe.node(&id.node));
    node.is_some_and(|node| node.role != Role::Standard)
}
