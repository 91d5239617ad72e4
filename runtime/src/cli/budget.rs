//! `pipewright check --budget`: each endpoint, with its defaults, against the granules that `[budget]` lets it read.

use std::path::Path;

use anyhow::bail;
use pipewright_compiler::diagnostics::codes;
use pipewright_compiler::plan::{PipePlan, Plan};
use pipewright_compiler::template::Values;
use pipewright_grammar::diagnostic::Diagnostic;

use super::check::plural;
use super::printer::Printer;
use crate::explain::{self, Asked};

/// The endpoints that read more than they may.
pub(super) fn findings(
    plan: &Plan,
    folder: &Path,
    printer: &Printer,
) -> anyhow::Result<Vec<Diagnostic>> {
    let budget = &plan.project.config.budget;
    if budget.endpoint.is_none() && budget.pipes.is_empty() {
        bail!(
            "no endpoint has a budget: set `endpoint` in `[budget]` of pipewright.toml, in granules"
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let Some(asked) = explain::open(plan, folder).await? else {
            bail!("budgets cannot be checked: {}", crate::engine::absence());
        };
        let found = if asked.has_data {
            measure(plan, &asked, printer).await
        } else {
            Err(anyhow::anyhow!(
                "budgets cannot be checked: the project has no data in `.pipewright`; `pipewright serve` takes rows"
            ))
        };
        asked.engine.shutdown().await;
        found
    })
}

async fn measure(plan: &Plan, asked: &Asked, printer: &Printer) -> anyhow::Result<Vec<Diagnostic>> {
    let budget = &plan.project.config.budget;
    let mut found = Vec::new();
    let mut endpoints = 0;
    for pipe in plan.pipes.values().filter(|pipe| pipe.endpoint.is_some()) {
        let limit = budget
            .pipes
            .get(&pipe.name.to_string())
            .copied()
            .or(budget.endpoint);
        let Some(limit) = limit else {
            continue;
        };
        endpoints += 1;
        let engine = asked.engine.as_ref();
        match explain::granules(engine, plan, pipe, &Values::default()).await {
            Ok(Some(view)) if view.granules() > limit => {
                found.extend(finding(plan, pipe, view.granules(), limit));
            }
            Ok(_) => {}
            Err(error) => bail!(
                "the engine cannot plan endpoint `{}`: {error}; are its tables deployed?",
                pipe.name
            ),
        }
    }
    printer.note(&format!(
        "held {endpoints} {} to their budgets",
        plural(endpoints, "endpoint")
    ));
    Ok(found)
}

fn finding(plan: &Plan, pipe: &PipePlan, granules: u64, limit: u64) -> Option<Diagnostic> {
    let node = pipe.endpoint_node()?;
    let written = plan.project.pipes.get(&pipe.name)?.node(&node.id.node)?;
    Some(
        Diagnostic::error(
            codes::OVER_BUDGET,
            format!(
                "endpoint `{}` reads {granules} granules, {} more than its budget of {limit}",
                pipe.name,
                granules - limit
            ),
        )
        .label(written.name.span, "with its default parameters")
        .help(format!(
            "`pipewright explain {}` shows which tables they are of",
            pipe.name
        )),
    )
}
