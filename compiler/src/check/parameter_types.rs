//! Parameters that are declared with two types.

use std::collections::{BTreeMap, BTreeSet};

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::plan::{PipePlan, Plan};
use crate::template::Parameter;

pub(super) const RULE: Rule = Rule {
    code: codes::PARAMETER_TYPES,
    severity: Severity::Warning,
    by_default: true,
    summary: "one parameter with two types in a pipe",
    page: PAGE,
    check: Check::OfPipe(check),
};

const PAGE: &str = "\
# parameter-types

## What it does
Finds parameters that the nodes of a pipe, or one of them, declare with different types.

## Why is this bad
A request gives one text for the name. What one node reads as a number another may refuse, and the description of the API can show only one type.

## Example
    NODE a: … WHERE id = {{ Int32(id) }}
    NODE b: … WHERE id = {{ String(id) }}

## Use instead
The same type in every node, or two names.
";

fn check(plan: &Plan, pipe: &PipePlan) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut first: BTreeMap<&str, &Parameter> = BTreeMap::new();
    let mut said = BTreeSet::new();
    let source = plan.project.pipes.get(&pipe.name);
    let nodes = source.into_iter().flat_map(|source| &source.nodes);
    let parameters = nodes.flat_map(|node| {
        let template = &node.template;
        template.parameters().iter().chain(template.redeclared())
    });
    for parameter in parameters.filter(|parameter| parameter.typed) {
        let known = *first.entry(&parameter.name).or_insert(parameter);
        let again = !said.insert((&parameter.name, &parameter.data_type));
        if known.data_type == parameter.data_type || again {
            continue;
        }
        let message = format!(
            "parameter `{}` is `{}` here and `{}` before",
            parameter.name, parameter.data_type, known.data_type
        );
        found.push(
            Diagnostic::new(RULE.severity, RULE.code, message)
                .label(parameter.span, "")
                .label(known.span, "before")
                .help("declare it with one type, or take two names"),
        );
    }
    found
}
