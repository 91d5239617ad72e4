//! The rows of before, put aside in the moment in which a view is made: what comes later is the view's.

use std::collections::BTreeSet;

use pipewright_compiler::emit;
use pipewright_compiler::graph::NodeId;
use pipewright_compiler::plan::Plan;
use pipewright_compiler::sql::{quote_identifier, quote_literal};
use tokio::sync::OwnedRwLockWriteGuard;

use super::{PopulateRequest, upstream};
use crate::engine::EngineError;
use crate::ingest::given::GIVEN;
use crate::ingest::{Ingest, IngestError, Mark, unique};
use crate::jobs::{Job, JobStatus};

/// How the tables that populates and copies make for themselves begin, and those of rows that were sent to a server.
const OF_JOBS: [&str; 5] = ["pw_from_", "pw_to_", "pw_whole_", "pw_copy_", GIVEN];

impl Ingest {
    /// No rows come to what a node reads while this is held, and none wait.
    pub async fn sources_alone(
        &self,
        plan: &Plan,
        id: &NodeId,
    ) -> Result<Vec<OwnedRwLockWriteGuard<()>>, IngestError> {
        let compiled = emit::default_sql(plan, id)
            .map_err(|error| IngestError::Unreadable(error.to_string()))?;
        let read = compiled.datasources.iter();
        let read = read.filter(|name| name.workspace.is_none());
        let names: BTreeSet<String> = read
            .flat_map(|name| upstream(plan, &name.to_string()))
            .collect();
        let gates = self.all_alone(&names).await?;
        // What waits would come to the view once more.
        self.settle(&names).await?;
        Ok(gates)
    }

    /// Puts the rows aside that a populate is to read. For one who has what the view reads alone since before the view was made.
    pub async fn put_aside(&self, request: &mut PopulateRequest) -> Result<(), IngestError> {
        let name = format!("pw_from_{}", unique()?.replace('-', ""));
        let (source, snapshot) = (quote_identifier(&request.source), quote_identifier(&name));
        request.snapshot = Some(name);
        let sql = format!("CREATE TABLE {snapshot} AS {source}");
        self.engine.execute(&sql).await?;
        let sql = format!("ALTER TABLE {snapshot} ATTACH PARTITION ALL FROM {source}");
        Ok(self.engine.execute(&sql).await?)
    }

    /// Takes away what was put aside for a populate that does not come, or has ended.
    pub async fn forget_aside(&self, request: &PopulateRequest) {
        let Some(name) = &request.snapshot else {
            return;
        };
        let sql = format!("DROP TABLE IF EXISTS {} SYNC", quote_identifier(name));
        if let Err(error) = self.engine.execute(&sql).await {
            tracing::warn!(%error, table = name, "cannot remove a table of a populate");
        }
    }

    /// Notes that a view which was to be filled when it was made has not been.
    pub async fn left_partial(&self, request: &PopulateRequest, status: JobStatus) {
        if status == JobStatus::Done || request.snapshot.is_none() {
            return;
        }
        let name = &request.datasource.name;
        if let Err(error) = self.mark(Mark::Partial, name).await {
            tracing::warn!(%error, datasource = name, "cannot note that rows are missing");
        }
    }

    /// Takes away the tables of jobs that are over. For the time when none goes on.
    pub async fn sweep_jobs(&self, unfinished: &[Job]) -> Result<(), EngineError> {
        let conditions = OF_JOBS.map(|start| format!("startsWith(name, {})", quote_literal(start)));
        let sql = format!(
            "SELECT name FROM system.tables WHERE database = currentDatabase() AND ({})",
            conditions.join(" OR ")
        );
        let is_of = |job: &Job, name: &str| {
            name.ends_with(&job.id.replace('-', "")) || job.request["snapshot"] == name
        };
        for name in self.text(&sql).await?.lines() {
            if unfinished.iter().any(|job| is_of(job, name)) {
                continue;
            }
            let sql = format!("DROP TABLE IF EXISTS {} SYNC", quote_identifier(name));
            if let Err(error) = self.engine.execute(&sql).await {
                tracing::warn!(%error, table = name, "a table of a job that is over stays");
            }
        }
        Ok(())
    }
}
