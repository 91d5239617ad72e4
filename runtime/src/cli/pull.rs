//! `pipewright pull`: writes into the project's files what stands in none of them: what was changed through the API, and data sources that follow from nodes.

use std::path::Path;

use anyhow::bail;
use pipewright_compiler::plan::Plan;
use pipewright_grammar::source::Span;

use super::arguments::Pull;
use super::printer::Printer;
use super::{ExitStatus, project_folder, report_errors};
use crate::catalog::{self, Pulled};
use crate::deploy;
use crate::engine::{self, Config, server};
use crate::state::State;
use crate::workspace;

pub(super) fn run(
    pull: &Pull,
    project: Option<&Path>,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let folder = project_folder(pull.dir.as_deref(), project)?;
    let state = folder.join(".pipewright").join("state.sqlite");
    let is_served = state.is_file();
    let mut pulled = if is_served {
        catalog::pull(&State::open(&state)?, &folder, pull.force)?
    } else {
        Pulled::default()
    };
    // A file that is left as it is may be what a definition follows from.
    let inferred = if pulled.kept.is_empty() {
        write_inferred(&folder, &mut pulled, printer)?
    } else {
        Inferred::default()
    };
    if !is_served && !inferred.any {
        bail!(
            "`{}` has not been served yet: there is nothing to pull",
            folder.display()
        );
    }
    for path in &pulled.written {
        printer.data(&format!("wrote {path}"))?;
    }
    for path in &pulled.deleted {
        printer.data(&format!("deleted {path}"))?;
    }
    for path in &pulled.kept {
        printer.error(&format!(
            "`{path}` was changed both through the API and on disk, and is left as it is"
        ));
    }
    if !pulled.kept.is_empty() {
        printer.hint("`pipewright pull --force` takes the API's version of these files");
        return Ok(ExitStatus::Findings);
    }
    if inferred.failed {
        return Ok(ExitStatus::Findings);
    }
    if pulled.written.is_empty() && pulled.deleted.is_empty() {
        printer.note("the files are as the API has them");
    }
    Ok(ExitStatus::Success)
}

/// What became of data sources that no file declares.
#[derive(Debug, Default)]
struct Inferred {
    any: bool,
    failed: bool,
}

/// Writes the definitions of data sources that no file declares, and their pipes with the states that they hold.
fn write_inferred(
    folder: &Path,
    pulled: &mut Pulled,
    printer: &Printer,
) -> anyhow::Result<Inferred> {
    let (plan, diagnostics) = pipewright_compiler::compile(workspace::read(folder)?.sources);
    let mut inferred = Inferred {
        any: plan.tables.values().any(|table| table.made_by.is_some()),
        failed: false,
    };
    if !inferred.any {
        return Ok(inferred);
    }
    // What a broken project seems not to declare may be in one of its files.
    if report_errors(&plan, &diagnostics, folder, printer) {
        inferred.failed = true;
        return Ok(inferred);
    }
    let mut files: Vec<(String, String)> = Vec::new();
    let mut edits: Vec<(Span, String)> = Vec::new();
    for definition in definitions(&plan)? {
        match definition {
            Ok(definition) => {
                files.push((definition.path, definition.text));
                edits.extend(definition.edits);
            }
            Err(error) => {
                printer.error(&error.to_string());
                inferred.failed = true;
            }
        }
    }
    let sources = &plan.project.sources;
    // From the last to the first, so that places stay what they are.
    edits.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    for file in sources.files() {
        let mut text = file.text().to_owned();
        for (span, replacement) in edits.iter().filter(|(span, _)| span.source == file.id()) {
            text.replace_range(span.start as usize..span.end as usize, replacement);
        }
        if text != file.text() {
            files.push((file.name().to_owned(), text));
        }
    }
    let on_disk = |path: &str| {
        let mut files = sources.files().iter();
        let file = files.find(|file| file.name() == path)?;
        Some(file.text().to_owned())
    };
    let written = catalog::write_down(folder, &files, on_disk)?;
    pulled.written.extend(written.written);
    pulled.kept.extend(written.kept);
    Ok(inferred)
}

/// Asks an engine that has none of the project's rows, or the project's server.
fn definitions(
    plan: &Plan,
) -> anyhow::Result<Vec<Result<deploy::Definition, deploy::UndefinedError>>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let nowhere = tempfile::tempdir()?;
    let config = match &plan.project.config.server.clickhouse_url {
        Some(url) => Config::Server(server::Config::new(url)),
        None => Config::embedded(nowhere.path()),
    };
    runtime.block_on(async {
        let engine = engine::open(config).await?;
        let found = deploy::definitions(plan, engine.as_ref()).await;
        engine.shutdown().await;
        Ok(found)
    })
}
