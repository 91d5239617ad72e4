//! Stage *check*: findings about a [`Plan`] that earlier stages did not need in order to go on.
//!
//! Each rule is one file with a page for people and a function from the plan to diagnostics, and is listed in [`RULES`]. A rule must be right without an
//! engine: where the text leaves a doubt, it is silent. `-- pipewright: allow(code)` on the line of a finding or on the one above silences it.

mod lints;
mod message;
mod missing_merge;
mod missing_state;
mod nondeterministic_view;
mod nullable_key;
mod parameter_types;
mod plain_column;
mod refused;
mod silence;
mod target_columns;
#[cfg(test)]
mod tests;
mod unpublishable;
mod unused_datasource;
mod useless_order;
mod view_with_union;
mod views;

use pipewright_grammar::diagnostic::{Code, Diagnostic, Severity};

pub(crate) use lints::unknown_lints;
pub use refused::{Refusal, Statement, statements, without_consequences};

use crate::diagnostics::render;
use crate::plan::Plan;

/// A rule with what people are told about it.
#[derive(Debug)]
pub struct Rule {
    /// The code of its findings.
    pub code: Code,
    /// The severity unless `[lints]` sets another.
    pub severity: Severity,
    /// One line.
    pub summary: &'static str,
    /// What it does, why that is bad, an example, and what to write instead.
    page: &'static str,
    check: fn(&Plan) -> Vec<Diagnostic>,
}

impl Rule {
    /// The severity as `[lints]` writes it.
    pub fn severity_name(&self) -> &'static str {
        render::severity(self.severity)
    }

    /// The page for people, in Markdown: what the rule does, why that is bad, an example, what to write instead, and how to change its severity.
    pub fn markdown(&self) -> String {
        let (page, code, severity) = (self.page, self.code, self.severity_name());
        format!(
            "{page}\n## Severity\nA {severity}. `{code} = \"error\"` under `[lints]` in `pipewright.toml` makes it an error, `\"off\"` silences it; the comment\n\
             `-- pipewright: allow({code})` silences it for its own line and the next.\n"
        )
    }
}

/// Every rule, in the order in which they run.
pub const RULES: &[Rule] = &[
    missing_merge::RULE,
    missing_state::RULE,
    nondeterministic_view::RULE,
    nullable_key::RULE,
    parameter_types::RULE,
    plain_column::RULE,
    target_columns::RULE,
    unused_datasource::RULE,
    useless_order::RULE,
    view_with_union::RULE,
];

/// The rule of that code.
pub fn rule(code: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.code.name() == code)
}

/// Runs every rule.
pub fn run(plan: &Plan) -> Vec<Diagnostic> {
    let mut findings = unpublishable::check(plan);
    for rule in RULES {
        let found = (rule.check)(plan);
        findings.extend(
            found
                .into_iter()
                .filter(|finding| !silence::is_silenced(plan, finding)),
        );
    }
    findings
}
