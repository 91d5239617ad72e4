//! What one statement sets, the next does not see.

use super::{engine, text, tsv};
use pipewright::engine::{EngineError, Query};

const SEEN: &str = "SELECT getSetting('max_threads'), getSetting('readonly'), getSetting('max_block_size'), currentDatabase()";

/// Asks often enough to meet every connection.
async fn assert_untouched(expected: &str, after: &str) {
    for _ in 0..16 {
        assert_eq!(tsv(SEEN).await, expected, "after {after}");
    }
}

#[tokio::test]
async fn settings_of_a_query_hold_for_it_alone() {
    let before = tsv(SEEN).await;
    let query = Query::new("SELECT getSetting('max_threads')", "TSV").setting("max_threads", "7");
    for _ in 0..8 {
        assert_eq!(text(query.clone()).await.unwrap(), "7\n");
    }
    assert_untouched(&before, "settings").await;
}

#[tokio::test]
async fn statements_that_change_their_connection_poison_nothing() {
    let before = tsv(SEEN).await;
    let statements = [
        "SELECT 1 SETTINGS readonly = 1, max_threads = 5",
        "SELECT 1 FORMAT TSV SETTINGS readonly = 1",
        "SELECT * FROM (SELECT 1 SETTINGS readonly = 1)",
        "SET readonly = 1",
        "SET max_block_size = 17",
        "USE system",
        "SELECT 1; SET readonly = 1",
    ];
    for statement in statements {
        for format in ["JSON", "CSV"] {
            for _ in 0..4 {
                text(Query::new(statement, format)).await.unwrap();
            }
        }
        for _ in 0..4 {
            engine().execute(statement).await.unwrap();
        }
        assert_untouched(&before, statement).await;
    }
    let poisoned = Query::new("SELECT 1", "TSV").setting("readonly", "1");
    for _ in 0..4 {
        text(poisoned.clone()).await.unwrap();
    }
    assert_untouched(&before, "a setting that cannot be taken back").await;
}

#[tokio::test]
async fn an_unknown_setting_is_named() {
    let error = text(Query::new("SELECT 1", "TSV").setting("no_such_setting", "1"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no_such_setting"), "{error}");
    let error = text(Query::new("SELECT 1", "TSV").setting("a = 1, readonly", "1"))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("is not the name of a setting"),
        "{error}"
    );
}

#[tokio::test]
async fn a_result_can_be_limited() {
    let mut query = Query::new("SELECT number FROM numbers(1000000)", "JSON");
    query.max_result_bytes = Some(1_000_000);
    let error = text(query.clone()).await.unwrap_err();
    assert!(
        matches!(&error, EngineError::Exception { name, .. } if name == "TOO_MANY_ROWS_OR_BYTES"),
        "{error:?}"
    );
    // The columns have eight million bytes; the text has more.
    query.max_result_bytes = Some(10_000_000);
    let error = text(query.clone()).await.unwrap_err();
    assert!(error.to_string().contains("its text"), "{error}");
    query.max_result_bytes = Some(30_000_000);
    text(query).await.unwrap();
}

#[tokio::test]
async fn joins_keep_the_order_of_their_left_side_also_after_other_settings() {
    let join = "SELECT l.a FROM (SELECT arrayJoin(range(40)) AS a) AS l LEFT JOIN (SELECT number AS b, count() AS c FROM numbers(40) GROUP BY b) AS r ON l.a = r.b";
    let rows: Vec<String> = (0..40).map(|row| row.to_string()).collect();
    let own = "SELECT getSetting('join_algorithm')";
    let expected = tsv(own).await;
    assert!(
        expected.contains("hash") && !expected.contains("parallel"),
        "{expected}"
    );
    for _ in 0..4 {
        assert_eq!(tsv(join).await.lines().collect::<Vec<_>>(), rows);
        let other = Query::new(own, "TSV").setting("join_algorithm", "parallel_hash");
        assert_eq!(text(other).await.unwrap(), "parallel_hash\n");
        assert_eq!(tsv(own).await, expected);
    }
}

#[tokio::test]
async fn what_is_joined_needs_no_name() {
    let join = "SELECT a, number FROM (SELECT 1 AS a) JOIN (SELECT 1 AS a, 2 AS b) USING a CROSS JOIN numbers(1)";
    assert_eq!(tsv(join).await, "1\t0\n");
}

#[tokio::test]
async fn tables_that_recent_engines_are_cautious_about_are_made() {
    let engine = engine();
    let tables = [
        "(a LowCardinality(UInt8), b LowCardinality(DateTime)) ENGINE = MergeTree ORDER BY a",
        "(a FixedString(300)) ENGINE = MergeTree ORDER BY a",
        "(a String) ENGINE = MergeTree ORDER BY a TTL now() + INTERVAL 1 DAY",
    ];
    for table in tables {
        engine
            .execute(&format!("CREATE TABLE cautious {table}"))
            .await
            .unwrap();
        engine.execute("DROP TABLE cautious").await.unwrap();
    }
}

#[tokio::test]
async fn what_functions_mean_is_what_projects_were_written_for() {
    for (sql, expected) in [
        (
            "SELECT toDateTime64('', 3, 'UTC')",
            "1970-01-01 00:00:00.000",
        ),
        ("SELECT geoToH3(-3.70, 40.41, 8)", "613493176266653695"),
        (
            "SELECT tupleElement(h3ToGeo(613493176266653695), 1) < 0",
            "1",
        ),
        (
            "SELECT toDate(toTime(toDateTime('2024-01-05 10:11:12', 'UTC')), 'UTC')",
            "1970-01-02",
        ),
    ] {
        assert_eq!(tsv(sql).await.trim(), expected, "{sql}");
    }
    let engine = engine();
    let create =
        "CREATE TABLE paths (t DateTime64(3) DEFAULT '', e JSON) ENGINE = MergeTree ORDER BY t";
    engine.execute(create).await.unwrap();
    let insert = r#"INSERT INTO paths (e) VALUES ('{"plan": {"name": "a"}}')"#;
    engine.execute(insert).await.unwrap();
    for sql in [
        "SELECT e.plan.name AS plan, count() AS n FROM paths GROUP BY plan ORDER BY plan",
        "SELECT l.e.plan.name, 1 FROM paths AS l JOIN paths AS r ON l.e.plan.name = r.e.plan.name",
    ] {
        assert_eq!(tsv(sql).await, "a\t1\n", "{sql}");
    }
    engine.execute("DROP TABLE paths").await.unwrap();
}
