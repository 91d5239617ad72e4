//! Tables and views that become others, with their rows.

use std::fmt::Write as _;

use super::{checked, engine, project, tsv};
use pipewright::deploy::{self, DeployPlan, Progress};

struct Silent;

impl Progress for Silent {
    fn say(&self, _: &str) {}
}

fn shown(planned: &DeployPlan) -> String {
    let mut text = String::new();
    for planned in &planned.changes {
        let change = &planned.change;
        writeln!(
            text,
            "{} {:?} {} rows: {}",
            change.name,
            change.effect,
            planned.rows,
            change.what.join(", ")
        )
        .unwrap();
        for sql in &change.sql {
            let sql = sql.split("COMMENT 'pipewright ").next().unwrap_or_default();
            writeln!(text, "  {}", sql.replace('\n', " ")).unwrap();
        }
    }
    text
}

const KEYS: &str = "ENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";

fn datasource(columns: &str, rest: &str) -> String {
    format!(
        "SCHEMA >\n    {}\n\n{rest}",
        columns.replace('\n', "\n    ")
    )
}

/// Deploys one definition, puts rows in, deploys another; the plan between them.
async fn changed(name: &str, before: &str, insert: &str, after: &str) -> String {
    let file = format!("{name}.datasource");
    project(&[(&file, before)]).await;
    engine()
        .execute(&format!("INSERT INTO {name} {insert}"))
        .await
        .unwrap();
    let plan = checked(&[(&file, after)]);
    let planned = deploy::plan(&plan, engine().as_ref()).await.unwrap();
    deploy::change(&planned, engine().as_ref(), &Silent)
        .await
        .unwrap();
    let again = deploy::plan(&plan, engine().as_ref()).await.unwrap();
    assert!(again.is_empty(), "{}", shown(&again));
    shown(&planned)
}

#[tokio::test]
async fn columns_come_move_and_get_defaults_in_place() {
    let before = datasource("`id` UInt64,\n`name` String", KEYS);
    let after = datasource(
        "`id` UInt64,\n`kind` LowCardinality(String) DEFAULT 'none',\n`name` String DEFAULT 'x' CODEC(ZSTD(3)),\n`at` Nullable(DateTime64(3))",
        KEYS,
    );
    insta::assert_snapshot!(changed("d_add", &before, "VALUES (1, 'a')", &after).await);
    assert_eq!(tsv("SELECT * FROM d_add").await, "1\tnone\ta\t\\N\n");
    let moved = datasource(
        "`id` UInt64,\n`name` String,\n`kind` LowCardinality(String) DEFAULT 'none',\n`at` Nullable(DateTime64(3))",
        KEYS,
    );
    insta::assert_snapshot!(changed("d_add", &after, "(id) VALUES (2)", &moved).await);
    assert_eq!(
        tsv("SELECT * FROM d_add ORDER BY id").await,
        "1\ta\tnone\t\\N\n2\tx\tnone\t\\N\n"
    );
}

#[tokio::test]
async fn rows_older_than_a_column_keep_what_its_default_gave_them() {
    let before = datasource("`id` UInt64", KEYS);
    let with = |default: &str| datasource(&format!("`id` UInt64,\n`n` UInt8{default}"), KEYS);
    changed("d_default", &before, "VALUES (1)", &with(" DEFAULT 7")).await;
    changed(
        "d_default",
        &with(" DEFAULT 7"),
        "(id) VALUES (2)",
        &with(" DEFAULT 8"),
    )
    .await;
    insta::assert_snapshot!(
        changed(
            "d_default",
            &with(" DEFAULT 8"),
            "(id) VALUES (3)",
            &with("")
        )
        .await
    );
    assert_eq!(
        tsv("SELECT * FROM d_default ORDER BY id").await,
        "1\t7\n2\t7\n3\t8\n"
    );
}

#[tokio::test]
async fn another_text_for_the_same_table_is_no_change() {
    let columns = "`id` UInt64,\n`d` Decimal(10,2) DEFAULT 1.5,\n`e` Enum8('a' = 1, 'b' = 2),\n`m` Map(String, Array(Int32)),\n`t` DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),\n`s` SimpleAggregateFunction(sum, UInt64),\n`j` Nullable(String) DEFAULT NULL";
    let rest = "ENGINE \"MergeTree\"\nENGINE_PARTITION_KEY \"toYYYYMM(t)\"\nENGINE_SORTING_KEY \"id, t\"\nENGINE_TTL \"toDateTime(t) + INTERVAL 90 DAY\"\nENGINE_SETTINGS \"ttl_only_drop_parts=1\"\nINDEXES >\n    by_d d TYPE minmax GRANULARITY 4\n";
    let other = rest
        .replace("\"id, t\"", "\"id,t\"")
        .replace("+ INTERVAL 90 DAY", "+ toIntervalDay(90)")
        .replace("parts=1", "parts = 1");
    let written = columns
        .replace("Decimal(10,2)", "Decimal(10, 2)")
        .replace("Array(Int32)", "Array( Int32 )");
    assert_eq!(
        changed(
            "d_same",
            &datasource(columns, rest),
            "(id, t) VALUES (1, now64())",
            &datasource(&written, &other)
        )
        .await,
        ""
    );
    assert_eq!(tsv("SELECT count() FROM d_same").await, "1\n");
}

#[tokio::test]
async fn types_and_keys_change_by_a_new_table_in_the_old_ones_place() {
    let before = datasource("`id` UInt64,\n`n` Int64,\n`gone` String", KEYS);
    let after = datasource(
        "`id` UInt64,\n`n` Nullable(Int8),\n`day` Date DEFAULT '2026-01-01'",
        "ENGINE \"MergeTree\"\nENGINE_PARTITION_KEY \"id % 4\"\nENGINE_SORTING_KEY \"n, id\"\nENGINE_SETTINGS \"allow_nullable_key = 1\"\n",
    );
    insta::assert_snapshot!(
        changed(
            "d_new",
            &before,
            "SELECT number, number % 100, 'x' FROM numbers(1000)",
            &after
        )
        .await
    );
    assert_eq!(
        tsv("SELECT count(), sum(id), sum(n), uniqExact(day), uniqExact(_partition_id) FROM d_new")
            .await,
        "1000\t499500\t49500\t1\t4\n"
    );
}

#[tokio::test]
async fn a_value_that_does_not_fit_stops_the_change_and_nothing_is_lost() {
    let before = datasource("`id` UInt64,\n`n` Int64", KEYS);
    project(&[("d_stop.datasource", &before)]).await;
    engine()
        .execute("INSERT INTO d_stop SELECT number, number FROM numbers(1000)")
        .await
        .unwrap();
    let plan = checked(&[(
        "d_stop.datasource",
        &datasource("`id` UInt64,\n`n` Int8", KEYS),
    )]);
    let planned = deploy::plan(&plan, engine().as_ref()).await.unwrap();
    assert!(
        deploy::change(&planned, engine().as_ref(), &Silent)
            .await
            .is_err()
    );
    assert_eq!(
        tsv("SELECT count(), sum(n) FROM d_stop").await,
        "1000\t499500\n"
    );
    assert_eq!(
        tsv("SELECT count() FROM system.tables WHERE name LIKE 'pw\\_rebuild\\_d\\_stop'").await,
        "0\n"
    );
}

#[tokio::test]
async fn a_forward_query_makes_the_new_rows() {
    let before = datasource("`id` UInt64,\n`name` String", KEYS);
    let after = format!(
        "{}\nFORWARD_QUERY >\n    SELECT id, upper(name) AS name, length(name) AS size FROM d_forward\n",
        datasource("`id` UInt64,\n`name` String,\n`size` UInt64", KEYS)
    );
    insta::assert_snapshot!(changed("d_forward", &before, "VALUES (1, 'abc')", &after).await);
    assert_eq!(tsv("SELECT * FROM d_forward").await, "1\tABC\t3\n");
}

#[tokio::test]
async fn a_change_that_was_cut_off_after_any_statement_is_done_by_the_next() {
    let before = datasource("`id` UInt64,\n`n` Int64", KEYS);
    let after = datasource("`id` UInt64,\n`n` String", KEYS);
    for statements in 0..=5 {
        let name = format!("d_cut{statements}");
        let file = format!("{name}.datasource");
        project(&[(&file, &before)]).await;
        engine()
            .execute(&format!(
                "INSERT INTO {name} SELECT number, number FROM numbers(500)"
            ))
            .await
            .unwrap();
        let plan = checked(&[(&file, &after)]);
        let planned = deploy::plan(&plan, engine().as_ref()).await.unwrap();
        assert_eq!(planned.changes[0].change.sql.len(), 5);
        for sql in &planned.changes[0].change.sql[..statements] {
            engine().execute(sql).await.unwrap();
        }
        // What the next process does.
        engine()
            .execute(&format!("DROP TABLE IF EXISTS pw_rebuild_{name} SYNC"))
            .await
            .unwrap();
        let planned = deploy::plan(&plan, engine().as_ref()).await.unwrap();
        assert_eq!(planned.is_empty(), statements >= 4);
        deploy::change(&planned, engine().as_ref(), &Silent)
            .await
            .unwrap();
        assert_eq!(
            tsv(&format!(
                "SELECT count(), sum(id), any(toTypeName(n)) FROM {name}"
            ))
            .await,
            "500\t124750\tString\n"
        );
    }
}

#[tokio::test]
async fn a_view_takes_another_query() {
    let target = "SCHEMA >\n    `id` UInt64,\n    `name` String\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";
    let pipe = |function: &str| {
        format!(
            "NODE n\nSQL >\n    SELECT id, {function}(name) AS name FROM d_src\n\nTYPE materialized\nDATASOURCE d_target\n"
        )
    };
    let source = datasource("`id` UInt64,\n`name` String", KEYS);
    let files = |text: &str| {
        [
            ("d_src.datasource".to_owned(), source.clone()),
            ("d_target.datasource".to_owned(), target.to_owned()),
            ("d_view.pipe".to_owned(), pipe(text)),
        ]
    };
    let with = |text: &str| {
        let files = files(text);
        files.map(|(name, text)| (name, text))
    };
    let first = with("upper");
    project(
        &first
            .each_ref()
            .map(|(name, text)| (name.as_str(), text.as_str())),
    )
    .await;
    engine()
        .execute("INSERT INTO d_src VALUES (1, 'aB')")
        .await
        .unwrap();
    let second = with("lower");
    let plan = checked(
        &second
            .each_ref()
            .map(|(name, text)| (name.as_str(), text.as_str())),
    );
    let planned = deploy::plan(&plan, engine().as_ref()).await.unwrap();
    insta::assert_snapshot!(shown(&planned));
    deploy::change(&planned, engine().as_ref(), &Silent)
        .await
        .unwrap();
    engine()
        .execute("INSERT INTO d_src VALUES (2, 'aB')")
        .await
        .unwrap();
    assert_eq!(
        tsv("SELECT * FROM d_target ORDER BY id").await,
        "1\tAB\n2\tab\n"
    );
    assert!(
        deploy::plan(&plan, engine().as_ref())
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn what_takes_rows_away_says_so() {
    let before = datasource("`id` UInt64,\n`at` DateTime,\n`gone` String", KEYS);
    let after = datasource(
        "`id` UInt64,\n`at` DateTime",
        &format!("{KEYS}ENGINE_TTL \"at + INTERVAL 1 DAY\"\n"),
    );
    insta::assert_snapshot!(
        changed(
            "d_ttl",
            &before,
            "VALUES (1, now(), 'a'), (2, '2020-01-01 00:00:00', 'b')",
            &after
        )
        .await
    );
    assert_eq!(tsv("SELECT id FROM d_ttl").await, "1\n");
}
