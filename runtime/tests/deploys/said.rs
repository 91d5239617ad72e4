//! What is said of a deploy that stops: which file is the reason, and what helps.

use super::command_line::run;
use super::served::{Files, written};

fn files(column: &str) -> Files {
    let files = [
        (
            "raw.datasource",
            format!("SCHEMA >\n    `id` Int32 `json:$.id`,\n    {column}\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n"),
        ),
        (
            "times.datasource",
            "SCHEMA >\n    `id` Int32,\n    `at` DateTime\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n".to_owned(),
        ),
        (
            "read.pipe",
            "NODE n\nSQL >\n    SELECT id, parseDateTimeBestEffort(text) AS at FROM raw\n\nTYPE materialized\nDATASOURCE times\n".to_owned(),
        ),
    ];
    let named = files.into_iter();
    named.map(|(name, text)| (name.to_owned(), text)).collect()
}

/// Deploys a project, puts a row into it, and deploys another version, which stops: what is said then.
fn stopped(before: &Files, row: &str, after: &Files) -> String {
    let folder = written(before);
    let ok = |arguments: &[&str]| {
        let (code, _, said) = run(None, folder.path(), arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
    };
    ok(&["deploy"]);
    std::fs::write(folder.path().join("row.ndjson"), row).unwrap();
    ok(&["datasource", "append", "raw", "row.ndjson"]);
    for (name, text) in after {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let (code, _, said) = run(None, folder.path(), &["deploy", "--allow-destructive"]);
    assert_ne!(code, Some(0), "{said}");
    said
}

#[test]
fn a_view_that_the_engine_does_not_make_is_named_with_its_file() {
    let before = files("`text` String `json:$.text`");
    let after = files("`text` Int32 `json:$.text`");
    let said = stopped(&before, "{\"id\":1,\"text\":\"20260101\"}\n", &after);
    assert!(
        said.contains("error: read.pipe: `mv__read__n` cannot be made, and nothing has changed: "),
        "{said}"
    );
    assert!(
        !said.contains("Run {") && !said.contains("CREATE MATERIALIZED"),
        "{said}"
    );
}

#[test]
fn a_column_with_nulls_that_takes_none_any_more_is_named_with_a_way_out() {
    let mut before = files("`text` Nullable(String) `json:$.text`");
    before.remove("read.pipe");
    let mut after = files("`text` String `json:$.text`");
    after.remove("read.pipe");
    let said = stopped(&before, "{\"id\":1}\n", &after);
    assert!(
        said.contains("error: raw.datasource: `raw` cannot be filled, and nothing has changed: column `text` has NULLs"),
        "{said}"
    );
    assert!(said.contains("FORWARD_QUERY with `ifNull(text, "), "{said}");
}
