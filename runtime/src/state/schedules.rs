//! Schedules of copies: up to which time each has been followed, and whether it is paused.
//!
//! A time of a schedule is taken and its job written in one transaction, so that a crash leaves either both or neither: no time runs twice.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;

use super::jobs::insert;
use super::{Job, JobStatus, State, StateError, aside};

/// How far a schedule has been followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSchedule {
    /// The id of the pipe.
    pub pipe_id: String,
    /// The cron expression.
    pub cron: String,
    /// Times up to this one have been taken or do not count; seconds since 1970.
    pub since: i64,
    /// Whether its times pass without a run.
    pub paused: bool,
}

/// The schedules of a workspace.
#[derive(Debug, Clone, Copy)]
pub struct Schedules<'state> {
    state: &'state State,
}

/// A time that is due: who, from where, and which.
#[derive(Debug, Clone, Copy)]
pub struct Slot<'a> {
    /// The id of the pipe.
    pub pipe_id: &'a str,
    /// Up to when the schedule had been followed.
    pub since: i64,
    /// The time that is taken.
    pub time: i64,
}

const SELECT: &str = "SELECT pipe_id, cron, since, paused FROM schedules";

impl<'state> Schedules<'state> {
    pub(super) fn new(state: &'state State) -> Self {
        Self { state }
    }

    /// All of them, by the id of the pipe.
    pub fn all(&self) -> Result<Vec<StoredSchedule>, StateError> {
        let connection = self.state.connection();
        let mut statement = connection.prepare_cached(&format!("{SELECT} ORDER BY pipe_id"))?;
        let rows = statement.query_map([], stored)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The schedule of a pipe.
    pub fn find(&self, pipe_id: &str) -> Result<Option<StoredSchedule>, StateError> {
        let connection = self.state.connection();
        let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE pipe_id = ?1"))?;
        Ok(statement.query_row([pipe_id], stored).optional()?)
    }

    /// Follows these cron expressions, by the id of their pipes, and no others. One that is new or differs counts from `now` on.
    pub fn follow(&self, wanted: &BTreeMap<String, String>, now: i64) -> Result<(), StateError> {
        let known = self.all()?;
        let same = known.len() == wanted.len()
            && known
                .iter()
                .all(|known| wanted.get(&known.pipe_id) == Some(&known.cron));
        if same {
            return Ok(());
        }
        let mut connection = self.state.connection();
        let transaction = connection.transaction()?;
        for gone in known
            .iter()
            .filter(|known| !wanted.contains_key(&known.pipe_id))
        {
            transaction.execute("DELETE FROM schedules WHERE pipe_id = ?1", [&gone.pipe_id])?;
        }
        for (pipe_id, cron) in wanted {
            put(&transaction, pipe_id, cron, now)?;
        }
        aside(|| transaction.commit())?;
        Ok(())
    }

    /// Pauses or resumes a schedule. What passes while it is paused is not run later.
    pub fn pause(
        &self,
        pipe_id: &str,
        cron: &str,
        paused: bool,
        now: i64,
    ) -> Result<(), StateError> {
        let mut connection = self.state.connection();
        let transaction = connection.transaction()?;
        put(&transaction, pipe_id, cron, now)?;
        transaction.execute(
            "UPDATE schedules SET paused = ?1, since = max(since, ?2) WHERE pipe_id = ?3 AND paused != ?1",
            params![paused, now, pipe_id],
        )?;
        aside(|| transaction.commit())?;
        Ok(())
    }

    /// Takes a time and writes its job: one that waits, or one that has failed already. Nothing when the schedule has moved on since it was looked at.
    pub fn take(
        &self,
        slot: Slot<'_>,
        kind: &str,
        request: &Value,
        error: Option<&str>,
    ) -> Result<Option<Job>, StateError> {
        let mut connection = self.state.connection();
        let transaction = connection.transaction()?;
        let moved = transaction.execute(
            "UPDATE schedules SET since = ?1 WHERE pipe_id = ?2 AND since = ?3 AND NOT paused",
            params![slot.time, slot.pipe_id, slot.since],
        )?;
        if moved == 0 {
            return Ok(None);
        }
        let mut job = insert(&transaction, kind, request)?;
        if let Some(error) = error {
            transaction.execute(
                "UPDATE jobs SET status = 'error', error = ?1 WHERE id = ?2",
                params![error, job.id],
            )?;
            (job.status, job.error) = (JobStatus::Error, Some(error.to_owned()));
        }
        aside(|| transaction.commit())?;
        Ok(Some(job))
    }
}

fn put(connection: &Connection, pipe_id: &str, cron: &str, now: i64) -> Result<(), StateError> {
    connection.execute(
        "INSERT INTO schedules (pipe_id, cron, since) VALUES (?1, ?2, ?3)
         ON CONFLICT (pipe_id) DO UPDATE SET since = iif(cron = excluded.cron, since, excluded.since), cron = excluded.cron",
        params![pipe_id, cron, now],
    )?;
    Ok(())
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredSchedule> {
    Ok(StoredSchedule {
        pipe_id: row.get(0)?,
        cron: row.get(1)?,
        since: row.get(2)?,
        paused: row.get(3)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wanted(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries
            .iter()
            .map(|(id, cron)| ((*id).to_owned(), (*cron).to_owned()))
            .collect()
    }

    #[test]
    fn a_time_is_taken_once_and_comes_with_its_job() {
        let state = State::in_memory().unwrap();
        let schedules = state.schedules();
        schedules
            .follow(&wanted(&[("t_1", "0 * * * *")]), 100)
            .unwrap();
        let slot = Slot {
            pipe_id: "t_1",
            since: 100,
            time: 3600,
        };
        let job = schedules
            .take(slot, "copy", &json!({ "n": 1 }), None)
            .unwrap()
            .unwrap();
        assert_eq!(state.jobs().find(&job.id).unwrap().unwrap(), job);
        assert_eq!(
            schedules.take(slot, "copy", &json!({}), None).unwrap(),
            None
        );
        let later = Slot {
            since: 3600,
            time: 7200,
            ..slot
        };
        let failed = schedules
            .take(later, "copy", &json!({}), Some("it broke"))
            .unwrap()
            .unwrap();
        assert_eq!(
            (failed.status, failed.error.as_deref()),
            (JobStatus::Error, Some("it broke"))
        );
        assert_eq!(state.jobs().unfinished().unwrap().len(), 1);
        assert_eq!(schedules.find("t_1").unwrap().unwrap().since, 7200);
    }

    #[test]
    fn a_changed_schedule_counts_from_its_change_and_a_paused_one_from_its_resumption() {
        let state = State::in_memory().unwrap();
        let schedules = state.schedules();
        let since = |id: &str| {
            schedules
                .find(id)
                .unwrap()
                .map(|found| (found.since, found.paused))
        };
        let both = wanted(&[("t_1", "0 * * * *"), ("t_2", "5 * * * *")]);
        schedules.follow(&both, 100).unwrap();
        schedules.follow(&both, 200).unwrap();
        assert_eq!(since("t_1"), Some((100, false)));
        schedules
            .follow(&wanted(&[("t_1", "1 * * * *")]), 300)
            .unwrap();
        assert_eq!((since("t_1"), since("t_2")), (Some((300, false)), None));
        schedules.pause("t_1", "1 * * * *", true, 400).unwrap();
        let slot = Slot {
            pipe_id: "t_1",
            since: 400,
            time: 500,
        };
        assert_eq!(
            schedules.take(slot, "copy", &json!({}), None).unwrap(),
            None
        );
        schedules.pause("t_1", "1 * * * *", true, 600).unwrap();
        assert_eq!(since("t_1"), Some((400, true)));
        schedules.pause("t_1", "1 * * * *", false, 700).unwrap();
        assert_eq!(since("t_1"), Some((700, false)));
        schedules.pause("t_3", "2 * * * *", true, 800).unwrap();
        assert_eq!(since("t_3"), Some((800, true)));
    }
}
