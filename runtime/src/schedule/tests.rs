use std::sync::Mutex;

use serde_json::json;
use tokio::sync::Notify;

use super::*;
use crate::jobs::{Control, Job, JobStatus, Limits, Wanted, Work, WorkError};

/// Copies that wait to be let go.
#[derive(Default)]
struct Gate {
    open: Notify,
}

#[async_trait]
impl Work for Gate {
    async fn run(&self, _: &Job, _: &Control) -> Result<Value, WorkError> {
        self.open.notified().await;
        Ok(json!({}))
    }

    fn resumes(&self) -> bool {
        true
    }
}

struct Project {
    schedules: Mutex<BTreeMap<String, String>>,
    broken: bool,
    most: usize,
}

#[async_trait]
impl Scheduled for Project {
    fn schedules(&self) -> BTreeMap<String, String> {
        self.schedules.lock().unwrap().clone()
    }

    async fn job(&self, pipe_id: &str, time: i64) -> (Value, Option<String>) {
        let request = json!({ "pipe_id": pipe_id, "time": time });
        (
            request,
            self.broken.then(|| "it does not compile".to_owned()),
        )
    }

    fn most_copies(&self) -> usize {
        self.most
    }
}

fn project(schedules: &[(&str, &str)]) -> Project {
    let schedules = schedules
        .iter()
        .map(|(id, cron)| ((*id).to_owned(), (*cron).to_owned()));
    Project {
        schedules: Mutex::new(schedules.collect()),
        broken: false,
        most: 10,
    }
}

fn process(state: &Arc<State>, gate: &Arc<Gate>) -> (Scheduler, Arc<Jobs>) {
    let work: Arc<dyn Work> = Arc::clone(gate) as _;
    let jobs = Jobs::new(Arc::clone(state), [(COPY, work)], Limits::default());
    (Scheduler::new(Arc::clone(state), Arc::clone(&jobs)), jobs)
}

/// The times that ran or wait, the oldest first.
fn times(state: &State) -> Vec<i64> {
    let mut jobs = state.jobs().list(&Wanted::default(), 100).unwrap();
    jobs.reverse();
    jobs.iter()
        .map(|job| job.request["time"].as_i64().unwrap())
        .collect()
}

const HOUR: i64 = 3600;

#[tokio::test]
async fn each_time_runs_once_and_what_was_missed_is_one_run() {
    let (state, gate) = (Arc::new(State::in_memory().unwrap()), Arc::default());
    let source = project(&[("t_1", "0 * * * *")]);
    let (mut scheduler, jobs) = process(&state, &gate);
    for now in [100, HOUR - 1, HOUR, HOUR, HOUR + 1] {
        scheduler.look(&source, now).await.unwrap();
    }
    assert_eq!(times(&state), [HOUR]);
    let job = state.jobs().list(&Wanted::default(), 1).unwrap().remove(0);
    gate.open.notify_one();
    jobs.ended(&job.id).await.unwrap();
    // The process is gone for three hours, and another begins.
    drop((scheduler, jobs));
    let (mut scheduler, jobs) = process(&state, &gate);
    jobs.recover().unwrap();
    for now in [5 * HOUR + 1700, 5 * HOUR + 1701] {
        scheduler.look(&source, now).await.unwrap();
    }
    assert_eq!(times(&state), [HOUR, 5 * HOUR]);
}

#[tokio::test]
async fn a_copy_that_goes_on_keeps_the_next_one_waiting() {
    let (state, gate) = (Arc::new(State::in_memory().unwrap()), Arc::default());
    let source = project(&[("t_1", "* * * * *"), ("t_2", "* * * * *")]);
    let (mut scheduler, jobs) = process(&state, &gate);
    for now in [59, 60, 120, 180] {
        scheduler.look(&source, now).await.unwrap();
    }
    assert_eq!(times(&state), [60, 60]);
    let first = state.jobs().unfinished().unwrap().remove(0);
    gate.open.notify_waiters();
    gate.open.notify_one();
    jobs.ended(&first.id).await.unwrap();
    for now in [181, 182] {
        scheduler.look(&source, now).await.unwrap();
    }
    assert!(times(&state).starts_with(&[60, 60, 180]));
}

#[tokio::test]
async fn as_many_copies_go_on_as_may() {
    let (state, gate) = (Arc::new(State::in_memory().unwrap()), Arc::default());
    let mut source = project(&[("t_1", "* * * * *"), ("t_2", "* * * * *")]);
    source.most = 1;
    let (mut scheduler, _jobs) = process(&state, &gate);
    for now in [59, 60, 61] {
        scheduler.look(&source, now).await.unwrap();
    }
    assert_eq!(times(&state), [60]);
}

#[tokio::test]
async fn a_copy_that_cannot_run_is_a_job_that_failed() {
    let (state, gate) = (Arc::new(State::in_memory().unwrap()), Arc::default());
    let mut source = project(&[("t_1", "* * * * *")]);
    source.broken = true;
    let (mut scheduler, _jobs) = process(&state, &gate);
    for now in [59, 60, 61, 120] {
        scheduler.look(&source, now).await.unwrap();
    }
    let jobs = state.jobs().list(&Wanted::default(), 10).unwrap();
    assert_eq!(times(&state), [60, 120]);
    assert!(
        jobs.iter().all(|job| job.status == JobStatus::Error
            && job.error.as_deref() == Some("it does not compile"))
    );
}

#[tokio::test]
async fn a_paused_schedule_rests_and_goes_on_with_what_comes() {
    let (state, gate) = (Arc::new(State::in_memory().unwrap()), Arc::default());
    let source = project(&[("t_1", "* * * * *")]);
    let (mut scheduler, _jobs) = process(&state, &gate);
    scheduler.look(&source, 10).await.unwrap();
    let schedules = state.schedules();
    schedules.pause("t_1", "* * * * *", true, 20).unwrap();
    scheduler.look(&source, 300).await.unwrap();
    schedules.pause("t_1", "* * * * *", false, 310).unwrap();
    scheduler.look(&source, 311).await.unwrap();
    assert_eq!(times(&state), [] as [i64; 0]);
    scheduler.look(&source, 361).await.unwrap();
    assert_eq!(times(&state), [360]);
    // Without its schedule, nothing is left of it.
    source.schedules.lock().unwrap().clear();
    scheduler.look(&source, 400).await.unwrap();
    assert_eq!(schedules.find("t_1").unwrap(), None);
}
