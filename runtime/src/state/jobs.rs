//! Jobs: work that goes on after the request that asked for it.
//!
//! A job is on disk before it is answered, and every change of its status before anyone is told, so that a restart knows what was being done.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;

use super::{State, StateError, now, random};

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStatus {
    /// In the queue.
    Waiting,
    /// Under way.
    Working,
    /// Ended well.
    Done,
    /// Ended with an error.
    Error,
    /// Told to stop, and still under way.
    Cancelling,
    /// Stopped.
    Cancelled,
}

impl JobStatus {
    /// The status as it is written: `waiting`, `working`, …
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Working => "working",
            Self::Done => "done",
            Self::Error => "error",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status of that name.
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Waiting,
            Self::Working,
            Self::Done,
            Self::Error,
            Self::Cancelling,
            Self::Cancelled,
        ]
        .into_iter()
        .find(|status| status.as_str() == text)
    }

    /// Whether nothing more will happen.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Error | Self::Cancelled)
    }
}

/// A job.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// A UUID.
    pub id: String,
    /// What kind of work it is: `populateview`, `delete_data`, …
    pub kind: String,
    /// Where it stands.
    pub status: JobStatus,
    /// What was asked for: all that is needed to do it, also after a restart.
    pub request: Value,
    /// How far it is, in its own words.
    pub progress: Value,
    /// What came of it.
    pub result: Option<Value>,
    /// Why it failed.
    pub error: Option<String>,
    /// When it was asked for, in milliseconds since 1970.
    pub created_at: i64,
    /// When work began.
    pub started_at: Option<i64>,
    /// When anything of it last changed.
    pub updated_at: i64,
}

/// The jobs of a workspace.
#[derive(Debug, Clone, Copy)]
pub struct Jobs<'state> {
    state: &'state State,
}

const SELECT: &str = "SELECT id, kind, status, request, progress, result, error, created_at, started_at, updated_at FROM jobs";

impl<'state> Jobs<'state> {
    pub(super) fn new(state: &'state State) -> Self {
        Self { state }
    }

    /// Adds a job that waits.
    pub fn add(&self, kind: &str, request: &Value) -> Result<Job, StateError> {
        insert(&self.state.connection(), kind, request)
    }

    /// The job with this id.
    pub fn find(&self, id: &str) -> Result<Option<Job>, StateError> {
        let connection = self.state.connection();
        let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
        statement
            .query_row([id], stored)
            .optional()?
            .map(job)
            .transpose()
    }

    /// The latest jobs, the newest first.
    pub fn list(&self, limit: u32) -> Result<Vec<Job>, StateError> {
        let connection = self.state.connection();
        let mut statement =
            connection.prepare_cached(&format!("{SELECT} ORDER BY number DESC LIMIT ?1"))?;
        let rows = statement.query_map([limit], stored)?;
        rows.map(|row| row.map_err(StateError::from).and_then(job))
            .collect()
    }

    /// The jobs that have not ended, the oldest first.
    pub fn unfinished(&self) -> Result<Vec<Job>, StateError> {
        let connection = self.state.connection();
        let mut statement = connection.prepare_cached(&format!(
            "{SELECT} WHERE status IN ('waiting', 'working', 'cancelling') ORDER BY number"
        ))?;
        let rows = statement.query_map([], stored)?;
        rows.map(|row| row.map_err(StateError::from).and_then(job))
            .collect()
    }

    /// Moves a job from one of the statuses `from` to `to`; false when it was in none of them.
    pub fn change(&self, id: &str, from: &[JobStatus], to: JobStatus) -> Result<bool, StateError> {
        let connection = self.state.connection();
        for status in from {
            let changed = connection.execute(
                "UPDATE jobs SET status = ?1, updated_at = ?2, started_at = iif(?1 = 'working', ifnull(started_at, ?2), started_at)
                 WHERE id = ?3 AND status = ?4",
                params![to.as_str(), now(), id, status.as_str()],
            )?;
            if changed > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Notes how far a job is. What is noted is on disk when this returns, so that a restart can go on from there.
    pub fn set_progress(&self, id: &str, progress: &Value) -> Result<(), StateError> {
        self.state.connection().execute(
            "UPDATE jobs SET progress = ?1, updated_at = ?2 WHERE id = ?3",
            params![progress.to_string(), now(), id],
        )?;
        Ok(())
    }

    /// Notes how a job ended.
    pub fn finish(
        &self,
        id: &str,
        status: JobStatus,
        result: Option<&Value>,
        error: Option<&str>,
    ) -> Result<(), StateError> {
        self.state.connection().execute(
            "UPDATE jobs SET status = ?1, result = ?2, error = ?3, updated_at = ?4 WHERE id = ?5",
            params![
                status.as_str(),
                result.map(ToString::to_string),
                error,
                now(),
                id
            ],
        )?;
        Ok(())
    }
}

/// Writes a job that waits.
pub(super) fn insert(
    connection: &Connection,
    kind: &str,
    request: &Value,
) -> Result<Job, StateError> {
    let (id, now) = (random::uuid()?, now());
    connection.execute(
        "INSERT INTO jobs (id, number, kind, status, request, progress, created_at, updated_at)
         VALUES (?1, (SELECT ifnull(max(number), 0) + 1 FROM jobs), ?2, 'waiting', ?3, '{}', ?4, ?4)",
        params![id, kind, request.to_string(), now],
    )?;
    Ok(Job {
        id,
        kind: kind.to_owned(),
        status: JobStatus::Waiting,
        request: request.clone(),
        progress: Value::Object(serde_json::Map::new()),
        result: None,
        error: None,
        created_at: now,
        started_at: None,
        updated_at: now,
    })
}

type Stored = (Job, [Option<String>; 3]);

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let job = Job {
        id: row.get(0)?,
        kind: row.get(1)?,
        status: JobStatus::parse(&row.get::<_, String>(2)?).unwrap_or(JobStatus::Error),
        request: Value::Null,
        progress: Value::Null,
        result: None,
        error: row.get(6)?,
        created_at: row.get(7)?,
        started_at: row.get(8)?,
        updated_at: row.get(9)?,
    };
    Ok((job, [row.get(3)?, row.get(4)?, row.get(5)?]))
}

fn job((mut job, [request, progress, result]): Stored) -> Result<Job, StateError> {
    let value = |text: Option<String>| {
        text.map(|text| serde_json::from_str::<Value>(&text))
            .transpose()
    };
    job.request = value(request)?.unwrap_or_default();
    job.progress = value(progress)?.unwrap_or_default();
    job.result = value(result)?;
    Ok(job)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_job_remembers_what_it_was_asked_for_and_how_far_it_came() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.sqlite");
        let state = State::open(&path).unwrap();
        let first = state.jobs().add("copy", &json!({ "pipe": "a" })).unwrap();
        let second = state.jobs().add("copy", &json!({ "pipe": "b" })).unwrap();
        assert!(
            state
                .jobs()
                .change(&first.id, &[JobStatus::Waiting], JobStatus::Working)
                .unwrap()
        );
        assert!(
            !state
                .jobs()
                .change(&first.id, &[JobStatus::Waiting], JobStatus::Cancelled)
                .unwrap()
        );
        state
            .jobs()
            .set_progress(&first.id, &json!({ "rows": 7 }))
            .unwrap();
        drop(state);

        let state = State::open(&path).unwrap();
        let unfinished = state.jobs().unfinished().unwrap();
        assert_eq!(
            unfinished.iter().map(|job| &job.id).collect::<Vec<_>>(),
            [&first.id, &second.id]
        );
        assert_eq!(
            (&unfinished[0].request, &unfinished[0].progress),
            (&json!({ "pipe": "a" }), &json!({ "rows": 7 }))
        );
        assert!(unfinished[0].started_at.is_some() && unfinished[1].started_at.is_none());
        state
            .jobs()
            .finish(&first.id, JobStatus::Error, None, Some("no such table"))
            .unwrap();
        let ended = state.jobs().find(&first.id).unwrap().unwrap();
        assert_eq!(
            (ended.status, ended.error.as_deref()),
            (JobStatus::Error, Some("no such table"))
        );
        assert_eq!(state.jobs().list(1).unwrap()[0].id, second.id);
        assert_eq!(state.jobs().find("nope").unwrap(), None);
    }
}
