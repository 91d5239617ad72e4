//! `pipewright check`.

use std::path::{Path, PathBuf};

use pipewright_compiler::diagnostics::{apply_fixes, render};
use pipewright_compiler::plan::Plan;
use pipewright_grammar::diagnostic::{Diagnostic, Severity};
use serde::Serialize;
use serde_json::{Value, json};

use super::arguments::{Check, ReportFormat};
use super::printer::Printer;
use super::{ExitStatus, budget, count, place, project_folder, watch};
use crate::typing::Typist;
use crate::workspace;

pub(super) fn run(
    check: &Check,
    project: Option<&Path>,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let folder = project_folder(check.dir.as_deref(), project)?;
    if check.watch {
        return watch::run(check.format, &folder, printer);
    }
    let mut reports = all(&folder)?;
    if check.fix {
        let mut fixed = 0;
        for (plan, diagnostics) in &reports {
            fixed += fix(&folder, plan, diagnostics)?;
        }
        if fixed > 0 {
            printer.note(&format!("fixed {fixed} {}", plural(fixed, "file")));
            reports = all(&folder)?;
        }
    }
    let mut of_types = None;
    if check.types {
        add_types(&folder, &mut reports, printer)?;
    } else if !check.no_engine {
        of_types = Some(add_known_types(&folder, &mut reports)?);
    }
    if check.budget {
        for (plan, diagnostics) in &mut reports {
            diagnostics.extend(budget::findings(plan, &folder, printer)?);
            pipewright_compiler::settle(plan, diagnostics);
        }
    }
    let errors: usize = reports
        .iter()
        .map(|(_, diagnostics)| count(diagnostics, Severity::Error))
        .sum();
    let shown: Vec<Shown<'_>> = reports
        .iter()
        .map(|(plan, diagnostics)| (plan, diagnostics.as_slice()))
        .collect();
    print(check.format, &shown, &folder, printer)?;
    if let Some(said) = of_types.filter(|_| check.format == ReportFormat::Text) {
        printer.note(&said);
    }
    Ok(if errors > 0 {
        ExitStatus::Findings
    } else {
        ExitStatus::Success
    })
}

/// A project with its findings.
type Report = (Plan, Vec<Diagnostic>);

/// The same, to be printed.
pub(super) type Shown<'a> = (&'a Plan, &'a [Diagnostic]);

/// Checks the project of a folder, or each of the projects in its sub-folders.
fn all(folder: &Path) -> anyhow::Result<Vec<Report>> {
    let workspace = workspace::read(folder)?;
    let mut reports: Vec<Report> = workspace::projects(&workspace.sources)
        .into_iter()
        .map(pipewright_compiler::check)
        .collect();
    // Bytes that are no text were found before the tree was split, and carry the numbers of the whole tree.
    if let [(_, diagnostics)] = reports.as_mut_slice() {
        diagnostics.extend(workspace.diagnostics);
    }
    Ok(reports)
}

/// Adds what the engine says of the statements; without an engine, says so.
fn add_types(folder: &Path, reports: &mut [Report], printer: &Printer) -> anyhow::Result<()> {
    let Some(mut typist) = Typist::new()? else {
        printer.note(&format!(
            "columns and types are not checked: {}",
            crate::engine::absence()
        ));
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let of = reports.len();
    let (mut statements, mut asked) = (0, 0);
    runtime.block_on(async {
        for (at, (plan, diagnostics)) in reports.iter_mut().enumerate() {
            let typed = typist.check(plan, &cache(folder, at, of)).await?;
            statements += typed.statements;
            asked += typed.asked;
            diagnostics.extend(typed.diagnostics);
            pipewright_compiler::settle(plan, diagnostics);
        }
        typist.finish().await;
        anyhow::Ok(())
    })?;
    printer.note(&what_was_asked(asked, statements));
    Ok(())
}

/// How much of a project the engine has looked at, and why not at the rest.
fn what_was_asked(asked: usize, statements: usize) -> String {
    if statements == 0 {
        return "there is no statement that the engine can be asked about".to_owned();
    }
    let of = plural(statements, "statement");
    let others = if asked < statements {
        "; the others stand in these, or are as it saw them before"
    } else {
        ""
    };
    format!("the engine was asked about {asked} of {statements} {of}{others}")
}

/// Adds what the engine said before of statements that are as they were; returns what to say of the others. No engine is opened, so that a check is quick.
fn add_known_types(folder: &Path, reports: &mut [Report]) -> anyhow::Result<String> {
    const ASK: &str = "`pipewright check --types` asks the engine";
    let unknown = || format!("columns and types are not checked: {ASK}");
    let caches: Vec<PathBuf> = (0..reports.len())
        .map(|at| cache(folder, at, reports.len()))
        .collect();
    if !caches.iter().any(|cache| cache.exists()) {
        return Ok(unknown());
    }
    let Some(typist) = Typist::new()? else {
        return Ok(unknown());
    };
    let (mut statements, mut missing, mut all) = (0, 0, true);
    for ((plan, diagnostics), cache) in reports.iter_mut().zip(&caches) {
        let Some(typed) = typist.known(plan, cache) else {
            all = false;
            continue;
        };
        statements += typed.statements;
        missing += typed.asked;
        diagnostics.extend(typed.diagnostics);
        pipewright_compiler::settle(plan, diagnostics);
    }
    Ok(match (statements, missing) {
        _ if !all => unknown(),
        (_, 0) => "columns and types are as the engine said before".to_owned(),
        _ => format!(
            "columns and types of {missing} of {statements} {} are not checked: {ASK}",
            plural(statements, "statement")
        ),
    })
}

/// Where what the engine said of a project is kept.
fn cache(folder: &Path, at: usize, of: usize) -> PathBuf {
    let cache = folder.join(".pipewright").join("cache");
    if of > 1 {
        cache.join(at.to_string())
    } else {
        cache
    }
}

/// Prints the findings of a check of a folder.
pub(super) fn print(
    format: ReportFormat,
    reports: &[Shown<'_>],
    folder: &Path,
    printer: &Printer,
) -> anyhow::Result<()> {
    if format == ReportFormat::Json {
        let diagnostics: Vec<Value> = reports
            .iter()
            .flat_map(|(plan, diagnostics)| {
                match render::json(diagnostics, plan.project.sources.files()) {
                    Value::Array(rendered) => rendered,
                    other => vec![other],
                }
            })
            .collect();
        let report = json!({ "summary": Summary::of(reports), "diagnostics": diagnostics });
        printer.data(&serde_json::to_string_pretty(&report)?)?;
        return Ok(());
    }
    for (plan, diagnostics) in reports {
        let files = plan.project.sources.files();
        let sources = match format {
            ReportFormat::Github => place::from_repository(files, folder),
            _ => place::from_here(files, folder),
        };
        printer.styled(&match format {
            ReportFormat::Concise => render::concise(diagnostics, &*sources),
            ReportFormat::Github => render::github(diagnostics, &*sources),
            ReportFormat::Text | ReportFormat::Json => {
                render::text(diagnostics, &*sources, printer.style())
            }
        })?;
    }
    if format == ReportFormat::Text {
        say_summary(reports, printer);
    }
    Ok(())
}

/// The counts of all projects together.
#[derive(Serialize)]
struct Summary {
    files: usize,
    pipes: usize,
    nodes: usize,
    errors: usize,
    warnings: usize,
}

impl Summary {
    fn of(reports: &[Shown<'_>]) -> Self {
        let sum = |count: fn(&Shown<'_>) -> usize| reports.iter().map(count).sum();
        Self {
            files: sum(|(plan, _)| plan.project.sources.files().len()),
            pipes: sum(|(plan, _)| plan.project.pipes.len()),
            nodes: sum(|(plan, _)| {
                plan.project
                    .pipes
                    .values()
                    .map(|pipe| pipe.nodes.len())
                    .sum()
            }),
            errors: sum(|(_, diagnostics)| count(diagnostics, Severity::Error)),
            warnings: sum(|(_, diagnostics)| count(diagnostics, Severity::Warning)),
        }
    }
}

fn say_summary(reports: &[Shown<'_>], printer: &Printer) {
    let Summary {
        pipes,
        errors,
        warnings,
        ..
    } = Summary::of(reports);
    let datasources: usize = reports
        .iter()
        .map(|(plan, _)| plan.project.datasources.len())
        .sum();
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
    let whose = if reports.len() > 1 {
        format!(" of {} projects", reports.len())
    } else {
        String::new()
    };
    printer.note(&format!(
        "checked {pipes} {} and {datasources} data {}{whose}: {findings}",
        plural(pipes, "pipe"),
        plural(datasources, "source")
    ));
    if pipes + datasources == 0 {
        printer.hint("there is no .pipe or .datasource file below this folder; `pipewright init` makes a project to start from");
    } else if errors == 0 && reports.len() == 1 {
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
