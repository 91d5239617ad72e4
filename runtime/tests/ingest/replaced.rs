//! Rows in the place of others where there are none, or fewer than in the file.

use super::{append, ingest, project, tsv};
use bytes::Bytes;
use futures::stream;
use pipewright::ingest::{Append, Counts, Format, IngestError, Replace};

const SCHEMA: &str = "SCHEMA >\n    `id` UInt64,\n    `name` String\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";

#[tokio::test]
async fn a_file_without_rows_replaces_none_unless_it_is_to() {
    let plan = project(&[("rp.datasource", SCHEMA)]).await;
    append(&plan, "rp", Format::Csv, "1,a\n2,b\n")
        .await
        .unwrap();
    let table = plan.table("rp").unwrap();
    let csv = Append {
        format: Format::Csv,
        delimiter: None,
    };
    let replaced = async |rows: &'static str, replace: Replace<'_>| {
        let body = stream::iter([Ok(Bytes::from_static(rows.as_bytes()))]);
        ingest().replace(&plan, table, &csv, replace, body).await
    };
    let no_rows = "SELECT id FROM rp ORDER BY id";
    for (rows, condition) in [
        ("", None),
        ("id,name\n", None),
        ("x,a\ny,b\n", None),
        ("", Some("id = 2")),
        ("3,c\n", Some("id = 2")),
    ] {
        let replace = Replace {
            condition,
            may_empty: false,
        };
        let error = replaced(rows, replace).await.unwrap_err();
        assert!(matches!(error, IngestError::Unreadable(_)), "{error:?}");
        assert_eq!(tsv(no_rows).await, "1\n2\n", "{rows:?}");
    }
    // Why they do not fit is there to be read.
    assert_eq!(tsv("SELECT count() FROM rp_quarantine").await, "2\n");
    let only = |condition| Replace {
        condition,
        may_empty: true,
    };
    let appended = replaced("3,c\n", only(Some("id = 2"))).await.unwrap();
    assert_eq!(appended.counts, Counts::default());
    assert_eq!(tsv(no_rows).await, "1\n");
    replaced("id,name\n", only(None)).await.unwrap();
    assert_eq!(tsv(no_rows).await, "");
    assert_eq!(
        tsv("SELECT count() FROM system.tables WHERE name LIKE 'pw_replace%rp%'").await,
        "0\n"
    );
}

#[tokio::test]
async fn rows_that_a_condition_leaves_out_are_not_successful() {
    let plan = project(&[("rq.datasource", SCHEMA)]).await;
    append(&plan, "rq", Format::Csv, "1,a\n2,b\n")
        .await
        .unwrap();
    let csv = Append {
        format: Format::Csv,
        delimiter: None,
    };
    let body = stream::iter([Ok(Bytes::from_static(b"2,new\n3,new\n9,no\nx,bad\n"))]);
    let replace = Replace {
        condition: Some("id IN (2, 3)"),
        may_empty: false,
    };
    let table = plan.table("rq").unwrap();
    let appended = ingest()
        .replace(&plan, table, &csv, replace, body)
        .await
        .unwrap();
    let expected = Counts {
        successful: 2,
        quarantined: 1,
    };
    assert_eq!(appended.counts, expected);
    assert_eq!(
        tsv("SELECT * FROM rq ORDER BY id").await,
        "1\ta\n2\tnew\n3\tnew\n"
    );
}
