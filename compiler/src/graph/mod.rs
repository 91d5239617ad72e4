//! Stage *resolve*: `Project` → [`Graph`], who reads whom, over every feasible branch of every template.

mod build;
mod cycle;
mod resolve;
mod values;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use petgraph::Direction;
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use petgraph::visit::{EdgeRef, IntoEdgeReferences};
use serde::Serialize;

pub(crate) use build::build_again;
pub use build::{Branch, NodeReads, build};
pub(crate) use build::{modifier_on_node, must_resolve, unknown, vertex_of};
pub use resolve::similar_names;
pub use resolve::{SERVICE_DATABASES, Scope, Target, resolve, suggestions};
pub(crate) use values::parts_of_others;

use crate::project::{Node, Pipe, ResourceName};

/// A node by its pipe and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    /// The pipe.
    pub pipe: ResourceName,
    /// The node in the pipe.
    pub node: String,
}

impl NodeId {
    /// The id of a node of a pipe.
    pub fn of(pipe: &Pipe, node: &Node) -> Self {
        Self {
            pipe: pipe.name.clone(),
            node: node.name.value.clone(),
        }
    }
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
    /// Only looked up in, never walked through.
    index: HashMap<Vertex, NodeIndex>,
    /// What each node reads, by branch.
    pub reads: BTreeMap<NodeId, NodeReads>,
}

impl Graph {
    fn vertex(&mut self, vertex: &Vertex) -> NodeIndex {
        if let Some(index) = self.index.get(vertex) {
            return *index;
        }
        let index = self.inner.add_node(vertex.clone());
        self.index.insert(vertex.clone(), index);
        index
    }

    fn connect(&mut self, from: NodeIndex, to: NodeIndex, edge: Edge) {
        // From the node's side, which has few: thousands may read a data source, or fill it.
        let (node, direction) = match edge {
            Edge::Read => (to, Direction::Incoming),
            Edge::Materialize | Edge::Copy => (from, Direction::Outgoing),
        };
        let mut existing = self.inner.edges_directed(node, direction);
        let is_same = |existing: (NodeIndex, NodeIndex, Edge)| existing == (from, to, edge);
        if !existing.any(|edge| is_same((edge.source(), edge.target(), *edge.weight()))) {
            self.inner.add_edge(from, to, edge);
        }
    }

    /// The branches of a node's template, each with what it reads; none for a node that cannot be rendered.
    pub fn branches(&self, id: &NodeId) -> &[Branch] {
        self.reads.get(id).map_or(&[], |reads| &reads.branches)
    }

    /// Every vertex, sorted.
    pub fn vertices(&self) -> impl Iterator<Item = &Vertex> {
        let mut vertices: Vec<&Vertex> = self.inner.node_weights().collect();
        vertices.sort_unstable();
        vertices.into_iter()
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
        self.along_reads([vertex], Direction::Incoming)
    }

    /// The vertices and everything that they read in SQL, directly or through other nodes, sorted.
    pub(crate) fn sources_of_all(&self, vertices: &[Vertex]) -> BTreeSet<&Vertex> {
        self.along_reads(vertices, Direction::Incoming)
    }

    /// The vertices and everything that reads them in SQL, directly or through other nodes, sorted.
    pub(crate) fn dependents<'a>(
        &self,
        vertices: impl IntoIterator<Item = &'a Vertex>,
    ) -> BTreeSet<&Vertex> {
        self.along_reads(vertices, Direction::Outgoing)
    }

    fn along_reads<'a>(
        &self,
        vertices: impl IntoIterator<Item = &'a Vertex>,
        direction: Direction,
    ) -> BTreeSet<&Vertex> {
        let mut seen = BTreeSet::new();
        let starts = vertices.into_iter();
        let mut waiting: Vec<NodeIndex> = starts
            .filter_map(|vertex| self.index.get(vertex).copied())
            .collect();
        while let Some(index) = waiting.pop() {
            if seen.insert(&self.inner[index]) {
                let edges = self.inner.edges_directed(index, direction);
                let reads = edges.filter(|edge| *edge.weight() == Edge::Read);
                waiting.extend(reads.map(|edge| match direction {
                    Direction::Incoming => edge.source(),
                    Direction::Outgoing => edge.target(),
                }));
            }
        }
        seen
    }

    /// Every vertex, each after all that it gets rows from; vertices without an order between them are sorted. Vertices on a cycle come last.
    pub fn topological(&self) -> Vec<&Vertex> {
        let mut missing: BTreeMap<&Vertex, usize> = self
            .inner
            .node_indices()
            .map(|index| {
                let sources = self.inner.neighbors_directed(index, Direction::Incoming);
                (&self.inner[index], sources.count())
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
