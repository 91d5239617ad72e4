//! Rows in the place of others where materialized views read them: all that the views have made follows in the same moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use pipewright_compiler::plan::TablePlan;

use super::deploy_job::alone;
use super::error::ApiError;
use super::{App, handover};
use crate::deploy::{self, Audience, DeployError, Progress, Replacement, with_causes};
use crate::ingest::{Appended, Ingest, IngestError, Mark, Staged, left_over};
use crate::state::{DeploymentKind, NewDeployment};

/// Those who ask while tables change places. The version stays the same.
struct Asking<'a>(&'a Arc<App>);

#[async_trait]
impl Audience for Asking<'_> {
    async fn hold(&self) -> Box<dyn Send> {
        handover::hold(self.0).await
    }

    fn present(&self) {}
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
    condition: Option<&str>,
) -> Result<Appended, ApiError> {
    let ingest = &app.data()?.ingest;
    let replaced = replaced(app, ingest, table, &staged, condition).await;
    let dropped = ingest.unstage(&staged.table).await;
    replaced?;
    left_over(dropped);
    Ok(staged.appended)
}

async fn replaced(
    app: &Arc<App>,
    ingest: &Ingest,
    table: &TablePlan,
    staged: &Staged,
    condition: Option<&str>,
) -> Result<(), ApiError> {
    let name = table.name.to_string();
    let staging = staged.table.name.to_string();
    let _planning = app.data()?.deploys.planning.lock().await;
    let shapes = alone(app, std::future::pending()).await;
    let _shapes = shapes.map_err(|error| ApiError::Unavailable(error.to_string()))?;
    let writer = app.catalog.write().await;
    ingest.still_fits(table, staged).await?;
    let current = writer.current();
    let replacement = Replacement {
        name: &name,
        staging: &staging,
        condition,
    };
    let plan = deploy::plan_replacement(&current.plan, ingest, replacement);
    let plan = plan.await.map_err(|error| refused(&error))?;
    let marked = ingest.mark(Mark::Direct, &name).await;
    marked.map_err(IngestError::from)?;
    let state = app.catalog.state();
    let id = state.deployments().start(NewDeployment {
        artifact_hash: "",
        kind: DeploymentKind::Replace,
        files: &BTreeMap::new(),
        before: None,
        steps: "[]",
    })?;
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
    done.map_err(|error| refused(&error))
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
