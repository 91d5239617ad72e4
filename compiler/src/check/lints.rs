//! `[lints]` in `pipewright.toml`: codes that exist, severities that exist.

use pipewright_grammar::diagnostic::Diagnostic;
use pipewright_grammar::source::Span;

use crate::diagnostics::codes;
use crate::graph::similar_names;
use crate::plan::Plan;
use crate::template;

const LEVELS: &[&str] = &["error", "warning", "note", "off"];

/// The codes of every stage.
fn known() -> impl Iterator<Item = &'static str> {
    let stages = [
        pipewright_grammar::codes::ALL,
        codes::ALL,
        template::codes::ALL,
    ];
    stages.into_iter().flatten().map(|code| code.name())
}

/// A warning for each entry of `[lints]` that has no effect.
pub(crate) fn unknown_lints(plan: &Plan) -> Vec<Diagnostic> {
    let Some(file) = plan.project.sources.file("pipewright.toml") else {
        return Vec::new();
    };
    let known: Vec<&str> = known().collect();
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
        let mut diagnostic = Diagnostic::warning(codes::UNKNOWN_LINT, message).label(
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_code_is_declared_in_one_stage_only() {
        let mut seen = BTreeSet::new();
        let twice: Vec<&str> = known().filter(|code| !seen.insert(*code)).collect();
        assert_eq!(twice, [""; 0]);
    }
}
