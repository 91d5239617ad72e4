//! Copies that a later process takes up where an earlier one died.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{engine, ingest, project, tsv};
use pipewright::ingest::{COPY, CopyInto, CopyRequest, CopyRows, Target};
use pipewright::jobs::{Job, JobStatus, Jobs, Limits, Work};
use pipewright::secrets::Secrets;
use pipewright::state::State;
use serde_json::{Value, json};

async fn prepared(name: &str) {
    project(&[
        (&format!("{name}.datasource"), "SCHEMA >\n    `n` UInt64\n\nENGINE \"MergeTree\"\nENGINE_PARTITION_KEY \"n % 3\"\nENGINE_SORTING_KEY \"n\"\n"),
        (&format!("{name}_counts.datasource"), "SCHEMA >\n    `c` SimpleAggregateFunction(sum, UInt64)\n\nENGINE \"AggregatingMergeTree\"\n"),
        (
            &format!("{name}_to_counts.pipe"),
            &format!("NODE n\nSQL >\n    SELECT count() AS c FROM {name}\nTYPE materialized\nDATASOURCE {name}_counts\n"),
        ),
    ])
    .await;
}

fn jobs(state: &Arc<State>) -> Arc<Jobs> {
    let work: Arc<dyn Work> = Arc::new(CopyRows {
        replaces: None,
        ingest: ingest(),
        environment: Secrets::from_iter([("limit".to_owned(), "1000".to_owned())]),
        state: Arc::clone(state),
    });
    Jobs::new(Arc::clone(state), [(COPY, work)], Limits::default())
}

fn request(target: &str, mode: CopyInto, sql: &str) -> CopyRequest {
    CopyRequest {
        datasource: Target {
            id: "t_1".to_owned(),
            name: target.to_owned(),
        },
        query_id: "q".to_owned(),
        query_sql: sql.to_owned(),
        pipe_id: "t_2".to_owned(),
        pipe_name: "p".to_owned(),
        mode,
        trigger: "on_demand".to_owned(),
        parameters: BTreeMap::new(),
        columns: vec!["n".to_owned()],
        secrets: vec!["limit".to_owned()],
        hides_rows: false,
        settings: vec![("max_threads".to_owned(), "1".to_owned())],
        memory_bytes: 0,
        max_rows: 5000,
    }
}

fn submit(jobs: &Arc<Jobs>, request: &CopyRequest) -> Job {
    jobs.submit(COPY, &serde_json::to_value(request).unwrap())
        .unwrap()
}

async fn ended(jobs: &Jobs, job: &Job) -> Job {
    jobs.ended(&job.id).await.unwrap().unwrap()
}

/// The table of a job.
fn beside(job: &Job) -> String {
    format!("pw_copy_{}", job.id.replace('-', ""))
}

/// Another process finds the job under way, at this point.
async fn resumed(state: &Arc<State>, job: &Job, progress: &Value) -> Job {
    state.jobs().set_progress(&job.id, progress).unwrap();
    let from = [JobStatus::Done, JobStatus::Waiting];
    assert!(
        state
            .jobs()
            .change(&job.id, &from, JobStatus::Working)
            .unwrap()
    );
    let jobs = jobs(state);
    jobs.recover().unwrap();
    ended(&jobs, job).await
}

const SECRET: &str =
    "SELECT number AS n FROM numbers(5000) WHERE number < toUInt64({limit:String}) -- a comment";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_were_inserted_before_a_crash_are_not_inserted_again() {
    prepared("again").await;
    let state = Arc::new(State::in_memory().unwrap());
    let first = jobs(&state);
    let job = submit(&first, &request("again", CopyInto::Append, SECRET));
    let done = ended(&first, &job).await;
    assert_eq!(done.status, JobStatus::Done, "{done:?}");
    let both = "SELECT (SELECT count() FROM again), (SELECT sum(c) FROM again_counts)";
    assert_eq!(tsv(both).await, "1000\t1000\n");
    // The process died after the insert, and before it had noted that it was done.
    let table = beside(&job);
    for sql in [
        format!("CREATE TABLE {table} AS again ENGINE = MergeTree ORDER BY tuple()"),
        format!("INSERT INTO {table} SELECT * FROM numbers(1000)"),
    ] {
        engine().execute(&sql).await.unwrap();
    }
    let progress = json!({ "phase": "writing", "rows": 1000 });
    assert_eq!(
        resumed(&state, &job, &progress).await.status,
        JobStatus::Done
    );
    assert_eq!(tsv(both).await, "1000\t1000\n");
    // While it copied: what it had is thrown away. Another job with the same rows adds them.
    let second = submit(&first, &request("again", CopyInto::Append, SECRET));
    ended(&first, &second).await;
    assert_eq!(tsv(both).await, "2000\t2000\n");
    assert_eq!(tsv(&format!("EXISTS TABLE {table}")).await, "0\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_have_changed_places_do_not_change_back() {
    project(&[("exchanged.datasource", "SCHEMA >\n    `n` UInt64\n")]).await;
    engine()
        .execute("INSERT INTO exchanged SELECT 7 FROM numbers(3)")
        .await
        .unwrap();
    let state = Arc::new(State::in_memory().unwrap());
    let first = jobs(&state);
    let job = submit(&first, &request("exchanged", CopyInto::Replace, SECRET));
    let done = ended(&first, &job).await;
    assert_eq!(done.status, JobStatus::Done, "{done:?}");
    let found = "SELECT count(), max(n) FROM exchanged";
    assert_eq!(tsv(found).await, "1000\t999\n");
    // The process died after the exchange, before and after it had noted that: its table holds the old rows.
    let table = beside(&job);
    for phase in ["writing", "written"] {
        for sql in [
            format!("CREATE TABLE {table} AS exchanged"),
            format!("INSERT INTO {table} SELECT 7 FROM numbers(3)"),
        ] {
            engine().execute(&sql).await.unwrap();
        }
        let mut progress = done.progress.clone();
        assert_eq!(progress["phase"], "written");
        progress["phase"] = phase.into();
        assert_eq!(
            resumed(&state, &job, &progress).await.status,
            JobStatus::Done
        );
        assert_eq!(tsv(found).await, "1000\t999\n");
        assert_eq!(tsv(&format!("EXISTS TABLE {table}")).await, "0\n");
    }
    // It died after its table was gone as well.
    assert_eq!(
        resumed(&state, &job, &done.progress).await.status,
        JobStatus::Done
    );
    assert_eq!(tsv(found).await, "1000\t999\n");
    // Before the exchange, the places are changed.
    let table_id = format!("SELECT toString(uuid) FROM system.tables WHERE name = '{table}'");
    engine()
        .execute(&format!("CREATE TABLE {table} AS exchanged"))
        .await
        .unwrap();
    let mut progress = done.progress.clone();
    progress["phase"] = "writing".into();
    progress["table"] = tsv(&table_id).await.trim().into();
    assert_eq!(
        resumed(&state, &job, &progress).await.status,
        JobStatus::Done
    );
    assert_eq!(tsv("SELECT count() FROM exchanged").await, "0\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_fails_leaves_the_data_source_as_it_was() {
    prepared("failing").await;
    let state = Arc::new(State::in_memory().unwrap());
    let jobs = jobs(&state);
    for (mode, sql, reason) in [
        (
            CopyInto::Append,
            "SELECT number AS n FROM numbers(5001)",
            "more than 5000 rows",
        ),
        (
            CopyInto::Append,
            "SELECT throwIf(number = 4000) AS n FROM numbers(5000)",
            "throwIf",
        ),
        (CopyInto::Append, "SELECT nothing AS n", "nothing"),
        (CopyInto::Append, "SELECT 'x' AS n", "Cannot parse"),
        (
            CopyInto::Replace,
            "SELECT 1 AS n",
            "a materialized view reads",
        ),
    ] {
        let job = submit(&jobs, &request("failing", mode, sql));
        let job = ended(&jobs, &job).await;
        let error = job.error.clone().unwrap_or_default();
        assert!(
            job.status == JobStatus::Error && error.contains(reason),
            "{sql}: {job:?}"
        );
        assert_eq!(tsv(&format!("EXISTS TABLE {}", beside(&job))).await, "0\n");
    }
    let mut missing = request("failing", CopyInto::Append, "SELECT 1 AS n");
    missing.datasource.name = "gone".to_owned();
    let job = submit(&jobs, &missing);
    assert_eq!(ended(&jobs, &job).await.status, JobStatus::Error);
    assert_eq!(tsv("SELECT count() FROM failing").await, "0\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_change_places_meanwhile_are_in_nobody_s_way() {
    project(&[("beside_others.datasource", "SCHEMA >\n    `n` UInt64\n")]).await;
    let state = Arc::new(State::in_memory().unwrap());
    let jobs = jobs(&state);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let exchanges = tokio::spawn(async move {
        let mut stopped = std::pin::pin!(stopped);
        let mut times = 0;
        while stopped.try_recv().is_err() {
            for sql in [
                "CREATE OR REPLACE TABLE placed_here (n UInt64) ENGINE = MergeTree ORDER BY n",
                "CREATE OR REPLACE TABLE placed_there (n UInt64) ENGINE = MergeTree ORDER BY n",
                "EXCHANGE TABLES placed_here AND placed_there",
                "EXCHANGE TABLES placed_here AND placed_there",
                "EXCHANGE TABLES placed_here AND placed_there",
            ] {
                engine().execute(sql).await.unwrap();
            }
            times += 1;
        }
        times
    });
    let insert = request("beside_others", CopyInto::Append, "SELECT 1 AS n");
    for _ in 0..50 {
        ingest().tables_changed();
        let done = ended(&jobs, &submit(&jobs, &insert)).await;
        assert_eq!(done.status, JobStatus::Done, "{done:?}");
    }
    stop.send(()).unwrap();
    assert!(exchanges.await.unwrap() > 0);
    assert_eq!(tsv("SELECT count() FROM beside_others").await, "50\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_a_view_throws_on_says_that_its_rows_are_in() {
    prepared("refusing").await;
    engine()
        .execute("ALTER TABLE mv__refusing_to_counts__n MODIFY QUERY SELECT count() + throwIf(countIf(n = 13) > 0) AS c FROM refusing")
        .await
        .unwrap();
    let jobs = jobs(&Arc::new(State::in_memory().unwrap()));
    let sql = "SELECT number AS n FROM numbers(20) WHERE number < toUInt64({limit:String})";
    let job = submit(&jobs, &request("refusing", CopyInto::Append, sql));
    let ended = ended(&jobs, &job).await;
    assert_eq!(ended.status, JobStatus::Error, "{ended:?}");
    let error = ended.error.unwrap();
    assert!(
        error.starts_with("the 20 rows are in `refusing`"),
        "{error}"
    );
    // The view has got every block but the one with that row.
    let both = "SELECT (SELECT count() FROM refusing), (SELECT count() FROM refusing_counts) < 20";
    assert_eq!(tsv(both).await, "20\t1\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_copied_into_a_table_with_keys_of_all_kinds() {
    let of = |name: &str, keys: &str| {
        (
            format!("{name}.datasource"),
            format!("SCHEMA >\n    `n` UInt64\n\nENGINE \"MergeTree\"\n{keys}"),
        )
    };
    let files = [
        of(
            "primary_n",
            "ENGINE_SORTING_KEY \"n, n % 7\"\nENGINE_PRIMARY_KEY \"n\"\n",
        ),
        of(
            "sampled_n",
            "ENGINE_SORTING_KEY \"n % 3, intHash32(n)\"\nENGINE_SAMPLING_KEY \"intHash32(n)\"\n",
        ),
    ];
    let files = files
        .each_ref()
        .map(|(name, text)| (name.as_str(), text.as_str()));
    project(&files).await;
    let jobs = jobs(&Arc::new(State::in_memory().unwrap()));
    for target in ["primary_n", "sampled_n"] {
        let job = submit(&jobs, &request(target, CopyInto::Append, SECRET));
        let ended = ended(&jobs, &job).await;
        assert_eq!(ended.status, JobStatus::Done, "{ended:?}");
        assert_eq!(
            tsv(&format!("SELECT count() FROM {target}")).await,
            "1000\n"
        );
    }
}
