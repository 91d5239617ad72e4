//! What callers of a project's endpoints rely on, and how two versions of it differ.
//!
//! In: two plans, with what an engine says of the types if there is one. Out: [`Change`]s, each of which breaks callers or does not.

mod compare;
mod parameters;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

pub use compare::compare;

use crate::graph::{NodeId, Vertex};
use crate::lineage::Lineage;
use crate::plan::Plan;
use crate::template::{Demand, Parameter};

/// Names and types of columns, in order, as an engine describes them.
pub type Described = Vec<(String, String)>;

/// What callers of one endpoint rely on.
#[derive(Debug, Clone, PartialEq)]
pub struct Contract {
    /// The columns of its answers, in order.
    pub columns: Vec<ContractColumn>,
    /// Whether there may be others, or their names may differ.
    pub open: bool,
    /// Its parameters.
    pub parameters: Vec<Parameter>,
    /// Which of them must be given.
    pub demands: BTreeSet<Demand>,
    /// What its answer is made of, so that the same text is no change where columns are not known.
    definition: String,
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractColumn {
    /// The name.
    pub name: String,
    /// The type, where an engine was asked.
    pub data_type: Option<String>,
}

/// What differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// The endpoint is gone.
    EndpointRemoved,
    /// The endpoint is gone, and another has its columns and parameters.
    EndpointRenamed,
    /// There is a new endpoint.
    EndpointAdded,
    /// A column is gone.
    ColumnRemoved,
    /// A column has another type.
    ColumnRetyped,
    /// There is a new column.
    ColumnAdded,
    /// The columns come in another order.
    ColumnsReordered,
    /// It cannot be told which columns an endpoint gives.
    ColumnsUnknown,
    /// A parameter has no effect any more.
    ParameterRemoved,
    /// There is a new parameter.
    ParameterAdded,
    /// A parameter takes values of another type.
    ParameterRetyped,
    /// A parameter must be given, or need not be given any more.
    ParameterRequired,
    /// Requests without the parameter mean something else.
    ParameterDefault,
    /// Another set of values is allowed.
    ParameterValues,
}

/// One difference between two versions of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The endpoint, by its old name where it has one.
    pub endpoint: String,
    /// What differs.
    pub kind: ChangeKind,
    /// Whether callers that rely on the old version may break.
    pub breaking: bool,
    /// One lower-case line.
    pub message: String,
}

impl Change {
    fn new(endpoint: &str, kind: ChangeKind, breaking: bool, message: String) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            kind,
            breaking,
            message,
        }
    }
}

/// The text of a node and of all that it reads.
fn definition(plan: &Plan, id: &NodeId) -> String {
    let sources = &plan.project.sources;
    let mut text = String::new();
    for vertex in plan.graph.closure(&Vertex::Node(id.clone())) {
        text.push_str(&vertex.to_string());
        text.push('\n');
        let part = match vertex {
            Vertex::Node(id) => plan.node(id).map(|(_, node)| sources.slice(node.body.span)),
            Vertex::Datasource(name) => plan
                .project
                .datasources
                .get(name)
                .map(|datasource| sources[datasource.span.source].text()),
            Vertex::Service(_) => None,
        };
        text.push_str(part.unwrap_or_default());
        text.push('\n');
    }
    text
}

/// What a node and all that it reads demand of a request.
fn demands(plan: &Plan, id: &NodeId) -> BTreeSet<Demand> {
    let vertex = Vertex::Node(id.clone());
    let closure = plan.graph.closure(&vertex).into_iter();
    let nodes = closure.filter_map(|vertex| match vertex {
        Vertex::Node(id) => plan.node(id).map(|(_, node)| node),
        _ => None,
    });
    nodes.flat_map(|node| node.template.demands()).collect()
}

/// The endpoints of a project with what callers rely on. Columns are those that the engine described, else those that the text tells.
pub fn contracts(
    plan: &Plan,
    lineage: &Lineage,
    described: &BTreeMap<String, Described>,
) -> BTreeMap<String, Contract> {
    let mut contracts = BTreeMap::new();
    for pipe in plan.pipes.values() {
        let Some(endpoint) = pipe.endpoint_node() else {
            continue;
        };
        let name = pipe.name.to_string();
        let found = lineage.nodes.get(&endpoint.id);
        let (columns, open) = if let Some(described) = described.get(&name) {
            let columns = described.iter().map(|(name, data_type)| ContractColumn {
                name: name.clone(),
                data_type: Some(data_type.clone()),
            });
            (columns.collect(), false)
        } else {
            let known = found.into_iter().flat_map(|found| &found.columns);
            let columns = known.map(|column| ContractColumn {
                name: column.name.clone(),
                data_type: None,
            });
            let open = found.is_none_or(|found| {
                found.more || found.columns.iter().any(|column| !column.certain)
            });
            (columns.collect(), open)
        };
        contracts.insert(
            name,
            Contract {
                columns,
                open,
                parameters: pipe.parameters.clone(),
                demands: demands(plan, &endpoint.id),
                definition: definition(plan, &endpoint.id),
            },
        );
    }
    contracts
}
