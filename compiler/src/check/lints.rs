//! `[lints]` in `pipewright.toml`: codes that exist, severities that exist.

use pipewright_grammar::diagnostic::{Code, Diagnostic};
use pipewright_grammar::source::Span;

use super::pages::codes;
use crate::diagnostics::codes::UNKNOWN_LINT;
use crate::graph::similar_names;
use crate::plan::Plan;

const LEVELS: &[&str] = &["error", "warning", "note", "off"];

/// A warning for each entry of `[lints]` that has no effect.
pub(crate) fn unknown_lints(plan: &Plan) -> Vec<Diagnostic> {
    let Some(file) = plan.project.sources.file("pipewright.toml") else {
        return Vec::new();
    };
    let known: Vec<&str> = codes().map(Code::name).collect();
    let mut found = Vec::new();
    for (name, level) in &plan.project.config.lints {
        let message = if !known.contains(&name.as_str()) {
            format!("there is no finding of the code `{name}`")
        } else if LEVELS.contains(&level.as_str()) {
            continue;
        } else {
            format!("`{level}` is no severity")
        };
        let start = file.text().find(name.as_str()).unwrap_or(0);
        let mut diagnostic = Diagnostic::warning(UNKNOWN_LINT, message).label(
            Span::new(file.id(), start, start + name.len()),
            "has no effect",
        );
        let similar = similar_names(name, known.iter().map(ToString::to_string));
        if known.contains(&name.as_str()) {
            diagnostic = diagnostic.help("write `error`, `warning`, `note` or `off`");
        } else if let Some(similar) = similar.first() {
            diagnostic = diagnostic.help(format!("did you mean `{similar}`?"));
        }
        found.push(diagnostic);
    }
    found
}
