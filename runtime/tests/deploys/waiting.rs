//! Deploys while rows wait that the engine does not take.

use std::sync::Arc;
use std::time::Duration;

use pipewright::ingest::{Append, EventLimits, Events, Format};
use pipewright_compiler::project::ResourceName;

use super::{Bench, checked, datasource, opened};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_wait_are_counted_once_by_what_is_made_anew() {
    let bench = Bench::new().await;
    let rows = |key: &str| {
        datasource(
            "`k` Int64 `json:$.k`,\n`p` UInt8 `json:$.p`",
            &format!("ENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"{key}\"\n"),
        )
    };
    let parts = |partition: &str| {
        datasource(
            "`part` Int64",
            &format!(
                "ENGINE \"MergeTree\"\nENGINE_PARTITION_KEY \"{partition}\"\nENGINE_SORTING_KEY \"part\"\n"
            ),
        )
    };
    let view = |sql: &str| {
        format!(
            "NODE n\nSQL >\n    SELECT {sql} AS part FROM rows\n\nTYPE materialized\nDATASOURCE parts\n"
        )
    };
    let version = |key: &str, partition: &str, sql: &str| {
        checked(&[
            ("rows.datasource", &rows(key)),
            ("parts.datasource", &parts(partition)),
            ("to_parts.pipe", &view(sql)),
        ])
    };
    let first = version("k", "part % 3", "k");
    let planned = bench.plan(&first, None).await;
    bench.run(&first, None, &planned).await.unwrap();
    // No part can be written of a row with 0, which is not seen before.
    bench
        .execute("ALTER TABLE parts ADD PROJECTION inverse (SELECT part, intDiv(1, part) AS inverse ORDER BY inverse)")
        .await;
    let folder = opened("deploy-tests").1.join("ingest/events/rows");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, row) in [
        ("1-bad", "{\"k\":0,\"p\":1}\n"),
        ("2-good", "{\"k\":1,\"p\":1}\n"),
    ] {
        std::fs::write(folder.join(format!("{name}.ndjson")), row).unwrap();
    }
    let events = Events::new(Arc::clone(&bench.ingest), EventLimits::default());
    assert_eq!(events.replay(&first).await.unwrap(), 1);
    // The target is mended and made anew with the view, and the table gets another key.
    let second = version("p, k", "part % 2", "toInt64(k)");
    let planned = bench.plan(&second, Some(&first)).await;
    bench.run(&second, Some(&first), &planned).await.unwrap();
    bench.ingest.try_waiting().await;
    assert_eq!(events.replay(&second).await.unwrap(), 0);
    assert_eq!(bench.tsv("SELECT k FROM rows ORDER BY k").await, "0\n1\n");
    assert_eq!(
        bench.tsv("SELECT part FROM parts ORDER BY part").await,
        "0\n1\n"
    );
    assert!(folder.join("1-bad.held").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_under_an_old_name_wait_for_who_has_the_new_one_alone() {
    let bench = Bench::new().await;
    let named = |name: &str| {
        let rows = datasource(
            "`k` Int64 `json:$.k`",
            "ENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"k\"\n",
        );
        checked(&[(&format!("{name}.datasource"), &rows)])
    };
    let (first, second) = (named("earlier"), named("later"));
    for (wanted, before) in [(&first, None), (&second, Some(&first))] {
        let planned = bench.plan(wanted, before).await;
        bench.run(wanted, before, &planned).await.unwrap();
    }
    let alone = bench.ingest.alone(&ResourceName::local("later")).await;
    let append = Append {
        format: Format::Csv,
        delimiter: None,
    };
    let body = futures::stream::iter([Ok(bytes::Bytes::from_static(b"1\n"))]);
    let appended = bench
        .ingest
        .append(first.table("earlier").unwrap(), &append, body);
    tokio::pin!(appended);
    let early = tokio::time::timeout(Duration::from_secs(1), &mut appended).await;
    assert!(early.is_err(), "{early:?}");
    drop(alone);
    appended.await.unwrap();
    assert_eq!(bench.tsv("SELECT k FROM later").await, "1\n");
}
