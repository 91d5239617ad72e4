//! What a job's work and the queue say to each other while it runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::Notify;

use super::{Admission, Job, WorkError};
use crate::engine::EngineError;
use crate::state::State;

/// What work is given to talk with the outside: whether to stop, and where to note progress.
pub struct Control {
    id: String,
    state: Arc<State>,
    cancelled: AtomicBool,
    interrupted: AtomicBool,
    /// Whether the work can be interrupted.
    resumes: bool,
    wake: Notify,
    admission: Mutex<Option<Admission>>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Control")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Control {
    /// For a job that begins.
    pub(super) fn new(id: &str, state: Arc<State>, resumes: bool, admission: Admission) -> Self {
        Self {
            id: id.to_owned(),
            state,
            cancelled: AtomicBool::new(false),
            interrupted: AtomicBool::new(false),
            resumes,
            wake: Notify::new(),
            admission: Mutex::new(Some(admission)),
        }
    }

    /// Stops the work here when it has been cancelled, or is to be taken up by a later process.
    pub fn check(&self) -> Result<(), WorkError> {
        if self.is_cancelled() {
            Err(WorkError::Cancelled)
        } else if self.interrupted.load(Ordering::SeqCst) {
            Err(WorkError::Interrupted)
        } else {
            Ok(())
        }
    }

    /// Done when the work is to stop, with why: for `select!` beside something that takes long.
    pub async fn stopped(&self) -> WorkError {
        loop {
            let woken = self.wake.notified();
            if let Err(reason) = self.check() {
                return reason;
            }
            woken.await;
        }
    }

    /// What an error of the engine means for the work: when the process is being stopped, a later one goes on.
    #[expect(clippy::needless_pass_by_value, reason = "what `map_err` hands over")]
    pub fn failed(&self, error: EngineError) -> WorkError {
        let is_stopped = match &error {
            EngineError::Stopping => true,
            EngineError::Cancelled => self.interrupted.load(Ordering::SeqCst),
            _ => false,
        };
        if is_stopped && self.resumes {
            WorkError::Interrupted
        } else {
            WorkError::Failed(error.to_string())
        }
    }

    /// Whether the job has been cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    /// Notes how far the work is; on disk when this returns.
    pub fn progress(&self, progress: &Value) -> Result<(), WorkError> {
        let noted = self.state.jobs().set_progress(&self.id, progress);
        noted.map_err(|error| WorkError::Failed(error.to_string()))
    }

    /// The jobs that have not ended, of every kind.
    pub fn unfinished(&self) -> Result<Vec<Job>, WorkError> {
        let found = self.state.jobs().unfinished();
        found.map_err(|error| WorkError::Failed(error.to_string()))
    }

    /// What [`super::Work::admitted`] returned for the job, if it is a `T`.
    pub fn admission<T: 'static>(&self) -> Option<T> {
        let mut admission = self
            .admission
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        admission
            .take()
            .and_then(|admission| admission.downcast().ok())
            .map(|admission| *admission)
    }

    pub(super) fn interrupt(&self) {
        if self.resumes {
            self.interrupted.store(true, Ordering::SeqCst);
            self.wake.notify_waiters();
        }
    }

    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        self.wake.notify_waiters();
    }
}
