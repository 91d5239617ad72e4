//! `pipewright check`.

use std::path::Path;

use pipewright_compiler::diagnostics::{apply_fixes, render};
use pipewright_compiler::plan::Plan;
use pipewright_grammar::diagnostic::{Diagnostic, Severity};
use serde_json::json;

use super::arguments::{Check, ReportFormat};
use super::printer::Printer;
use super::{ExitStatus, checked, count, project_folder};

pub(super) fn run(
    check: &Check,
    project: Option<&Path>,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let folder = project_folder(check.dir.as_deref(), project)?;
    let (mut plan, mut diagnostics) = checked(&folder)?;
    if check.fix {
        let fixed = fix(&folder, &plan, &diagnostics)?;
        if fixed > 0 {
            printer.note(&format!("fixed {fixed} {}", plural(fixed, "file")));
            (plan, diagnostics) = checked(&folder)?;
        }
    }
    let errors = count(&diagnostics, Severity::Error);
    print(check.format, &plan, &diagnostics, printer)?;
    Ok(if errors > 0 {
        ExitStatus::Findings
    } else {
        ExitStatus::Success
    })
}

fn print(
    format: ReportFormat,
    plan: &Plan,
    diagnostics: &[Diagnostic],
    printer: &Printer,
) -> anyhow::Result<()> {
    let sources = plan.project.sources.files();
    match format {
        ReportFormat::Json => {
            let report = json!({ "summary": summary(plan, diagnostics), "diagnostics": render::json(diagnostics, sources) });
            printer.data(&serde_json::to_string_pretty(&report)?)?;
        }
        ReportFormat::Concise => printer.data(&render::concise(diagnostics, sources))?,
        ReportFormat::Github => printer.data(&render::github(diagnostics, sources))?,
        ReportFormat::Text => {
            printer.data(&render::text(diagnostics, sources, printer.style()))?;
            say_summary(plan, diagnostics, printer);
        }
    }
    Ok(())
}

fn summary(plan: &Plan, diagnostics: &[Diagnostic]) -> serde_json::Value {
    json!({
        "files": plan.project.sources.files().len(),
        "pipes": plan.project.pipes.len(),
        "nodes": plan.project.pipes.values().map(|pipe| pipe.nodes.len()).sum::<usize>(),
        "errors": count(diagnostics, Severity::Error),
        "warnings": count(diagnostics, Severity::Warning),
    })
}

fn say_summary(plan: &Plan, diagnostics: &[Diagnostic], printer: &Printer) {
    let (pipes, datasources) = (plan.project.pipes.len(), plan.project.datasources.len());
    let (errors, warnings) = (
        count(diagnostics, Severity::Error),
        count(diagnostics, Severity::Warning),
    );
    let findings = match (errors, warnings) {
        (0, 0) => "no findings".to_owned(),
        (0, warnings) => format!("{warnings} {}", plural(warnings, "warning")),
        (errors, 0) => format!("{errors} {}", plural(errors, "error")),
        (errors, warnings) => format!(
            "{errors} {}, {warnings} {}",
            plural(errors, "error"),
            plural(warnings, "warning")
        ),
    };
    printer.note(&format!(
        "checked {pipes} {} and {datasources} data {}: {findings}",
        plural(pipes, "pipe"),
        plural(datasources, "source")
    ));
    if pipes + datasources == 0 {
        printer.hint("there is no .pipe or .datasource file below this folder; `pipewright init` makes a project to start from");
    } else if errors == 0 {
        printer.hint("`pipewright serve` deploys the project and answers requests");
    }
}

pub(super) fn plural(count: usize, word: &str) -> String {
    if count == 1 {
        word.to_owned()
    } else {
        format!("{word}s")
    }
}

/// Writes the files that safe fixes change; returns how many.
fn fix(folder: &Path, plan: &Plan, diagnostics: &[Diagnostic]) -> anyhow::Result<usize> {
    let mut changed = 0;
    for file in plan.project.sources.files() {
        let path = folder.join(file.name());
        let text = apply_fixes(file, diagnostics);
        // A file made from an include has the name of the fragment and its arguments put in: only what is on disk as read is written.
        if text != file.text()
            && std::fs::read_to_string(&path).is_ok_and(|on_disk| on_disk == file.text())
        {
            std::fs::write(&path, text)?;
            changed += 1;
        }
    }
    Ok(changed)
}
