//! `pipewright explain`.

use std::path::Path;

use pipewright_compiler::emit;

use super::arguments::Explain;
use super::compile::unknown;
use super::printer::Printer;
use super::{ExitStatus, checked, project_folder};

pub(super) fn run(
    explain: &Explain,
    project: Option<&Path>,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let folder = project_folder(None, project)?;
    let (plan, _) = checked(&folder)?;
    let pipe = plan.pipe(&explain.pipe).ok_or_else(|| {
        unknown(
            "pipe",
            &explain.pipe,
            plan.pipes.keys().map(ToString::to_string),
        )
    })?;
    printer.data(&emit::explain(&plan, pipe))?;
    Ok(ExitStatus::Success)
}
