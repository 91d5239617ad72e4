//! Populates of what other views read: all that follows is counted once, too.

use std::sync::Arc;
use std::time::Duration;

use insta::assert_snapshot;
use pipewright::ingest::{
    EventLimits, Events, IngestError, PopulateOptions, PopulateRequest, json_lines,
};
use pipewright::jobs::JobStatus;
use pipewright::state::State;
use pipewright_compiler::graph::NodeId;
use pipewright_compiler::plan::Plan;
use pipewright_compiler::project::ResourceName;

use super::populate::{jobs, run};
use super::{engine, ingest, project, tsv};

/// Rows, of which one view makes states, of which two others make states again, and one of those a sum.
async fn prepared(name: &str, more: &[(&str, &str)]) -> Plan {
    let of = |file: &str| format!("{name}{file}");
    let aggregating = |columns: &str, key: &str| {
        format!(
            "SCHEMA >\n    {columns}\n\nENGINE \"AggregatingMergeTree\"\nENGINE_PARTITION_KEY \"day\"\nENGINE_SORTING_KEY \"{key}\"\n"
        )
    };
    let view = |select: &str, target: &str| {
        format!("NODE n\nSQL >\n    {select}\n\nTYPE materialized\nDATASOURCE {target}\n")
    };
    let mut files = vec![
        (of(".datasource"), "SCHEMA >\n    `id` UInt64 `json:$.id`,\n    `day` Date `json:$.day`\n\nENGINE \"MergeTree\"\nENGINE_PARTITION_KEY \"day\"\nENGINE_SORTING_KEY \"id\"\n".to_owned()),
        (of("_users.datasource"), aggregating("`day` Date,\n    `user` UInt8,\n    `rows` AggregateFunction(count)", "day, user")),
        (of("_days.datasource"), aggregating("`day` Date,\n    `rows` AggregateFunction(count)", "day")),
        (of("_halves.datasource"), aggregating("`day` Date,\n    `even` UInt8,\n    `rows` AggregateFunction(count)", "day, even")),
        (of("_to_users.pipe"), view(&format!("SELECT day, toUInt8(id % 10) AS user, countState() AS rows FROM {name} GROUP BY day, user"), &of("_users"))),
        (of("_to_days.pipe"), view(&format!("SELECT day, countMergeState(rows) AS rows FROM {name}_users GROUP BY day"), &of("_days"))),
        (of("_to_halves.pipe"), view(&format!("SELECT day, user % 2 AS even, countMergeState({name}_users.rows) AS rows FROM {name}_users GROUP BY day, even"), &of("_halves"))),
    ];
    files.extend(
        more.iter()
            .map(|(file, text)| (of(file), (*text).to_owned())),
    );
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(file, text)| (file.as_str(), text.as_str()))
        .collect();
    project(&files).await
}

fn node(name: &str) -> NodeId {
    NodeId {
        pipe: ResourceName::local(format!("{name}_to_users")),
        node: "n".to_owned(),
    }
}

async fn insert(name: &str, from: u64, rows: u64) {
    let sql = format!(
        "INSERT INTO {name} SELECT number, toDate('2026-01-01') + number % 5 FROM numbers({from}, {rows}) SETTINGS insert_deduplicate = 0"
    );
    engine().execute(&sql).await.unwrap();
}

async fn requested(
    plan: &Plan,
    name: &str,
    truncate: bool,
) -> Result<PopulateRequest, IngestError> {
    let options = PopulateOptions {
        truncate,
        ..PopulateOptions::default()
    };
    ingest().plan_populate(plan, &node(name), options).await
}

/// By day: what was inserted, and what each table of the cascade says of it.
async fn counts(name: &str) -> [String; 4] {
    let merged = |table: &str| {
        format!("SELECT day, countMerge(rows) FROM {name}_{table} GROUP BY day ORDER BY day")
    };
    let direct = format!("SELECT day, count() FROM {name} GROUP BY day ORDER BY day");
    [
        tsv(&direct).await,
        tsv(&merged("users")).await,
        tsv(&merged("days")).await,
        tsv(&merged("halves")).await,
    ]
}

async fn assert_all_agree(name: &str) {
    let [direct, users, days, halves] = counts(name).await;
    assert_ne!(direct, "");
    assert_eq!([&users, &days, &halves], [&direct; 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_other_views_read_is_populated_with_all_that_follows() {
    let plan = prepared("casc", &[]).await;
    insert("casc", 0, 100_000).await;
    // What is there counts rows that are not, and lacks others.
    insert("casc", 0, 1000).await;
    engine()
        .execute("ALTER TABLE casc DELETE WHERE id < 500 SETTINGS mutations_sync = 2")
        .await
        .unwrap();
    engine().execute("TRUNCATE TABLE casc_days").await.unwrap();
    let table = plan.table("casc").unwrap();
    let limits = EventLimits {
        flush_after: Duration::from_millis(5),
        ..EventLimits::default()
    };
    let events = Events::new(ingest(), limits);
    let jobs = jobs(&Arc::new(State::in_memory().unwrap()));
    let request = requested(&plan, "casc", true).await.unwrap();
    let arriving = async {
        for id in 0..60u64 {
            let body = format!("{{\"id\":{id},\"day\":\"2026-01-0{}\"}}", id % 7 + 1);
            let (body, rows) = json_lines(body.into(), false).unwrap();
            events.push(table, body, rows, true).await.unwrap();
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    };
    let (_, ()) = tokio::join!(run(&jobs, &request), arriving);
    assert_all_agree("casc").await;
    // Without `truncate`, into what is empty.
    for table in ["casc_users", "casc_days", "casc_halves"] {
        engine()
            .execute(&format!("TRUNCATE TABLE {table}"))
            .await
            .unwrap();
    }
    let request = requested(&plan, "casc", false).await.unwrap();
    let ended = run(&jobs, &request).await;
    assert_all_agree("casc").await;
    let id = ended.id.replace('-', "");
    let left = format!("SELECT count() FROM system.tables WHERE name LIKE '%{id}'");
    assert_eq!(tsv(&left).await, "0\n");
    events.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_populate_with_what_follows_that_was_cut_off_anywhere_ends_the_same() {
    let plan = prepared("cutc", &[]).await;
    insert("cutc", 0, 1000).await;
    let request = requested(&plan, "cutc", true).await.unwrap();
    assert_eq!(request.followers.len(), 2, "{request:?}");
    for phase in ["starting", "copying", "moving", "inserted"] {
        let state = Arc::new(State::in_memory().unwrap());
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
        let made = "SELECT day, toUInt8(id % 10) AS user, countState() AS rows FROM cutc";
        let mut statements = vec![
            "TRUNCATE TABLE cutc_users".to_owned(),
            format!("CREATE TABLE {from} CLONE AS cutc"),
            format!(
                "CREATE TABLE {to} AS cutc_users ENGINE = MergeTree ORDER BY tuple() SETTINGS max_bytes_to_merge_at_max_space_in_pool = 1, max_bytes_to_merge_at_min_space_in_pool = 1"
            ),
        ];
        if phase != "starting" {
            statements
                .extend(["days", "halves"].map(|table| format!("TRUNCATE TABLE cutc_{table}")));
        }
        match phase {
            "copying" => statements.push(format!(
                "INSERT INTO {to} {made} WHERE id % 2 = 0 GROUP BY day, user"
            )),
            "moving" | "inserted" => {
                statements.push(format!("INSERT INTO {to} {made} GROUP BY day, user"));
            }
            _ => {}
        }
        if phase == "inserted" {
            statements.push(format!("INSERT INTO cutc_users (day, user, rows) SELECT day, user, rows FROM {to} SETTINGS insert_deduplicate = 1, insert_deduplication_token = 'populate:{}', deduplicate_blocks_in_dependent_materialized_views = 1, max_threads = 1, max_insert_threads = 1, max_partitions_per_insert_block = 0", job.id));
        }
        for statement in statements {
            engine().execute(&statement).await.unwrap();
        }
        let progress = match phase {
            "starting" => serde_json::json!({ "phase": phase, "empties": true }),
            "inserted" => serde_json::json!({ "phase": "moving" }),
            _ => serde_json::json!({ "phase": phase }),
        };
        state.jobs().set_progress(&job.id, &progress).unwrap();
        let jobs = jobs(&state);
        jobs.recover().unwrap();
        let ended = jobs.ended(&job.id).await.unwrap().unwrap();
        assert_eq!(ended.status, JobStatus::Done, "{phase}: {ended:?}");
        assert_all_agree("cutc").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_others_are_not_emptied_and_an_order_of_rows_is_not_broken() {
    let plan = prepared(
        "shared",
        &[("_aside.pipe", "NODE n\nSQL >\n    SELECT day, countState() AS rows FROM shared GROUP BY day\n\nTYPE materialized\nDATASOURCE shared_days\n")],
    )
    .await;
    let mut told = Vec::new();
    told.push(
        requested(&plan, "shared", true)
            .await
            .unwrap_err()
            .to_string(),
    );
    // What adds to what is there takes nothing from it.
    requested(&plan, "shared", false).await.unwrap();
    let plan = prepared(
        "ordered",
        &[
            ("_last.datasource", "SCHEMA >\n    `day` Date,\n    `user` UInt8\n\nENGINE \"ReplacingMergeTree\"\nENGINE_SORTING_KEY \"day\"\n"),
            ("_to_last.pipe", "NODE n\nSQL >\n    SELECT day, user FROM ordered_users\n\nTYPE materialized\nDATASOURCE ordered_last\n"),
        ],
    )
    .await;
    told.push(
        requested(&plan, "ordered", false)
            .await
            .unwrap_err()
            .to_string(),
    );
    assert_snapshot!(told.join("\n"), @r"
    `shared_days` follows from `shared_users` and would be emptied with it, and what the view `mv__shared_aside__n` has put there would be gone: populate without `truncate`, or take that view away first
    `ordered_last` shows of rows with the same key one by the order in which they came, and views follow `ordered_users`: rows of before would come to them after later ones
    ");
}
