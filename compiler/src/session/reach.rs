//! How far a change goes: the pipes whose plans and findings can be others after it.

use std::collections::BTreeSet;

use crate::graph::{Graph, Vertex};
use crate::project::ResourceName;

/// What changed between two checks of a project in which every name means what it did.
#[derive(Debug)]
pub(super) struct Changes {
    /// The pipes whose files changed.
    pub(super) pipes: BTreeSet<ResourceName>,
    /// The data sources that are declared in other words.
    pub(super) datasources: BTreeSet<ResourceName>,
    /// What those pipes read before.
    pub(super) read_before: BTreeSet<Vertex>,
}

impl Changes {
    /// The pipes that the changes reach: those that changed; those that read what changed, directly or through others, since they have its SQL and its parameters; those
    /// that fill a data source that changed; and those that a changed pipe reads or read before, since rules ask whether anything reads a pipe.
    pub(super) fn reach(self, graph: &Graph) -> BTreeSet<ResourceName> {
        let nodes = graph.reads.keys();
        let nodes = nodes.filter(|id| self.pipes.contains(&id.pipe));
        let nodes: Vec<Vertex> = nodes.cloned().map(Vertex::Node).collect();
        let datasources: Vec<Vertex> = self
            .datasources
            .into_iter()
            .map(Vertex::Datasource)
            .collect();
        let changed = || nodes.iter().chain(&datasources);
        let mut reached = graph.dependents(changed());
        for vertex in changed() {
            reached.extend(graph.sources(vertex));
        }
        reached.extend(&self.read_before);
        let pipes = reached.into_iter().filter_map(|vertex| match vertex {
            Vertex::Node(id) => Some(id.pipe.clone()),
            Vertex::Datasource(_) | Vertex::Service(_) => None,
        });
        self.pipes.iter().cloned().chain(pipes).collect()
    }
}
