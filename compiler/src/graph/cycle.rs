//! Cycles, shown as the whole path.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use petgraph::algo::kosaraju_scc;
use petgraph::stable_graph::NodeIndex;
use petgraph::visit::{EdgeFiltered, IntoNeighbors};
use pipewright_grammar::diagnostic::Diagnostic;

use super::{Edge, Graph, Vertex};
use crate::diagnostics::codes;
use crate::project::Project;

/// Longer circles are shown up to here.
const SHOWN: usize = 24;

/// One diagnostic for each group of resources that read one another in a circle.
///
/// A copy may read the data source that it fills, since it runs on demand; a materialized view may not, since each insert would cause another.
pub(super) fn find(graph: &Graph, project: &Project) -> Vec<Diagnostic> {
    let steps = EdgeFiltered::from_fn(&graph.inner, |edge| *edge.weight() != Edge::Copy);
    let reads_itself = |index| (&steps).neighbors(index).any(|other| other == index);
    // Without recursion, however long a chain is.
    let mut cycles: Vec<Vec<&Vertex>> = kosaraju_scc(&steps)
        .into_iter()
        .filter(|group| group.len() > 1 || reads_itself(group[0]))
        .map(|group| path(graph, |index| (&steps).neighbors(index), &group))
        .collect();
    cycles.sort();
    cycles
        .iter()
        .map(|cycle| report(cycle, project, graph))
        .collect()
}

/// The shortest circle through the first vertex of the group, in the order in which rows flow.
fn path<'a, I: Iterator<Item = NodeIndex>>(
    graph: &'a Graph,
    next: impl Fn(NodeIndex) -> I,
    group: &[NodeIndex],
) -> Vec<&'a Vertex> {
    let inner = &graph.inner;
    let members: BTreeSet<NodeIndex> = group.iter().copied().collect();
    let start = group
        .iter()
        .copied()
        .min_by_key(|index| &inner[*index])
        .unwrap_or(group[0]);
    let mut reached_from: BTreeMap<NodeIndex, NodeIndex> = BTreeMap::new();
    let mut waiting = VecDeque::from([start]);
    while let Some(last) = waiting.pop_front() {
        let mut neighbours: Vec<_> = next(last).filter(|index| members.contains(index)).collect();
        neighbours.sort_by_key(|index| &inner[*index]);
        for neighbour in neighbours {
            if neighbour == start {
                let back =
                    std::iter::successors(Some(last), |index| reached_from.get(index).copied());
                let mut route: Vec<_> = back.map(|index| &graph.inner[index]).collect();
                route.reverse();
                return route;
            }
            if let Entry::Vacant(place) = reached_from.entry(neighbour) {
                place.insert(last);
                waiting.push_back(neighbour);
            }
        }
    }
    group.iter().map(|index| &graph.inner[*index]).collect()
}

fn report(cycle: &[&Vertex], project: &Project, graph: &Graph) -> Diagnostic {
    let mut names: Vec<String> = cycle
        .iter()
        .take(SHOWN)
        .map(|vertex| format!("`{vertex}`"))
        .collect();
    if cycle.len() > SHOWN {
        names.push(format!("… {} more …", cycle.len() - SHOWN));
    }
    names.push(names[0].clone());
    let mut diagnostic = Diagnostic::error(
        codes::DEPENDENCY_CYCLE,
        format!("dependency cycle: {}", names.join(" → ")),
    );
    for (at, vertex) in cycle.iter().enumerate().take(SHOWN) {
        let Vertex::Node(id) = vertex else { continue };
        let previous = cycle[(at + cycle.len() - 1) % cycle.len()];
        let place = graph
            .reads
            .get(id)
            .and_then(|reads| reads.place_of(previous));
        let fallback = project
            .pipes
            .get(&id.pipe)
            .and_then(|pipe| pipe.node(&id.node))
            .map(|node| node.name.span);
        if let Some(span) = place.or(fallback) {
            diagnostic = diagnostic.label(span, format!("`{id}` reads `{previous}` here"));
        }
    }
    diagnostic
        .note("each of these needs the rows of the one before it")
        .help("take one of the reads out, or read the data source itself")
}
