//! The journal of deployments: what was put into the engine, when, and whether it got there.
//!
//! An entry is written before the first step and closed after the last, so that an entry still running when the
//! process starts is a deployment that was cut off.

use rusqlite::{OptionalExtension, Row, params};

use super::{State, StateError, now};

/// How a deployment ended, or that it has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeploymentStatus {
    /// Begun and not ended: going on, or cut off.
    Running,
    /// All steps are done.
    Done,
    /// A step failed.
    Failed,
}

impl DeploymentStatus {
    fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "done" => Self::Done,
            "failed" => Self::Failed,
            _ => Self::Running,
        }
    }
}

/// One deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Its number, counted up.
    pub id: i64,
    /// The hash of the artifacts it deploys.
    pub artifact_hash: String,
    /// How it ended.
    pub status: DeploymentStatus,
    /// When it began, in milliseconds since 1970.
    pub started_at: i64,
    /// When it ended.
    pub finished_at: Option<i64>,
}

/// The journal of a workspace.
#[derive(Debug, Clone, Copy)]
pub struct Deployments<'state> {
    state: &'state State,
}

const SELECT: &str = "SELECT id, artifact_hash, status, started_at, finished_at FROM deployments";

impl<'state> Deployments<'state> {
    pub(super) fn new(state: &'state State) -> Self {
        Self { state }
    }

    /// Notes that a deployment begins; returns its id.
    pub fn start(&self, artifact_hash: &str) -> Result<i64, StateError> {
        let connection = self.state.connection();
        connection.execute(
            "INSERT INTO deployments (artifact_hash, status, started_at) VALUES (?1, ?2, ?3)",
            params![artifact_hash, DeploymentStatus::Running.as_str(), now()],
        )?;
        Ok(connection.last_insert_rowid())
    }

    /// Notes how the deployment `id` ended.
    pub fn finish(&self, id: i64, status: DeploymentStatus) -> Result<(), StateError> {
        self.state.connection().execute(
            "UPDATE deployments SET status = ?1, finished_at = ?2 WHERE id = ?3",
            params![status.as_str(), now(), id],
        )?;
        Ok(())
    }

    /// All deployments, the latest first.
    pub fn list(&self) -> Result<Vec<Deployment>, StateError> {
        let connection = self.state.connection();
        let mut statement = connection.prepare_cached(&format!("{SELECT} ORDER BY id DESC"))?;
        let rows = statement.query_map([], deployment)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The latest deployment.
    pub fn latest(&self) -> Result<Option<Deployment>, StateError> {
        let connection = self.state.connection();
        let mut statement =
            connection.prepare_cached(&format!("{SELECT} ORDER BY id DESC LIMIT 1"))?;
        Ok(statement.query_row([], deployment).optional()?)
    }
}

fn deployment(row: &Row<'_>) -> rusqlite::Result<Deployment> {
    Ok(Deployment {
        id: row.get(0)?,
        artifact_hash: row.get(1)?,
        status: DeploymentStatus::parse(&row.get::<_, String>(2)?),
        started_at: row.get(3)?,
        finished_at: row.get(4)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_that_was_cut_off_stays_running() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.sqlite");
        let state = State::open(&path).unwrap();
        assert_eq!(state.deployments().latest().unwrap(), None);
        let done = state.deployments().start("aaa").unwrap();
        state
            .deployments()
            .finish(done, DeploymentStatus::Done)
            .unwrap();
        let cut_off = state.deployments().start("bbb").unwrap();
        drop(state);

        let state = State::open(&path).unwrap();
        let latest = state.deployments().latest().unwrap().unwrap();
        assert_eq!(
            (latest.id, latest.status, latest.finished_at),
            (cut_off, DeploymentStatus::Running, None)
        );
        let all = state.deployments().list().unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(
            (all[1].artifact_hash.as_str(), all[1].status),
            ("aaa", DeploymentStatus::Done)
        );
        assert!(all[1].finished_at >= Some(all[1].started_at));
    }
}
