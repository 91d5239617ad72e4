//! `pipewright explain`.

use std::path::Path;

use pipewright_compiler::emit::{self, EngineView, Explained};
use pipewright_compiler::plan::{PipePlan, Plan};
use pipewright_compiler::template::Values;

use super::arguments::{Explain, OutputFormat};
use super::compile::unknown;
use super::printer::Printer;
use super::{ExitStatus, checked, choose_rules, project_folder};
use crate::explain;

pub(super) fn run(
    explain: &Explain,
    project: Option<&Path>,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let folder = project_folder(None, project)?;
    let (mut plan, _) = checked(&folder)?;
    choose_rules(&mut plan, &explain.optimize)?;
    let pipe = plan.pipe(&explain.pipe).ok_or_else(|| {
        unknown(
            "pipe",
            &explain.pipe,
            plan.pipes.keys().map(ToString::to_string),
        )
    })?;
    let values: Values = explain
        .parameters
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into()))
        .collect();
    let engine = if explain.no_engine {
        None
    } else {
        ask(&plan, pipe, &values, &folder, printer)
    };
    let explained = Explained {
        plan: &plan,
        pipe,
        values: &values,
        engine: engine.as_ref(),
        before: true,
    };
    match explain.format {
        OutputFormat::Text => printer.data(&emit::explain_text(explained))?,
        OutputFormat::Json => {
            printer.data(&serde_json::to_string_pretty(&emit::explain_json(
                explained,
            ))?)?;
        }
    }
    let statement = pipe
        .output_node()
        .map(|output| emit::compiled_sql(&plan, &output.id, &values));
    Ok(match statement {
        // What is shown says why.
        Some(Err(_)) => ExitStatus::Findings,
        _ => ExitStatus::Success,
    })
}

/// What the engine says. Without one, or where it does not open, the explanation goes without.
fn ask(
    plan: &Plan,
    pipe: &PipePlan,
    values: &Values,
    folder: &Path,
    printer: &Printer,
) -> Option<EngineView> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let asked = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(async {
            let Some(asked) = explain::open(plan, folder).await? else {
                return Ok(None);
            };
            let view = explain::view(&asked, plan, pipe, values).await;
            asked.engine.shutdown().await;
            Ok(Some((view, asked.has_data)))
        })
    });
    match asked {
        Ok(Some((view, has_data))) => {
            if !has_data {
                printer.note("rows and the engine's plan are not shown: the project has no data here; `pipewright deploy` or `pipewright serve` makes its tables");
            }
            Some(view)
        }
        Ok(None) => {
            printer.note(&format!(
                "types and the engine's plan are not shown: {}",
                crate::engine::absence()
            ));
            None
        }
        Err(error) => {
            printer.note(&format!(
                "types and the engine's plan are not shown: {error:#}"
            ));
            None
        }
    }
}
