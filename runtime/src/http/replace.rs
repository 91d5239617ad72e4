//! Rows in the place of others where materialized views read them: all that the views have made follows in the same moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pipewright_compiler::plan::TablePlan;
use tokio::sync::{MutexGuard, OwnedMutexGuard};

use super::deploy_job::{Deploys, alone};
use super::error::ApiError;
use super::{App, handover};
use crate::catalog::Writer;
use crate::deploy::{self, Audience, DeployError, Progress, Replacement, Settled, with_causes};
use crate::ingest::{Appended, IngestError, Mark, Replaces, Staged, left_over};
use crate::jobs::{Control, WorkError};
use crate::state::{DeploymentKind, DeploymentStatus, NewDeployment, StateError};

/// Those who ask while tables change places, by the version that others may have made meanwhile: its tables and views are the same.
struct Asking<'a>(&'a Arc<App>);

#[async_trait]
impl Audience for Asking<'_> {
    async fn hold(&self) -> Box<dyn Send> {
        handover::hold(self.0).await
    }

    fn present(&self) {}

    async fn settle(&self) -> Option<Settled> {
        let held = Box::new(self.0.catalog.still().await);
        let plan = Arc::clone(&self.0.catalog.current().plan);
        Some(Settled { plan, held })
    }
}

/// The client waits for the answer, and is told no more.
struct Quiet;

impl Progress for Quiet {
    fn say(&self, text: &str) {
        tracing::debug!("replacing rows: {text}");
    }
}

/// Puts staged rows in place of those of a data source, or of those that a condition names, with all that follows from them.
pub(super) async fn with_what_follows(
    app: &Arc<App>,
    table: &TablePlan,
    staged: Staged,
) -> Result<Appended, ApiError> {
    let ingest = &app.data()?.ingest;
    let replaced = replaced(app, table, &staged).await;
    let dropped = ingest.unstage(&staged.table).await;
    replaced?;
    left_over(dropped);
    Ok(staged.appended)
}

async fn replaced(app: &Arc<App>, table: &TablePlan, staged: &Staged) -> Result<(), ApiError> {
    let ingest = &app.data()?.ingest;
    let _alone = alone_in_time(app).await?;
    let writer = app.catalog.write().await;
    ingest.still_fits(table, staged).await?;
    let replacement = Replacement {
        name: &table.name.to_string(),
        staging: &staged.table.name.to_string(),
        condition: staged.condition.as_deref(),
    };
    Box::pin(run(app, writer, replacement, "", &|_| Ok(()))).await
}

/// So long a request waits for populates and deploys. Nobody else waits for it meanwhile.
const PATIENCE: Duration = Duration::from_secs(30);

/// The right to change the shapes of tables and to plan, of which a deploy takes the second first: so it is not waited for with the first.
async fn alone_in_time(
    app: &Arc<App>,
) -> Result<(OwnedMutexGuard<()>, MutexGuard<'_, ()>), ApiError> {
    let deploys = &app.data()?.deploys;
    let end = tokio::time::Instant::now() + PATIENCE;
    let late = || {
        ApiError::Conflict(
            "a deploy or a populate goes on, and rows cannot be replaced beside it where views read them: try again when it has ended"
                .to_owned(),
        )
    };
    loop {
        let over = async {
            tokio::time::sleep_until(end).await;
            WorkError::Interrupted
        };
        let shapes = alone(app, over, &Quiet)
            .await
            .map_err(|error| match error {
                WorkError::Interrupted => late(),
                error => ApiError::Unavailable(error.to_string()),
            })?;
        if let Ok(planning) = deploys.planning.try_lock() {
            return Ok((shapes, planning));
        }
        drop(shapes);
        if tokio::time::Instant::now() >= end {
            return Err(late());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Replaces rows under a journal that can be asked for by the number that `begins` is told. For one who has the shapes of tables alone, and the catalog until it is
/// planned: what others change of that while rows are on their way leaves tables and views as they are.
async fn run(
    app: &Arc<App>,
    writer: Writer<'_>,
    replacement: Replacement<'_>,
    job: &str,
    begins: &(dyn Fn(i64) -> Result<(), WorkError> + Send + Sync),
) -> Result<(), ApiError> {
    let ingest = &app.data()?.ingest;
    let _tables = writer.hold_tables()?;
    let current = writer.current();
    let plan = deploy::plan_replacement(&current.plan, ingest, replacement);
    let plan = plan.await.map_err(|error| refused(&error))?;
    let marked = ingest.mark(Mark::Direct, replacement.name).await;
    marked.map_err(IngestError::from)?;
    let state = app.catalog.state();
    let id = state.deployments().start(NewDeployment {
        artifact_hash: job,
        kind: DeploymentKind::Replace,
        files: &BTreeMap::new(),
        before: None,
        steps: "[]",
    })?;
    if let Err(error) = begins(id) {
        let text = error.to_string();
        let deployments = state.deployments();
        deployments.finish(id, DeploymentStatus::Failed, Some(&text))?;
        return Err(ApiError::Internal(text));
    }
    drop(writer);
    let run = deploy::Run {
        ingest,
        state,
        id,
        wanted: &current.plan,
        before: Some(&current.plan),
        catalog: None,
        undoes: None,
        audience: &Asking(app),
        progress: &Quiet,
    };
    let (done, connected) = app.while_disconnected(&Quiet, run.run(&plan)).await;
    if let Err(error) = connected {
        tracing::error!(
            error = with_causes(&error),
            "connectors bring no rows until the next deploy"
        );
    }
    done.map_err(|error| refused(&error))?;
    // Once more: the data source may have been emptied in between, which forgets it.
    let marked = ingest.mark(Mark::Direct, replacement.name).await;
    Ok(marked.map_err(IngestError::from)?)
}

#[async_trait]
impl Replaces for Deploys {
    async fn replace(
        &self,
        name: &str,
        staging: &str,
        begins: &(dyn Fn(i64) -> Result<(), WorkError> + Send + Sync),
        control: &Control,
    ) -> Result<bool, WorkError> {
        let app = self.app()?;
        let failed = |error: ApiError| WorkError::Failed(error.message());
        let ingest = &app.data().map_err(failed)?.ingest;
        let _planning = self.planning.lock().await;
        let _shapes = alone(&app, control.stopped(), &Quiet).await?;
        let writer = app.catalog.write().await;
        control.check()?;
        let alike = ingest.are_alike(name, staging).await;
        if !alike.map_err(|error| control.failed(error))? {
            return Ok(false);
        }
        let replacement = Replacement {
            name,
            staging,
            condition: None,
        };
        let replaced = Box::pin(run(&app, writer, replacement, staging, begins)).await;
        match replaced {
            Ok(()) => Ok(true),
            // A later process goes on, when this one is being stopped.
            Err(error) => control.check().and(Err(failed(error))),
        }
    }

    fn has_replaced(&self, number: i64) -> Result<bool, WorkError> {
        let failed = |error: StateError| WorkError::Failed(error.to_string());
        let app = self.app()?;
        let found = app.catalog.state().deployments().find(number);
        let found = found.map_err(failed)?;
        Ok(found.is_some_and(|found| found.status == DeploymentStatus::Done))
    }

    fn forget(&self, number: i64) {
        let Ok(app) = self.app() else { return };
        if let Err(error) = app.catalog.state().deployments().forget_replace(number) {
            tracing::warn!(%error, "the journal keeps a replace that has ended");
        }
    }
}

/// Why rows were not replaced. What the engine says of rows may show those of others, and goes to the log.
fn refused(error: &DeployError) -> ApiError {
    match error {
        DeployError::Follows { .. } => ApiError::BadRequest(error.to_string()),
        DeployError::Direct(_)
        | DeployError::Restless
        | DeployError::Waiting(_)
        | DeployError::Unfinished(_) => ApiError::Conflict(error.to_string()),
        DeployError::Fill { .. } => {
            tracing::warn!(error = with_causes(error), "rows are not replaced");
            ApiError::BadRequest(format!("{error}: a view cannot take the new rows"))
        }
        _ => {
            tracing::error!(error = with_causes(error), "rows are not replaced");
            ApiError::Internal("the rows could not be replaced; the log says why".to_owned())
        }
    }
}
