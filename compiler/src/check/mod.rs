//! Stage *check*: findings about a [`Plan`] that earlier stages did not need in order to go on.
//!
//! Each rule is one file with a page for people and a function from the plan to diagnostics, and is listed in [`RULES`]. A rule must be right without an
//! engine: where the text leaves a doubt, it is silent. `-- pipewright: allow(code)` on the line of a finding or on the one above silences it.

mod clock_in_view;
mod computed_twice;
mod ignored;
mod inserts;
mod join_order;
mod lints;
mod message;
mod missing_final;
mod missing_merge;
mod missing_over;
mod missing_percent;
mod missing_state;
mod nondeterministic_view;
mod nullable_key;
mod origin;
mod pages;
mod parameter_types;
mod plain_column;
mod refused;
mod required_parameter;
mod set_columns;
mod set_name;
mod silence;
mod star_endpoint;
mod tables;
mod target_columns;
mod target_types;
#[cfg(test)]
mod tests;
mod trigger;
mod unguarded_division;
mod unkeyed_filter;
mod unlimited_endpoint;
mod unpublishable;
mod unused_datasource;
mod unused_node;
mod unused_parameter;
mod unused_pipe;
mod useless_final;
mod useless_order;
mod view_group_key;
mod view_trigger;
mod view_with_union;
mod views;
mod within;

use std::collections::BTreeMap;

use pipewright_grammar::diagnostic::{Code, Diagnostic, Severity};
use rayon::prelude::*;

pub use inserts::{breaks_inserts, insertions, view_that_refused};
pub(crate) use lints::unknown_lints;
pub use pages::{Page, codes, page};
pub use refused::{Refusal, Statement, statements, statements_of, without_consequences};
pub use target_types::target_types;
pub use within::wholes;

use crate::diagnostics::render;
use crate::plan::{PipePlan, Plan};
use crate::project::ResourceName;

/// A rule with what people are told about it.
#[derive(Debug)]
pub struct Rule {
    /// The code of its findings.
    pub code: Code,
    /// The severity unless `[lints]` sets another.
    pub severity: Severity,
    /// Whether it runs unless `[lints]` turns it off; the others run where `[lints]` gives them a severity.
    pub by_default: bool,
    /// One line.
    pub summary: &'static str,
    /// What it does, why that is bad, an example, and what to write instead.
    page: &'static str,
    check: Check,
}

/// What a rule looks at.
#[derive(Debug)]
enum Check {
    /// One pipe: its nodes and all that they read, what they fill, and whether anything reads them. A session keeps the findings of the pipes that no change reaches.
    OfPipe(fn(&Plan, &PipePlan) -> Vec<Diagnostic>),
    /// The whole project.
    OfProject(fn(&Plan) -> Vec<Diagnostic>),
}

impl Rule {
    /// The severity as `[lints]` writes it.
    pub fn severity_name(&self) -> &'static str {
        if self.by_default {
            render::severity(self.severity)
        } else {
            "off"
        }
    }

    /// Whether it runs for a project.
    fn is_on(&self, plan: &Plan) -> bool {
        match plan.project.config.lints.get(self.code.name()) {
            Some(level) => level != "off",
            None => self.by_default,
        }
    }

    /// The page for people, in Markdown: what the rule does, why that is bad, an example, what to write instead, and how to change its severity.
    pub fn markdown(&self) -> String {
        let (page, code, severity) = (self.page, self.code, self.severity_name());
        if !self.by_default {
            return format!(
                "{page}\n## Severity\nOff. `{code} = \"warning\"` under `[lints]` in `pipewright.toml` turns it on; `\"error\"` and `\"note\"` are possible too. The comment\n\
                 `-- pipewright: allow({code})` silences it for its own line and the next.\n"
            );
        }
        format!(
            "{page}\n## Severity\nA {severity}. `{code} = \"error\"` under `[lints]` in `pipewright.toml` makes it an error, `\"off\"` silences it; the comment\n\
             `-- pipewright: allow({code})` silences it for its own line and the next.\n"
        )
    }
}

/// Every rule, in the order in which they run.
pub const RULES: &[Rule] = &[
    clock_in_view::RULE,
    computed_twice::RULE,
    join_order::RULE,
    missing_final::RULE,
    missing_merge::RULE,
    missing_over::RULE,
    missing_percent::RULE,
    missing_state::RULE,
    nondeterministic_view::RULE,
    nullable_key::RULE,
    parameter_types::RULE,
    plain_column::RULE,
    required_parameter::RULE,
    set_columns::RULE,
    set_name::RULE,
    star_endpoint::RULE,
    target_columns::RULE,
    unguarded_division::RULE,
    unkeyed_filter::RULE,
    unlimited_endpoint::RULE,
    unused_datasource::RULE,
    unused_node::RULE,
    unused_parameter::RULE,
    unused_pipe::RULE,
    useless_final::RULE,
    useless_order::RULE,
    view_group_key::RULE,
    view_trigger::RULE,
    view_with_union::RULE,
];

/// The rule of that code.
pub fn rule(code: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.code.name() == code)
}

/// Runs every rule.
pub fn run(plan: &Plan) -> Vec<Diagnostic> {
    let mut findings = of_project(plan);
    let of_pipes = of_pipes(plan, BTreeMap::new());
    findings.extend(of_pipes.into_values().flatten());
    findings
}

/// What is found about the project as a whole and about its data sources.
pub(crate) fn of_project(plan: &Plan) -> Vec<Diagnostic> {
    let mut findings = unpublishable::check(plan);
    findings.extend(ignored::check(plan));
    findings.extend(crate::connect::connectors(plan).1);
    let ruled = rules(plan).flat_map(|rule| match rule.check {
        Check::OfProject(check) => check(plan),
        Check::OfPipe(_) => Vec::new(),
    });
    findings.extend(ruled.filter(|finding| !silence::is_silenced(plan, finding)));
    findings
}

/// What is found about each pipe, where that is not known from before.
pub(crate) fn of_pipes(
    plan: &Plan,
    mut known: BTreeMap<ResourceName, Vec<Diagnostic>>,
) -> BTreeMap<ResourceName, Vec<Diagnostic>> {
    let checks: Vec<_> = rules(plan)
        .filter_map(|rule| match rule.check {
            Check::OfPipe(check) => Some(check),
            Check::OfProject(_) => None,
        })
        .collect();
    let unknown: Vec<&PipePlan> = plan
        .pipes
        .values()
        .filter(|pipe| !known.contains_key(&pipe.name))
        .collect();
    let found: Vec<_> = unknown
        .into_par_iter()
        .map(|pipe| {
            let mut found: Vec<Diagnostic> =
                checks.iter().flat_map(|check| check(plan, pipe)).collect();
            found.retain(|finding| !silence::is_silenced(plan, finding));
            (pipe.name.clone(), once(found))
        })
        .collect();
    known.extend(found);
    known
}

/// Each finding once: two branches may have one mistake at one place.
fn once(found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mut at_place: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    let mut kept: Vec<Diagnostic> = Vec::with_capacity(found.len());
    for finding in found {
        let place = finding.primary().map(|span| (span.source, span.start));
        let others = at_place.entry((finding.code, place)).or_default();
        if !others.iter().any(|other| kept[*other] == finding) {
            others.push(kept.len());
            kept.push(finding);
        }
    }
    kept
}

/// The rules that are on.
fn rules(plan: &Plan) -> impl Iterator<Item = &'static Rule> {
    RULES.iter().filter(|rule| rule.is_on(plan))
}
