//! Stage *resolve*: `Project` → [`Graph`], who reads whom, over every feasible branch of every template.

mod build;
mod cycle;
mod resolve;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use petgraph::Direction;
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use petgraph::visit::{EdgeRef, IntoEdgeReferences};
use serde::Serialize;

pub(crate) use build::build_again;
pub use build::{Branch, NodeReads, build};
pub(crate) use build::{modifier_on_node, must_resolve, unknown};
pub use resolve::similar_names;
pub use resolve::{SERVICE_DATABASES, Scope, Target, resolve, suggestions};
pub(crate) use values::parts_of_others;

use crate::project::ResourceName;

/// A node by its pipe and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    /// The pipe.
    pub pipe: ResourceName,
    /// The node in the pipe.
    pub node: String,
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.pipe, self.node)
    }
}

/// What the graph connects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Vertex {
    /// A data source of the project.
    Datasource(ResourceName),
    /// A node of a pipe.
    Node(NodeId),
    /// A service data source or system table, by its qualified name.
    Service(String),
}

impl fmt::Display for Vertex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Datasource(name) => write!(f, "{name}"),
            Self::Node(id) => write!(f, "{id}"),
            Self::Service(name) => f.write_str(name),
        }
    }
}

impl Serialize for Vertex {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why one vertex depends on another. Edges point from the source of rows to what gets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Edge {
    /// The node reads it in SQL.
    Read,
    /// The node's materialized view fills the data source with every insert.
    Materialize,
    /// The node's copy fills the data source when it is run.
    Copy,
}

/// Who reads whom.
#[derive(Debug, Default)]
pub struct Graph {
    inner: StableDiGraph<Vertex, Edge>,
    index: BTreeMap<Vertex, NodeIndex>,
    /// What each node reads, by branch.
    pub reads: BTreeMap<NodeId, NodeReads>,
}

impl Graph {
    fn vertex(&mut self, vertex: Vertex) -> NodeIndex {
        let inner = &mut self.inner;
        *self
            .index
            .entry(vertex)
            .or_insert_with_key(|vertex| inner.add_node(vertex.clone()))
    }

    fn connect(&mut self, from: Vertex, to: Vertex, edge: Edge) {
        let (from, to) = (self.vertex(from), self.vertex(to));
        if !self
            .inner
            .edges_connecting(from, to)
            .any(|existing| *existing.weight() == edge)
        {
            self.inner.add_edge(from, to, edge);
        }
    }

    /// Every vertex, sorted.
    pub fn vertices(&self) -> impl Iterator<Item = &Vertex> {
        self.index.keys()
    }

    /// Every edge as (from, to, kind), sorted.
    pub fn edges(&self) -> Vec<(&Vertex, &Vertex, Edge)> {
        let mut edges: Vec<_> = self
            .inner
            .edge_references()
            .map(|edge| {
                (
                    &self.inner[edge.source()],
                    &self.inner[edge.target()],
                    *edge.weight(),
                )
            })
            .collect();
        edges.sort();
        edges
    }

    /// What `vertex` gets its rows from, sorted.
    pub fn sources(&self, vertex: &Vertex) -> BTreeSet<&Vertex> {
        self.neighbours(vertex, Direction::Incoming)
    }

    /// What gets rows from `vertex`, sorted.
    pub fn readers(&self, vertex: &Vertex) -> BTreeSet<&Vertex> {
        self.neighbours(vertex, Direction::Outgoing)
    }

    fn neighbours(&self, vertex: &Vertex, direction: Direction) -> BTreeSet<&Vertex> {
        let Some(index) = self.index.get(vertex) else {
            return BTreeSet::new();
        };
        self.inner
            .neighbors_directed(*index, direction)
            .map(|neighbour| &self.inner[neighbour])
            .collect()
    }

    /// `vertex` and everything that it reads in SQL, directly or through other nodes, sorted.
    pub fn closure(&self, vertex: &Vertex) -> BTreeSet<&Vertex> {
        let mut seen = BTreeSet::new();
        let mut waiting: Vec<NodeIndex> = self.index.get(vertex).copied().into_iter().collect();
        while let Some(index) = waiting.pop() {
            if seen.insert(&self.inner[index]) {
                let edges = self.inner.edges_directed(index, Direction::Incoming);
                waiting.extend(
                    edges
                        .filter(|edge| *edge.weight() == Edge::Read)
                        .map(|edge| edge.source()),
                );
            }
        }
        seen
    }

    /// Every vertex, each after all that it gets rows from; vertices without an order between them are sorted. Vertices on a cycle come last.
    pub fn topological(&self) -> Vec<&Vertex> {
        let mut missing: BTreeMap<&Vertex, usize> = self
            .index
            .iter()
            .map(|(vertex, index)| {
                (
                    vertex,
                    self.inner
                        .neighbors_directed(*index, Direction::Incoming)
                        .count(),
                )
            })
            .collect();
        let mut ready: BTreeSet<&Vertex> = missing
            .iter()
            .filter(|(_, count)| **count == 0)
            .map(|(vertex, _)| *vertex)
            .collect();
        let mut order = Vec::with_capacity(missing.len());
        while let Some(vertex) = ready.pop_first() {
            missing.remove(vertex);
            order.push(vertex);
            for neighbour in self
                .inner
                .neighbors_directed(self.index[vertex], Direction::Outgoing)
            {
                if let Some(count) = missing.get_mut(&self.inner[neighbour]) {
                    *count -= 1;
                    if *count == 0 {
                        ready.insert(&self.inner[neighbour]);
                    }
                }
            }
        }
        order.extend(missing.into_keys());
        order
    }
}
