//! Tables that keep one of the rows with the same key: the one that came last stays the last.

use super::{Bench, datasource, view};

const LATEST: &str = "ENGINE \"ReplacingMergeTree\"\nENGINE_SORTING_KEY \"id\"\n";

/// Fourteen inserts of all ids, none of which has been merged with another; each has a greater value.
async fn fill(bench: &Bench, table: &str) {
    bench.execute(&format!("SYSTEM STOP MERGES {table}")).await;
    for value in 1..15 {
        let sql = format!("INSERT INTO {table} SELECT number, {value} FROM numbers(200000)");
        bench.execute(&sql).await;
    }
}

async fn shown(bench: &Bench, table: &str) -> String {
    let sql = format!("SELECT toString(v), count() FROM {table} FINAL GROUP BY v ORDER BY v");
    bench.tsv(&sql).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_made_anew_shows_the_latest_rows() {
    let bench = Bench::new().await;
    let of = |data_type: &str| datasource(&format!("`id` UInt64,\n`v` {data_type}"), LATEST);
    let (plan, _) = bench.deploy(&[("d.datasource", &of("UInt64"))], None).await;
    fill(&bench, "d").await;
    bench
        .deploy(&[("d.datasource", &of("String"))], Some(&plan))
        .await;
    assert_eq!(shown(&bench, "d").await, "14\t200000\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_view_makes_anew_shows_the_latest_rows() {
    let bench = Bench::new().await;
    let rows = datasource("`id` UInt64,\n`v` UInt64", super::KEYS);
    let of = |key: &str| {
        let keys = LATEST.replace("\"id\"", &format!("\"{key}\""));
        datasource("`id` UInt64,\n`v` UInt64", &keys)
    };
    let to = view("SELECT id, v FROM rows", "latest");
    let files = |latest: &str, to: &str| {
        [
            ("rows.datasource".to_owned(), rows.clone()),
            ("latest.datasource".to_owned(), latest.to_owned()),
            ("to.pipe".to_owned(), to.to_owned()),
        ]
    };
    let borrowed = |files: &[(String, String); 3]| -> Vec<(&'static str, String)> {
        files
            .iter()
            .map(|(name, text)| (&*name.clone().leak(), text.clone()))
            .collect()
    };
    let deploy =
        async |latest: &str, to: &str, before: Option<&pipewright_compiler::plan::Plan>| {
            let files = borrowed(&files(latest, to));
            let files: Vec<(&str, &str)> = files
                .iter()
                .map(|(name, text)| (*name, text.as_str()))
                .collect();
            bench.deploy(&files, before).await.0
        };
    let plan = deploy(&of("id"), &to, None).await;
    fill(&bench, "rows").await;
    let other = view("SELECT id, v + 1 AS v FROM rows", "latest");
    deploy(&of("id"), &other, Some(&plan)).await;
    assert_eq!(shown(&bench, "latest").await, "15\t200000\n");
}
