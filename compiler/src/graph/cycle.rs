//! Cycles, shown as the whole path.

use std::collections::BTreeSet;

use petgraph::algo::tarjan_scc;
use petgraph::stable_graph::NodeIndex;
use pipewright_grammar::diagnostic::Diagnostic;

use super::{Edge, Graph, Vertex};
use crate::diagnostics::codes;
use crate::project::Project;

/// One diagnostic for each group of resources that read one another in a circle.
///
/// A copy may read the data source that it fills, since it runs on demand; a materialized view may not, since each insert would cause another.
pub(super) fn find(graph: &Graph, project: &Project) -> Vec<Diagnostic> {
    let mut inner = graph.inner.clone();
    inner.retain_edges(|graph, edge| graph[edge] != Edge::Copy);
    let mut cycles: Vec<Vec<&Vertex>> = tarjan_scc(&inner)
        .into_iter()
        .filter(|group| group.len() > 1 || inner.contains_edge(group[0], group[0]))
        .map(|group| path(graph, &inner, &group))
        .collect();
    cycles.sort();
    cycles
        .iter()
        .map(|cycle| report(cycle, project, graph))
        .collect()
}

/// The shortest circle through the first vertex of the group, in the order in which rows flow.
fn path<'a>(
    graph: &'a Graph,
    inner: &petgraph::stable_graph::StableDiGraph<Vertex, Edge>,
    group: &[NodeIndex],
) -> Vec<&'a Vertex> {
    let members: BTreeSet<NodeIndex> = group.iter().copied().collect();
    let start = group
        .iter()
        .copied()
        .min_by_key(|index| &inner[*index])
        .unwrap_or(group[0]);
    let mut routes: Vec<Vec<NodeIndex>> = vec![vec![start]];
    let mut seen = BTreeSet::new();
    loop {
        let mut next = Vec::new();
        for route in routes {
            let Some(last) = route.last().copied() else {
                continue;
            };
            let mut neighbours: Vec<_> = inner
                .neighbors(last)
                .filter(|index| members.contains(index))
                .collect();
            neighbours.sort_by_key(|index| &inner[*index]);
            for neighbour in neighbours {
                if neighbour == start {
                    return route.into_iter().map(|index| &graph.inner[index]).collect();
                }
                if seen.insert(neighbour) {
                    let mut longer = route.clone();
                    longer.push(neighbour);
                    next.push(longer);
                }
            }
        }
        if next.is_empty() {
            return group.iter().map(|index| &graph.inner[*index]).collect();
        }
        routes = next;
    }
}

fn report(cycle: &[&Vertex], project: &Project, graph: &Graph) -> Diagnostic {
    let mut names: Vec<String> = cycle.iter().map(|vertex| format!("`{vertex}`")).collect();
    names.push(names[0].clone());
    let mut diagnostic = Diagnostic::error(
        codes::DEPENDENCY_CYCLE,
        format!("dependency cycle: {}", names.join(" → ")),
    );
    for (at, vertex) in cycle.iter().enumerate() {
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
