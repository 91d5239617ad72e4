//! Stage *check*: findings about a [`Plan`] that earlier stages did not need in order to go on.
//!
//! Each rule is one file with a function from the plan to diagnostics, and is listed in [`RULES`].

mod unpublishable;

use pipewright_grammar::diagnostic::Diagnostic;

use crate::plan::Plan;

/// A rule.
pub type Rule = fn(&Plan) -> Vec<Diagnostic>;

/// Every rule, in the order in which they run.
pub const RULES: &[Rule] = &[unpublishable::check];

/// Runs every rule.
pub fn run(plan: &Plan) -> Vec<Diagnostic> {
    RULES.iter().flat_map(|rule| rule(plan)).collect()
}
