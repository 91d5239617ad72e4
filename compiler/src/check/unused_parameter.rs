//! Parameters that no request can give.

use std::collections::BTreeSet;

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::graph::Vertex;
use crate::plan::{PipePlan, Plan, Role};

pub(super) const RULE: Rule = Rule {
    code: codes::UNUSED_PARAMETER,
    severity: Severity::Note,
    by_default: true,
    summary: "a parameter of a node that the endpoint does not read",
    page: PAGE,
    check: Check::OfPipe(check),
};

const PAGE: &str = "\
# unused-parameter

## What it does
Finds parameters with a type in nodes of an endpoint's pipe that the endpoint does not read, where no node that it does read has a parameter of the name.

## Why is this bad
It looks like a parameter of the endpoint, and a request that gives it gets the same answer as one that does not.

## Example
    NODE by_user
    SQL >
        %
        SELECT * FROM hits WHERE user = {{ String(user) }}
    NODE result
    SQL >
        SELECT day, count() AS hits FROM hits GROUP BY day
    TYPE endpoint

## Use instead
Read the node in the endpoint: `FROM by_user`.
";

fn check(plan: &Plan, pipe: &PipePlan) -> Vec<Diagnostic> {
    let (Some(_), Some(source)) = (pipe.endpoint, plan.project.pipes.get(&pipe.name)) else {
        return Vec::new();
    };
    let unread = unread(plan, pipe);
    if unread.is_empty() {
        return Vec::new();
    }
    let mut known: BTreeSet<&str> = pipe
        .parameters
        .iter()
        .map(|parameter| parameter.name.as_str())
        .collect();
    let mut found = Vec::new();
    for node in unread.iter().filter_map(|at| source.nodes.get(*at)) {
        let declared = node.template.parameters().iter();
        for parameter in declared.filter(|parameter| parameter.typed) {
            if !known.insert(&parameter.name) {
                continue;
            }
            let message = format!(
                "`{}` is no parameter of endpoint `{}`",
                parameter.name, pipe.name
            );
            found.push(
                Diagnostic::new(RULE.severity, RULE.code, message)
                    .label(
                        parameter.span,
                        format!("the endpoint does not read `{}`", node.name.value),
                    )
                    .help("read the node in the endpoint, or take it away"),
            );
        }
    }
    found
}

/// The nodes that publish nothing and that nothing reads. Copies and views of the pipe have parameters of their own.
fn unread(plan: &Plan, pipe: &PipePlan) -> Vec<usize> {
    let nodes = pipe.nodes.iter().enumerate();
    let unread = nodes.filter(|(_, node)| {
        let vertex = Vertex::Node(node.id.clone());
        node.role == Role::Standard && plan.graph.readers(&vertex).is_empty()
    });
    unread.map(|(at, _)| at).collect()
}
