//! No answer is longer than its limit, and none takes much more memory than that.

use futures::StreamExt as _;
use pipewright::engine::{EngineError, Query};

use super::{engine, text, tsv};

/// What the engine counts for columns says little of the text, and of some statements it counts nothing at all.
fn long_ones() -> Vec<(&'static str, String)> {
    let branch = "SELECT number, sipHash64(number) AS h FROM numbers(6000)";
    vec![
        (
            "an array without a table",
            "SELECT arrayJoin(range(1000000)) AS x".to_owned(),
        ),
        (
            "many branches",
            std::iter::repeat_n(branch, 40)
                .collect::<Vec<_>>()
                .join(" UNION ALL "),
        ),
        (
            "a constant",
            "SELECT repeat('a', 100000) AS x FROM numbers(200)".to_owned(),
        ),
        (
            "a dictionary",
            "SELECT toLowCardinality(repeat('a', 100000)) AS x FROM numbers(200)".to_owned(),
        ),
        (
            "places in a dictionary",
            "SELECT arrayMap(x -> toLowCardinality(repeat('a', 20000)), range(2000)) AS x".to_owned(),
        ),
        (
            "names of elements",
            format!(
                "SELECT CAST(arrayMap(x -> tuple(1), range(6000)), 'Array(Tuple({} UInt8))') AS x",
                "a".repeat(1000)
            ),
        ),
        (
            "words of an error about a statement",
            "SELECT throwIf(getSetting('max_result_rows') = 0, 'SYNTAX_ERROR') AS t, arrayJoin(range(30000)) AS x, repeat('a', 1000) AS s".to_owned(),
        ),
        (
            "escapes",
            "SELECT repeat(char(1), 300000) AS x FROM numbers(1)".to_owned(),
        ),
    ]
}

fn limited(sql: &str, format: &str, limit: u64) -> Query {
    let mut query = Query::new(sql, format);
    query.max_result_bytes = Some(limit);
    query
}

#[tokio::test]
async fn no_answer_is_longer_than_its_limit() {
    for format in ["JSON", "JSONCompact", "CSVWithNames", "JSONEachRow"] {
        for (what, sql) in long_ones() {
            // Only JSON writes them longer than they are.
            if ["escapes", "names of elements"].contains(&what) && format.starts_with("CSV") {
                continue;
            }
            let query = limited(&sql, format, 1_000_000);
            let mut length = 0;
            let error = match engine().query(query).await {
                Err(error) => error,
                Ok(mut answer) => loop {
                    match answer.next().await {
                        Some(Ok(chunk)) => length += chunk.len(),
                        Some(Err(error)) => break error,
                        None => panic!("{what} as {format}: {length} bytes"),
                    }
                },
            };
            assert!(length <= 1_000_000, "{what} as {format}: {length} bytes");
            let expected = if what.contains("error") {
                "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"
            } else {
                "TOO_MANY_ROWS_OR_BYTES"
            };
            assert!(
                matches!(&error, EngineError::Exception { name, .. } if name == expected),
                "{what} as {format}: {error:?}"
            );
        }
    }
    let parquet = "SELECT sipHash64(arrayJoin(range(1000000))) AS x";
    let error = text(limited(parquet, "Parquet", 1_000_000)).await;
    assert!(
        matches!(&error, Err(EngineError::Exception { name, .. }) if name == "TOO_MANY_ROWS_OR_BYTES"),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_answer_is_the_same_wherever_its_text_is_made() {
    let rows = |text: &str| {
        let document: serde_json::Value = serde_json::from_str(text).unwrap();
        let rows = document["data"].as_array().unwrap().clone();
        assert_eq!(document["rows"], rows.len());
        assert!(document["statistics"]["rows_read"].is_number());
        rows.len()
    };
    // One shape, now short and now long.
    for count in [1, 3, 1000, 2, 20_000, 5, 499, 500, 501, 1] {
        let sql = format!("SELECT number AS n, 'x' AS x FROM numbers({count}) -- {count}\n;");
        let text = text(limited(&sql, "JSON", 10_000_000)).await.unwrap();
        assert_eq!(rows(&text), count);
    }
    let totals = "(SELECT number % 3 AS n, count() AS c FROM numbers(9) GROUP BY n WITH TOTALS ORDER BY n LIMIT 1) SETTINGS max_threads = 1";
    let long = format!("{totals} -- {}", "long ".repeat(2000));
    let parts = |text: &str| {
        let document: serde_json::Value = serde_json::from_str(text).unwrap();
        [
            "meta",
            "data",
            "totals",
            "rows",
            "rows_before_limit_at_least",
        ]
        .map(|part| document[part].to_string())
    };
    // The engine takes nothing behind settings that follow brackets.
    for count in [3, 9000] {
        let sql = format!(
            "(SELECT number AS n, 'x' AS x FROM numbers({count}) UNION ALL SELECT 1, 'x' WHERE 0) SETTINGS max_threads = 1"
        );
        let text = text(limited(&sql, "JSON", 1_000_000)).await.unwrap();
        assert_eq!(rows(&text), count);
    }
    let short = text(limited(totals, "JSON", 1_000_000)).await.unwrap();
    let long = text(limited(&long, "JSON", 1_000_000)).await.unwrap();
    assert_eq!(parts(&short), parts(&long));
    assert!(parts(&short)[4] == "3", "{short}");
}

#[tokio::test]
async fn errors_of_a_statement_say_nothing_of_how_it_is_run() {
    for sql in [
        "SELECT 1 UNION ALL",
        "SELECT 1 UNION ALL SELECT nope",
        "SELECT throwIf(arrayJoin(range(1000000)) = 900000)",
        "SELECT arrayJoin([1]) FORMAT",
    ] {
        let error = text(limited(sql, "JSON", 1_000_000)).await.unwrap_err();
        let said = error.to_string();
        assert!(
            !said.contains("OUTFILE") && !said.contains("/dev/"),
            "{sql}: {said}"
        );
        // Nothing of it is in the next answer.
        let next = text(limited(
            "SELECT 7 AS x UNION ALL SELECT 7",
            "TSV",
            1_000_000,
        ))
        .await;
        assert_eq!(next.unwrap(), "7\n7\n");
    }
}

/// Only who serves a project lets its callers say such a thing; that answers are tried with lower limits is still none of their affair.
#[tokio::test]
async fn an_answer_that_is_to_break_off_breaks_off_at_its_own_limit() {
    for count in [1, 300_000] {
        let sql = format!(
            "SELECT number AS n FROM numbers({count}) SETTINGS result_overflow_mode = 'break'"
        );
        let text = text(limited(&sql, "JSON", 50_000_000)).await.unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["rows"], count);
    }
}

/// A limit is an error, and never fewer rows without a word.
#[tokio::test]
async fn no_caller_turns_a_limit_into_fewer_rows() {
    let modes = "SELECT name FROM system.settings WHERE name LIKE '%overflow_mode%' OR name LIKE '%partial_result%' OR name IN ('limit', 'offset', 'skip_unavailable_shards', 'max_result_rows', 'max_result_bytes', 'max_rows_to_read', 'max_bytes_to_read', 'ignore_data_skipping_indices')";
    let names = tsv(modes).await;
    let policy = pipewright_compiler::sql::Policy::default();
    let allowed: Vec<&str> = names
        .lines()
        .filter(|name| policy.settings.contains(*name))
        .collect();
    assert!(names.lines().count() > 12, "{names}");
    assert!(allowed.is_empty(), "{allowed:?}");
    // What is not set otherwise throws.
    let others = "SELECT name, value FROM system.settings WHERE name LIKE '%overflow_mode%' AND value NOT IN ('throw', '')";
    assert_eq!(tsv(others).await, "");
}
