//! Data sources as nodes read them, with what rules ask of them.

use crate::graph::{Branch, Target};
use crate::plan::{NodePlan, PipePlan, Plan, TablePlan};
use crate::sql::{Position, TableReference};

/// A place where a node reads a data source of the project.
pub(super) struct Read<'a> {
    pub(super) node: &'a NodePlan,
    pub(super) branch: &'a Branch,
    /// Which branch; the first is that of a request without parameters.
    pub(super) at: usize,
    pub(super) reference: &'a TableReference,
    pub(super) table: &'a TablePlan,
}

/// Every place after `FROM` or `JOIN` where a node of a pipe reads a data source under its own name; of branches that read it at the same place
/// in the same way, with `FINAL` or without, the first.
pub(super) fn datasources<'a>(
    plan: &'a Plan,
    pipe: &'a PipePlan,
) -> impl Iterator<Item = Read<'a>> {
    pipe.nodes.iter().flat_map(|node| {
        let branches = plan.graph.branches(&node.id).iter().enumerate();
        let mut seen = Vec::new();
        let mut reads = Vec::new();
        for (at, branch) in branches {
            for reference in &branch.scan.tables {
                let place = branch.rendered.sql.locate_range(reference.span.clone());
                let place = (place, reference.is_final.is_some());
                if reference.position != Position::From || seen.contains(&place) {
                    continue;
                }
                if let Some(table) = table(plan, node, reference) {
                    seen.push(place);
                    reads.push(Read {
                        node,
                        branch,
                        at,
                        reference,
                        table,
                    });
                }
            }
        }
        reads
    })
}

fn table<'a>(plan: &'a Plan, node: &NodePlan, reference: &TableReference) -> Option<&'a TablePlan> {
    match plan.target(&node.id, reference)? {
        Target::Datasource(datasource) => plan.tables.get(&datasource.name),
        _ => None,
    }
}
