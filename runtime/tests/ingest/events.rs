//! The Events API in this process: answers, batches, replay, back-pressure.

use super::{engine, opened, project, tsv};
use pipewright::ingest::{Counts, EventLimits, Events, Ingest, IngestError, json_lines};
use std::time::Duration;

const SCHEMA: &str =
    "SCHEMA >\n    `id` UInt64 `json:$.id`\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";

fn lines(ids: impl IntoIterator<Item = String>) -> (bytes::Bytes, u64) {
    let lines: Vec<String> = ids
        .into_iter()
        .map(|id| format!("{{\"id\":{id}}}\n"))
        .collect();
    json_lines(lines.concat().into(), false).unwrap()
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
    let folder = opened("ingest-tests").1.join("other");
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

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 24, ..Default::default() })]

    /// What is said at once is what is found in the end, whether the engine was asked or the rows were known to fit.
    #[test]
    fn the_counts_of_an_answer_are_those_of_the_tables(seed in 0u64..u64::MAX) {
        tokio::runtime::Runtime::new().unwrap().block_on(counted(seed));
    }
}

async fn counted(seed: u64) {
    const COLUMNS: &str = "SCHEMA >\n    `n` Int16 `json:$.n`,\n    `f` Nullable(Float64) `json:$.in.f`,\n    `s` LowCardinality(String) `json:$.in.s` DEFAULT 'none',\n    `day` Nullable(Date) `json:$.day`,\n    `at` DateTime `json:$.at`,\n    `on` Nullable(Bool) `json:$.on`,\n    `tags` Array(UInt8) `json:$.tags[:]`\n";
    let values: [&[&str]; 7] = [
        &[
            "1", "-32768", "32767", "32768", "\"5\"", "null", "", "1.0", "1e2", "true",
        ],
        &[
            "1",
            "-2.5e10",
            "9007199254740993",
            "null",
            "",
            "\"1.5\"",
            "1e308",
            "1e400",
        ],
        &[
            "\"x\"",
            "\"\"",
            "\"é\\u0041\\ud83d\\ude00\"",
            "\"\\ud800\"",
            "null",
            "",
            "7",
            "{\"a\":1}",
        ],
        &[
            "\"2026-01-31\"",
            "\"2026-02-28\"",
            "\"2099-12-01\"",
            "\"2026-02-30\"",
            "null",
            "",
            "5",
        ],
        &[
            "\"2026-01-02 03:04:05\"",
            "\"1971-01-01 00:00:00\"",
            "\"2099-12-28 23:59:59\"",
            "\"2026-01-02T03:04:05Z\"",
            "1767225600",
            "\"x\"",
            "null",
            "",
        ],
        &["true", "false", "null", "", "1", "\"true\""],
        &[
            "[]", "[1,255]", "[256]", "[\"1\"]", "[null]", "null", "", "3", "[[1]]",
        ],
    ];
    let mut state = seed | 1;
    let mut pick = |from: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % from as u64).unwrap()
    };
    let name = format!("counted_{seed}");
    let beside = format!("{name}_beside");
    let plan = project(&[
        (&format!("{name}.datasource"), COLUMNS),
        (&format!("{beside}.datasource"), COLUMNS),
    ])
    .await;
    let table = plan.table(&name).unwrap();
    let events = Events::new(super::ingest(), EventLimits::default());
    let (mut said, mut rows, mut all) = (Counts::default(), 0, String::new());
    for _ in 0..12 {
        let mut body = String::new();
        for _ in 0..=pick(3) {
            // Mostly what is usual, so that whole bodies are known to fit.
            let mut value = |at: usize| {
                let choices = values[at];
                let found = if pick(12) == 0 {
                    pick(choices.len())
                } else {
                    pick(2)
                };
                choices[found]
            };
            let (fields, inner) = (
                [
                    ("n", value(0)),
                    ("day", value(3)),
                    ("at", value(4)),
                    ("on", value(5)),
                    ("tags", value(6)),
                ],
                [("f", value(1)), ("s", value(2))],
            );
            let object = |fields: &[(&str, &str)]| {
                let given = fields.iter().filter(|(_, value)| !value.is_empty());
                let given: Vec<String> = given
                    .map(|(name, value)| format!("\"{name}\":{value}"))
                    .collect();
                given.join(",")
            };
            body.push_str(
                &format!("{{{},\"in\":{{{}}}}}\n", object(&fields), object(&inner))
                    .replace("{,", "{"),
            );
            rows += 1;
        }
        all.push_str(&body);
        let (lines, number) = json_lines(body.into(), false).unwrap();
        said = said.plus(events.push(table, lines, number, false).await.unwrap());
    }
    events.shutdown().await;
    let good: u64 = tsv(&format!("SELECT count() FROM {name}"))
        .await
        .trim()
        .parse()
        .unwrap();
    assert_eq!(said.successful, good, "of {rows} rows, seed {seed}");
    assert_eq!(said.successful + said.quarantined, rows);
    // What an earlier process left is read by the engine.
    let folder = opened("ingest-tests").1.join(&beside);
    let left = folder.join("ingest/events").join(&beside);
    std::fs::create_dir_all(&left).unwrap();
    std::fs::write(left.join("1.ndjson"), all).unwrap();
    let ingest = Ingest::open(engine(), &folder).unwrap();
    let events = Events::new(ingest, EventLimits::default());
    assert_eq!(events.replay(&plan).await.unwrap(), 1);
    let rows = |name: &str| {
        let sql = format!("SELECT *, reinterpretAsUInt64(f) FROM {name} ORDER BY ALL");
        async move { tsv(&sql).await }
    };
    assert_eq!(rows(&name).await, rows(&beside).await, "seed {seed}");
}

/// What was read when it arrived, and is read once more after a crash, is there once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_were_in_already_are_known_however_they_went_in() {
    let plan = project(&[
        ("known_again.datasource", SCHEMA),
        ("known_again_sum.datasource", "SCHEMA >\n    `rows` UInt64\n\nENGINE \"SummingMergeTree\"\nENGINE_SORTING_KEY \"tuple()\"\n"),
        ("to_known_again_sum.pipe", "NODE n\nSQL >\n    SELECT count() AS rows FROM known_again\n\nTYPE materialized\nDATASOURCE known_again_sum\n"),
    ])
    .await;
    let folder = opened("ingest-tests").1.join("known_again");
    let ingest = Ingest::open(engine(), &folder).unwrap();
    let limits = EventLimits {
        flush_after: Duration::from_mins(1),
        ..EventLimits::default()
    };
    let events = Events::new(std::sync::Arc::clone(&ingest), limits);
    let errors = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = std::sync::Arc::clone(&errors);
    events.listen(Box::new(move |flushed| {
        told.lock()
            .unwrap()
            .extend(flushed.error.map(str::to_owned));
    }));
    let table = plan.table("known_again").unwrap();
    for first in [0, 1000] {
        let (body, rows) = lines((first..first + 1000).map(|id: u32| id.to_string()));
        events.push(table, body, rows, false).await.unwrap();
    }
    let files = || std::fs::read_dir(folder.join("ingest/events/known_again")).unwrap();
    let file = files().next().unwrap().unwrap().path();
    assert!(file.extension().is_some_and(|ending| ending == "ndjson"));
    let kept = std::fs::read(&file).unwrap();
    events.shutdown().await;
    assert_eq!(files().count(), 0, "{:?}", errors.lock().unwrap());
    let counts =
        "SELECT count(), uniqExact(id), (SELECT sum(rows) FROM known_again_sum) FROM known_again";
    assert_eq!(tsv(counts).await, "2000\t2000\t2000\n");
    // As if the process had died between the insert and the removal of its files.
    std::fs::write(&file, kept).unwrap();
    std::fs::write(file.with_extension("native"), "torn").unwrap();
    let events = Events::new(ingest, EventLimits::default());
    assert_eq!(events.replay(&plan).await.unwrap(), 1);
    assert_eq!(tsv(counts).await, "2000\t2000\t2000\n");
    assert_eq!(files().count(), 0);
}
