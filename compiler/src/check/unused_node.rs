//! Nodes that nothing comes of.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::graph::Vertex;
use crate::plan::{PipePlan, Plan, Role};

pub(super) const RULE: Rule = Rule {
    code: codes::UNUSED_NODE,
    severity: Severity::Note,
    by_default: true,
    summary: "a node of a published pipe that nothing reads",
    page: PAGE,
    check: Check::OfPipe(check),
};

const PAGE: &str = "\
# unused-node

## What it does
Finds nodes that no other node reads and that publish nothing themselves, in pipes of which another node does.

## Why is this bad
Such nodes are checked, deployed and read by people, and do nothing.

## Example
    NODE first_try
    SQL >
        SELECT count() FROM hits
    NODE result
    SQL >
        SELECT day, count() AS hits FROM hits GROUP BY day
    TYPE endpoint

## Use instead
Take the node away.
";

fn check(plan: &Plan, pipe: &PipePlan) -> Vec<Diagnostic> {
    let source = plan.project.pipes.get(&pipe.name);
    let Some(source) = source.filter(|source| source.name.workspace.is_none()) else {
        return Vec::new();
    };
    let is_read = |at: usize| {
        let vertex = Vertex::Node(pipe.nodes[at].id.clone());
        !plan.graph.readers(&vertex).is_empty()
    };
    // Of a pipe that publishes nothing, no node is more of use than another: that is a finding about the pipe.
    if pipe.nodes.iter().all(|node| node.role == Role::Standard) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (at, node) in pipe.nodes.iter().enumerate() {
        // Readers of the pipe get the output; what a template reads by a name that a request brings is unknown.
        if node.role != Role::Standard || pipe.output == Some(at) || is_read(at) {
            continue;
        }
        let Some(node) = source.nodes.get(at) else {
            continue;
        };
        let message = format!("nothing reads node `{}`", node.name.value);
        found.push(
            Diagnostic::new(RULE.severity, RULE.code, message)
                .label(node.name.span, "")
                .help("take it away if it is not for trying things out"),
        );
    }
    found
}
