//! `pipewright build`.

use std::path::Path;

use anyhow::Context as _;
use pipewright_compiler::emit;
use pipewright_grammar::diagnostic::Severity;

use super::arguments::Build;
use super::printer::Printer;
use super::{ExitStatus, checked, choose_rules, count, project_folder, report_errors};

pub(super) fn run(
    build: &Build,
    project: Option<&Path>,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let folder = project_folder(build.dir.as_deref(), project)?;
    let (mut plan, diagnostics) = checked(&folder)?;
    choose_rules(&mut plan, &build.optimize)?;
    let is_clean = count(&diagnostics, Severity::Error) == 0;
    // What cannot be checked cannot be emitted either, and would be said twice.
    let (artifacts, found) = if is_clean {
        emit::emit(&plan)
    } else {
        Default::default()
    };
    if report_errors(&plan, &diagnostics, &folder, printer)
        || report_errors(&plan, &found, &folder, printer)
    {
        printer.error("nothing was written, because the project has errors");
        return Ok(ExitStatus::Findings);
    }
    let out = build.out.clone().unwrap_or_else(|| folder.join("build"));
    write(&out, &artifacts).with_context(|| format!("cannot write to `{}`", out.display()))?;
    printer.note(&format!(
        "wrote {} files to {}",
        artifacts.files.len(),
        out.display()
    ));
    printer.hint(&format!("`pipewright serve {}` serves them", out.display()));
    Ok(ExitStatus::Success)
}

/// Makes the folder hold exactly the artifacts: what an earlier build wrote and this one does not is removed, everything else in it is left alone.
fn write(out: &Path, artifacts: &emit::Artifacts) -> std::io::Result<()> {
    for folder in [
        "connectors",
        "ddl",
        "endpoints",
        "explain",
        "pipes",
        "source",
    ] {
        let folder = out.join(folder);
        if out.join("manifest.json").is_file() && folder.is_dir() {
            std::fs::remove_dir_all(&folder)?;
        }
    }
    for (name, content) in &artifacts.files {
        let path = out.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, content)?;
    }
    Ok(())
}
