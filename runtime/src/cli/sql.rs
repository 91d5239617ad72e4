//! `pipewright sql`: a query over the project, in this process.

use std::path::Path;

use anyhow::bail;
use pipewright_compiler::plan::{Compiled, Plan, QueryError, RequestContext};
use pipewright_compiler::template::{RenderContext, Values};

use super::arguments::Sql;
use super::printer::Printer;
use super::{ExitStatus, checked, engine, project_folder, report_errors};
use crate::engine::{EngineError, Query};

pub(super) fn run(
    sql: &Sql,
    project: Option<&Path>,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let folder = project_folder(None, project)?;
    let (plan, diagnostics) = checked(&folder)?;
    if report_errors(&plan, &diagnostics, printer) {
        return Ok(ExitStatus::Findings);
    }
    let values = Values::default();
    let compiled = match plan.compile_query(
        &sql.query,
        None,
        RequestContext {
            values: &values,
            render: RenderContext::default(),
        },
    ) {
        Ok(compiled) => compiled,
        Err(QueryError::Sql(diagnostic)) => bail!(
            "{}{}",
            diagnostic.message,
            diagnostic
                .helps
                .first()
                .map_or_else(String::new, |help| format!("; {help}"))
        ),
        Err(error) => bail!("{error}"),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(answer(sql, &plan, &compiled, &folder, printer))
}

async fn answer(
    sql: &Sql,
    plan: &Plan,
    compiled: &Compiled,
    folder: &Path,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let engine = engine::open(&plan.project.config, &folder.join(".pipewright"), printer).await?;
    let format = compiled
        .format
        .clone()
        .unwrap_or_else(|| sql.format.clone());
    let outcome = print(
        engine.as_ref(),
        Query::new(compiled.sql.text(), format),
        printer,
    )
    .await;
    engine.shutdown().await;
    match outcome {
        Ok(()) => Ok(ExitStatus::Success),
        Err(error @ EngineError::Exception { .. }) => {
            printer.error(&error.to_string());
            Ok(ExitStatus::Findings)
        }
        Err(error) => Err(error.into()),
    }
}

async fn print(
    engine: &dyn crate::engine::Engine,
    query: Query,
    printer: &Printer,
) -> Result<(), EngineError> {
    use futures::StreamExt as _;
    let mut answer = engine.query(query).await?;
    while let Some(chunk) = answer.next().await {
        printer.bytes(&chunk?)?;
    }
    Ok(())
}
