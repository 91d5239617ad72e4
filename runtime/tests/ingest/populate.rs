//! Rows that were there before a view, while others go on arriving.

use std::sync::Arc;
use std::time::Duration;

use super::{engine, ingest, project, tsv};
use pipewright::ingest::{
    EventLimits, Events, Populate, PopulateOptions, PopulateRequest, json_lines,
};
use pipewright::jobs::{Job, JobStatus, Jobs, Limits, Work};
use pipewright::state::State;
use pipewright_compiler::graph::NodeId;
use pipewright_compiler::plan::Plan;
use pipewright_compiler::project::ResourceName;

async fn prepared(name: &str) -> Plan {
    project(&[
        (&format!("{name}.datasource"), "SCHEMA >\n    `id` UInt64 `json:$.id`,\n    `day` Date `json:$.day`\n\nENGINE \"MergeTree\"\nENGINE_PARTITION_KEY \"day\"\nENGINE_SORTING_KEY \"id\"\n"),
        (
            &format!("{name}_days.datasource"),
            "SCHEMA >\n    `day` Date,\n    `rows` AggregateFunction(count),\n    `ids` AggregateFunction(sum, UInt64)\n\nENGINE \"AggregatingMergeTree\"\nENGINE_PARTITION_KEY \"day\"\nENGINE_SORTING_KEY \"day\"\n",
        ),
        (
            &format!("{name}_to_days.pipe"),
            &format!("NODE n\nSQL >\n    /* a /* b */ c */\n    WITH 1 AS one SELECT day, countState() AS rows, sumState(id) AS ids FROM (SELECT * FROM {name} WHERE one = 1) GROUP BY day\n\nTYPE materialized\nDATASOURCE {name}_days\n"),
        ),
    ])
    .await
}

fn node(name: &str) -> NodeId {
    NodeId {
        pipe: ResourceName::local(format!("{name}_to_days")),
        node: "n".to_owned(),
    }
}

async fn fill(name: &str, from: u64, to: u64) {
    let sql = format!(
        "INSERT INTO {name} SELECT number, toDate('2026-01-01') + number % 5 FROM numbers({from}, {}) SETTINGS insert_deduplicate = 0",
        to - from
    );
    engine().execute(&sql).await.unwrap();
}

pub(super) fn jobs(state: &Arc<State>) -> Arc<Jobs> {
    let work: Arc<dyn Work> = Arc::new(Populate(ingest()));
    Jobs::new(
        Arc::clone(state),
        [("populateview", work)],
        Limits::default(),
    )
}

pub(super) async fn run(jobs: &Arc<Jobs>, request: &PopulateRequest) -> Job {
    let job = jobs
        .submit("populateview", &serde_json::to_value(request).unwrap())
        .unwrap();
    let ended = jobs.ended(&job.id).await.unwrap().unwrap();
    assert_eq!(ended.status, JobStatus::Done, "{ended:?}");
    ended
}

async fn agree(name: &str) -> bool {
    let source = tsv(&format!(
        "SELECT day, count(), sum(id) FROM {name} GROUP BY day ORDER BY day"
    ))
    .await;
    let view = tsv(&format!(
        "SELECT day, countMerge(rows), sumMerge(ids) FROM {name}_days GROUP BY day ORDER BY day"
    ))
    .await;
    source == view
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_populate_counts_every_row_once_while_events_arrive() {
    let plan = prepared("popular").await;
    fill("popular", 0, 200_000).await;
    engine()
        .execute("TRUNCATE TABLE popular_days")
        .await
        .unwrap();
    let table = plan.table("popular").unwrap();
    let events = Events::new(
        ingest(),
        EventLimits {
            flush_after: Duration::from_millis(5),
            ..EventLimits::default()
        },
    );
    let jobs = jobs(&Arc::new(State::in_memory().unwrap()));
    let request = ingest()
        .plan_populate(
            &plan,
            &node("popular"),
            PopulateOptions {
                truncate: true,
                ..PopulateOptions::default()
            },
        )
        .await
        .unwrap();
    let arriving = async {
        for id in 0..60u64 {
            let (body, rows) = json_lines(
                format!("{{\"id\":{id},\"day\":\"2026-01-0{}\"}}", id % 7 + 1).into(),
                false,
            )
            .unwrap();
            events.push(table, body, rows, id % 2 == 0).await.unwrap();
        }
    };
    let (ended, ()) = tokio::join!(run(&jobs, &request), arriving);
    events.shutdown().await;
    assert_eq!(ended.progress["progress_percentage"], 100.0);
    assert!(ended.progress["rows_total"].as_u64().unwrap() >= 200_000);
    assert_eq!(tsv("SELECT count() FROM popular").await, "200060\n");
    assert!(agree("popular").await);
    let left = format!(
        "SELECT count() FROM system.tables WHERE name LIKE '%{}'",
        ended.id.replace('-', "")
    );
    assert_eq!(tsv(&left).await, "0\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_populate_that_was_cut_off_anywhere_ends_the_same() {
    let plan = prepared("cut").await;
    fill("cut", 0, 1000).await;
    let request = ingest()
        .plan_populate(
            &plan,
            &node("cut"),
            PopulateOptions {
                truncate: true,
                ..PopulateOptions::default()
            },
        )
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (phase, partitions_moved) in [
        ("starting", 0),
        ("copying", 0),
        ("moving", 0),
        ("moving", 2),
    ] {
        let state = Arc::new(State::open(&folder.path().join("state.sqlite")).unwrap());
        let job = state
            .jobs()
            .add("populateview", &serde_json::to_value(&request).unwrap())
            .unwrap();
        state
            .jobs()
            .change(&job.id, &[JobStatus::Waiting], JobStatus::Working)
            .unwrap();
        // What a process that died in that phase leaves behind.
        let id = job.id.replace('-', "");
        let (from, to) = (format!("pw_from_{id}"), format!("pw_to_{id}"));
        let mut statements = vec![
            "TRUNCATE TABLE cut_days".to_owned(),
            format!("CREATE TABLE {from} CLONE AS cut"),
            format!("CREATE TABLE {to} AS cut_days"),
        ];
        let make = |filter: &str| {
            format!(
                "INSERT INTO {to} SELECT day, countState() AS rows, sumState(id) AS ids FROM cut {filter} GROUP BY day SETTINGS insert_deduplicate = 0"
            )
        };
        match phase {
            "copying" => statements.push(make("WHERE day = '2026-01-01' AND id % 2 = 0")),
            "moving" => statements.push(make("")),
            _ => {}
        }
        // A move whose source came back with the restart.
        for day in 0..partitions_moved {
            statements.push(format!(
                "ALTER TABLE cut_days ATTACH PARTITION '2026-01-0{}' FROM {to}",
                day + 1
            ));
        }
        let mut progress = serde_json::json!({ "phase": phase });
        if partitions_moved > 0 {
            let partition = format!("2026010{partitions_moved}");
            progress["moving"] = serde_json::json!({ "partition": partition, "alike": [] });
        }
        for statement in statements {
            engine().execute(&statement).await.unwrap();
        }
        state.jobs().set_progress(&job.id, &progress).unwrap();
        let jobs = jobs(&state);
        jobs.recover().unwrap();
        let ended = jobs.ended(&job.id).await.unwrap().unwrap();
        assert_eq!(ended.status, JobStatus::Done, "{phase}: {ended:?}");
        assert!(agree("cut").await, "{phase} {partitions_moved}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_equal_to_those_that_are_there_are_added_to_them() {
    let plan = prepared("equal").await;
    fill("equal", 0, 5).await;
    engine().execute("TRUNCATE TABLE equal_days").await.unwrap();
    let options = PopulateOptions {
        condition: Some("id = 3".to_owned()),
        ..PopulateOptions::default()
    };
    let request = ingest()
        .plan_populate(&plan, &node("equal"), options)
        .await
        .unwrap();
    let jobs = jobs(&Arc::new(State::in_memory().unwrap()));
    for times in 1..4 {
        run(&jobs, &request).await;
        assert_eq!(
            tsv("SELECT countMerge(rows) FROM equal_days").await,
            format!("{times}\n")
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_was_moved_in_part_is_moved_to_its_end() {
    let plan = prepared("parts").await;
    fill("parts", 0, 5).await;
    engine().execute("TRUNCATE TABLE parts_days").await.unwrap();
    engine()
        .execute("SYSTEM STOP MERGES parts_days")
        .await
        .unwrap();
    let request = ingest()
        .plan_populate(&plan, &node("parts"), PopulateOptions::default())
        .await
        .unwrap();
    let state = Arc::new(State::in_memory().unwrap());
    let job = state
        .jobs()
        .add("populateview", &serde_json::to_value(&request).unwrap())
        .unwrap();
    state
        .jobs()
        .change(&job.id, &[JobStatus::Waiting], JobStatus::Working)
        .unwrap();
    let to = format!("pw_to_{}", job.id.replace('-', ""));
    let row = |id: u64| {
        format!(
            "SELECT toDate('2026-01-01'), countState(), sumState(toUInt64({id})) SETTINGS insert_deduplicate = 0"
        )
    };
    for statement in [
        format!("CREATE TABLE {to} AS parts_days"),
        format!("SYSTEM STOP MERGES {to}"),
        // One equal row that came by the view before, as the notes say, one part of two equal ones that came over, one other part.
        format!("INSERT INTO parts_days {}", row(7)),
        format!("INSERT INTO parts_days {}", row(7)),
        format!("INSERT INTO {to} {}", row(7)),
        format!("INSERT INTO {to} {}", row(7)),
        format!("INSERT INTO {to} {}", row(8)),
    ] {
        engine().execute(&statement).await.unwrap();
    }
    let before =
        tsv("SELECT min(name) FROM system.parts WHERE active AND table = 'parts_days'").await;
    let progress = serde_json::json!({
        "phase": "moving",
        "moving": { "partition": "20260101", "alike": [before.trim()] },
    });
    state.jobs().set_progress(&job.id, &progress).unwrap();
    let jobs = jobs(&state);
    jobs.recover().unwrap();
    let ended = jobs.ended(&job.id).await.unwrap().unwrap();
    assert_eq!(ended.status, JobStatus::Done, "{ended:?}");
    assert_eq!(
        tsv("SELECT countMerge(rows), sumMerge(ids) FROM parts_days").await,
        "4\t29\n"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_the_rows_can_be_chosen() {
    let plan = prepared("chosen").await;
    fill("chosen", 0, 10_000).await;
    let jobs = jobs(&Arc::new(State::in_memory().unwrap()));
    let options = |condition: Option<&str>, subset| PopulateOptions {
        truncate: true,
        condition: condition.map(ToOwned::to_owned),
        subset,
    };
    let request = ingest()
        .plan_populate(&plan, &node("chosen"), options(Some("id < 10"), None))
        .await
        .unwrap();
    run(&jobs, &request).await;
    assert_eq!(
        tsv("SELECT countMerge(rows) FROM chosen_days").await,
        "10\n"
    );
    let request = ingest()
        .plan_populate(&plan, &node("chosen"), options(None, Some(0.1)))
        .await
        .unwrap();
    run(&jobs, &request).await;
    let rows: u64 = tsv("SELECT countMerge(rows) FROM chosen_days")
        .await
        .trim()
        .parse()
        .unwrap();
    assert!((800..1200).contains(&rows), "{rows}");
    assert!(
        ingest()
            .plan_populate(&plan, &node("chosen"), options(Some("1) OR (1"), None))
            .await
            .is_err()
    );
    assert!(
        ingest()
            .plan_populate(&plan, &node("chosen"), options(None, Some(2.0)))
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_asked_for_under_another_view_changes_nothing() {
    let plan = prepared("asked").await;
    fill("asked", 0, 10).await;
    let options = PopulateOptions {
        truncate: true,
        ..PopulateOptions::default()
    };
    let request = ingest()
        .plan_populate(&plan, &node("asked"), options)
        .await
        .unwrap();
    let jobs = jobs(&Arc::new(State::in_memory().unwrap()));
    run(&jobs, &request).await;
    assert!(agree("asked").await);
    engine()
        .execute("ALTER TABLE mv__asked_to_days__n MODIFY QUERY SELECT day, countState() AS rows, sumState(id * 2) AS ids FROM asked GROUP BY day")
        .await
        .unwrap();
    fill("asked", 10, 20).await;
    let sums = "SELECT countMerge(rows), sumMerge(ids) FROM asked_days";
    let before = tsv(sums).await;
    let job = jobs
        .submit("populateview", &serde_json::to_value(&request).unwrap())
        .unwrap();
    let ended = jobs.ended(&job.id).await.unwrap().unwrap();
    assert_eq!(ended.status, JobStatus::Error, "{ended:?}");
    let error = ended.error.unwrap();
    assert!(
        error.contains("has changed since this was asked for"),
        "{error}"
    );
    assert_eq!(tsv(sums).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rest_of_a_populate_is_kept_until_it_can_be_put_there() {
    let plan = prepared("rest").await;
    fill("rest", 0, 100).await;
    let request = ingest()
        .plan_populate(&plan, &node("rest"), PopulateOptions::default())
        .await
        .unwrap();
    let state = Arc::new(State::in_memory().unwrap());
    let job = state
        .jobs()
        .add("populateview", &serde_json::to_value(&request).unwrap())
        .unwrap();
    state
        .jobs()
        .change(&job.id, &[JobStatus::Waiting], JobStatus::Working)
        .unwrap();
    // One day is there, the others are not, and the target is of another kind for a while.
    let to = format!("pw_to_{}", job.id.replace('-', ""));
    for sql in [
        "TRUNCATE TABLE rest_days".to_owned(),
        format!("CREATE TABLE {to} AS rest_days"),
        format!(
            "INSERT INTO {to} SELECT day, countState() AS rows, sumState(id) AS ids FROM rest GROUP BY day SETTINGS insert_deduplicate = 0"
        ),
        format!("ALTER TABLE {to} MOVE PARTITION '2026-01-01' TO TABLE rest_days"),
        "ALTER TABLE rest_days ADD COLUMN more UInt8".to_owned(),
    ] {
        engine().execute(&sql).await.unwrap();
    }
    let progress = serde_json::json!({
        "phase": "moving",
        "moving": { "partition": "20260101", "alike": [] },
    });
    state.jobs().set_progress(&job.id, &progress).unwrap();
    let first = jobs(&state);
    first.recover().unwrap();
    for _ in 0..300 {
        let now = first.find(&job.id).unwrap().unwrap();
        if now.status == JobStatus::Waiting && now.progress["error"].is_string() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let now = first.find(&job.id).unwrap().unwrap();
    assert_eq!(now.status, JobStatus::Waiting, "{now:?}");
    engine()
        .execute("ALTER TABLE rest_days DROP COLUMN more")
        .await
        .unwrap();
    let second = jobs(&state);
    second.recover().unwrap();
    let ended = second.ended(&job.id).await.unwrap().unwrap();
    assert_eq!(ended.status, JobStatus::Done, "{ended:?}");
    assert!(agree("rest").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_before_do_not_hide_those_that_came_meanwhile() {
    let keys = "SCHEMA >\n    `id` UInt64,\n    `v` UInt64\n\nENGINE ";
    let plan = project(&[
        (
            "newer.datasource",
            &format!("{keys}\"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n"),
        ),
        (
            "newer_days.datasource",
            &format!("{keys}\"ReplacingMergeTree\"\nENGINE_PARTITION_KEY \"id % 2\"\nENGINE_SORTING_KEY \"id\"\n"),
        ),
        (
            "newer_to_days.pipe",
            "NODE n\nSQL >\n    SELECT id, v FROM newer\n\nTYPE materialized\nDATASOURCE newer_days\n",
        ),
    ])
    .await;
    let request = ingest()
        .plan_populate(&plan, &node("newer"), PopulateOptions::default())
        .await
        .unwrap();
    for phase in ["copying", "moving"] {
        for sql in ["TRUNCATE TABLE newer", "TRUNCATE TABLE newer_days"] {
            engine().execute(sql).await.unwrap();
        }
        let state = Arc::new(State::in_memory().unwrap());
        let job = state
            .jobs()
            .add("populateview", &serde_json::to_value(&request).unwrap())
            .unwrap();
        state
            .jobs()
            .change(&job.id, &[JobStatus::Waiting], JobStatus::Working)
            .unwrap();
        let id = job.id.replace('-', "");
        let (from, to) = (format!("pw_from_{id}"), format!("pw_to_{id}"));
        let mut statements = vec![
            "INSERT INTO newer SELECT number, 1 FROM numbers(50)".to_owned(),
            "TRUNCATE TABLE newer_days".to_owned(),
            format!("CREATE TABLE {from} CLONE AS newer"),
            format!("CREATE TABLE {to} AS newer_days"),
            // Since the snapshot.
            "INSERT INTO newer SELECT number, 2 FROM numbers(10)".to_owned(),
        ];
        if phase == "moving" {
            statements.push(format!(
                "INSERT INTO {to} SELECT number, 1 FROM numbers(50)"
            ));
        }
        for sql in statements {
            engine().execute(&sql).await.unwrap();
        }
        let progress = serde_json::json!({ "phase": phase });
        state.jobs().set_progress(&job.id, &progress).unwrap();
        let jobs = jobs(&state);
        jobs.recover().unwrap();
        let ended = jobs.ended(&job.id).await.unwrap().unwrap();
        assert_eq!(ended.status, JobStatus::Done, "{ended:?}");
        let shown = "SELECT v, count() FROM newer_days FINAL GROUP BY v ORDER BY v";
        assert_eq!(tsv(shown).await, "1\t40\n2\t10\n", "{phase}");
        // Rows that come later are newer still.
        engine()
            .execute("INSERT INTO newer SELECT number, 3 FROM numbers(5)")
            .await
            .unwrap();
        assert_eq!(tsv(shown).await, "1\t40\n2\t5\n3\t5\n", "{phase}");
        let left = format!("SELECT count() FROM system.tables WHERE name LIKE '%{id}'");
        assert_eq!(tsv(&left).await, "0\n");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_may_read_columns_that_no_insert_gives() {
    let plan = project(&[
        (
            "computed.datasource",
            "SCHEMA >\n    `id` UInt64,\n    `m` UInt64 MATERIALIZED id * 2,\n    `a` UInt64 ALIAS id * 3\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n",
        ),
        (
            "computed_days.datasource",
            "SCHEMA >\n    `k` UInt8,\n    `ms` UInt64,\n    `as` UInt64\n\nENGINE \"SummingMergeTree\"\nENGINE_SORTING_KEY \"k\"\n",
        ),
        (
            "computed_to_days.pipe",
            "NODE n\nSQL >\n    SELECT toUInt8(1) AS k, sum(m) AS ms, sum(a) AS as FROM computed GROUP BY k\n\nTYPE materialized\nDATASOURCE computed_days\n",
        ),
    ])
    .await;
    engine()
        .execute("INSERT INTO computed SELECT number FROM numbers(100)")
        .await
        .unwrap();
    let options = PopulateOptions {
        truncate: true,
        ..PopulateOptions::default()
    };
    let request = ingest()
        .plan_populate(&plan, &node("computed"), options)
        .await
        .unwrap();
    let jobs = jobs(&Arc::new(State::in_memory().unwrap()));
    run(&jobs, &request).await;
    let sums = "SELECT sum(ms), sum(as) FROM computed_days";
    assert_eq!(tsv(sums).await, "9900\t14850\n");
    // A query that the engine does not even read leaves the target as it is.
    let wrong = PopulateRequest {
        sql: request.sql.replace("sum(m)", "sum(nothing)"),
        ..request
    };
    let job = jobs
        .submit("populateview", &serde_json::to_value(&wrong).unwrap())
        .unwrap();
    let ended = jobs.ended(&job.id).await.unwrap().unwrap();
    assert_eq!(ended.status, JobStatus::Error, "{ended:?}");
    assert_eq!(tsv(sums).await, "9900\t14850\n");
}
