//! `pipewright diff`: what callers of the endpoints would notice between two versions of a project.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use pipewright_compiler::contract::{Change, Contract, Described, compare, contracts};
use pipewright_compiler::lineage::lineage;
use pipewright_compiler::plan::Plan;
use serde_json::json;

use super::arguments::{Diff, DiffFormat};
use super::check::plural;
use super::printer::Printer;
use super::revision::{version, working};
use super::{ExitStatus, checked, project_folder, report_errors};
use crate::typing::Typist;

pub(super) fn run(
    diff: &Diff,
    project: Option<&Path>,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let folder = project_folder(None, project)?;
    let old = version(&diff.old, &folder)?;
    let new = match &diff.new {
        Some(text) => version(text, &folder)?,
        None => working(&folder),
    };
    let mut plans = Vec::new();
    for (version, name) in [(&old, "old"), (&new, "new")] {
        let (plan, diagnostics) = checked(&version.folder)?;
        if report_errors(&plan, &diagnostics, version.shown_at(&folder), printer) {
            printer.note(&format!(
                "the {name} version has errors: what it serves is compared as far as it can be told"
            ));
        }
        plans.push(plan);
    }
    let described = described(diff, &plans, printer)?;
    let contracts: Vec<BTreeMap<String, Contract>> = plans
        .iter()
        .zip(&described)
        .map(|(plan, described)| contracts(plan, &lineage(plan), described))
        .collect();
    let changes = compare(&contracts[0], &contracts[1]);
    let breaking = changes.iter().filter(|change| change.breaking).count();
    match diff.format {
        DiffFormat::Json => {
            let report = json!({
                "summary": { "breaking": breaking, "other": changes.len() - breaking },
                "types_compared": described.iter().all(|described| !described.is_empty()),
                "changes": changes,
            });
            printer.data(&serde_json::to_string_pretty(&report)?)?;
        }
        DiffFormat::Github => printer.data(&github(&changes))?,
        DiffFormat::Text => {
            printer.data(&text(&changes))?;
            printer.note(&summary(&changes, breaking));
        }
    }
    Ok(if breaking > 0 {
        ExitStatus::Findings
    } else {
        ExitStatus::Success
    })
}

/// What an engine says of the endpoints of both versions: of both or of none, so that types are not compared with nothing.
fn described(
    diff: &Diff,
    plans: &[Plan],
    printer: &Printer,
) -> anyhow::Result<Vec<BTreeMap<String, Described>>> {
    let nothing = || plans.iter().map(|_| BTreeMap::new()).collect();
    if diff.no_engine {
        printer.note("types are not compared, only names of columns: `--no-engine`");
        return Ok(nothing());
    }
    let Some(mut typist) = Typist::new()? else {
        printer.note(&format!(
            "types are not compared, only names of columns: {}",
            crate::engine::absence()
        ));
        return Ok(nothing());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut described = Vec::new();
        for plan in plans {
            described.push(typist.columns(plan).await?);
        }
        typist.finish().await;
        Ok(described)
    })
}

fn text(changes: &[Change]) -> String {
    let mut out = String::new();
    for (title, breaking) in [("breaking", true), ("not breaking", false)] {
        let mut of_kind = changes
            .iter()
            .filter(|change| change.breaking == breaking)
            .peekable();
        if of_kind.peek().is_none() {
            continue;
        }
        if !out.is_empty() {
            out.push('\n');
        }
        _ = writeln!(out, "{title}");
        for change in of_kind {
            _ = writeln!(out, "  {}", change.message);
        }
    }
    out
}

fn summary(changes: &[Change], breaking: usize) -> String {
    if changes.is_empty() {
        return "callers of the endpoints notice no difference".to_owned();
    }
    let other = changes.len() - breaking;
    format!(
        "{breaking} breaking {}, {other} {} that {} not",
        plural(breaking, "change"),
        plural(other, "change"),
        if other == 1 { "is" } else { "are" }
    )
}

/// One workflow command per line, for the diff view of a pull request.
fn github(changes: &[Change]) -> String {
    let mut out = String::new();
    for change in changes {
        let command = if change.breaking { "error" } else { "notice" };
        let message = change
            .message
            .replace('%', "%25")
            .replace('\r', "%0D")
            .replace('\n', "%0A");
        let title = if change.breaking {
            "breaking change"
        } else {
            "change"
        };
        _ = writeln!(out, "::{command} title={title}::{message}");
    }
    out
}
