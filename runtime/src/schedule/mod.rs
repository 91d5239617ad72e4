//! The scheduler of copies: which times of which cron expressions are due, each of them taken once.
//!
//! In: the schedules of the project in force, how far each has been followed (in the state file), and the clock. Out: jobs. After a downtime, or while an
//! earlier copy of the same pipe goes on, the times that pass are one run, for the latest of them. The clock is UTC, so that no time comes twice or not at all.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use pipewright_compiler::plan::Cron;
use serde_json::Value;

use crate::ingest::COPY;
use crate::jobs::Jobs;
use crate::state::{Slot, State, StateError, StoredSchedule};

/// How often the clock is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Where schedules come from, and what runs when one is due.
#[async_trait]
pub trait Scheduled: Send + Sync {
    /// The cron expressions by the id of their pipes.
    fn schedules(&self) -> BTreeMap<String, String>;

    /// The job for a time of a pipe's schedule, in seconds since 1970; with why it cannot run, when it cannot.
    async fn job(&self, pipe_id: &str, time: i64) -> (Value, Option<String>);

    /// How many copies may wait or run at once.
    fn most_copies(&self) -> usize;
}

/// Follows the schedules.
pub struct Scheduler {
    state: Arc<State>,
    jobs: Arc<Jobs>,
    read: BTreeMap<String, Cron>,
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Scheduler").finish_non_exhaustive()
    }
}

impl Scheduler {
    /// A scheduler that gives its jobs to `jobs`.
    pub fn new(state: Arc<State>, jobs: Arc<Jobs>) -> Self {
        Self {
            state,
            jobs,
            read: BTreeMap::new(),
        }
    }

    /// Follows the schedules as long as `source` is there.
    pub fn start(mut self, source: Weak<dyn Scheduled>) {
        tokio::spawn(async move {
            loop {
                let Some(scheduled) = source.upgrade() else {
                    return;
                };
                if let Err(error) = self.look(scheduled.as_ref(), now()).await {
                    tracing::error!(%error, "the schedules of copies cannot be followed");
                }
                drop(scheduled);
                tokio::time::sleep(EVERY).await;
            }
        });
    }

    /// Takes what is due at `now`, in seconds since 1970.
    pub async fn look(&mut self, source: &dyn Scheduled, now: i64) -> Result<(), StateError> {
        self.state.schedules().follow(&source.schedules(), now)?;
        for schedule in self.state.schedules().all()? {
            if schedule.paused {
                continue;
            }
            let Some(time) = self.due(&schedule, now) else {
                continue;
            };
            let active = self.jobs.active(COPY)?;
            let goes_on =
                |pipe_id: &str| active.iter().any(|job| job.request["pipe_id"] == pipe_id);
            if active.len() >= source.most_copies() || goes_on(&schedule.pipe_id) {
                continue;
            }
            let (request, error) = source.job(&schedule.pipe_id, time).await;
            let slot = Slot {
                pipe_id: &schedule.pipe_id,
                since: schedule.since,
                time,
            };
            let taken = self
                .state
                .schedules()
                .take(slot, COPY, &request, error.as_deref())?;
            if let Some(job) = taken {
                self.jobs.take_on(job);
            }
        }
        Ok(())
    }

    /// The latest time of a schedule that has come and was not taken.
    fn due(&mut self, schedule: &StoredSchedule, now: i64) -> Option<i64> {
        if !self.read.contains_key(&schedule.cron) {
            let cron = Cron::parse(&schedule.cron).ok()?;
            self.read.insert(schedule.cron.clone(), cron);
        }
        let time = self.read.get(&schedule.cron)?.latest_until(now)?;
        (time > schedule.since).then_some(time)
    }
}

/// Seconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
