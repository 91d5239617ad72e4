//! Pipes that nothing comes of.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::graph::Vertex;
use crate::plan::{PipePlan, Plan, Role};

pub(super) const RULE: Rule = Rule {
    code: codes::UNUSED_PIPE,
    severity: Severity::Note,
    by_default: false,
    summary: "a pipe that publishes nothing and that no other reads",
    page: PAGE,
    check: Check::OfPipe(check),
};

const PAGE: &str = "\
# unused-pipe

## What it does
Finds pipes without an endpoint, materialized, copy or sink node, that no other pipe reads and no `TOKEN` grants.

## Why is this bad
Only queries from outside can read such a pipe. Where there are none, it is left over.

## Example
    NODE first_try
    SQL >
        SELECT count() FROM hits

## Use instead
`TYPE endpoint`, a `TOKEN` for who reads it, or no such file.
";

fn check(plan: &Plan, pipe: &PipePlan) -> Vec<Diagnostic> {
    of_pipe(plan, pipe).into_iter().collect()
}

fn of_pipe(plan: &Plan, pipe: &PipePlan) -> Option<Diagnostic> {
    let source = plan.project.pipes.get(&pipe.name)?;
    let is_read = pipe.output_node().is_some_and(|node| {
        let vertex = Vertex::Node(node.id.clone());
        !plan.graph.readers(&vertex).is_empty()
    });
    let publishes = pipe.nodes.iter().any(|node| node.role != Role::Standard);
    if publishes || is_read || !source.tokens.is_empty() || pipe.name.workspace.is_some() {
        return None;
    }
    let message = format!(
        "nothing reads pipe `{}`, and it publishes nothing",
        pipe.name
    );
    Some(
        Diagnostic::new(RULE.severity, RULE.code, message)
            .label(source.nodes.last()?.name.span, "its last node")
            .help("make it an endpoint with `TYPE endpoint`, or take it away"),
    )
}
