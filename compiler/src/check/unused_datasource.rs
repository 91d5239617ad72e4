//! Data sources without use.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::graph::Vertex;
use crate::plan::Plan;

pub(super) const RULE: Rule = Rule {
    code: codes::UNUSED_DATASOURCE,
    severity: Severity::Note,
    by_default: true,
    summary: "a data source that nothing reads or fills",
    page: PAGE,
    check: Check::OfProject(check),
};

const PAGE: &str = "\
# unused-datasource

## What it does
Finds data sources that no node reads, no node fills, no token names and no other workspace gets, in projects that have pipes and no errors.

## Why is this bad
It takes space and says nothing. It may be read by queries from outside, which is why this is a note.

## Example
    old_hits.datasource, which no pipe names

## Use instead
Take the file away, or give a token the right to read it.
";

fn check(plan: &Plan) -> Vec<Diagnostic> {
    if plan.project.pipes.is_empty() {
        return Vec::new();
    }
    let datasources = plan.project.datasources.values().filter(|datasource| {
        let vertex = Vertex::Datasource(datasource.name.clone());
        let quarantine = Vertex::Service(format!("{}_quarantine", datasource.name));
        datasource.name.workspace.is_none()
            && datasource.made_by.is_none()
            && datasource.syntax.tokens.is_empty()
            && datasource.syntax.shared_with.is_empty()
            && plan.graph.readers(&vertex).is_empty()
            && plan.graph.readers(&quarantine).is_empty()
            && plan.graph.sources(&vertex).is_empty()
    });
    datasources
        .map(|datasource| {
            let message = format!("no node reads or fills data source `{}`", datasource.name);
            Diagnostic::new(RULE.severity, RULE.code, message)
                .label(datasource.syntax.schema.unwrap_or(datasource.span), "")
                .help("take it away if nothing outside of the project reads it")
        })
        .collect()
}
