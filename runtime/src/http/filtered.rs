//! What runs by itself sees every row: a materialized view with each insert, a copy at its times. So a token that may see only some rows of a data source
//! cannot define it, nor have it filled from the rows of before.

use pipewright_compiler::graph::NodeId;
use pipewright_compiler::plan::{Plan, RequestContext, Role, RowFilters, Schedule};
use pipewright_compiler::template::{RenderContext, Values};

use super::access::Access;
use super::error::ApiError;

/// Refuses a change after which a node runs by itself, with other rows than before, that the token may not see.
pub(super) fn refuse_hidden_rows(
    access: &Access,
    before: &Plan,
    after: &Plan,
) -> Result<(), ApiError> {
    if access.filters.is_empty() {
        return Ok(());
    }
    let nodes = after.pipes.values().flat_map(|pipe| &pipe.nodes);
    for node in nodes.filter(|node| runs_by_itself(&node.role)) {
        let ran_before = before
            .pipes
            .get(&node.id.pipe)
            .and_then(|pipe| pipe.nodes.iter().find(|old| old.id == node.id))
            .is_some_and(|old| runs_by_itself(&old.role));
        let all = statement(after, &node.id, RowFilters::NONE);
        let is_old = ran_before && all == statement(before, &node.id, RowFilters::NONE);
        if !is_old && statement(after, &node.id, &access.filters) != all {
            return Err(refusal(&node.id));
        }
    }
    Ok(())
}

/// Refuses to fill what a node fills, if the token may not see all rows that it reads.
pub(super) fn refuse_hidden_rows_of(
    access: &Access,
    plan: &Plan,
    node: &NodeId,
) -> Result<(), ApiError> {
    let sees_all = access.filters.is_empty()
        || statement(plan, node, &access.filters) == statement(plan, node, RowFilters::NONE);
    if sees_all { Ok(()) } else { Err(refusal(node)) }
}

fn runs_by_itself(role: &Role) -> bool {
    match role {
        Role::Materialized { .. } => true,
        Role::Copy { schedule, .. } => matches!(schedule, Schedule::Cron(_)),
        Role::Standard | Role::Endpoint | Role::Sink => false,
    }
}

fn statement(plan: &Plan, node: &NodeId, filters: &RowFilters) -> Option<String> {
    let values = Values::default();
    let request = RequestContext {
        values: &values,
        render: RenderContext::default(),
    };
    let compiled = plan.compile_node_for(node, request, filters);
    compiled.ok().map(|compiled| compiled.sql.into_text())
}

fn refusal(node: &NodeId) -> ApiError {
    ApiError::Forbidden(format!(
        "the token may see only some rows of what `{node}` reads, and what runs by itself sees all of them"
    ))
}
