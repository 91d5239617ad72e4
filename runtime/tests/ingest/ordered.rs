//! Rows that come later take the place of those before, in data sources that keep one row of each key.

use std::fmt::Write as _;

use pipewright::engine::Query;
use pipewright::ingest::Format;

use super::{append, engine, project, tsv};

const ROWS: u64 = 200_000;

/// Appends this often: one file that comes in order is no sign of anything.
const TIMES: u64 = 4;

fn keeping_one(columns: &str) -> String {
    format!("SCHEMA >\n    {columns}\n\nENGINE \"ReplacingMergeTree\"\nENGINE_SORTING_KEY \"k\"\n")
}

async fn latest(name: &str) -> String {
    tsv(&format!("SELECT v FROM {name} FINAL")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_rows_of_a_file_with_one_key_the_last_one_stays() {
    let schema = keeping_one("`k` UInt8 `json:$.k`,\n    `v` UInt64 `json:$.v`");
    let plan = project(&[("o_rows.datasource", &schema)]).await;
    for time in 0..TIMES {
        let last = (time + 1) * ROWS - 1;
        let rows = || time * ROWS..=last;
        let csv: String = rows().fold(String::new(), |mut text, v| {
            _ = writeln!(text, "1,{v}");
            text
        });
        append(&plan, "o_rows", Format::Csv, csv).await.unwrap();
        assert_eq!(latest("o_rows").await, format!("{last}\n"));
        // Texts in place of numbers are for the engine to read.
        let lines = rows().fold(String::new(), |mut text, v| {
            _ = writeln!(text, "{{\"k\":\"1\",\"v\":\"{v}\"}}");
            text
        });
        append(&plan, "o_rows", Format::Ndjson, lines)
            .await
            .unwrap();
        assert_eq!(latest("o_rows").await, format!("{last}\n"));
    }
    let query = format!("SELECT 1::UInt8 AS k, number AS v FROM numbers({ROWS}) ORDER BY number");
    let file = Query::new(query, "Parquet").setting("output_format_parquet_row_group_size", "9000");
    let file = engine().query(file).await.unwrap().bytes().await.unwrap();
    for _ in 0..TIMES {
        append(&plan, "o_rows", Format::Parquet, file.to_vec())
            .await
            .unwrap();
        assert_eq!(latest("o_rows").await, format!("{}\n", ROWS - 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_rows_of_a_file_that_a_view_passes_on_the_last_one_stays() {
    let source = "SCHEMA >\n    `k` UInt8 `json:$.k`,\n    `v` UInt64 `json:$.v`\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"v\"\n";
    let view =
        "NODE n\nSQL >\n    SELECT k, v FROM o_source\n\nTYPE materialized\nDATASOURCE o_latest\n";
    let plan = project(&[
        ("o_source.datasource", source),
        (
            "o_latest.datasource",
            &keeping_one("`k` UInt8,\n    `v` UInt64"),
        ),
        ("o_to_latest.pipe", view),
    ])
    .await;
    for time in 0..TIMES {
        let last = (time + 1) * ROWS - 1;
        let csv = (time * ROWS..=last).fold(String::new(), |mut text, v| {
            _ = writeln!(text, "1,{v}");
            text
        });
        append(&plan, "o_source", Format::Csv, csv).await.unwrap();
        assert_eq!(latest("o_latest").await, format!("{last}\n"));
    }
}
