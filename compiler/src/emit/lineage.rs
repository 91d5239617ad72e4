//! `lineage.json`: who reads whom.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::graph::{Edge, Vertex};
use crate::plan::Plan;

/// The graph as it is written out.
#[derive(Debug, Serialize)]
pub struct Lineage {
    /// What each thing is: `datasource`, `node` or `service`.
    pub vertices: BTreeMap<String, &'static str>,
    /// From the source of rows to what gets them, sorted.
    pub edges: Vec<LineageEdge>,
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

/// The lineage of a project.
pub fn lineage(plan: &Plan) -> Lineage {
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
    }
}
