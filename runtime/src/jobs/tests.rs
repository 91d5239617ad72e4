use super::*;
use serde_json::json;
use std::sync::atomic::AtomicBool;

/// Work that waits to be let go, and says how often it ran.
#[derive(Default)]
struct Gate {
    open: Notify,
    runs: Mutex<Vec<String>>,
    resumes: bool,
}

#[async_trait]
impl Work for Gate {
    async fn run(&self, job: &Job, control: &Control) -> Result<Value, WorkError> {
        self.runs
            .lock()
            .unwrap()
            .push(job.request["name"].as_str().unwrap_or_default().to_owned());
        control.progress(&json!({ "step": 1 }))?;
        tokio::select! {
            () = self.open.notified() => {}
            reason = control.stopped() => return Err(reason),
        }
        if job.request["name"] == "bad" {
            Err(WorkError::Failed("it broke".to_owned()))
        } else {
            Ok(json!({ "rows": 3 }))
        }
    }

    fn resumes(&self) -> bool {
        self.resumes
    }
}

fn queue(state: &Arc<State>, gate: &Arc<Gate>) -> Arc<Jobs> {
    let work: Arc<dyn Work> = Arc::clone(gate) as _;
    Jobs::new(
        Arc::clone(state),
        [("gate", work)],
        Limits {
            waiting: 2,
            workers: 1,
            ..Limits::default()
        },
    )
}

async fn until(jobs: &Jobs, id: &str, status: JobStatus) {
    for _ in 0..2000 {
        if jobs.find(id).unwrap().unwrap().status == status {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("never {status:?}");
}

#[tokio::test]
async fn jobs_run_in_order_and_tell_how_they_ended() {
    let (state, gate) = (
        Arc::new(State::in_memory().unwrap()),
        Arc::new(Gate::default()),
    );
    let jobs = queue(&state, &gate);
    let good = jobs.submit("gate", &json!({ "name": "good" })).unwrap();
    until(&jobs, &good.id, JobStatus::Working).await;
    let bad = jobs.submit("gate", &json!({ "name": "bad" })).unwrap();
    assert_eq!(
        jobs.find(&bad.id).unwrap().unwrap().status,
        JobStatus::Waiting
    );
    gate.open.notify_one();
    let ended = jobs.ended(&good.id).await.unwrap().unwrap();
    assert_eq!(
        (ended.status, ended.result, ended.progress),
        (
            JobStatus::Done,
            Some(json!({ "rows": 3 })),
            json!({ "step": 1 })
        )
    );
    gate.open.notify_one();
    let ended = jobs.ended(&bad.id).await.unwrap().unwrap();
    assert_eq!(
        (ended.status, ended.error.as_deref()),
        (JobStatus::Error, Some("it broke"))
    );
    assert_eq!(*gate.runs.lock().unwrap(), ["good", "bad"]);
}

#[tokio::test]
async fn the_queue_is_bounded_and_knows_its_kinds() {
    let (state, gate) = (
        Arc::new(State::in_memory().unwrap()),
        Arc::new(Gate::default()),
    );
    let jobs = queue(&state, &gate);
    let first = jobs.submit("gate", &json!({})).unwrap();
    until(&jobs, &first.id, JobStatus::Working).await;
    jobs.submit("gate", &json!({})).unwrap();
    jobs.submit("gate", &json!({})).unwrap();
    assert!(matches!(
        jobs.submit("gate", &json!({})),
        Err(SubmitError::Full(2))
    ));
    assert!(matches!(
        jobs.submit("nope", &json!({})),
        Err(SubmitError::UnknownKind(_))
    ));
    assert_eq!(state.jobs().list(&Wanted::default(), 10).unwrap().len(), 3);
}

#[tokio::test]
async fn jobs_are_cancelled_while_they_wait_and_while_they_work() {
    let (state, gate) = (
        Arc::new(State::in_memory().unwrap()),
        Arc::new(Gate::default()),
    );
    let jobs = queue(&state, &gate);
    let working = jobs.submit("gate", &json!({ "name": "a" })).unwrap();
    until(&jobs, &working.id, JobStatus::Working).await;
    let waiting = jobs.submit("gate", &json!({ "name": "b" })).unwrap();
    assert_eq!(
        jobs.cancel(&waiting.id).unwrap().unwrap().status,
        JobStatus::Cancelled
    );
    assert_eq!(
        jobs.cancel(&working.id).unwrap().unwrap().status,
        JobStatus::Cancelling
    );
    assert_eq!(
        jobs.ended(&working.id).await.unwrap().unwrap().status,
        JobStatus::Cancelled
    );
    assert_eq!(
        jobs.cancel(&working.id).unwrap().unwrap().status,
        JobStatus::Cancelled
    );
    assert_eq!(jobs.cancel("nope").unwrap(), None);
    jobs.shutdown().await;
    assert_eq!(*gate.runs.lock().unwrap(), ["a"]);
}

#[tokio::test]
async fn a_restart_resumes_what_can_be_resumed_and_fails_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.sqlite");
    let state = State::open(&path).unwrap();
    let (cut_off, waiting) = (
        state.jobs().add("gate", &json!({ "name": "a" })).unwrap(),
        state.jobs().add("gate", &json!({ "name": "b" })).unwrap(),
    );
    state
        .jobs()
        .change(&cut_off.id, &[JobStatus::Waiting], JobStatus::Working)
        .unwrap();
    drop(state);

    let (state, gate) = (
        Arc::new(State::open(&path).unwrap()),
        Arc::new(Gate::default()),
    );
    let jobs = queue(&state, &gate);
    jobs.recover().unwrap();
    assert_eq!(
        jobs.find(&cut_off.id).unwrap().unwrap().status,
        JobStatus::Error
    );
    until(&jobs, &waiting.id, JobStatus::Working).await;
    drop(jobs);

    let gate = Arc::new(Gate {
        resumes: true,
        ..Gate::default()
    });
    let jobs = queue(&state, &gate);
    jobs.recover().unwrap();
    gate.open.notify_one();
    assert_eq!(
        jobs.ended(&waiting.id).await.unwrap().unwrap().status,
        JobStatus::Done
    );
}

#[tokio::test]
async fn a_stop_interrupts_what_a_later_process_can_take_up() {
    let state = Arc::new(State::in_memory().unwrap());
    let gate = Arc::new(Gate {
        resumes: true,
        ..Gate::default()
    });
    let first = queue(&state, &gate);
    let job = first.submit("gate", &json!({ "name": "long" })).unwrap();
    until(&first, &job.id, JobStatus::Working).await;
    first.shutdown().await;
    let left = first.find(&job.id).unwrap().unwrap();
    assert_eq!(
        (left.status, left.progress),
        (JobStatus::Waiting, json!({ "step": 1 }))
    );
    let second = queue(&state, &gate);
    second.recover().unwrap();
    until(&second, &job.id, JobStatus::Working).await;
    gate.open.notify_one();
    let ended = second.ended(&job.id).await.unwrap().unwrap();
    assert_eq!(ended.status, JobStatus::Done);
    assert_eq!(*gate.runs.lock().unwrap(), ["long", "long"]);
}

#[tokio::test]
async fn jobs_that_ended_long_ago_go_and_the_others_stay() {
    let (state, gate) = (
        Arc::new(State::in_memory().unwrap()),
        Arc::new(Gate::default()),
    );
    let before = state.jobs().add("gate", &json!({})).unwrap();
    let ended = |job: &Job| state.jobs().finish(&job.id, JobStatus::Done, None, None);
    ended(&before).unwrap();
    let resumes = state.jobs().add("gate", &json!({})).unwrap();
    let work: Arc<dyn Work> = Arc::clone(&gate) as _;
    let limits = Limits {
        workers: 200,
        waiting: 200,
        keep: Keep {
            age: None,
            count: Some(0),
        },
        ..Limits::default()
    };
    let jobs = Jobs::new(Arc::clone(&state), [("gate", work)], limits);
    // At the start, of which a job that waits is none.
    jobs.recover().unwrap();
    until(&jobs, &resumes.id, JobStatus::Working).await;
    while jobs.find(&before.id).unwrap().is_some() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // And while others end.
    let first = jobs.submit("gate", &json!({})).unwrap();
    for _ in 0..ENDS {
        let job = jobs.submit("gate", &json!({})).unwrap();
        until(&jobs, &job.id, JobStatus::Working).await;
        jobs.cancel(&job.id).unwrap();
    }
    until(&jobs, &first.id, JobStatus::Working).await;
    jobs.cancel(&first.id).unwrap();
    while jobs.find(&first.id).unwrap().is_some() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let found = jobs.find(&resumes.id).unwrap().unwrap();
    assert_eq!(found.status, JobStatus::Working);
}

/// Work that panics.
struct Panics;

#[async_trait]
impl Work for Panics {
    async fn run(&self, _: &Job, _: &Control) -> Result<Value, WorkError> {
        panic!("out of {}", "range");
    }
}

#[tokio::test]
async fn work_that_panics_has_failed_and_holds_nothing_up() {
    let state = Arc::new(State::in_memory().unwrap());
    let work: Arc<dyn Work> = Arc::new(Panics);
    let jobs = Jobs::new(Arc::clone(&state), [("panics", work)], Limits::default());
    let job = jobs.submit("panics", &json!({})).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(10), jobs.ended(&job.id));
    let ended = ended.await.unwrap().unwrap().unwrap();
    assert_eq!(ended.status, JobStatus::Error);
    assert_eq!(
        ended.error.as_deref(),
        Some("the work panicked: out of range")
    );
    let shut = tokio::time::timeout(Duration::from_secs(10), jobs.shutdown());
    shut.await.unwrap();
}

/// Work that cannot go on as long as it is held, and puts something back when it is cancelled.
#[derive(Default)]
struct Stuck {
    held: AtomicBool,
    /// Whether it cannot put anything back either.
    shut: AtomicBool,
    runs: AtomicUsize,
    tidied: AtomicUsize,
}

#[async_trait]
impl Work for Stuck {
    async fn run(&self, _: &Job, control: &Control) -> Result<Value, WorkError> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        control.progress(&json!({ "phase": "moving" }))?;
        if control.is_cancelled() && self.shut.load(Ordering::SeqCst) {
            return Err(WorkError::Interrupted);
        }
        if control.is_cancelled() {
            self.tidied.fetch_add(1, Ordering::SeqCst);
        }
        control.check()?;
        if self.held.load(Ordering::SeqCst) {
            return Err(WorkError::Interrupted);
        }
        Ok(json!({}))
    }

    fn resumes(&self) -> bool {
        true
    }
}

fn stuck(pause: Duration) -> (Arc<Stuck>, Arc<Jobs>) {
    let stuck = Arc::new(Stuck::default());
    stuck.held.store(true, Ordering::SeqCst);
    let work: Arc<dyn Work> = Arc::clone(&stuck) as _;
    let limits = Limits {
        pause,
        ..Limits::default()
    };
    let state = Arc::new(State::in_memory().unwrap());
    (stuck, Jobs::new(state, [("stuck", work)], limits))
}

#[tokio::test]
async fn work_that_cannot_go_on_is_taken_up_after_a_pause() {
    let (stuck, jobs) = stuck(Duration::from_millis(5));
    let job = jobs.submit("stuck", &json!({})).unwrap();
    while stuck.runs.load(Ordering::SeqCst) < 3 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    stuck.held.store(false, Ordering::SeqCst);
    let ended = tokio::time::timeout(Duration::from_secs(10), jobs.ended(&job.id));
    let ended = ended.await.unwrap().unwrap().unwrap();
    assert_eq!(ended.status, JobStatus::Done);
}

#[tokio::test]
async fn work_that_cannot_go_on_puts_things_back_when_it_is_cancelled_while_it_waits() {
    let (stuck, jobs) = stuck(Duration::from_mins(10));
    let job = jobs.submit("stuck", &json!({})).unwrap();
    while jobs.find(&job.id).unwrap().unwrap().status != JobStatus::Waiting
        || stuck.runs.load(Ordering::SeqCst) == 0
    {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    jobs.cancel(&job.id).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(10), jobs.ended(&job.id));
    let ended = ended.await.unwrap().unwrap().unwrap();
    assert_eq!(ended.status, JobStatus::Cancelled);
    assert_eq!(stuck.tidied.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn work_that_can_neither_go_on_nor_put_things_back_is_cancelled_when_it_can() {
    let (stuck, jobs) = stuck(Duration::from_millis(5));
    stuck.shut.store(true, Ordering::SeqCst);
    let job = jobs.submit("stuck", &json!({})).unwrap();
    while stuck.runs.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    jobs.cancel(&job.id).unwrap();
    let runs = stuck.runs.load(Ordering::SeqCst);
    let tried = async {
        while stuck.runs.load(Ordering::SeqCst) < runs + 3 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let tried = tokio::time::timeout(Duration::from_secs(10), tried).await;
    assert!(tried.is_ok(), "nobody takes it up");
    stuck.shut.store(false, Ordering::SeqCst);
    let ended = tokio::time::timeout(Duration::from_secs(10), jobs.ended(&job.id));
    let ended = ended.await.unwrap().unwrap().unwrap();
    assert_eq!(ended.status, JobStatus::Cancelled);
    assert_eq!(stuck.tidied.load(Ordering::SeqCst), 1);
}

/// Work that waits for a place of its own.
struct Apart {
    place: Arc<tokio::sync::Mutex<()>>,
    gate: Gate,
}

#[async_trait]
impl Work for Apart {
    async fn run(&self, job: &Job, control: &Control) -> Result<Value, WorkError> {
        let place: Option<tokio::sync::OwnedMutexGuard<()>> = control.admission();
        assert!(place.is_some());
        self.gate.run(job, control).await
    }

    fn waits_apart(&self) -> bool {
        true
    }

    async fn admitted(&self, _: &Job, _: &Unfinished<'_>) -> Admission {
        Box::new(Arc::clone(&self.place).lock_owned().await)
    }
}

#[tokio::test]
async fn what_waits_for_a_place_of_its_own_takes_none_from_others() {
    let apart = Arc::new(Apart {
        place: Arc::default(),
        gate: Gate::default(),
    });
    let gate = Arc::new(Gate::default());
    let works: [(&str, Arc<dyn Work>); 2] = [
        ("apart", Arc::clone(&apart) as _),
        ("gate", Arc::clone(&gate) as _),
    ];
    let limits = Limits {
        workers: 1,
        ..Limits::default()
    };
    let jobs = Jobs::new(Arc::new(State::in_memory().unwrap()), works, limits);
    let held = Arc::clone(&apart.place).lock_owned().await;
    let waiting = jobs.submit("apart", &json!({ "name": "a" })).unwrap();
    let gone = jobs.submit("apart", &json!({ "name": "b" })).unwrap();
    let last = jobs.submit("apart", &json!({ "name": "c" })).unwrap();
    let other = jobs.submit("gate", &json!({ "name": "d" })).unwrap();
    until(&jobs, &other.id, JobStatus::Working).await;
    assert_eq!(
        jobs.find(&waiting.id).unwrap().unwrap().status,
        JobStatus::Waiting
    );
    let cancelled = jobs.cancel(&gone.id).unwrap().unwrap();
    assert_eq!(cancelled.status, JobStatus::Cancelled);
    drop(held);
    until(&jobs, &waiting.id, JobStatus::Working).await;
    assert_eq!(
        jobs.find(&last.id).unwrap().unwrap().status,
        JobStatus::Waiting
    );
    apart.gate.open.notify_one();
    until(&jobs, &last.id, JobStatus::Working).await;
    apart.gate.open.notify_one();
    gate.open.notify_one();
    for id in [&waiting.id, &last.id, &other.id] {
        let ended = jobs.ended(id).await.unwrap().unwrap();
        assert_eq!(ended.status, JobStatus::Done);
    }
    assert_eq!(*apart.gate.runs.lock().unwrap(), ["a", "c"]);
}
