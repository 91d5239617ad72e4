//! Whole files: headers, damage, replacement, views.

use super::{append, engine, ingest, project, reasons, tsv};
use bytes::Bytes;
use futures::stream;
use pipewright::engine::Query;
use pipewright::ingest::{Append, Counts, Format, IngestError, Replace};
use std::io::Write as _;

const SCHEMA: &str = "SCHEMA >\n    `id` UInt64 `json:$.id`,\n    `name` String `json:$.name`\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";

/// Rows that are known to fit are kept as columns, the others as they came: in one file of rows there may be both.
#[tokio::test]
async fn a_row_that_does_not_fit_is_set_aside_wherever_it_is() {
    let schema = "SCHEMA >\n    `id` UInt32 `json:$.id`,\n    `s` String `json:$.s`\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";
    let plan = project(&[("amid.datasource", schema)]).await;
    let rows: String = (0..3000)
        .map(|id| match id {
            0 | 1500 | 2999 => format!("{{\"id\":\"bad {id}\",\"s\":\"x\"}}\n"),
            1400 => format!("{{\"id\":\"{id}\",\"s\":\"x\"}}\n"),
            _ => format!("{{\"id\":{id},\"s\":\"x\"}}\n"),
        })
        .collect();
    let appended = append(&plan, "amid", Format::Ndjson, rows).await.unwrap();
    assert_eq!(
        (appended.counts.successful, appended.counts.quarantined),
        (2997, 3)
    );
    assert_eq!(
        tsv("SELECT count(), uniqExact(id), sum(id) FROM amid").await,
        format!("2997\t2997\t{}\n", 2999 * 3000 / 2 - 1500 - 2999)
    );
    assert_eq!(tsv("SELECT count() FROM amid_quarantine").await, "3\n");
}

#[tokio::test]
async fn a_header_names_columns_in_any_order() {
    let plan = project(&[("headed.datasource", SCHEMA)]).await;
    append(
        &plan,
        "headed",
        Format::Csv,
        "name;extra;id\na;x;1\nb;y;2\n",
    )
    .await
    .unwrap();
    append(&plan, "headed", Format::Csv, "3,c\n4,d")
        .await
        .unwrap();
    assert_eq!(
        tsv("SELECT * FROM headed ORDER BY id").await,
        "1\ta\n2\tb\n3\tc\n4\td\n"
    );
}

#[tokio::test]
async fn a_csv_file_may_have_tabs() {
    let plan = project(&[("tabbed.datasource", SCHEMA)]).await;
    append(
        &plan,
        "tabbed",
        Format::Csv,
        "id\tname\n1\t a b \n2\t\"c\td\"\n",
    )
    .await
    .unwrap();
    append(&plan, "tabbed", Format::Csv, "3\t\n4\te,f\nx\tg\n")
        .await
        .unwrap();
    assert_eq!(
        tsv("SELECT id, hex(name) FROM tabbed ORDER BY id").await,
        "1\t20612062\n2\t630964\n3\t\n4\t652C66\n"
    );
    assert_eq!(tsv("SELECT count() FROM tabbed_quarantine").await, "1\n");
}

#[tokio::test]
async fn a_header_without_a_column_that_must_have_values_sets_rows_aside() {
    let schema = "SCHEMA >\n    `id` UInt64,\n    `at` DateTime,\n    `tags` Array(String),\n    `note` String DEFAULT '-',\n    `more` Nullable(String)\n";
    let plan = project(&[("lacking.datasource", schema)]).await;
    let appended = append(&plan, "lacking", Format::Csv, "id,note\n1,a\n2,b\n")
        .await
        .unwrap();
    assert_eq!(
        (appended.counts.successful, appended.counts.quarantined),
        (0, 2)
    );
    assert_eq!(
        reasons("lacking").await,
        "at: no value, and the column has neither a default nor is it Nullable\n".repeat(2)
    );
    append(
        &plan,
        "lacking",
        Format::Csv,
        "at,id\n2020-01-01 00:00:00,3\n",
    )
    .await
    .unwrap();
    assert_eq!(
        tsv("SELECT * EXCEPT at FROM lacking").await,
        "3\t[]\t-\t\\N\n"
    );
}

#[tokio::test]
async fn damage_to_the_whole_changes_nothing() {
    let plan = project(&[("whole.datasource", SCHEMA)]).await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"{\"id\":1,\"name\":\"a\"}\n").unwrap();
    let good = gzip.finish().unwrap();
    let cut = good[..good.len() - 6].to_vec();
    let packed = zstd::encode_all(&b"{\"id\":2,\"name\":\"b\"}\n"[..], 0).unwrap();
    let spoilt = [&packed[..4], &[0xff; 40]].concat();
    for (format, body) in [
        (Format::Ndjson, cut),
        (Format::Ndjson, packed[..packed.len() - 3].to_vec()),
        (Format::Ndjson, spoilt),
        (Format::Csv, b"1,2,3\n".to_vec()),
        (Format::Parquet, b"PAR1 no".to_vec()),
    ] {
        let error = append(&plan, "whole", format, body).await.unwrap_err();
        assert!(matches!(error, IngestError::Unreadable(_)), "{error:?}");
    }
    assert_eq!(tsv("SELECT count() FROM whole").await, "0\n");
    // Several packed pieces after each other are one body.
    for body in [
        [good.clone(), good].concat(),
        [packed.clone(), packed].concat(),
    ] {
        let counts = append(&plan, "whole", Format::Ndjson, body)
            .await
            .unwrap()
            .counts;
        assert_eq!((counts.successful, counts.quarantined), (2, 0));
    }
    assert_eq!(
        tsv("SELECT id, count() FROM whole GROUP BY id ORDER BY id").await,
        "1\t2\n2\t2\n"
    );
}

#[tokio::test]
async fn a_body_that_does_not_come_to_its_end_changes_nothing() {
    let plan = project(&[("broken.datasource", SCHEMA)]).await;
    let body = stream::iter([
        Ok(Bytes::from_static(b"{\"id\":1,\"name\":\"a\"}\n")),
        Err(std::io::Error::other("the line is dead")),
    ]);
    let table = plan.table("broken").unwrap();
    let error = ingest()
        .append(
            table,
            &Append {
                format: Format::Ndjson,
                delimiter: None,
            },
            body,
        )
        .await
        .unwrap_err();
    assert!(matches!(error, IngestError::Disk(_)), "{error:?}");
    assert_eq!(tsv("SELECT count() FROM broken").await, "0\n");
}

#[tokio::test]
async fn parquet_goes_in_by_names_and_types() {
    let plan = project(&[(
        "p.datasource",
        "SCHEMA >\n    `id` UInt8,\n    `name` String,\n    `at` DateTime\n",
    )])
    .await;
    let query = "SELECT number + 250 AS id, if(number = 1, NULL, toString(number)) AS name, toDateTime('2026-01-01 00:00:00') AS at, 5 AS other FROM numbers(8)";
    let file = engine()
        .query(Query::new(query, "Parquet"))
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let appended = append(&plan, "p", Format::Parquet, file.to_vec())
        .await
        .unwrap();
    assert_eq!(
        appended.counts,
        Counts {
            successful: 5,
            quarantined: 3
        }
    );
    assert_eq!(
        tsv("SELECT id, name FROM p ORDER BY id").await,
        "250\t0\n252\t2\n253\t3\n254\t4\n255\t5\n"
    );
    insta::assert_snapshot!(reasons("p").await);
}

#[tokio::test]
async fn views_follow_appends() {
    let plan = project(&[
        ("rows.datasource", SCHEMA),
        ("totals.datasource", "SCHEMA >\n    `name` String,\n    `rows` AggregateFunction(count)\n\nENGINE \"AggregatingMergeTree\"\nENGINE_SORTING_KEY \"name\"\n"),
        ("to_totals.pipe", "NODE n\nSQL >\n    SELECT name, countState() AS rows FROM rows GROUP BY name\n\nTYPE materialized\nDATASOURCE totals\n"),
    ])
    .await;
    let rows: Vec<String> = (0..1000)
        .map(|id| {
            format!(
                "{{\"id\":{},\"name\":\"n{}\"}}\n",
                if id == 500 {
                    "\"x\"".to_owned()
                } else {
                    id.to_string()
                },
                id % 3
            )
        })
        .collect();
    let first = append(&plan, "rows", Format::Ndjson, rows.concat())
        .await
        .unwrap();
    assert_eq!(
        first.counts,
        Counts {
            successful: 999,
            quarantined: 1
        }
    );
    // The same bytes sent twice on purpose are twice as many rows.
    append(&plan, "rows", Format::Ndjson, rows.concat())
        .await
        .unwrap();
    assert_eq!(
        tsv("SELECT count(), (SELECT countMerge(rows) FROM totals) FROM rows").await,
        "1998\t1998\n"
    );
}

fn only(condition: &str) -> Replace<'_> {
    Replace {
        condition: Some(condition),
        may_empty: false,
    }
}

/// Rows of which a condition knows nothing stay, and are not added.
async fn replace_unless_unknown() {
    let schema = "SCHEMA >\n    `id` UInt64,\n    `name` Nullable(String)\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";
    let plan = project(&[("unknown.datasource", schema)]).await;
    let rows = "1,\\N\n2,a\n3,b\n";
    append(&plan, "unknown", Format::Csv, rows).await.unwrap();
    let csv = Append {
        format: Format::Csv,
        delimiter: None,
    };
    let body = stream::iter([Ok(Bytes::from_static(b"1,\\N\n2,a\n4,a\n"))]);
    ingest()
        .replace(
            &plan,
            plan.table("unknown").unwrap(),
            &csv,
            only("name = 'a'"),
            body,
        )
        .await
        .unwrap();
    assert_eq!(
        tsv("SELECT * FROM unknown ORDER BY id").await,
        "1\t\\N\n2\ta\n3\tb\n4\ta\n"
    );
}

#[tokio::test]
async fn replace_is_all_or_what_a_condition_names() {
    let plan = project(&[("r.datasource", SCHEMA)]).await;
    append(&plan, "r", Format::Csv, "1,old\n2,old\n3,old\n")
        .await
        .unwrap();
    let table = plan.table("r").unwrap();
    let csv = Append {
        format: Format::Csv,
        delimiter: None,
    };
    let body = |text: &'static str| stream::iter([Ok(Bytes::from_static(text.as_bytes()))]);
    ingest()
        .replace(
            &plan,
            table,
            &csv,
            only("id >= 2"),
            body("2,new\n4,new\n0,not asked for\n"),
        )
        .await
        .unwrap();
    assert_eq!(
        tsv("SELECT * FROM r ORDER BY id").await,
        "1\told\n2\tnew\n4\tnew\n"
    );
    ingest()
        .replace(
            &plan,
            table,
            &csv,
            Replace::default(),
            body("9,all\nx,bad\n"),
        )
        .await
        .unwrap();
    assert_eq!(tsv("SELECT * FROM r").await, "9\tall\n");
    assert_eq!(tsv("SELECT count() FROM r_quarantine").await, "1\n");
    for condition in [
        "1) OR (1",
        "id = (SELECT 1)--",
        "nope = 1",
        "id IN (SELECT id FROM headed_or_other)",
    ] {
        let error = ingest()
            .replace(&plan, table, &csv, only(condition), body("7,x\n"))
            .await
            .unwrap_err();
        assert!(
            !matches!(error, IngestError::Disk(_)),
            "{condition}: {error:?}"
        );
    }
    assert_eq!(tsv("SELECT * FROM r").await, "9\tall\n");
    replace_unless_unknown().await;
    assert_eq!(
        tsv("SELECT count() FROM system.tables WHERE name LIKE 'pw_replace%'").await,
        "0\n"
    );
}

#[tokio::test]
async fn a_condition_that_replaces_names_the_same_rows_each_time() {
    let schema = "SCHEMA >\n    `id` UInt64,\n    `at` DateTime\n\nENGINE \"MergeTree\"\nENGINE_PARTITION_KEY \"id % 4\"\nENGINE_SORTING_KEY \"id\"\n";
    let allowed = "[allow]\nfunctions = [\"sleepEachRow\"]\n";
    let plan = project(&[("r_now.datasource", schema), ("pipewright.toml", allowed)]).await;
    let table = plan.table("r_now").unwrap();
    let replace = async |condition: &str, rows: &'static str| {
        let append = Append {
            format: Format::Csv,
            delimiter: None,
        };
        let rows = stream::iter([Ok(Bytes::from_static(rows.as_bytes()))]);
        ingest()
            .replace(&plan, table, &append, only(condition), rows)
            .await
    };
    append(
        &plan,
        "r_now",
        Format::Csv,
        "1,2020-01-01 00:00:00\n2,2090-01-01 00:00:00\n",
    )
    .await
    .unwrap();
    // The engine asks for the time in each statement and for each part: each of these names other rows the next time.
    for other in [
        "rand() % 2 = 0",
        "at > nowInBlock()",
        "rowNumberInAllBlocks() = 0",
    ] {
        let refused = replace(other, "3,2090-01-01 00:00:00\n").await.unwrap_err();
        assert!(
            refused.to_string().contains("names other rows each time"),
            "{refused}"
        );
    }
    replace(
        "at > now() - 5 AND at > today()",
        "3,2090-01-01 00:00:00\n4,2020-01-01 00:00:00\n",
    )
    .await
    .unwrap();
    assert_eq!(tsv("SELECT id FROM r_now ORDER BY id").await, "1\n3\n");
    // So slow that the time is another one for each row: what is taken away of the old ones is what comes of the new ones.
    replace(
        "sleepEachRow(0.7) = 0 AND toUnixTimestamp(now()) % 2 = id % 2",
        "5,2090-01-01 00:00:00\n6,2090-01-01 00:00:00\n7,2090-01-01 00:00:00\n8,2090-01-01 00:00:00\n",
    )
    .await
    .unwrap();
    let left = tsv("SELECT arraySort(groupArray(id)) FROM r_now").await;
    assert!(
        ["[5,7]\n", "[1,3,6,8]\n"].contains(&left.as_str()),
        "{left}"
    );
}

#[tokio::test]
async fn a_sample_is_analysed() {
    let body = stream::iter([Ok(Bytes::from_static(
        b"{\"id\":1,\"at\":\"2026-01-02 03:04:05\",\"tags\":[\"a\"]}\n{\"id\":2,\"tags\":[]}\n",
    ))]);
    let analysis = ingest().analyze(Format::Ndjson, None, body).await.unwrap();
    insta::assert_snapshot!(analysis.schema());
    assert!((analysis.columns[1].present - 0.5).abs() < 1e-9);
}

/// Analyses a sample.
async fn analysed(format: Format, sample: &'static str) -> String {
    let body = stream::iter([Ok(Bytes::from_static(sample.as_bytes()))]);
    let analysis = ingest().analyze(format, None, body).await.unwrap();
    format!("{} {}", analysis.schema(), analysis.columns.len())
}

#[tokio::test]
async fn an_analysis_finds_delimiters_and_keys_with_dots() {
    insta::assert_snapshot!(analysed(Format::Csv, "id;name\n1;a\n2;b,c\n").await, @"id Int64, name String 2");
    insta::assert_snapshot!(analysed(Format::Csv, "id\tname\n1\ta\n2\tb,c\n").await, @"id Int64, name String 2");
    insta::assert_snapshot!(analysed(Format::Csv, "id,name\n1,a;b\n").await, @"id Int64, name String 2");
    let given = stream::iter([Ok(Bytes::from_static(b"id~name\n1~a\n"))]);
    let analysis = ingest()
        .analyze(Format::Csv, Some('~'), given)
        .await
        .unwrap();
    insta::assert_snapshot!(analysis.schema(), @"id Int64, name String");
    let rows = "{\"dotted.key\":1,\"a b\":\"x\",\"it's\":[2],\"plain\":3}\n";
    let found = analysed(Format::Ndjson, rows).await;
    insta::assert_snapshot!(found, @"dotted_key Int64 `json:$['dotted.key']`, `a b` String `json:$.a b`, `it's` Array(Nullable(Int64)) `json:$.it's[:]`, plain Int64 `json:$.plain` 4");
    let schema = found.rsplit_once(' ').unwrap().0.replace(", `", ",\n    `");
    let file = format!("SCHEMA >\n    {schema}\n");
    let plan = project(&[("dotted.datasource", &file)]).await;
    append(&plan, "dotted", Format::Ndjson, rows).await.unwrap();
    assert_eq!(tsv("SELECT * FROM dotted").await, "1\tx\t[2]\t3\n");
}

#[tokio::test]
async fn no_row_comes_before_it_is_noted_that_rows_come() {
    let plan = project(&[("noted.datasource", SCHEMA)]).await;
    let folder = tempfile::tempdir().unwrap();
    let ingest = pipewright::ingest::Ingest::open(engine(), folder.path()).unwrap();
    let marks = folder.path().join("ingest/marks");
    // Not a folder: nothing can be noted.
    std::fs::write(&marks, "").unwrap();
    let csv = Append {
        format: Format::Csv,
        delimiter: None,
    };
    let append = async || {
        let body = stream::iter([Ok(Bytes::from_static(b"1,a\n"))]);
        let table = plan.table("noted").unwrap();
        ingest.append(table, &csv, body).await
    };
    for _ in 0..2 {
        let error = append().await.unwrap_err();
        assert!(matches!(error, IngestError::Disk(_)), "{error:?}");
        assert_eq!(tsv("SELECT count() FROM noted").await, "0\n");
    }
    std::fs::remove_file(&marks).unwrap();
    append().await.unwrap();
    assert_eq!(tsv("SELECT count() FROM noted").await, "1\n");
    assert!(marks.join("direct/noted").exists());
}
