//! Jobs: work that goes on after the request that asked for it.
//!
//! A job is on disk before it is answered, and every change of its status before anyone is told, so that a restart knows what was being done.

use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use serde_json::Value;

use super::{State, StateError, aside, now, random};

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

/// Which jobs are wanted: those of which all that is given is true.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// The kind.
    pub kind: Option<&'a str>,
    /// Where they stand.
    pub status: Option<&'a str>,
    /// The token that asked for them, as their request says.
    pub asked_by: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    /// The jobs of a kind.
    pub fn of_kind(kind: &'a str) -> Self {
        Self {
            kind: Some(kind),
            ..Self::default()
        }
    }

    /// The condition with its values.
    fn condition(&self) -> (String, Vec<&'a str>) {
        let given = [
            ("kind = ?", self.kind),
            ("status = ?", self.status),
            ("request ->> '$.asked_by' = ?", self.asked_by),
        ];
        let given = given
            .into_iter()
            .filter_map(|(condition, value)| Some((condition, value?)));
        let (conditions, values): (Vec<&str>, Vec<&str>) = given.unzip();
        let condition = match conditions.join(" AND ") {
            none if none.is_empty() => none,
            all => format!(" WHERE {all}"),
        };
        (condition, values)
    }
}

/// How many jobs that have ended are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// For so long after their end, in milliseconds; nothing for ever.
    pub age: Option<i64>,
    /// So many, the newest ones; nothing for all.
    pub count: Option<u32>,
}

/// Most jobs that are removed in one transaction: others wait for it.
const REMOVED: u32 = 500;

/// The jobs of a workspace.
#[derive(Debug, Clone, Copy)]
pub struct Jobs<'state> {
    state: &'state State,
}

/// Jobs that have not ended.
const UNFINISHED: &str = "status IN ('waiting', 'working', 'cancelling')";
const ENDED: &str = "status IN ('done', 'error', 'cancelled')";

const SELECT: &str = "SELECT id, kind, status, request, progress, result, error, created_at, started_at, updated_at FROM jobs";

impl<'state> Jobs<'state> {
    pub(super) fn new(state: &'state State) -> Self {
        Self { state }
    }

    /// Adds a job that waits.
    pub fn add(&self, kind: &str, request: &Value) -> Result<Job, StateError> {
        let connection = self.state.connection();
        aside(|| insert(&connection, kind, request))
    }

    /// Adds a job whose work is done already.
    pub fn add_done(&self, kind: &str, request: &Value, result: &Value) -> Result<Job, StateError> {
        let mut connection = self.state.connection();
        let transaction = connection.transaction()?;
        let job = insert(&transaction, kind, request)?;
        transaction.execute(
            "UPDATE jobs SET status = 'done', result = ?1, started_at = created_at WHERE id = ?2",
            params![result.to_string(), job.id],
        )?;
        aside(|| transaction.commit())?;
        Ok(Job {
            status: JobStatus::Done,
            result: Some(result.clone()),
            started_at: Some(job.created_at),
            ..job
        })
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

    /// The latest of these jobs, the newest first.
    pub fn list(&self, wanted: &Wanted<'_>, limit: u32) -> Result<Vec<Job>, StateError> {
        let (condition, values) = wanted.condition();
        let sql = format!("{SELECT}{condition} ORDER BY number DESC LIMIT {limit}");
        let connection = self.state.connection();
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(values), stored)?;
        rows.map(|row| row.map_err(StateError::from).and_then(job))
            .collect()
    }

    /// The jobs that have not ended, the oldest first.
    pub fn unfinished(&self) -> Result<Vec<Job>, StateError> {
        let connection = self.state.connection();
        let mut statement =
            connection.prepare_cached(&format!("{SELECT} WHERE {UNFINISHED} ORDER BY number"))?;
        let rows = statement.query_map([], stored)?;
        rows.map(|row| row.map_err(StateError::from).and_then(job))
            .collect()
    }

    /// Removes jobs that have ended and are not to be kept. Returns how many.
    pub fn remove_ended(&self, keep: Keep) -> Result<usize, StateError> {
        let mut removed = 0;
        if let Some(age) = keep.age {
            let before = now().saturating_sub(age);
            removed += self.remove(&format!("{ENDED} AND updated_at < {before}"))?;
        }
        if let Some(count) = keep.count {
            // From the first one on that is too many.
            let last = format!(
                "SELECT number FROM jobs WHERE {ENDED} ORDER BY number DESC LIMIT 1 OFFSET {count}"
            );
            let last: Option<i64> = self
                .state
                .connection()
                .query_row(&last, [], |row| row.get(0))
                .optional()?;
            if let Some(last) = last {
                removed += self.remove(&format!("{ENDED} AND number <= {last}"))?;
            }
        }
        Ok(removed)
    }

    fn remove(self, condition: &str) -> Result<usize, StateError> {
        let sql = format!(
            "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE {condition} LIMIT {REMOVED})"
        );
        let mut removed = 0;
        loop {
            let count = self.state.execute(&sql, [])?;
            removed += count;
            if count < REMOVED as usize {
                return Ok(removed);
            }
        }
    }

    /// Moves a job from one of the statuses `from` to `to`; false when it was in none of them.
    pub fn change(&self, id: &str, from: &[JobStatus], to: JobStatus) -> Result<bool, StateError> {
        for status in from {
            let changed = self.state.execute(
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
        self.state.execute(
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
        self.state.execute(
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
    insert_as(connection, &random::uuid()?, kind, request)
}

/// The same with an id that is known already.
pub(super) fn insert_as(
    connection: &Connection,
    id: &str,
    kind: &str,
    request: &Value,
) -> Result<Job, StateError> {
    let now = now();
    connection.execute(
        "INSERT INTO jobs (id, number, kind, status, request, progress, created_at, updated_at)
         VALUES (?1, (SELECT ifnull(max(number), 0) + 1 FROM jobs), ?2, 'waiting', ?3, '{}', ?4, ?4)",
        params![id, kind, request.to_string(), now],
    )?;
    Ok(Job {
        id: id.to_owned(),
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
        assert_eq!(
            state.jobs().list(&Wanted::default(), 1).unwrap()[0].id,
            second.id
        );
        assert_eq!(state.jobs().find("nope").unwrap(), None);
    }

    /// Adds jobs of a kind, each of which ended so many days ago.
    fn ended(state: &State, kind: &str, days: impl IntoIterator<Item = i64>) -> Vec<String> {
        let add = |days: i64| {
            let job = state.jobs().add(kind, &json!({})).unwrap();
            let ended = state.jobs().finish(&job.id, JobStatus::Done, None, None);
            ended.unwrap();
            let at = now() - days * 86_400_000;
            let sql = "UPDATE jobs SET updated_at = ?1 WHERE id = ?2";
            state
                .connection()
                .execute(sql, params![at, job.id])
                .unwrap();
            job.id
        };
        days.into_iter().map(add).collect()
    }

    #[test]
    fn jobs_that_ended_are_kept_as_long_and_as_many_as_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(&folder.path().join("state.sqlite")).unwrap();
        let waits = state.jobs().add("copy", &json!({})).unwrap();
        let works = state.jobs().add("copy", &json!({})).unwrap();
        for job in [&waits, &works] {
            let sql = "UPDATE jobs SET updated_at = 1 WHERE id = ?1";
            state.connection().execute(sql, [&job.id]).unwrap();
        }
        let sql = "UPDATE jobs SET status = 'working' WHERE id = ?1";
        state.connection().execute(sql, [&works.id]).unwrap();
        let days = (0..40).chain(std::iter::repeat_n(50, 2 * REMOVED as usize));
        let ids = ended(&state, "copy", days);
        let left = || {
            let jobs = state.jobs().list(&Wanted::default(), 10_000).unwrap();
            jobs.into_iter().map(|job| job.id).collect::<Vec<_>>()
        };
        let all = Keep {
            age: None,
            count: None,
        };
        assert_eq!(state.jobs().remove_ended(all).unwrap(), 0);
        let month = Keep {
            age: Some(30 * 86_400_000 + 3_600_000),
            count: None,
        };
        assert_eq!(
            state.jobs().remove_ended(month).unwrap(),
            9 + 2 * REMOVED as usize
        );
        let mut expected: Vec<String> = ids[..31].to_vec();
        expected.reverse();
        expected.extend([works.id.clone(), waits.id.clone()]);
        assert_eq!(left(), expected);
        // The newest are those that were asked for last.
        let ten = Keep {
            age: None,
            count: Some(10),
        };
        assert_eq!(state.jobs().remove_ended(ten).unwrap(), 21);
        let mut expected: Vec<String> = ids[21..31].to_vec();
        expected.reverse();
        expected.extend([works.id, waits.id]);
        assert_eq!(left(), expected);
        let newest = state.jobs().add("copy", &json!({})).unwrap();
        assert_eq!(left()[0], newest.id);
    }

    #[test]
    fn lists_are_read_from_their_indexes() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(&folder.path().join("state.sqlite")).unwrap();
        let mine = state
            .jobs()
            .add("copy", &json!({ "asked_by": "a" }))
            .unwrap();
        state
            .jobs()
            .add("copy", &json!({ "asked_by": "b" }))
            .unwrap();
        let other = state
            .jobs()
            .add("deploy", &json!({ "asked_by": "a" }))
            .unwrap();
        let found = |wanted: Wanted<'_>| -> Vec<String> {
            let jobs = state.jobs().list(&wanted, 10).unwrap();
            jobs.into_iter().map(|job| job.id).collect()
        };
        let by = Wanted {
            asked_by: Some("a"),
            ..Wanted::default()
        };
        assert_eq!(found(by), [other.id.as_str(), &mine.id]);
        assert_eq!(
            found(Wanted {
                kind: Some("copy"),
                ..by
            }),
            [mine.id.as_str()]
        );
        assert_eq!(
            found(Wanted {
                status: Some("done"),
                ..by
            }),
            [""; 0]
        );
        let path = |sql: &str| -> String {
            let connection = state.connection();
            let mut statement = connection
                .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
                .unwrap();
            let rows = statement.query_map([], |row| row.get(3)).unwrap();
            rows.collect::<Result<Vec<String>, _>>().unwrap().join(", ")
        };
        for (condition, index) in [
            ("WHERE kind = 'copy'", "jobs_of_kind"),
            ("WHERE request ->> '$.asked_by' = 'a'", "jobs_asked_by"),
            (&format!("WHERE {UNFINISHED}"), "jobs_unfinished"),
        ] {
            let path = path(&format!(
                "{SELECT} {condition} ORDER BY number DESC LIMIT 10"
            ));
            assert!(
                path.contains(index) && !path.contains("TEMP B-TREE"),
                "{path}"
            );
        }
    }
}
