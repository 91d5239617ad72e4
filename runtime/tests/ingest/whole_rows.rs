//! Rows that are kept as a whole beside their values.

use super::{append, project, reasons, tsv};
use pipewright::ingest::{EventLimits, Events, Format, json_lines};

const SCHEMA: &str = "SCHEMA >\n    `s` String DEFAULT 'none' `json:$.s`,\n    `n` Nullable(Int32) `json:$.n`,\n    `tags` Array(String) `json:$.tags[:]`,\n    `raw` String `json:$`\n";

/// Rows of which the engine's functions for JSON read nothing.
const UNREADABLE: [&str; 3] = [
    r#"{"s":"x","n":5,"order":18446744073709551616}"#,
    r#"{"s":"x","n":5,"far":1e999}"#,
    r#"{"s":"x","n":5,"half":"\ud83d"}"#,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_row_loses_its_values_in_silence() {
    let plan = project(&[("w_rows.datasource", SCHEMA)]).await;
    let rows = format!(
        "{}\n{{\"s\":\"y\",\"n\":6,\"tags\":[\"a\"]}}\n{{}}\n",
        UNREADABLE.join("\n")
    );
    let appended = append(&plan, "w_rows", Format::Ndjson, rows.clone())
        .await
        .unwrap();
    assert_eq!(
        (appended.counts.successful, appended.counts.quarantined),
        (2, 3)
    );
    let good = "none\t\\N\t[]\t{}\ny\t6\t['a']\t{\"s\":\"y\",\"n\":6,\"tags\":[\"a\"]}\n";
    assert_eq!(tsv("SELECT * FROM w_rows ORDER BY s").await, good);
    insta::assert_snapshot!(reasons("w_rows").await, @r#"
    : not JSON that the engine can read: {"s":"x","n":5,"far":1e999}
    : not JSON that the engine can read: {"s":"x","n":5,"half":"\\ud83d"}
    : not JSON that the engine can read: {"s":"x","n":5,"order":18446744073709551616}
    "#);
    let events = Events::new(super::ingest(), EventLimits::default());
    let (lines, count) = json_lines(rows.into(), false).unwrap();
    let table = plan.table("w_rows").unwrap();
    let counts = events.push(table, lines, count, true).await.unwrap();
    events.shutdown().await;
    assert_eq!((counts.successful, counts.quarantined), (2, 3));
    assert_eq!(tsv("SELECT DISTINCT * FROM w_rows ORDER BY s").await, good);
}

#[tokio::test]
async fn a_table_of_whole_rows_alone_takes_them_as_they_are() {
    let schema = "SCHEMA >\n    `raw` String `json:$`\n";
    let plan = project(&[("w_only.datasource", schema)]).await;
    let rows = format!("{}\n{{\"a\":1\nx\n", UNREADABLE.join("\n"));
    let appended = append(&plan, "w_only", Format::Ndjson, rows).await.unwrap();
    assert_eq!(appended.counts.successful + appended.counts.quarantined, 5);
    assert_eq!(
        tsv("SELECT count() FROM w_only_quarantine WHERE c__error[1] LIKE 'not a JSON object:%'")
            .await,
        "1\n"
    );
}
