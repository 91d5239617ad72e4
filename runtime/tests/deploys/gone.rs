//! What goes takes nothing with it that the plan did not name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pipewright::deploy::{self, DeployError, Nobody, Progress, Run};
use pipewright::ingest::{COPY, CopyInto, CopyRequest, CopyRows, EventLimits, Events, Target};
use pipewright::jobs::{JobStatus, Jobs, Limits, Work};
use pipewright::secrets::Secrets;
use pipewright::state::{DeploymentKind, NewDeployment, State};
use pipewright_compiler::plan::Plan;
use serde_json::json;

use super::{Bench, KEYS, Silent, checked, datasource, shown, view};

const ROWS: &str = "`id` UInt64 `json:$.id`";

/// Data sources of these names, each with columns of its own so that none is another under a new name.
fn project(names: &[&str]) -> Plan {
    let files: Vec<(String, String)> = names
        .iter()
        .map(|name| {
            let columns = format!("{ROWS},\n`{name}` UInt8 `json:$.{name}`");
            (format!("{name}.datasource"), datasource(&columns, KEYS))
        })
        .collect();
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    checked(&files)
}

async fn deployed(bench: &Bench, wanted: &Plan, before: Option<&Plan>) {
    let planned = bench.plan(wanted, before).await;
    bench.run(wanted, before, &planned).await.unwrap();
}

async fn run(
    bench: &Bench,
    (before, wanted): (&Plan, &Plan),
    planned: &deploy::DeployPlan,
    progress: &dyn Progress,
) -> Result<(), DeployError> {
    let new = NewDeployment {
        artifact_hash: "",
        kind: DeploymentKind::Deploy,
        files: &BTreeMap::new(),
        before: None,
        steps: "[]",
    };
    let run = Run {
        ingest: &bench.ingest,
        state: &bench.state,
        id: bench.state.deployments().start(new).unwrap(),
        wanted,
        before: Some(before),
        catalog: None,
        undoes: None,
        audience: &Nobody,
        progress,
    };
    run.run(planned).await
}

async fn push(events: &Events, plan: &Plan, name: &str, line: &str, wait: bool) -> (u64, u64) {
    let line = format!("{line}\n").into_bytes();
    let table = plan.table(name).unwrap();
    let counts = events.push(table, line, 1, wait).await.unwrap();
    (counts.successful, counts.quarantined)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_in_a_quarantine_do_not_go_unmarked() {
    let bench = Bench::new().await;
    let (both, one) = (project(&["w", "x"]), project(&["x"]));
    deployed(&bench, &both, None).await;
    let events = Events::new(Arc::clone(&bench.ingest), EventLimits::default());
    let bad = push(&events, &both, "w", "{\"id\":\"no number\",\"w\":1}", true).await;
    assert_eq!(bad, (0, 1));
    let planned = bench.plan(&one, Some(&both)).await;
    let text = shown(&planned);
    assert_eq!(planned.destructive().len(), 1, "{text}");
    assert!(text.contains("destroys 1"), "{text}");
}

/// Does something once, when anything is said.
struct Meanwhile<F>(AtomicBool, F);

impl<F: Fn() + Sync> Progress for Meanwhile<F> {
    fn say(&self, _: &str) {
        if !self.0.swap(true, Ordering::SeqCst) {
            (self.1)();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_come_to_what_was_empty_stop_the_deploy_that_drops_it() {
    let bench = Bench::new().await;
    let (old, new) = (project(&["w", "x"]), project(&["x", "y"]));
    deployed(&bench, &old, None).await;
    let limits = EventLimits {
        flush_after: Duration::from_secs(1),
        ..EventLimits::default()
    };
    let events = Events::new(Arc::clone(&bench.ingest), limits);
    // In the table already, on the way there, and beside it.
    for (line, wait) in [
        ("{\"id\":1,\"w\":1}", true),
        ("{\"id\":2,\"w\":1}", false),
        ("{\"id\":\"no number\",\"w\":1}", true),
    ] {
        let planned = bench.plan(&new, Some(&old)).await;
        assert!(planned.destructive().is_empty(), "{}", shown(&planned));
        let handle = tokio::runtime::Handle::current();
        let progress = Meanwhile(AtomicBool::new(false), || {
            tokio::task::block_in_place(|| {
                handle.block_on(push(&events, &old, "w", line, wait));
            });
        });
        let done = run(&bench, (&old, &new), &planned, &progress).await;
        assert!(
            matches!(&done, Err(DeployError::Arrived(name)) if name == "w"),
            "{line}: {done:?}"
        );
        tokio::time::sleep(Duration::from_secs(2)).await;
        bench.execute("TRUNCATE TABLE w").await;
        bench
            .execute("DROP TABLE IF EXISTS w_quarantine SYNC")
            .await;
    }
    events.shutdown().await;
    deployed(&bench, &new, Some(&old)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_on_their_way_go_with_their_data_source() {
    let bench = Bench::new().await;
    let (both, one) = (project(&["w", "x"]), project(&["x"]));
    deployed(&bench, &both, None).await;
    bench.execute("INSERT INTO w VALUES (1, 1)").await;
    let limits = EventLimits {
        flush_after: Duration::from_secs(2),
        ..EventLimits::default()
    };
    let events = Events::new(Arc::clone(&bench.ingest), limits);
    push(&events, &both, "w", "{\"id\":2,\"w\":1}", false).await;
    deployed(&bench, &one, Some(&both)).await;
    events.shutdown().await;
    assert!(
        bench.ingest.untaken().is_empty(),
        "{:?}",
        bench.ingest.untaken()
    );
    // Under that name comes another.
    deployed(&bench, &both, Some(&one)).await;
    let events = Events::new(Arc::clone(&bench.ingest), EventLimits::default());
    assert_eq!(events.replay(&both).await.unwrap(), 0);
    push(&events, &both, "w", "{\"id\":3,\"w\":1}", true).await;
    assert_eq!(bench.tsv("SELECT id FROM w").await, "3\n");
}

#[tokio::test]
async fn a_fixture_that_fails_empties_only_what_was_empty() {
    let bench = Bench::new().await;
    let rows = |name: &str| view(&format!("SELECT id FROM {name}"), "t");
    let (source, target) = (datasource(ROWS, KEYS), datasource("`id` UInt64", KEYS));
    let plan = checked(&[
        ("a.datasource", &source),
        ("b.datasource", &source),
        ("t.datasource", &target),
        ("u.datasource", &target),
        ("from_a.pipe", &rows("a")),
        ("from_b.pipe", &rows("b")),
        ("to_u.pipe", &view("SELECT id FROM a", "u")),
    ]);
    deployed(&bench, &plan, None).await;
    bench
        .execute("INSERT INTO b SELECT number FROM numbers(5)")
        .await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("fixtures")).unwrap();
    let fixture = folder.path().join("fixtures/a.sql");
    let counts = "SELECT (SELECT count() FROM a), (SELECT count() FROM b), (SELECT count() FROM t), (SELECT count() FROM u)";
    // Fails at once, and after some blocks.
    for (sql, left) in [
        ("SELECT throwIf(1) + 1 AS id", "0\t5\t5\t0\n"),
        (
            "SELECT number + throwIf(number = 9000) AS id FROM numbers(10000) SETTINGS max_block_size = 1000, min_insert_block_size_rows = 1, min_insert_block_size_bytes = 1, max_threads = 1",
            "",
        ),
    ] {
        std::fs::write(&fixture, sql).unwrap();
        let done = deploy::deploy(&plan, folder.path(), &bench.ingest, &Silent)
            .await
            .unwrap();
        let [(file, why)] = done.unloaded.as_slice() else {
            panic!("{done:?}");
        };
        assert_eq!(file, "fixtures/a.sql");
        let found = bench.tsv(counts).await;
        if left.is_empty() {
            assert!(
                found.starts_with("0\t5\t") && found.ends_with("\t0\n"),
                "{found}"
            );
            let rows: u64 = found.split('\t').nth(2).unwrap().parse().unwrap();
            assert!(rows >= 5, "{found}");
            assert_eq!(why.contains("cannot be taken away"), rows > 5, "{why}");
        } else {
            assert!(!why.contains("cannot be taken away"), "{why}");
            assert_eq!(found, left);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_in_doubt_is_waited_for_before_rows_are_read() {
    let bench = Bench::new().await;
    let with = |key: &str| {
        let keys = KEYS.replace("\"id\"", key);
        checked(&[("src.datasource", &datasource(ROWS, &keys))])
    };
    let (old, new) = (with("\"id\""), with("\"id % 7, id\""));
    deployed(&bench, &old, None).await;
    let folder = tempfile::tempdir().unwrap();
    let state = Arc::new(State::open(&folder.path().join("state.sqlite")).unwrap());
    let request = CopyRequest {
        datasource: Target {
            id: "t_1".to_owned(),
            name: "src".to_owned(),
        },
        query_id: "q".to_owned(),
        query_sql: "SELECT number AS id FROM numbers(100)".to_owned(),
        pipe_id: "t_2".to_owned(),
        pipe_name: "p".to_owned(),
        mode: CopyInto::Append,
        trigger: "on_demand".to_owned(),
        parameters: BTreeMap::new(),
        columns: vec!["id".to_owned()],
        secrets: Vec::new(),
        settings: Vec::new(),
        memory_bytes: 0,
        max_rows: 5000,
        hides_rows: false,
    };
    let first = jobs_of(&bench, &state);
    let request = serde_json::to_value(&request).unwrap();
    let job = first.submit(COPY, &request).unwrap();
    let done = first.ended(&job.id).await.unwrap().unwrap();
    assert_eq!(done.status, JobStatus::Done, "{done:?}");
    // The process died after the insert, and before it had noted that it was done.
    let table = format!("pw_copy_{}", job.id.replace('-', ""));
    bench
        .execute(&format!(
            "CREATE TABLE {table} AS src ENGINE = MergeTree ORDER BY tuple()"
        ))
        .await;
    bench
        .execute(&format!("INSERT INTO {table} SELECT * FROM numbers(100)"))
        .await;
    let progress = json!({ "phase": "writing", "rows": 100 });
    state.jobs().set_progress(&job.id, &progress).unwrap();
    assert!(
        state
            .jobs()
            .change(&job.id, &[JobStatus::Done], JobStatus::Working)
            .unwrap()
    );
    // The bench's deploys look at the same jobs.
    let bench = Bench {
        state: State::open(&folder.path().join("state.sqlite")).unwrap(),
        ..bench
    };
    let planned = bench.plan(&new, Some(&old)).await;
    let second = jobs_of(&bench, &state);
    let resumed = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        second.recover().unwrap();
        second.ended(&job.id).await.unwrap().unwrap()
    };
    let (done, job) = tokio::join!(run(&bench, (&old, &new), &planned, &Silent), resumed);
    done.unwrap();
    assert_eq!(job.status, JobStatus::Done, "{job:?}");
    assert_eq!(bench.tsv("SELECT count() FROM src").await, "100\n");
}

fn jobs_of(bench: &Bench, state: &Arc<State>) -> Arc<Jobs> {
    let work: Arc<dyn Work> = Arc::new(CopyRows {
        replaces: None,
        ingest: Arc::clone(&bench.ingest),
        environment: Secrets::default(),
        state: Arc::clone(state),
    });
    Jobs::new(Arc::clone(state), [(COPY, work)], Limits::default())
}
