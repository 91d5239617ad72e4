//! Jobs: a request goes in and an id comes out at once; the work is done by a few workers, in the order in which it was asked for.
//!
//! What must hold: a job is on disk before its id is told; at most so many wait as the queue has places; a job that was under way when the process died is
//! either taken up again by its [`Work`], or marked as failed, when the process comes back. Cancelling takes effect at the next point where the work looks.

mod control;

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;
use serde_json::Value;
use tokio::sync::{Notify, Semaphore};

pub use crate::state::{Job, JobStatus, Keep, Wanted};
use crate::state::{State, StateError};
pub use control::Control;

/// One kind of work.
#[async_trait]
pub trait Work: Send + Sync {
    /// Does the work of `job`. Its request says what; its progress says how far an earlier run came.
    async fn run(&self, job: &Job, control: &Control) -> Result<Value, WorkError>;

    /// Whether a job that was under way when the process died can be run again, from what its progress says.
    fn resumes(&self) -> bool {
        false
    }

    /// Whether it begins at once, however many other jobs wait and run.
    fn is_urgent(&self) -> bool {
        false
    }

    /// Whether its jobs wait for something of their own, by [`Work::admitted`], and take no place from other jobs meanwhile.
    fn waits_apart(&self) -> bool {
        false
    }

    /// Waits until `job` may begin. What is returned is given to the run by [`Control::admission`], or dropped when there is none any more.
    async fn admitted(&self, _job: &Job, _unfinished: &Unfinished<'_>) -> Admission {
        Box::new(())
    }
}

/// What lets a job begin, and is held while it runs.
pub type Admission = Box<dyn Any + Send>;

/// Says which jobs have not ended.
pub type Unfinished<'a> = dyn Fn() -> Result<Vec<Job>, StateError> + Send + Sync + 'a;

/// Why work did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// It was told to stop, and has put everything back in order.
    #[error("cancelled")]
    Cancelled,
    /// The process is being stopped, or the work cannot go on now: it is taken up from its progress, by a later process or after a pause.
    #[error("interrupted")]
    Interrupted,
    /// It failed.
    #[error("{0}")]
    Failed(String),
}

/// Why a job was not taken on.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// As many jobs wait as may.
    #[error("{0} jobs are waiting already")]
    Full(usize),
    /// As many jobs of this kind wait or run as may.
    #[error("{0} jobs of this kind are waiting or working already")]
    TooManyOfKind(usize),
    /// Nothing here does that kind of work.
    #[error("there is no job of kind `{0}`")]
    UnknownKind(String),
    /// It could not be written down.
    #[error(transparent)]
    State(#[from] StateError),
}

/// How many jobs may wait, how many run at once, and how long those that have ended are kept.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Jobs that wait; more are refused.
    pub waiting: usize,
    /// Jobs that run at the same time.
    pub workers: usize,
    /// Jobs that have ended.
    pub keep: Keep,
    /// After this time a job goes on that stopped because it could not.
    pub pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            waiting: 100,
            workers: 2,
            keep: Keep {
                age: None,
                count: None,
            },
            pause: Duration::from_secs(10),
        }
    }
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Job>,
    running: BTreeMap<String, Arc<Control>>,
    closed: bool,
}

/// The queue and its workers.
pub struct Jobs {
    state: Arc<State>,
    works: BTreeMap<&'static str, Arc<dyn Work>>,
    limits: Limits,
    queue: Mutex<Queue>,
    slots: Arc<Semaphore>,
    ended: Notify,
    listener: OnceLock<Listener>,
    /// Who counts jobs and adds one does so alone.
    submitting: Mutex<()>,
    /// How many have ended since those were removed that are not to be kept.
    ended_since: AtomicUsize,
}

/// After so many ends it is looked which jobs are to be kept.
const ENDS: usize = 100;

/// Who is told of every change of a job's status.
pub type Listener = Box<dyn Fn(&Job) + Send + Sync>;

impl std::fmt::Debug for Jobs {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Jobs")
            .field("kinds", &self.works.keys())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Jobs {
    /// A queue for these kinds of work. Nothing runs before [`Jobs::recover`].
    pub fn new(
        state: Arc<State>,
        works: impl IntoIterator<Item = (&'static str, Arc<dyn Work>)>,
        limits: Limits,
    ) -> Arc<Self> {
        Arc::new(Self {
            state,
            works: works.into_iter().collect(),
            limits,
            queue: Mutex::default(),
            slots: Arc::new(Semaphore::new(limits.workers)),
            ended: Notify::new(),
            listener: OnceLock::new(),
            submitting: Mutex::default(),
            ended_since: AtomicUsize::new(0),
        })
    }

    /// Tells `listener` of every change from now on. There can be one.
    pub fn listen(&self, listener: Listener) {
        _ = self.listener.set(listener);
    }

    fn tell(&self, id: &str) {
        let Some(listener) = self.listener.get() else {
            return;
        };
        match self.find(id) {
            Ok(Some(job)) => listener(&job),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "a change of a job cannot be told"),
        }
    }

    /// Takes up what an earlier process left: waiting jobs wait again, in their order; those under way resume or have failed.
    pub fn recover(self: &Arc<Self>) -> Result<(), StateError> {
        let jobs = Arc::clone(self);
        tokio::spawn(async move { jobs.tidy().await });
        for job in self.state.jobs().unfinished()? {
            let resumes = self
                .works
                .get(job.kind.as_str())
                .is_some_and(|work| work.resumes());
            match job.status {
                JobStatus::Waiting if self.works.contains_key(job.kind.as_str()) => {
                    self.enqueue(job);
                }
                JobStatus::Working if resumes => {
                    self.state
                        .jobs()
                        .change(&job.id, &[JobStatus::Working], JobStatus::Waiting)?;
                    self.enqueue(job);
                }
                // What was told to stop resumes in order to put things back, and stops.
                JobStatus::Cancelling if resumes => self.enqueue(job),
                JobStatus::Cancelling => {
                    self.state
                        .jobs()
                        .finish(&job.id, JobStatus::Cancelled, None, None)?;
                }
                _ => {
                    self.state.jobs().finish(
                        &job.id,
                        JobStatus::Error,
                        None,
                        Some("the process stopped while the job was under way"),
                    )?;
                    self.tell(&job.id);
                }
            }
        }
        Ok(())
    }

    /// Takes a job on. It is on disk when this returns.
    pub fn submit(self: &Arc<Self>, kind: &str, request: &Value) -> Result<Job, SubmitError> {
        if !self.works.contains_key(kind) {
            return Err(SubmitError::UnknownKind(kind.to_owned()));
        }
        self.require_room()?;
        let job = self.state.jobs().add(kind, request)?;
        self.take_on(job.clone());
        Ok(job)
    }

    /// Fails while no further job is taken on.
    pub fn require_room(&self) -> Result<(), SubmitError> {
        let waiting = self.queue().waiting.len();
        if waiting >= self.limits.waiting {
            return Err(SubmitError::Full(waiting));
        }
        Ok(())
    }

    /// Takes a job on, unless `most` jobs of its kind wait or run.
    pub fn submit_within(
        self: &Arc<Self>,
        kind: &str,
        request: &Value,
        most: usize,
    ) -> Result<Job, SubmitError> {
        let _alone = self
            .submitting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let active = self.active(kind)?.len();
        if active >= most {
            return Err(SubmitError::TooManyOfKind(active));
        }
        self.submit(kind, request)
    }

    /// Queues a job that is on disk, or tells of one that has ended already.
    pub fn take_on(self: &Arc<Self>, job: Job) {
        if let Some(listener) = self.listener.get() {
            listener(&job);
        }
        if !job.status.is_final() {
            self.enqueue(job);
        }
    }

    /// The jobs of a kind that have not ended, the oldest first.
    pub fn active(&self, kind: &str) -> Result<Vec<Job>, StateError> {
        let mut jobs = self.state.jobs().unfinished()?;
        jobs.retain(|job| job.kind == kind);
        Ok(jobs)
    }

    /// The job with this id.
    pub fn find(&self, id: &str) -> Result<Option<Job>, StateError> {
        self.state.jobs().find(id)
    }

    /// The latest of these jobs, the newest first.
    pub fn list(&self, wanted: &Wanted<'_>, limit: u32) -> Result<Vec<Job>, StateError> {
        self.state.jobs().list(wanted, limit)
    }

    /// Removes jobs that ended so long or so many jobs ago that they are not kept. Those that have not ended stay.
    async fn tidy(&self) {
        self.ended_since.store(0, Ordering::SeqCst);
        let (state, keep) = (Arc::clone(&self.state), self.limits.keep);
        let removed = tokio::task::spawn_blocking(move || state.jobs().remove_ended(keep)).await;
        match removed {
            Ok(Ok(0)) | Err(_) => {}
            Ok(Ok(removed)) => tracing::info!(removed, "removed jobs that ended long ago"),
            Ok(Err(error)) => tracing::warn!(%error, "jobs that ended long ago stay"),
        }
    }

    /// Cancels a job: at once when it waits, at its next look when it is under way. Returns what it is then; nothing when there is no such job.
    pub fn cancel(self: &Arc<Self>, id: &str) -> Result<Option<Job>, StateError> {
        let mut again = None;
        {
            let mut queue = self.queue();
            if let Some(control) = queue.running.get(id) {
                self.state
                    .jobs()
                    .change(id, &[JobStatus::Working], JobStatus::Cancelling)?;
                control.cancel();
            } else if self.has_begun(id)? {
                // It resumes in order to put things back, and stops.
                let to = JobStatus::Cancelling;
                if self.state.jobs().change(id, &[JobStatus::Waiting], to)? {
                    queue.waiting.retain(|job| job.id != id);
                    again = self.find(id)?;
                }
            } else if self
                .state
                .jobs()
                .change(id, &[JobStatus::Waiting], JobStatus::Cancelled)?
            {
                queue.waiting.retain(|job| job.id != id);
            }
        }
        if let Some(job) = again {
            self.enqueue(job);
        }
        self.ended.notify_waiters();
        self.tell(id);
        self.find(id)
    }

    /// Whether a job that waits was under way before, and has something to put back.
    fn has_begun(&self, id: &str) -> Result<bool, StateError> {
        let job = self.find(id)?;
        Ok(job.is_some_and(|job| {
            let work = self.works.get(job.kind.as_str());
            let is_noted = job
                .progress
                .as_object()
                .is_some_and(|noted| !noted.is_empty());
            is_noted && work.is_some_and(|work| work.resumes())
        }))
    }

    /// Waits until a job has ended, and returns it.
    pub async fn ended(&self, id: &str) -> Result<Option<Job>, StateError> {
        loop {
            let woken = self.ended.notified();
            tokio::pin!(woken);
            // Registered before the look, so that an end in between is not missed.
            woken.as_mut().enable();
            match self.find(id)? {
                Some(job) if !job.status.is_final() => woken.await,
                found => return Ok(found),
            }
        }
    }

    /// Starts no more jobs, interrupts those that a later process can take up, and waits for the others. What waits is on disk.
    pub async fn shutdown(&self) {
        {
            let mut queue = self.queue();
            queue.closed = true;
            queue
                .running
                .values()
                .for_each(|control| control.interrupt());
        }
        let all = u32::try_from(self.limits.workers).unwrap_or(u32::MAX);
        _ = self.slots.acquire_many(all).await;
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            // Registered before the look, so that an end in between is not missed.
            ended.as_mut().enable();
            if self.queue().running.is_empty() {
                return;
            }
            ended.await;
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(self: &Arc<Self>, job: Job) {
        self.queue().waiting.push_back(job.clone());
        let jobs = Arc::clone(self);
        tokio::spawn(async move {
            let work = jobs.works.get(job.kind.as_str());
            if let Some(work) = work.filter(|work| work.waits_apart()) {
                let unfinished = || jobs.state.jobs().unfinished();
                let admission = work.admitted(&job, &unfinished).await;
                jobs.work(|other| other.id == job.id, admission).await;
            } else if jobs.is_urgent(&job) {
                jobs.work(|other| other.id == job.id, Box::new(())).await;
            } else {
                let slots = Arc::clone(&jobs.slots);
                let Ok(_slot) = slots.acquire_owned().await else {
                    return;
                };
                jobs.work(|job| jobs.needs_place(job), Box::new(())).await;
            }
            jobs.ended.notify_waiters();
        });
    }

    /// Queues a job once more that could not go on, after a pause, unless it has ended until then.
    fn enqueue_later(self: &Arc<Self>, id: String) {
        let (jobs, pause) = (Arc::downgrade(self), self.limits.pause);
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            let Some(jobs) = jobs.upgrade() else { return };
            let is_queued = {
                let queue = jobs.queue();
                queue.running.contains_key(&id) || queue.waiting.iter().any(|job| job.id == id)
            };
            // One that was cancelled has to put things back, and could not.
            let is_open = |status| matches!(status, JobStatus::Waiting | JobStatus::Cancelling);
            match jobs.find(&id) {
                Ok(Some(job)) if is_open(job.status) && !is_queued => {
                    jobs.enqueue(job);
                }
                Ok(_) => {}
                Err(error) => tracing::error!(%error, job = id, "a job is not taken up again"),
            }
        });
    }

    /// Whether a job takes one of the places of those that run.
    fn needs_place(&self, job: &Job) -> bool {
        let work = self.works.get(job.kind.as_str());
        !work.is_some_and(|work| work.is_urgent() || work.waits_apart())
    }

    fn is_urgent(&self, job: &Job) -> bool {
        self.works
            .get(job.kind.as_str())
            .is_some_and(|work| work.is_urgent())
    }

    /// Does the first of these jobs that waits.
    async fn work(self: &Arc<Self>, wanted: impl Fn(&Job) -> bool, admission: Admission) {
        let (job, control) = {
            let mut queue = self.queue();
            if queue.closed {
                return;
            }
            let place = queue.waiting.iter().position(wanted);
            let Some(job) = place.and_then(|place| queue.waiting.remove(place)) else {
                return;
            };
            let work = self.works.get(job.kind.as_str());
            let resumes = work.is_some_and(|work| work.resumes());
            let state = Arc::clone(&self.state);
            let control = Arc::new(Control::new(&job.id, state, resumes, admission));
            if job.status == JobStatus::Cancelling {
                control.cancel();
            }
            queue.running.insert(job.id.clone(), Arc::clone(&control));
            (job, control)
        };
        let outcome = AssertUnwindSafe(self.run(&job, &control));
        let outcome = outcome.catch_unwind().await;
        // A job that nobody works on any more must not look as if somebody did.
        let outcome = outcome.unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
            let said = said.unwrap_or("no words");
            tracing::error!(job = job.id, "the work of a job panicked: {said}");
            Err(WorkError::Failed(format!("the work panicked: {said}")))
        });
        self.queue().running.remove(&job.id);
        let noted = match &outcome {
            Ok(result) => self
                .state
                .jobs()
                .finish(&job.id, JobStatus::Done, Some(result), None),
            Err(WorkError::Cancelled) => {
                self.state
                    .jobs()
                    .finish(&job.id, JobStatus::Cancelled, None, None)
            }
            Err(WorkError::Interrupted) => self
                .state
                .jobs()
                .change(&job.id, &[JobStatus::Working], JobStatus::Waiting)
                .map(drop),
            Err(WorkError::Failed(error)) => {
                self.state
                    .jobs()
                    .finish(&job.id, JobStatus::Error, None, Some(error))
            }
        };
        if let Err(error) = noted {
            tracing::error!(%error, job = job.id, "cannot note how a job ended");
        }
        self.tell(&job.id);
        if matches!(outcome, Err(WorkError::Interrupted)) && !self.queue().closed {
            self.enqueue_later(job.id.clone());
        }
        if self.ended_since.fetch_add(1, Ordering::SeqCst) >= ENDS {
            self.tidy().await;
        }
    }

    async fn run(&self, job: &Job, control: &Control) -> Result<Value, WorkError> {
        let started = self.state.jobs().change(
            &job.id,
            &[JobStatus::Waiting, JobStatus::Cancelling],
            if control.is_cancelled() {
                JobStatus::Cancelling
            } else {
                JobStatus::Working
            },
        );
        match started {
            Ok(true) => self.tell(&job.id),
            Ok(false) => return Err(WorkError::Cancelled),
            Err(error) => return Err(WorkError::Failed(error.to_string())),
        }
        let Some(work) = self.works.get(job.kind.as_str()) else {
            return Err(WorkError::Failed(format!(
                "there is no job of kind `{}`",
                job.kind
            )));
        };
        work.run(job, control).await
    }
}

#[cfg(test)]
mod tests;
