//! Materialized nodes with what rules ask of them.

use std::ops::Range;

use pipewright_grammar::source::Span;

use crate::graph::{Branch, NodeId, Vertex};
use crate::plan::{NodePlan, PipePlan, Plan, Role, TablePlan};
use crate::sql::Called;

/// A materialized node, as it is without parameters.
pub(super) struct View<'a> {
    pub(super) node: &'a NodePlan,
    pub(super) target: Option<&'a TablePlan>,
    pub(super) branch: &'a Branch,
}

/// The materialized nodes whose SQL can be read.
pub(super) fn all_views(plan: &Plan) -> impl Iterator<Item = View<'_>> {
    plan.pipes.values().flat_map(|pipe| views(plan, pipe))
}

/// The same of one pipe.
pub(super) fn views<'a>(plan: &'a Plan, pipe: &'a PipePlan) -> impl Iterator<Item = View<'a>> {
    pipe.nodes.iter().filter_map(|node| {
        let Role::Materialized { target } = &node.role else {
            return None;
        };
        let branch = plan.graph.branches(&node.id).first()?;
        let target = plan.tables.get(target);
        Some(View {
            node,
            target,
            branch,
        })
    })
}

impl View<'_> {
    /// The place in the file of bytes of the SQL; the node's name where they come from no file.
    pub(super) fn place(&self, plan: &Plan, range: Range<usize>) -> Span {
        place(plan, self.node, self.branch, range)
    }

    /// Where a function is called that is wanted, by its name in lower case: in the text of the node and of all nodes that it reads.
    pub(super) fn calls<'p>(&self, plan: &'p Plan, wanted: impl Fn(&str) -> bool) -> Vec<Call<'p>> {
        let mut found = Vec::new();
        for (node, branch) in closure(plan, &self.node.id) {
            let calls = branch.scan.functions.iter();
            let calls = calls.filter(|called| wanted(&called.name.to_ascii_lowercase()));
            found.extend(calls.map(|called| Call {
                called,
                node,
                place: place(plan, node, branch, called.span.clone()),
            }));
        }
        found
    }

    /// The materialized node, and how it comes to what stands in the text of another.
    pub(super) fn through(&self, node: &NodePlan) -> String {
        let own = &self.node.id;
        if node.id == *own {
            format!("materialized node `{}`", own.node)
        } else if node.id.pipe == own.pipe {
            format!(
                "node `{}`, which materialized node `{}` reads,",
                node.id.node, own.node
            )
        } else {
            format!(
                "node `{}`, which materialized node `{own}` reads,",
                node.id.node
            )
        }
    }
}

/// A call of a function.
pub(super) struct Call<'a> {
    pub(super) called: &'a Called,
    /// In whose text it stands.
    pub(super) node: &'a NodePlan,
    pub(super) place: Span,
}

/// A node and all nodes that it reads, itself first, each as it is without parameters.
pub(super) fn closure<'a>(
    plan: &'a Plan,
    id: &NodeId,
) -> impl Iterator<Item = (&'a NodePlan, &'a Branch)> {
    let own = Vertex::Node(id.clone());
    let read = plan.graph.closure(&own).into_iter();
    let others = read.filter(|vertex| **vertex != own).cloned();
    let vertices: Vec<Vertex> = std::iter::once(own.clone()).chain(others).collect();
    vertices.into_iter().filter_map(|vertex| {
        let Vertex::Node(id) = vertex else {
            return None;
        };
        let node = plan.pipes.get(&id.pipe)?.node(&id.node)?;
        Some((node, plan.graph.branches(&id).first()?))
    })
}

/// The place in the file of bytes of a node's SQL; the node's name where they come from no file.
pub(super) fn place(plan: &Plan, node: &NodePlan, branch: &Branch, range: Range<usize>) -> Span {
    let fallback = || plan.node(&node.id).map(|(_, node)| node.name.span);
    branch
        .rendered
        .sql
        .locate_range(range)
        .or_else(fallback)
        .unwrap_or(Span::new(crate::plan::QUERY_SOURCE, 0, 0))
}
