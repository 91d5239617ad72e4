//! A plan as `plan`, `deploy` and `rollback` print it, whoever made it.

use std::fmt::Write as _;

use pipewright_compiler::deploy::Effect;
use pipewright_compiler::diagnostics::render;
use pipewright_compiler::plan::Plan;
use pipewright_grammar::diagnostic::Diagnostic;
use serde_json::json;

use super::arguments::OutputFormat;
use super::printer::Printer;
use crate::catalog::Drift;
use crate::deploy::{DeployStep, Fate, ResourceChange, ResourceKind, Size};

/// What there is to print of a plan.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown<'a> {
    /// What happens in the engine.
    pub(super) steps: &'a [DeployStep],
    /// What comes, changes and goes.
    pub(super) resources: &'a [ResourceChange],
    /// What files and API disagree about.
    pub(super) drift: &'a [Drift],
}

impl Shown<'_> {
    /// Whether endpoints are answered no more that were until now: of files that the API has otherwise, that has been told.
    pub(super) fn ends_endpoints(&self) -> bool {
        let mut resources = self.resources.iter();
        resources.any(|change| change.endpoint_goes && !self.is_drift(change))
    }

    fn is_drift(&self, change: &ResourceChange) -> bool {
        self.drift.iter().any(|drift| drift.path == change.path)
    }
}

/// Prints a plan.
pub(super) fn show(
    shown: &Shown<'_>,
    format: OutputFormat,
    printer: &Printer,
) -> anyhow::Result<()> {
    if format == OutputFormat::Json {
        let whole = json!({
            "steps": shown.steps,
            "resources": shown.resources,
            "drift": shown.drift,
        });
        return Ok(printer.data(&serde_json::to_string_pretty(&whole)?)?);
    }
    let mut text = String::new();
    let goes = shown.drift.iter().any(|drift| drift.goes);
    if shown.steps.is_empty() && shown.resources.is_empty() && !goes {
        text.push_str("nothing to do: the engine has what the project says\n");
    }
    for step in shown.steps {
        push_step(&mut text, step);
    }
    for change in shown.resources {
        push_resource(&mut text, change, shown);
    }
    for drift in shown.drift {
        _ = writeln!(text, "{}", drift.message);
    }
    Ok(printer.data(&text)?)
}

/// Prints, for machines, the findings that keep a project from being planned; people have them on stderr.
pub(super) fn show_errors(
    plan: &Plan,
    diagnostics: &[Diagnostic],
    format: OutputFormat,
    printer: &Printer,
) -> anyhow::Result<()> {
    if format != OutputFormat::Json {
        return Ok(());
    }
    let found = render::json(diagnostics, plan.project.sources.files());
    let shown = json!({ "steps": [], "resources": [], "drift": [], "diagnostics": found });
    Ok(printer.data(&serde_json::to_string_pretty(&shown)?)?)
}

/// A line for what comes, changes or goes, unless something else that is printed says so already.
fn push_resource(text: &mut String, change: &ResourceChange, shown: &Shown<'_>) {
    let is_step = |step: &DeployStep| {
        step.name == change.name || step.from.as_deref() == Some(change.name.as_str())
    };
    let is_table = change.kind == ResourceKind::Datasource;
    if is_table && shown.steps.iter().any(is_step) || shown.is_drift(change) {
        return;
    }
    _ = writeln!(text, "{}", change.words());
    if change.endpoint_goes {
        let why = match change.change {
            Fate::Removed => "",
            Fate::Added | Fate::Changed => "it is no endpoint any more: ",
        };
        _ = writeln!(text, "  {why}REQUESTS TO IT WILL BE ANSWERED WITH 404");
    }
}

fn push_step(text: &mut String, step: &DeployStep) {
    let size = |size: Size| format!("{} rows ({} bytes)", size.rows, size.bytes);
    let estimate = step.estimate;
    let mut costs = Vec::new();
    if estimate.reads != Size::default() {
        costs.push(format!("reads {}", size(estimate.reads)));
    }
    if estimate.rewrites != Size::default() {
        costs.push(format!("writes {} anew", size(estimate.rewrites)));
    }
    if step.effect == Effect::Destroys {
        costs.push(format!(
            "TAKES ROWS OR VALUES AWAY: {} are there",
            size(estimate.destroys)
        ));
    } else if costs.is_empty() {
        costs.push("rows stay as they are".to_owned());
    }
    let from = step
        .from
        .as_ref()
        .map_or(String::new(), |from| format!("{from} -> "));
    _ = writeln!(text, "{} {from}{}", step.action.words(), step.name);
    for what in &step.what {
        _ = writeln!(text, "  {what}");
    }
    _ = writeln!(text, "  {}", costs.join("; "));
    for sql in &step.sql {
        for line in sql.lines() {
            _ = writeln!(text, "    {line}");
        }
    }
}
