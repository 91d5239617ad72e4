//! What goes takes nothing with it that the plan did not name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pipewright::deploy::{self, DeployError, Nobody, Progress, Run};
use pipewright::ingest::{COPY, CopyInto, CopyRequest, CopyRows, EventLimits, Events, Target};
use pipewright::jobs::{JobStatus, Jobs, Limits, Work};
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

/// Does something once, when anything is said.
struct Meanwhile<F>(AtomicBool, F);

impl<F: Fn() + Sync> Progress for Meanwhile<F> {
    fn say(&self, _: &str) {
        if !self.0.swap(true, Ordering::SeqCst) {
            (self.1)();
        }
    }
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
        let done = deploy::deploy(&plan, folder.path(), bench.engine.as_ref(), &Silent).await;
        let found = bench.tsv(counts).await;
        if left.is_empty() {
            assert!(
                found.starts_with("0\t5\t") && found.ends_with("\t0\n"),
                "{found}"
            );
            let rows: u64 = found.split('\t').nth(2).unwrap().parse().unwrap();
            assert!(rows >= 5, "{found}");
            let told = matches!(done, Err(DeployError::HalfFixture { .. }));
            assert_eq!(told, rows > 5, "{done:?}");
        } else {
            assert!(matches!(done, Err(DeployError::Fixture { .. })), "{done:?}");
            assert_eq!(found, left);
        }
    }
}

fn jobs_of(bench: &Bench, state: &Arc<State>) -> Arc<Jobs> {
    let work: Arc<dyn Work> = Arc::new(CopyRows {
        ingest: Arc::clone(&bench.ingest),
        environment: Vec::new(),
        state: Arc::clone(state),
    });
    Jobs::new(Arc::clone(state), [(COPY, work)], Limits::default())
}
