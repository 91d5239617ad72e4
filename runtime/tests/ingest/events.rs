//! The Events API in this process: answers, batches, replay, back-pressure.

use super::{engine, opened, project, tsv};
use pipewright::ingest::{Counts, EventLimits, Events, Ingest, IngestError, json_lines};
use std::time::Duration;

const SCHEMA: &str =
    "SCHEMA >\n    `id` UInt64 `json:$.id`\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";

fn lines(ids: impl IntoIterator<Item = String>) -> (Vec<u8>, u64) {
    let lines: Vec<String> = ids
        .into_iter()
        .map(|id| format!("{{\"id\":{id}}}\n"))
        .collect();
    json_lines(lines.concat().as_bytes(), false).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_wait_find_their_rows_and_the_others_find_them_soon() {
    let plan = project(&[("waited.datasource", SCHEMA)]).await;
    let table = plan.table("waited").unwrap();
    let events = Events::new(
        super::ingest(),
        EventLimits {
            flush_after: Duration::from_millis(300),
            ..EventLimits::default()
        },
    );
    let (body, rows) = lines(["1".to_owned(), "\"x\"".to_owned(), "2".to_owned()]);
    assert_eq!(
        events.push(table, body, rows, true).await.unwrap(),
        Counts {
            successful: 2,
            quarantined: 1
        }
    );
    assert_eq!(tsv("SELECT count() FROM waited").await, "2\n");
    let pushes = (0..50u64).map(|id| {
        let (body, rows) = lines([
            (id + 10).to_string(),
            if id % 5 == 0 {
                "null".to_owned()
            } else {
                (id + 100).to_string()
            },
        ]);
        let events = &events;
        async move { events.push(table, body, rows, id % 10 == 3).await.unwrap() }
    });
    let counts = futures::future::join_all(pushes).await;
    let total = counts.into_iter().fold(Counts::default(), Counts::plus);
    assert_eq!(
        total,
        Counts {
            successful: 90,
            quarantined: 10
        }
    );
    events.shutdown().await;
    assert_eq!(
        tsv("SELECT count(), uniqExact(id) FROM waited").await,
        "92\t92\n"
    );
    assert_eq!(tsv("SELECT count() FROM waited_quarantine").await, "11\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_much_at_once_is_refused() {
    let plan = project(&[("crowded.datasource", SCHEMA)]).await;
    let table = plan.table("crowded").unwrap();
    let events = Events::new(
        super::ingest(),
        EventLimits {
            pending_bytes: 1000,
            flush_after: Duration::from_mins(1),
            ..EventLimits::default()
        },
    );
    let (body, rows) = lines((0..60).map(|id| id.to_string()));
    events.push(table, body.clone(), rows, false).await.unwrap();
    assert!(matches!(
        events.push(table, body, rows, false).await,
        Err(IngestError::Busy)
    ));
    events.shutdown().await;
    assert_eq!(tsv("SELECT count() FROM crowded").await, "60\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_left_behind_is_written_once() {
    let plan = project(&[
        ("left.datasource", SCHEMA),
        ("left_sum.datasource", "SCHEMA >\n    `rows` UInt64\n\nENGINE \"SummingMergeTree\"\nENGINE_SORTING_KEY \"tuple()\"\n"),
        ("to_left_sum.pipe", "NODE n\nSQL >\n    SELECT count() AS rows FROM left\n\nTYPE materialized\nDATASOURCE left_sum\n"),
    ])
    .await;
    let folder = opened().1.join("other");
    let ingest = Ingest::open(engine(), &folder).unwrap();
    let left = folder.join("ingest/events/left");
    std::fs::create_dir_all(&left).unwrap();
    for _ in 0..3 {
        // The process was killed before it could delete the file; of the last line only a part was written.
        std::fs::write(
            left.join("0001-aa.ndjson"),
            "{\"id\":1}\n{\"id\":\"bad\"}\n{\"id\":2}\n{\"id\":",
        )
        .unwrap();
        std::fs::write(left.join("0002-bb.ndjson"), "").unwrap();
        let events = Events::new(std::sync::Arc::clone(&ingest), EventLimits::default());
        assert_eq!(events.replay(&plan).await.unwrap(), 2);
    }
    assert_eq!(tsv("SELECT count(), (SELECT sum(rows) FROM left_sum), (SELECT count() FROM left_quarantine) FROM left").await, "2\t2\t1\n");
    assert_eq!(std::fs::read_dir(left).unwrap().count(), 0);
}
