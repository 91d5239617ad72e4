//! Parameters that nobody gives.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::graph::Vertex;
use crate::plan::{NodePlan, PipePlan, Plan, QueryError, RequestContext, Role, Schedule};
use crate::template::{ErrorKind, RenderContext, TemplateError, Values};

pub(super) const RULE: Rule = Rule {
    code: codes::REQUIRED_PARAMETER,
    severity: Severity::Error,
    by_default: true,
    summary: "a parameter without a default in a node that runs by itself",
    page: PAGE,
    check: Check::OfPipe(check),
};

const PAGE: &str = "\
# required-parameter

## What it does
Finds parameters without a default in materialized nodes, in copy nodes with a schedule, and in the nodes that they read.

## Why is this bad
A view runs with every insert and a scheduled copy by the clock: there is no request that would give the value. The copy fails each time, and the view would keep a
value that nobody has chosen.

## Example
    NODE of_site
    SQL >
        %
        SELECT * FROM hits WHERE site = {{ String(site) }}
    TYPE materialized
    DATASOURCE hits_of_site

## Use instead
A default, `{{ String(site, 'shop') }}`, or the condition where the target is read.
";

fn check(plan: &Plan, pipe: &PipePlan) -> Vec<Diagnostic> {
    let found = pipe.nodes.iter().filter_map(|node| {
        let (what, target) = match &node.role {
            Role::Materialized { target } => ("with every insert", target),
            Role::Copy {
                target,
                schedule: Schedule::Cron(_),
                ..
            } => ("by its schedule", target),
            _ => return None,
        };
        let error = missing(plan, node)?;
        let name = error
            .parameter
            .as_ref()
            .map_or_else(String::new, |name| format!(" for `{name}`"));
        let message = format!("there is no value{name}, and no request gives one");
        let place = error
            .span
            .or_else(|| plan.node(&node.id).map(|(_, node)| node.name.span))?;
        let diagnostic = Diagnostic::new(RULE.severity, RULE.code, message)
            .label(place, format!("`{}` fills `{target}` {what}", node.id.node));
        Some(diagnostic.help("give it a default"))
    });
    found.collect()
}

/// The value that a node, or what it reads, cannot be without.
fn missing(plan: &Plan, node: &NodePlan) -> Option<TemplateError> {
    let vertex = Vertex::Node(node.id.clone());
    let has_parameters = plan.graph.closure(&vertex).into_iter().any(|vertex| {
        matches!(vertex, Vertex::Node(id) if plan.node(id).is_some_and(|(_, node)| !node.template.parameters().is_empty()))
    });
    if !has_parameters {
        return None;
    }
    let values = Values::default();
    let request = RequestContext {
        values: &values,
        render: RenderContext::default(),
    };
    match plan.compile_node(&node.id, request) {
        Err(QueryError::Template(error))
            if matches!(
                error.kind,
                ErrorKind::MissingRequired
                    | ErrorKind::MissingColumnDefault
                    | ErrorKind::NullExpression
            ) =>
        {
            Some(error)
        }
        _ => None,
    }
}
