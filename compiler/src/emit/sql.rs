//! The SQL of a node as it is without parameters.

use pipewright_grammar::diagnostic::Diagnostic;

use crate::diagnostics::codes;
use crate::graph::NodeId;
use crate::plan::{Compiled, Plan, QueryError, RequestContext, RowFilters};
use crate::template::{ErrorKind, RenderContext, Values};

/// A node's statement with every parameter at its default; where one has none, with the placeholder that checks use.
pub fn default_sql(plan: &Plan, id: &NodeId) -> Result<Compiled, QueryError> {
    compiled_sql(plan, id, &Values::default())
}

/// The statement of a materialized node's view: where what it fills is inferred to hold states, with states in the place of values.
pub fn view_sql(plan: &Plan, id: &NodeId) -> Result<Compiled, QueryError> {
    let mut compiled = default_sql(plan, id)?;
    if plan.fills_states(id) {
        compiled.sql = plan.with_states(&compiled.sql)?.sql;
    }
    Ok(compiled)
}

/// A node's statement with some parameters given, and the others at their defaults or placeholders.
pub fn compiled_sql(plan: &Plan, id: &NodeId, values: &Values) -> Result<Compiled, QueryError> {
    or_checked(values, |request| plan.compile_node(id, request))
}

/// The same before the optimizer looked at it.
pub fn sql_before_rules(plan: &Plan, id: &NodeId, values: &Values) -> Result<Compiled, QueryError> {
    or_checked(values, |request| {
        plan.compile_node_as_written(id, request, RowFilters::NONE)
    })
}

fn or_checked(
    values: &Values,
    compile: impl Fn(RequestContext<'_>) -> Result<Compiled, QueryError>,
) -> Result<Compiled, QueryError> {
    let with = |render| compile(RequestContext { values, render });
    match with(RenderContext::default()) {
        Err(QueryError::Template(error)) if !matches!(error.kind, ErrorKind::CustomError) => {
            with(RenderContext::check())
        }
        other => other,
    }
}

/// The diagnostic for a node that could not be compiled.
pub(crate) fn diagnostic(plan: &Plan, id: &NodeId, error: &QueryError) -> Diagnostic {
    let span = plan.node(id).map(|(_, node)| node.body.span);
    match error {
        QueryError::Sql(diagnostic) => (**diagnostic).clone(),
        QueryError::Template(error) => match span {
            Some(span) => error.to_diagnostic_at(span),
            None => Diagnostic::error(codes::TEMPLATE_ERROR, error.to_string()),
        },
        QueryError::NoSuchNode(name) => Diagnostic::error(
            codes::UNKNOWN_RESOURCE,
            format!("there is no node `{name}`"),
        ),
    }
}
