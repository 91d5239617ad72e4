//! Deploys whose journal cannot be written: before the switch nothing has changed, after it the next start finishes them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream;
use pipewright::deploy::{self, Audience, DeployError, DeployPlan, Nobody, Run};
use pipewright::engine::Engine;
use pipewright::ingest::{Append, EventLimits, Events, Format, Ingest, IngestError};
use pipewright::state::{DeploymentKind, NewDeployment, State};
use pipewright_compiler::plan::Plan;

use super::{Bench, Silent, checked, datasource, opened};

/// Lets writing an entry of the journal fail from now on.
fn break_journal(path: &Path, when: &str) {
    let connection = rusqlite::Connection::open(path).unwrap();
    let sql = format!(
        "CREATE TRIGGER broken BEFORE UPDATE ON deployments WHEN {when} BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
    );
    connection.execute_batch(&sql).unwrap();
}

fn mend_journal(path: &Path) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute_batch("DROP TRIGGER broken").unwrap();
}

fn project(name: &str, key: &str) -> Plan {
    let text = datasource(
        "`id` UInt64,\n`part` UInt8",
        &format!("ENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"{key}\"\n"),
    );
    checked(&[(&format!("{name}.datasource"), &text)])
}

fn begin(bench: &Bench, planned: &DeployPlan) -> i64 {
    let new = NewDeployment {
        artifact_hash: "",
        kind: DeploymentKind::Deploy,
        files: &BTreeMap::new(),
        before: None,
        steps: &serde_json::to_string(&planned.steps).unwrap(),
    };
    bench.state.deployments().start(new).unwrap()
}

async fn run(
    bench: &Bench,
    (before, wanted): (&Plan, &Plan),
    undoes: Option<i64>,
    audience: &dyn Audience,
) -> (i64, Result<(), DeployError>) {
    let planned = bench.plan(wanted, Some(before)).await;
    run_planned(bench, &planned, (before, wanted), undoes, audience).await
}

async fn run_planned(
    bench: &Bench,
    planned: &DeployPlan,
    (before, wanted): (&Plan, &Plan),
    undoes: Option<i64>,
    audience: &dyn Audience,
) -> (i64, Result<(), DeployError>) {
    let id = begin(bench, planned);
    let run = Run {
        ingest: &bench.ingest,
        state: &bench.state,
        id,
        wanted,
        before: Some(before),
        catalog: None,
        undoes,
        audience,
        progress: &Silent,
    };
    (id, run.run(planned).await)
}

/// An engine with rows under the first version, and a journal on disk.
async fn bench(folder: &Path) -> (Bench, Plan) {
    let state = State::open(&folder.join("state.sqlite")).unwrap();
    let bench = Bench {
        state,
        ..Bench::new().await
    };
    let first = project("rows", "id");
    let planned = bench.plan(&first, None).await;
    bench.run(&first, None, &planned).await.unwrap();
    bench
        .execute("INSERT INTO rows SELECT number, number % 3 FROM numbers(100)")
        .await;
    (bench, first)
}

async fn key(bench: &Bench) -> String {
    let sql = "SELECT sorting_key, (SELECT count() FROM rows) FROM system.tables WHERE database = currentDatabase() AND name = 'rows'";
    bench.tsv(sql).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deploy_whose_cleaning_cannot_be_noted_stays_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.sqlite");
    let (bench, first) = bench(folder.path()).await;
    let second = project("rows", "part, id");
    break_journal(&path, "NEW.phase = 'cleaning' AND NEW.status = 'running'");
    let (id, done) = run(&bench, (&first, &second), None, &Nobody).await;
    done.unwrap();
    assert_eq!(key(&bench).await, "part, id\t100\n");
    assert_eq!(bench.passing().await, "");
    let noted = bench.state.deployments().find(id).unwrap().unwrap();
    assert_eq!(noted.status.as_str(), "done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deploy_whose_end_cannot_be_noted_is_ended_by_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.sqlite");
    let (bench, first) = bench(folder.path()).await;
    let (second, third) = (project("rows", "part, id"), project("rows", "id, part"));
    let undone = bench.state.deployments().latest().unwrap().unwrap().id;
    break_journal(&path, "NEW.phase = 'cleaning' OR NEW.status = 'done'");
    let (id, done) = run(&bench, (&first, &second), Some(undone), &Nobody).await;
    assert!(matches!(done, Err(DeployError::Unnoted { .. })), "{done:?}");
    assert_eq!(key(&bench).await, "part, id\t100\n");
    mend_journal(&path);
    let (_, done) = run(&bench, (&second, &third), None, &Nobody).await;
    assert!(
        matches!(done, Err(DeployError::Unfinished(other)) if other == id),
        "{done:?}"
    );
    let recovered = deploy::recover(&bench.state, &bench.ingest, &Silent).await;
    assert_eq!(recovered.unwrap(), Some(true));
    assert_eq!(key(&bench).await, "part, id\t100\n");
    let undone = bench.state.deployments().find(undone).unwrap().unwrap();
    assert!(undone.undone);
    let (_, done) = run(&bench, (&second, &third), None, &Nobody).await;
    done.unwrap();
    assert_eq!(key(&bench).await, "id, part\t100\n");
}

/// Takes a new table away in the last moment.
struct Thief<'a>(&'a dyn Engine);

#[async_trait]
impl Audience for Thief<'_> {
    async fn hold(&self) -> Box<dyn Send> {
        let taken = self
            .0
            .execute("RENAME TABLE pw_next_rows TO stolen_rows")
            .await;
        taken.unwrap();
        Box::new(())
    }

    fn present(&self) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_that_can_be_neither_done_nor_taken_back_is_done_by_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.sqlite");
    let (bench, first) = bench(folder.path()).await;
    let second = project("rows", "part, id");
    break_journal(&path, "NEW.phase = 'undoing'");
    let thief = Thief(bench.engine.as_ref());
    let (_, done) = run(&bench, (&first, &second), None, &thief).await;
    assert!(matches!(done, Err(DeployError::Unnoted { .. })), "{done:?}");
    assert_eq!(key(&bench).await, "(id)\t100\n");
    bench
        .execute("RENAME TABLE stolen_rows TO pw_next_rows")
        .await;
    mend_journal(&path);
    let recovered = deploy::recover(&bench.state, &bench.ingest, &Silent).await;
    assert_eq!(recovered.unwrap(), Some(true));
    assert_eq!(key(&bench).await, "part, id\t100\n");
    assert_eq!(bench.passing().await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_that_cannot_be_noted_has_not_been() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.sqlite");
    let (bench, first) = bench(folder.path()).await;
    let second = project("rows", "part, id");
    break_journal(&path, "NEW.phase = 'switching'");
    let (id, done) = run(&bench, (&first, &second), None, &Nobody).await;
    assert!(matches!(done, Err(DeployError::State(_))), "{done:?}");
    assert_eq!(key(&bench).await, "(id)\t100\n");
    assert_eq!(bench.passing().await, "");
    let noted = bench.state.deployments().find(id).unwrap().unwrap();
    assert_eq!(noted.status.as_str(), "failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_that_the_engine_refuses_to_finish_is_taken_back_by_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.sqlite");
    let (bench, first) = bench(folder.path()).await;
    let second = project("rows", "part, id");
    break_journal(&path, "NEW.phase = 'undoing'");
    let thief = Thief(bench.engine.as_ref());
    let (id, done) = run(&bench, (&first, &second), None, &thief).await;
    assert!(matches!(done, Err(DeployError::Unnoted { .. })), "{done:?}");
    mend_journal(&path);
    let recovered = deploy::recover(&bench.state, &bench.ingest, &Silent).await;
    assert_eq!(recovered.unwrap(), Some(false));
    assert_eq!(key(&bench).await, "(id)\t100\n");
    assert_eq!(bench.passing().await, "");
    let noted = bench.state.deployments().find(id).unwrap().unwrap();
    assert_eq!(noted.status.as_str(), "failed");
    let why = noted.error.unwrap();
    assert!(why.contains("EXCHANGE TABLES"), "{why}");
    bench.execute("DROP TABLE stolen_rows SYNC").await;
    let (_, done) = run(&bench, (&first, &second), None, &Nobody).await;
    done.unwrap();
    assert_eq!(key(&bench).await, "part, id\t100\n");
}

/// Takes the second of two new tables away in the last moment.
struct ThiefOfOther<'a>(&'a dyn Engine);

#[async_trait]
impl Audience for ThiefOfOther<'_> {
    async fn hold(&self) -> Box<dyn Send> {
        let taken = self.0.execute("DROP TABLE pw_next_rows SYNC").await;
        taken.unwrap();
        Box::new(())
    }

    fn present(&self) {}
}

/// Two data sources, one of which comes first.
fn two(key: &str) -> Plan {
    let text = datasource(
        "`id` UInt64,\n`part` UInt8",
        &format!("ENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"{key}\"\n"),
    );
    checked(&[("first.datasource", &text), ("rows.datasource", &text)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_engine_does_not_take_back_keeps_its_rows_until_a_start_can() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.sqlite");
    for comes in [0, 7] {
        let (bench, _) = bench(folder.path()).await;
        let first = two("id");
        let planned = bench.plan(&first, None).await;
        bench.run(&first, None, &planned).await.unwrap();
        bench
            .execute("INSERT INTO first SELECT number, 0 FROM numbers(50)")
            .await;
        break_journal(&path, "NEW.phase = 'undoing'");
        let thief = ThiefOfOther(bench.engine.as_ref());
        let second = two("part, id");
        let (id, done) = run(&bench, (&first, &second), None, &thief).await;
        assert!(matches!(done, Err(DeployError::Unnoted { .. })), "{done:?}");
        mend_journal(&path);
        let again = bench.plan(&second, Some(&first)).await;
        // Half of the switch is done, and cannot be taken back: a disk may refuse in the same way.
        let sql = "SELECT metadata_path FROM system.tables WHERE database = currentDatabase() AND name = 'first'";
        let file = opened("deploy-tests")
            .1
            .join("chdb")
            .join(bench.tsv(sql).await.trim());
        let hidden = file.with_extension("hidden");
        std::fs::rename(&file, &hidden).unwrap();
        for _ in 0..2 {
            let recovered = deploy::recover(&bench.state, &bench.ingest, &Silent).await;
            assert_eq!(recovered.unwrap(), Some(false));
            deploy::sweep(&bench.state, bench.engine.as_ref(), &Silent)
                .await
                .unwrap();
            assert_eq!(bench.passing().await, "pw_next_first\n");
        }
        let held = bench.tsv("SELECT count() FROM pw_next_first").await;
        assert_eq!(held, "50\n");
        let noted = bench.state.deployments().find(id).unwrap().unwrap();
        assert_eq!(noted.status.as_str(), "running");
        let (_, done) = run_planned(&bench, &again, (&first, &second), None, &Nobody).await;
        assert!(
            matches!(done, Err(DeployError::Unfinished(other)) if other == id),
            "{done:?}"
        );
        bench
            .execute(&format!(
                "INSERT INTO first SELECT number, 1 FROM numbers({comes})"
            ))
            .await;
        std::fs::rename(&hidden, &file).unwrap();
        let recovered = deploy::recover(&bench.state, &bench.ingest, &Silent).await;
        assert_eq!(recovered.unwrap(), Some(false));
        assert_eq!(bench.tsv("SELECT count() FROM first").await, "50\n");
        assert_eq!(key(&bench).await, "(id)\t100\n");
        let kept = format!("pw_kept_{id}_first");
        if comes == 0 {
            assert_eq!(bench.passing().await, "");
        } else {
            assert_eq!(bench.passing().await, format!("{kept}\n"));
            let rows = bench
                .tsv(&format!("SELECT countIf(part = 1) FROM {kept}"))
                .await;
            assert_eq!(rows, "7\n");
        }
        let noted = bench.state.deployments().find(id).unwrap().unwrap();
        assert_eq!(noted.status.as_str(), "failed");
        let (_, done) = run(&bench, (&first, &second), None, &Nobody).await;
        done.unwrap();
        assert_eq!(key(&bench).await, "part, id\t100\n");
    }
}

/// An ingest of the next process.
fn next_ingest(bench: &Bench) -> Arc<Ingest> {
    let folder = &opened("deploy-tests").1;
    Ingest::open(Arc::clone(&bench.engine), folder).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_comes_to_tables_of_a_switch_that_the_next_start_deals_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.sqlite");
    let (bench, first) = bench(folder.path()).await;
    let second = project("rows", "part, id");
    break_journal(&path, "NEW.phase = 'undoing'");
    let events = Events::new(Arc::clone(&bench.ingest), EventLimits::default());
    let thief = Thief(bench.engine.as_ref());
    let (_, done) = run(&bench, (&first, &second), None, &thief).await;
    assert!(matches!(done, Err(DeployError::Unnoted { .. })), "{done:?}");
    let table = first.table("rows").unwrap();
    // What is acknowledged waits on disk, and who waits for it is told so.
    let pushed = events.push(table, "{\"id\":1000,\"part\":1}\n", 1, false);
    pushed.await.unwrap();
    let waited = events
        .push(table, "{\"id\":1001,\"part\":1}\n", 1, true)
        .await;
    let why = waited.unwrap_err().to_string();
    assert!(why.contains("do not send them again"), "{why}");
    let append = Append {
        format: Format::Ndjson,
        delimiter: None,
    };
    let rows = stream::iter([Ok(Bytes::from("{\"id\":1002,\"part\":1}\n"))]);
    let refused = bench.ingest.append(table, &append, rows).await;
    assert!(matches!(refused, Err(IngestError::Shut(_))), "{refused:?}");
    assert!(matches!(
        bench.ingest.truncate(table).await,
        Err(IngestError::Shut(_))
    ));
    events.shutdown().await;
    assert_eq!(key(&bench).await, "(id)\t100\n");
    bench
        .execute("RENAME TABLE stolen_rows TO pw_next_rows")
        .await;
    mend_journal(&path);
    let next = next_ingest(&bench);
    let recovered = deploy::recover(&bench.state, &next, &Silent).await;
    assert_eq!(recovered.unwrap(), Some(true));
    let events = Events::new(Arc::clone(&next), EventLimits::default());
    events.replay(&second).await.unwrap();
    assert_eq!(key(&bench).await, "part, id\t102\n");
    assert_eq!(bench.passing().await, "");
}
