//! What runs by itself runs in nobody's name: a materialized view with each insert, a copy at its times. It sees every row, so that a token that may see only some
//! rows of a data source cannot define it, nor have it filled from the rows of before; and what it fills must be something that its maker may add rows to.

use std::collections::BTreeMap;

use pipewright_compiler::graph::{NodeId, Vertex};
use pipewright_compiler::plan::{Plan, Role, Schedule};
use pipewright_compiler::project::ResourceName;

use super::access::{Access, is_service_table};
use super::call::Call;
use super::error::ApiError;
use super::fixed::reads_any;

/// Refuses a change after which a node runs by itself, over something else than before, with rows that the token may not see.
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
        // With the same rows in the same place: where it can read them, the token may not send them.
        let ran_before = before
            .pipes
            .get(&node.id.pipe)
            .and_then(|pipe| pipe.node(&node.id.node))
            .is_some_and(|old| runs_by_itself(&old.role) && old.role == node.role);
        let is_old = ran_before && sources(before, &node.id) == sources(after, &node.id);
        if !is_old {
            refuse_hidden_rows_of(access, after, &node.id)?;
        }
    }
    Ok(())
}

/// Refuses to fill what a node fills, if the token may not see all rows of all that the node can read. What a template reads now says nothing of what it reads later:
/// every branch of it counts, and a table's name that is computed may be any.
pub(super) fn refuse_hidden_rows_of(
    access: &Access,
    plan: &Plan,
    node: &NodeId,
) -> Result<(), ApiError> {
    let filters = &access.filters;
    let hides_tables = filters.tables().any(|table| !is_service_table(table));
    let hides = |vertex: &Vertex| match vertex {
        Vertex::Datasource(name) => filters.hides(&name.to_string()),
        Vertex::Service(name) => filters.hides(name),
        Vertex::Node(_) => hides_tables && reads_any(&plan.graph, vertex),
    };
    let closure = plan.graph.closure(&Vertex::Node(node.clone()));
    if closure.into_iter().any(hides) {
        return Err(ApiError::Forbidden(format!(
            "the token may see only some rows of what `{node}` can read, and what runs by itself sees all of them"
        )));
    }
    Ok(())
}

/// Refuses a change after which a materialized view more fills a data source that was there before and that the token may not add rows to. `anew` is one that is made
/// anew with the change.
pub(super) fn refuse_foreign_targets(
    access: &Access,
    before: &Plan,
    after: &Plan,
    anew: Option<&str>,
) -> Result<(), ApiError> {
    let (old, new) = (filled(before), filled(after));
    for (target, views) in new {
        let is_foreign = before.tables.contains_key(target)
            && anew != Some(target.name.as_str())
            && old.get(target).is_none_or(|before| views > *before);
        if is_foreign {
            Call::require(
                access.appends_to(&target.name),
                &format!("PIPES:CREATE and DATASOURCES:APPEND:{target}"),
            )?;
        }
    }
    Ok(())
}

/// How many materialized views fill each data source.
fn filled(plan: &Plan) -> BTreeMap<&ResourceName, usize> {
    let mut filled = BTreeMap::new();
    for node in plan.pipes.values().flat_map(|pipe| &pipe.nodes) {
        if let Role::Materialized { target } = &node.role {
            *filled.entry(target).or_insert(0) += 1;
        }
    }
    filled
}

fn runs_by_itself(role: &Role) -> bool {
    match role {
        Role::Materialized { .. } => true,
        Role::Copy { schedule, .. } => matches!(schedule, Schedule::Cron(_)),
        Role::Standard | Role::Endpoint | Role::Sink => false,
    }
}

/// What a node can read, with the SQL of the nodes among it.
fn sources<'a>(plan: &'a Plan, node: &NodeId) -> Vec<(&'a Vertex, Option<&'a str>)> {
    let closure = plan.graph.closure(&Vertex::Node(node.clone()));
    let sql = |vertex: &Vertex| {
        let Vertex::Node(id) = vertex else {
            return None;
        };
        let pipe = plan.project.pipes.get(&id.pipe)?;
        Some(pipe.node(&id.node)?.body.text.as_str())
    };
    let with_sql = closure.into_iter().map(|vertex| (vertex, sql(vertex)));
    with_sql.collect()
}
