//! `pipewright pull`: writes what was changed through the API into the project's files.

use std::path::Path;

use anyhow::bail;

use super::arguments::Pull;
use super::printer::Printer;
use super::{ExitStatus, project_folder};
use crate::catalog;
use crate::state::State;

pub(super) fn run(
    pull: &Pull,
    project: Option<&Path>,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let folder = project_folder(pull.dir.as_deref(), project)?;
    let state = folder.join(".pipewright").join("state.sqlite");
    if !state.is_file() {
        bail!(
            "`{}` has not been served yet: there is nothing to pull",
            folder.display()
        );
    }
    let pulled = catalog::pull(&State::open(&state)?, &folder, pull.force)?;
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
    if pulled.written.is_empty() && pulled.deleted.is_empty() {
        printer.note("the files are as the API has them");
    }
    Ok(ExitStatus::Success)
}
