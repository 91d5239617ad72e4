//! Acknowledged rows that the engine does not take: they hold nothing up, and go in once.

use std::path::Path;
use std::sync::Arc;

use super::{append, engine, ingest, project, tsv};
use pipewright::ingest::{EventLimits, Events, Format, Ingest};
use pipewright_compiler::plan::Plan;

const ROWS: &str =
    "SCHEMA >\n    `k` Int64 `json:$.k`\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"k\"\n";
const PARTS: &str =
    "SCHEMA >\n    `part` Int64\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"part\"\n";

/// A data source with a view whose rows of 0 cannot be written.
async fn prepared(name: &str) -> Plan {
    let plan = project(&[
        (&format!("{name}.datasource"), ROWS),
        (&format!("{name}_parts.datasource"), PARTS),
        (
            &format!("{name}_to_parts.pipe"),
            &format!("NODE n\nSQL >\n    SELECT k AS part FROM {name}\n\nTYPE materialized\nDATASOURCE {name}_parts\n"),
        ),
    ])
    .await;
    // No part can be written of a row with 0, which is not seen before.
    engine()
        .execute(&format!(
            "ALTER TABLE {name}_parts ADD PROJECTION inverse (SELECT part, intDiv(1, part) AS inverse ORDER BY inverse)"
        ))
        .await
        .unwrap();
    plan
}

/// What a process leaves that dies before its events are in.
fn leave(folder: &Path, name: &str, file: &str, rows: &str) {
    let folder = folder.join("ingest/events").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("{file}.ndjson")), rows).unwrap();
}

async fn view_of_other_rows(name: &str) {
    let sql = format!(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'MaterializedView' AND has((SELECT dependencies_table FROM system.tables WHERE database = currentDatabase() AND name = '{name}'), name)"
    );
    let view = tsv(&sql).await;
    let view = view.trim();
    engine()
        .execute(&format!("DROP VIEW `{view}` SYNC"))
        .await
        .unwrap();
    let sql = format!(
        "CREATE MATERIALIZED VIEW `{view}` TO {name}_parts AS SELECT k + 10 AS part FROM {name}"
    );
    engine().execute(&sql).await.unwrap();
    ingest().tables_changed();
}

fn opened(folder: &Path) -> (Arc<Ingest>, Arc<Events>) {
    let ingest = Ingest::open(engine(), folder).unwrap();
    let events = Events::new(Arc::clone(&ingest), EventLimits::default());
    (ingest, events)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_a_view_throws_on_end_no_start_and_go_in_when_it_does_not() {
    let plan = prepared("thrown").await;
    let folder = tempfile::tempdir().unwrap();
    leave(folder.path(), "thrown", "1-bad", "{\"k\":0}\n{\"k\":2}\n");
    leave(folder.path(), "thrown", "2-good", "{\"k\":1}\n");
    for _ in 0..2 {
        // The second start finds what the first one could not write.
        let (ingest, events) = opened(folder.path());
        events.replay(&plan).await.unwrap();
        assert_eq!(ingest.untaken()["thrown"].waiting, 1);
        assert_eq!(tsv("SELECT part FROM thrown_parts").await, "1\n");
        assert_eq!(ingest.try_waiting().await, 0);
    }
    let (ingest, events) = opened(folder.path());
    assert_eq!(events.replay(&plan).await.unwrap(), 0);
    view_of_other_rows("thrown").await;
    assert_eq!(ingest.try_waiting().await, 1);
    assert!(ingest.untaken().is_empty());
    assert_eq!(tsv("SELECT k FROM thrown ORDER BY k").await, "0\n1\n2\n");
    assert_eq!(
        tsv("SELECT part FROM thrown_parts ORDER BY part").await,
        "1\n10\n12\n"
    );
    let left = std::fs::read_dir(folder.path().join("ingest/events/thrown")).unwrap();
    assert_eq!(left.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_is_neither_written_nor_forgotten() {
    let plan = prepared("held").await;
    let folder = tempfile::tempdir().unwrap();
    leave(folder.path(), "held", "1-bad", "{\"k\":0}\n");
    let name = folder.path().join("ingest/events/held/1-bad");
    std::fs::rename(name.with_extension("ndjson"), name.with_extension("held")).unwrap();
    let (ingest, events) = opened(folder.path());
    assert_eq!(events.replay(&plan).await.unwrap(), 0);
    assert_eq!(ingest.try_waiting().await, 0);
    let untaken = ingest.untaken()["held"];
    assert_eq!((untaken.waiting, untaken.held), (0, 1));
    assert!(name.with_extension("held").exists());
    assert_eq!(tsv("SELECT count() FROM held").await, "0\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rest_of_a_file_waits_when_a_part_of_it_is_in() {
    let plan = prepared("parted").await;
    // More rows than are written at a time, and the last one is one that the view throws on.
    let file = "1\n".repeat(1_200_000) + "0\n";
    let appended = append(&plan, "parted", Format::Csv, file).await.unwrap();
    assert!(appended.counts.successful >= 500_000, "{appended:?}");
    assert!(appended.counts.successful < 1_200_000, "{appended:?}");
    assert!(appended.waits.is_some(), "{appended:?}");
    assert_eq!(ingest().untaken()["parted"].waiting, 1);
    view_of_other_rows("parted").await;
    assert!(ingest().try_waiting().await >= 1);
    assert!(!ingest().untaken().contains_key("parted"));
    let both = "SELECT (SELECT count() FROM parted), (SELECT count() FROM parted_parts)";
    assert_eq!(tsv(both).await, "1200001\t1200001\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_a_view_throws_on_waits_as_its_rows_are_in() {
    let plan = prepared("early").await;
    let appended = append(&plan, "early", Format::Csv, "1\n0\n").await.unwrap();
    let why = appended.waits.unwrap();
    assert!(why.contains("view"), "{why}");
    assert_eq!(ingest().untaken()["early"].waiting, 1);
    assert_eq!(tsv("SELECT count() FROM early").await, "2\n");
    // Files of other tests may be taken.
    _ = ingest().try_waiting().await;
    assert_eq!(ingest().untaken()["early"].waiting, 1);
    view_of_other_rows("early").await;
    assert!(ingest().try_waiting().await >= 1);
    let both = "SELECT (SELECT count() FROM early), (SELECT count() FROM early_parts)";
    assert_eq!(tsv(both).await, "2\t2\n");
}
