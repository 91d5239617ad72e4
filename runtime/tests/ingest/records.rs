//! Records of CSV files that are read before the engine sees them mean what they mean to the engine.

use super::{append, project, tsv};
use pipewright::ingest::Format;

/// Columns with what their fields are tried to be.
const TYPES: &[(&str, &[&str])] = &[
    (
        "UInt8",
        &[
            "0", "255", "256", "-1", "007", "1.0", " 5", "5 ", "+5", "-0", "true", "\"7\"",
            "\" 7\"", "'7'", "", "\"\"", "\\N", "1e2",
        ],
    ),
    (
        "Int64",
        &[
            "9223372036854775807",
            "9223372036854775808",
            "-9223372036854775808",
            "1_0",
            "NULL",
        ],
    ),
    (
        "Float64",
        &[
            "1",
            "1.5",
            "-2e3",
            "0.1",
            "1e400",
            "1e-400",
            "nan",
            "inf",
            "123456789012345678",
            "-0",
            "-0.0",
            ".5",
            "5.",
            "0.30000000000000004",
            "1E5",
            "0x1",
        ],
    ),
    (
        "String",
        &[
            "",
            "\"\"",
            "x",
            " x",
            "x ",
            "\"x \"",
            "\"a\"\"b\"",
            "\"\"\"\"",
            "\"a\nb\"",
            "\"a\r\nb\"",
            "a\tb",
            "\ta",
            "'a'",
            "a'b",
            "a\"b",
            "\"a\"b",
            "\\N",
            "\"\\N\"",
            "a\\nb",
            "\u{1}",
            "é",
            "\"a,b\"",
            "\u{feff}x",
            "1.50",
            "NULL",
            "a\rb",
        ],
    ),
    (
        "Nullable(String)",
        &[
            "",
            "\"\"",
            "x",
            "\\N",
            "NULL",
            "\" \"",
            "\u{1}x",
            "\"\u{1}\"",
        ],
    ),
    ("LowCardinality(String)", &["", "low"]),
    ("LowCardinality(Nullable(String))", &["", "low"]),
    ("Nullable(Int32)", &["", "\"\"", "5", "-5", "x", "\\N"]),
    ("Int32 DEFAULT 5", &["", "6", "x", "\\N"]),
    ("String DEFAULT 'none'", &["", "\"\"", "x", "\\N"]),
    ("Bool", &["true", "false", "1", "0", "TRUE", "yes", ""]),
    (
        "Date",
        &[
            "2026-02-28",
            "2026-02-30",
            "1970-01-01",
            "2150-01-01",
            "20260101",
            "2026-1-2",
            "",
        ],
    ),
    (
        "DateTime",
        &[
            "2026-02-03 04:05:06",
            "2026-02-03T04:05:06Z",
            "1700000000",
            "2026-02-03 04:05",
            "\"2026-02-03 04:05:06\"",
            "2026-02-03 24:05:06",
            "",
        ],
    ),
    ("Nullable(DateTime)", &["2026-02-03 04:05:06", "", "x"]),
    (
        "Array(String)",
        &[
            "\"['a','b']\"",
            "\"[\"\"a\"\",\"\"b\"\"]\"",
            "[]",
            "",
            "\"['it''s']\"",
            "\"[\"\"it's\"\"]\"",
            "\"['a\\\\n']\"",
            "\"[1, 2]\"",
            "\"['a'\"",
            "x",
            "\"[null]\"",
            "\" ['a']\"",
            "\"['a'] \"",
            "\"[true]\"",
            "\"{}\"",
        ],
    ),
    (
        "Array(Int32)",
        &[
            "\"[1,2]\"",
            "[]",
            "[1]",
            "[1.0]",
            "\"[1,'2']\"",
            "[99999999999]",
        ],
    ),
    (
        "Array(Float64)",
        &["\"[1,2.5]\"", "[1e400]", "\"['1e400']\"", "[inf]"],
    ),
];

/// A row with a field, between others and as the last one of its line.
fn row(id: usize, field: &str) -> String {
    format!("{id},{field},x,{field}\n")
}

/// Numbers from a fixed start on.
fn numbers() -> impl Iterator<Item = u64> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    })
}

/// What is in a data source and what is in its quarantine, but for the row that stops the reading ahead.
async fn content(name: &str) -> String {
    let good = tsv(&format!("SELECT * FROM {name} ORDER BY id, a")).await;
    let bad = tsv(&format!(
        "SELECT id, a, x, b FROM {name}_quarantine WHERE id != 'none' ORDER BY all"
    ))
    .await;
    format!("{good}--\n{bad}")
}

/// A bad row: what follows it in its file is not read ahead.
const STOP: &str = "none,,,\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_read_ahead_is_what_the_engine_would_read() {
    for (at, (data_type, fields)) in TYPES.iter().enumerate() {
        let schema = format!(
            "SCHEMA >\n    `id` UInt64,\n    `a` {data_type},\n    `x` String,\n    `b` {data_type}\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n"
        );
        let (ahead, behind) = (format!("ahead{at}"), format!("behind{at}"));
        let files = [
            (format!("{ahead}.datasource"), schema.clone()),
            (format!("{behind}.datasource"), schema),
        ];
        let files = files
            .each_ref()
            .map(|(name, text)| (name.as_str(), text.as_str()));
        let plan = project(&files).await;
        let mut all = STOP.to_owned();
        for (id, field) in fields.iter().enumerate() {
            let row = row(id, field);
            // What is no file of four columns is refused as such.
            if append(&plan, &ahead, Format::Csv, row.clone())
                .await
                .is_err()
            {
                continue;
            }
            all.push_str(&row);
        }
        // Both quarantines are there.
        append(&plan, &ahead, Format::Csv, STOP).await.unwrap();
        append(&plan, &behind, Format::Csv, all).await.unwrap();
        assert_eq!(content(&ahead).await, content(&behind).await, "{data_type}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_numbers_are_read_ahead_to_the_last_bit() {
    let schema = "SCHEMA >\n    `id` UInt64,\n    `a` Float64,\n    `x` String,\n    `b` Float64\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";
    let plan = project(&[
        ("reals_ahead.datasource", schema),
        ("reals_behind.datasource", schema),
    ])
    .await;
    let rows: String = numbers()
        .take(2000)
        .enumerate()
        .map(|(id, number)| {
            let real = f64::from_bits(number);
            let field = match id % 3 {
                0 => format!(
                    "{:?}",
                    f64::from(u32::try_from(number >> 32).unwrap()) / 7.0
                ),
                1 => format!(
                    "{}.{:017}",
                    number % 1000,
                    number / 1000 % 100_000_000_000_000_000
                ),
                _ if (1e-290..1e290).contains(&real.abs()) => format!("{real:e}"),
                _ => "1".to_owned(),
            };
            row(id, &field)
        })
        .collect();
    append(&plan, "reals_ahead", Format::Csv, rows.clone())
        .await
        .unwrap();
    append(&plan, "reals_ahead", Format::Csv, STOP)
        .await
        .unwrap();
    append(&plan, "reals_behind", Format::Csv, format!("{STOP}{rows}"))
        .await
        .unwrap();
    assert_eq!(content("reals_ahead").await, content("reals_behind").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_may_change_from_plain_records_to_others_and_names_its_columns_in_any_order() {
    let schema = "SCHEMA >\n    `id` UInt64,\n    `a` String DEFAULT 'none',\n    `n` Nullable(Int32),\n    `d` DateTime DEFAULT '2000-01-01 00:00:00'\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";
    let plan = project(&[("mixed_records.datasource", schema)]).await;
    let rows = "n;a;id\r\n1;\"x;\r\n\"\"y\"\"\";1\r\n;;2\r\nbad;;3\r\n 4;;4\r\n5;;5";
    let appended = append(&plan, "mixed_records", Format::Csv, rows)
        .await
        .unwrap();
    assert_eq!(
        (appended.counts.successful, appended.counts.quarantined),
        (4, 1)
    );
    let day = "2000-01-01 00:00:00";
    assert_eq!(
        tsv("SELECT id, a, n, d FROM mixed_records ORDER BY id").await,
        format!("1\tx;\\r\\n\"y\"\t1\t{day}\n2\t\t\\N\t{day}\n4\t\t4\t{day}\n5\t\t5\t{day}\n")
    );
}
