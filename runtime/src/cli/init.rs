//! `pipewright init`.

use std::path::Path;

use anyhow::{Context as _, bail};

use super::ExitStatus;
use super::arguments::Init;
use super::printer::Printer;

/// The files of a new project.
const FILES: &[(&str, &str)] = &[
    (
        "datasources/events.datasource",
        include_str!("init/events.datasource"),
    ),
    (
        "endpoints/events_per_day.pipe",
        include_str!("init/events_per_day.pipe"),
    ),
    ("fixtures/events.ndjson", include_str!("init/events.ndjson")),
    (".gitignore", "/.pipewright/\n"),
];

pub(super) fn run(
    init: &Init,
    project: Option<&Path>,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let folder = init.dir.as_deref().or(project).unwrap_or(Path::new("."));
    if let Some((taken, _)) = FILES
        .iter()
        .find(|(name, _)| *name != ".gitignore" && folder.join(name).exists())
    {
        bail!(
            "`{}` is already there; nothing was written",
            folder.join(taken).display()
        );
    }
    for (name, content) in FILES {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("cannot make `{}`", parent.display()))?;
        }
        if !path.exists() {
            std::fs::write(&path, content)
                .with_context(|| format!("cannot write `{}`", path.display()))?;
            printer.note(&format!("made {}", path.display()));
        }
    }
    printer.hint(&format!("`pipewright serve {}` deploys it and answers at http://127.0.0.1:7181/v0/pipes/events_per_day.json", folder.display()));
    Ok(ExitStatus::Success)
}
