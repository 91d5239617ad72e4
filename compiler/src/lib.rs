#![doc = include_str!("../ARCHITECTURE.md")]

pub mod check;
pub mod connect;
pub mod contract;
pub mod deploy;
pub mod diagnostics;
pub mod emit;
pub mod graph;
pub mod lineage;
pub mod mapped_text;
pub mod optimize;
pub mod plan;
pub mod project;
mod session;
pub mod sql;
pub mod template;
pub mod types;

pub use session::Session;

use std::collections::BTreeMap;

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use crate::plan::Plan;
use crate::project::SourceTree;

/// load → resolve → plan: the project as far as it can be understood, with everything that was found on the way.
pub fn compile(sources: SourceTree) -> (Plan, Vec<Diagnostic>) {
    let compiled = session::compile(sources, None);
    (compiled.plan, compiled.diagnostics)
}

/// load → resolve → plan → check: everything that can be found without an engine, sorted by place, severities as `pipewright.toml` sets them.
pub fn check(sources: SourceTree) -> (Plan, Vec<Diagnostic>) {
    let (plan, mut diagnostics) = compile(sources);
    let found = check::run(&plan);
    add_findings(&plan, found, &mut diagnostics);
    (plan, diagnostics)
}

/// Adds what the rules found, and gives all its order and severities.
fn add_findings(plan: &Plan, mut found: Vec<Diagnostic>, diagnostics: &mut Vec<Diagnostic>) {
    // What cannot be read may be what reads them.
    if diagnostics
        .iter()
        .any(|diagnostic| diagnostic.severity == Severity::Error)
    {
        use diagnostics::codes::{UNUSED_DATASOURCE, UNUSED_NODE, UNUSED_PARAMETER, UNUSED_PIPE};
        let of_use = [
            UNUSED_DATASOURCE,
            UNUSED_NODE,
            UNUSED_PARAMETER,
            UNUSED_PIPE,
        ];
        found.retain(|diagnostic| !of_use.contains(&diagnostic.code));
    }
    diagnostics.extend(found);
    diagnostics.extend(check::unknown_lints(plan));
    settle(plan, diagnostics);
}

/// Gives findings the severities that `pipewright.toml` sets, leaves out those that it turns off, and sorts them by place.
pub fn settle(plan: &Plan, diagnostics: &mut Vec<Diagnostic>) {
    let lints = &plan.project.config.lints;
    diagnostics.retain(|diagnostic| {
        lints
            .get(diagnostic.code.name())
            .is_none_or(|level| level != "off")
    });
    for diagnostic in diagnostics.iter_mut() {
        match lints.get(diagnostic.code.name()).map(String::as_str) {
            Some("error") => diagnostic.severity = Severity::Error,
            Some("warning") => diagnostic.severity = Severity::Warning,
            Some("note") => diagnostic.severity = Severity::Note,
            _ => {}
        }
    }
    diagnostics.sort_by_key(|diagnostic| {
        (
            diagnostic.primary().map(|span| (span.source, span.start)),
            diagnostic.code,
        )
    });
    leave_out_repetitions(diagnostics);
}

/// So many findings of one code in one file are told; a file with more has one mistake many times.
const MOST_OF_A_KIND: usize = 100;

/// Cuts what a file repeats, and says how much that was.
fn leave_out_repetitions(diagnostics: &mut Vec<Diagnostic>) {
    let mut counts: BTreeMap<_, usize> = BTreeMap::new();
    let kind = |found: &Diagnostic| Some((found.primary()?.source, found.code));
    diagnostics.retain(|found| {
        let Some(kind) = kind(found) else { return true };
        let count = counts.entry(kind).or_default();
        *count += 1;
        *count <= MOST_OF_A_KIND
    });
    // The last of a kind says how many are like it.
    for found in diagnostics.iter_mut().rev() {
        let count = kind(found).and_then(|kind| counts.remove(&kind));
        if let Some(more) = count.and_then(|count| count.checked_sub(MOST_OF_A_KIND))
            && more > 0
        {
            let note = format!("{more} more like this in the file are not shown");
            found.notes.push(note.into());
        }
    }
}
