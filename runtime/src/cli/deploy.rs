//! `pipewright plan` and `pipewright deploy`: what would change in the engine, and changing it.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use pipewright_compiler::deploy::Effect;
use serde_json::json;

use super::arguments::{Deploy, OutputFormat};
use super::printer::Printer;
use super::{ExitStatus, engine, project_folder, report_errors};
use crate::catalog::Catalog;
use crate::deploy::{self, DeployPlan};
use crate::engine::Engine;
use crate::state::{DeploymentStatus, State};
use crate::workspace;

/// Runs `plan`, or `deploy` when `apply` is set.
pub(super) fn run(
    arguments: &Deploy,
    apply: bool,
    project: Option<&Path>,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let folder = project_folder(arguments.dir.as_deref(), project)?;
    let workspace = workspace::read(&folder)?;
    let tree = workspace.sources.clone();
    let (plan, mut diagnostics) = pipewright_compiler::check(workspace.sources);
    diagnostics.extend(workspace.diagnostics);
    if report_errors(&plan, &diagnostics, printer) {
        return Ok(ExitStatus::Findings);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let state_folder = folder.join(".pipewright");
        std::fs::create_dir_all(&state_folder)?;
        let engine = engine::open(&plan.project.config, &state_folder, printer).await?;
        let state = Arc::new(State::open(&state_folder.join("state.sqlite"))?);
        let catalog = Catalog::open(Arc::clone(&state), &tree, plan)?;
        let outcome = with_engine(
            arguments,
            apply,
            &catalog,
            &workspace.root,
            engine.as_ref(),
            printer,
        )
        .await;
        engine.shutdown().await;
        outcome
    })
}

struct Lines<'a>(&'a Printer);

impl deploy::Progress for Lines<'_> {
    fn say(&self, text: &str) {
        self.0.note(text);
    }
}

async fn with_engine(
    arguments: &Deploy,
    apply: bool,
    catalog: &Catalog,
    root: &Path,
    engine: &dyn Engine,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let plan = Arc::clone(&catalog.current().plan);
    deploy::sweep(engine).await?;
    let planned = deploy::plan(&plan, engine).await?;
    show(&planned, arguments.format, printer)?;
    if !apply || arguments.check {
        return Ok(ExitStatus::Success);
    }
    if !planned.destructive().is_empty() && !arguments.allow_destructive {
        printer.error("this deploy takes rows or values away, and is not run");
        printer.hint("`--allow-destructive` runs it");
        return Ok(ExitStatus::Findings);
    }
    let deployments = catalog.state().deployments();
    let journal = deployments.start(&blake(&planned)?)?;
    let done = async {
        deploy::change(&planned, engine, &Lines(printer)).await?;
        deploy::deploy(&plan, root, engine, &Lines(printer)).await
    }
    .await;
    deployments.finish(
        journal,
        if done.is_ok() {
            DeploymentStatus::Done
        } else {
            DeploymentStatus::Failed
        },
    )?;
    done?;
    printer.note("deployed");
    Ok(ExitStatus::Success)
}

/// A name for what is deployed.
fn blake(planned: &DeployPlan) -> anyhow::Result<String> {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(serde_json::to_vec(planned)?);
    let mut text = String::new();
    for byte in digest {
        _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

fn show(planned: &DeployPlan, format: OutputFormat, printer: &Printer) -> anyhow::Result<()> {
    if format == OutputFormat::Json {
        return Ok(printer.data(&serde_json::to_string_pretty(&json!(planned))?)?);
    }
    if planned.is_empty() {
        return Ok(printer.data("nothing to do: the engine has what the project says")?);
    }
    let mut text = String::new();
    for step in &planned.creates {
        _ = writeln!(text, "create {}", step.name);
        push_sql(&mut text, &step.sql);
    }
    for change in &planned.changes {
        let effect = match change.change.effect {
            Effect::Nothing => "rows stay as they are".to_owned(),
            Effect::Rewrites => format!(
                "reads and writes {} rows ({} bytes)",
                change.rows, change.bytes
            ),
            Effect::Destroys => format!(
                "TAKES ROWS OR VALUES AWAY; {} rows ({} bytes) are there",
                change.rows, change.bytes
            ),
        };
        _ = write!(
            text,
            "change {}: {}\n  {effect}\n",
            change.change.name,
            change.change.what.join(", ")
        );
        for sql in &change.change.sql {
            push_sql(&mut text, sql);
        }
    }
    Ok(printer.data(&text)?)
}

fn push_sql(text: &mut String, sql: &str) {
    for line in sql.lines() {
        _ = writeln!(text, "    {line}");
    }
}
