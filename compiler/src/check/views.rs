//! Materialized nodes with what rules ask of them.

use std::ops::Range;

use pipewright_grammar::source::Span;

use crate::graph::Branch;
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

    /// The calls of functions that are among these, which are in lower case and sorted.
    pub(super) fn calls_of(&self, functions: &'static [&str]) -> impl Iterator<Item = &Called> {
        self.branch.scan.functions.iter().filter(|called| {
            let lower = called.name.to_ascii_lowercase();
            functions.binary_search(&lower.as_str()).is_ok()
        })
    }
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
