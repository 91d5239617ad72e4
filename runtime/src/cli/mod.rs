//! The command line: one file for each command. stdout is data, stderr the rest; exit 0 ok, 1 findings, 2 usage or internal error.

mod arguments;
mod bar;
mod budget;
mod build;
mod check;
mod client;
mod compile;
mod datasource;
mod debug;
mod deploy;
mod diff;
mod engine;
mod explain;
mod init;
mod job;
mod lineage;
mod place;
mod plan_text;
mod printer;
mod pull;
mod remote;
mod revision;
mod rule;
mod secret;
mod serve;
mod session;
mod sql;
mod watch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use pipewright_compiler::diagnostics::render;
use pipewright_compiler::optimize::{RULES, Rules};
use pipewright_compiler::plan::Plan;
use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use self::arguments::{Arguments, Command, Optimize};
use self::printer::Printer;
use crate::workspace;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// All is well.
    Success,
    /// The project has errors, or a test failed.
    Findings,
    /// The command line is wrong, or something broke.
    Error,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        match status {
            ExitStatus::Success => Self::SUCCESS,
            ExitStatus::Findings => Self::from(1),
            ExitStatus::Error => Self::from(2),
        }
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitStatus {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers, not errors; clap knows which stream each belongs to.
            let status = if error.use_stderr() {
                ExitStatus::Error
            } else {
                ExitStatus::Success
            };
            return if error.print().is_ok() {
                status
            } else {
                ExitStatus::Error
            };
        }
    };
    let printer = Printer;
    match run(&arguments, &printer) {
        Ok(status) => status,
        Err(error) if is_broken_pipe(&error) => ExitStatus::Success,
        Err(error) => {
            printer.error(&format!("{error:#}"));
            ExitStatus::Error
        }
    }
}

fn run(arguments: &Arguments, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let project = arguments.project.as_deref();
    match &arguments.command {
        Command::Init(init) => init::run(init, project, printer),
        Command::Check(check) => check::run(check, project, printer),
        Command::Rule(arguments) => rule::run(arguments, printer),
        Command::Build(build) => build::run(build, project, printer),
        Command::Compile(compile) => compile::run(compile, project, printer),
        Command::Explain(explain) => explain::run(explain, project, printer),
        Command::Diff(diff) => diff::run(diff, project, printer),
        Command::Lineage(arguments) => lineage::run(arguments, project, printer),
        Command::Plan(arguments) => deploy::run(arguments, false, project, printer),
        Command::Deploy(arguments) => deploy::run(arguments, true, project, printer),
        Command::Rollback(arguments) => deploy::rollback(arguments, project, printer),
        Command::Serve(serve) => serve::run(serve, project, printer),
        Command::Pull(pull) => pull::run(pull, project, printer),
        Command::Sql(sql) => sql::run(sql, project, printer),
        Command::Secret(secret) => secret::run(secret, project, printer),
        Command::Datasource(arguments) => datasource::run(arguments, project, printer),
        Command::Materialization(arguments) => job::materialization(arguments, project, printer),
        Command::Job(arguments) => job::run(arguments, project, printer),
        Command::Engine(engine) => engine::run(engine, printer),
        Command::Debug(debug) => debug::run(debug, project, printer),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

/// The project folder: the one named on the command line, else the one around the current folder.
fn project_folder(positional: Option<&Path>, project: Option<&Path>) -> anyhow::Result<PathBuf> {
    match positional.or(project) {
        Some(folder) => Ok(folder.to_path_buf()),
        None => Ok(workspace::discover(
            &std::env::current_dir().context("cannot find the current folder")?,
        )),
    }
}

/// read → … → check of a folder.
fn checked(folder: &Path) -> anyhow::Result<(Plan, Vec<Diagnostic>)> {
    let workspace = workspace::read(folder)?;
    let (plan, mut diagnostics) = pipewright_compiler::check(workspace.sources);
    diagnostics.extend(workspace.diagnostics);
    Ok((plan, diagnostics))
}

/// Turns off the rules that the command line turns off.
fn choose_rules(plan: &mut Plan, optimize: &Optimize) -> anyhow::Result<()> {
    if optimize.no_optimize {
        plan.rules = Rules::none();
    }
    for name in &optimize.without_rule {
        if !plan.rules.remove(name) {
            return Err(compile::unknown(
                "rule",
                name,
                RULES.iter().map(|rule| rule.name.to_owned()),
            ));
        }
    }
    Ok(())
}

fn count(diagnostics: &[Diagnostic], severity: Severity) -> usize {
    diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == severity)
        .count()
}

/// Prints the errors among the findings of a folder to stderr; true if there are any.
fn report_errors(
    plan: &Plan,
    diagnostics: &[Diagnostic],
    folder: &Path,
    printer: &Printer,
) -> bool {
    let errors: Vec<Diagnostic> = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error)
        .cloned()
        .collect();
    if !errors.is_empty() {
        let files = place::from_here(plan.project.sources.files(), folder);
        printer.note(&render::text(&errors, &*files, printer.style()));
        let projects = workspace::projects(&plan.project.sources);
        if let [_, .., last] = projects.as_slice() {
            printer.note(&format!(
                "{} projects are in this folder: name the folder of one of them, such as `{}`",
                projects.len(),
                folder.join(workspace::folder_of(last)).display()
            ));
        }
    }
    !errors.is_empty()
}
