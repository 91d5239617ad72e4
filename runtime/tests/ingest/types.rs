//! Every type by every format: what fits goes in unchanged, what does not is set aside.

use super::{append, project, reasons, tsv};
use pipewright::ingest::{Counts, EventLimits, Events, Format, json_lines};

/// Inserts one JSON value into a column of a type: the value in the table as text, or the reason in the quarantine.
pub(super) async fn json(name: &str, data_type: &str, values: &[&str]) -> String {
    let schema = format!("SCHEMA >\n    `n` UInt32 `json:$.n`,\n    `v` {data_type} `json:$.v`\n");
    let plan = project(&[(&format!("{name}.datasource"), &schema)]).await;
    let rows: String = values
        .iter()
        .enumerate()
        .map(|(n, value)| {
            if value.is_empty() {
                format!("{{\"n\":{n}}}\n")
            } else {
                format!("{{\"n\":{n},\"v\":{value}}}\n")
            }
        })
        .collect();
    let appended = append(&plan, name, Format::Ndjson, rows).await.unwrap();
    let total = appended.counts.successful + appended.counts.quarantined;
    assert_eq!(total, values.len() as u64);
    let mut shown = Vec::new();
    for (n, value) in values.iter().enumerate() {
        let good = tsv(&format!("SELECT v FROM {name} WHERE n = {n}")).await;
        let bad = if appended.counts.quarantined > 0 {
            tsv(&format!(
                "SELECT c__error[1] FROM {name}_quarantine WHERE n = '{n}'"
            ))
            .await
        } else {
            String::new()
        };
        assert!(
            good.is_empty() != bad.is_empty(),
            "{value} is in one of both: {good:?} {bad:?}"
        );
        shown.push(format!(
            "{value} -> {}",
            if good.is_empty() {
                format!("✗ {}", bad.trim_end())
            } else {
                good.trim_end().to_owned()
            }
        ));
    }
    shown.join("\n")
}

#[tokio::test]
async fn integers_are_exact() {
    insta::assert_snapshot!(
        json(
            "j_u8",
            "UInt8",
            &[
                "7", "\"7\"", "7.0", "7.5", "300", "-1", "true", "null", "", "\"x\"", "[1]"
            ]
        )
        .await
    );
    insta::assert_snapshot!(
        json(
            "j_i64",
            "Int64",
            &[
                "9223372036854775807",
                "\"-9223372036854775808\"",
                "9223372036854775808",
                "1e3",
                "1.5",
                "false"
            ]
        )
        .await
    );
    insta::assert_snapshot!(
        json(
            "j_i128",
            "Int128",
            &["\"170141183460469231731687303715884105727\"", "12"]
        )
        .await
    );
}

#[tokio::test]
async fn other_scalars_are_read_or_refused() {
    insta::assert_snapshot!(
        json("j_f", "Float64", &["1.5", "\"1e3\"", "7", "null", "\"x\""]).await
    );
    insta::assert_snapshot!(json("j_dec", "Decimal(10, 2)", &["1.25", "\"3.5\"", "\"x\""]).await);
    insta::assert_snapshot!(json("j_bool", "Bool", &["true", "\"false\"", "1", "\"maybe\""]).await);
    insta::assert_snapshot!(
        json("j_s", "String", &["\"é\\n\"", "12", "{\"a\": [1]}", "null"]).await
    );
    insta::assert_snapshot!(
        json(
            "j_uuid",
            "UUID",
            &["\"61f0c404-5cb3-11e7-907b-a6006ad3dba0\"", "\"61f0\""]
        )
        .await
    );
    insta::assert_snapshot!(json("j_ip", "IPv4", &["\"10.0.0.1\"", "\"10.0.0\""]).await);
    insta::assert_snapshot!(json("j_enum", "Enum8('a' = 1, 'b' = 2)", &["\"b\"", "\"c\""]).await);
    insta::assert_snapshot!(json("j_fixed", "FixedString(3)", &["\"abc\"", "\"abcd\""]).await);
    insta::assert_snapshot!(json("j_low", "LowCardinality(String)", &["\"a\"", "null"]).await);
}

#[tokio::test]
async fn points_in_time_are_read_in_many_spellings() {
    insta::assert_snapshot!(
        json(
            "j_date",
            "Date",
            &[
                "\"2026-01-02\"",
                "\"2026-01-02T23:00:00Z\"",
                "\"2026-13-01\"",
                "\"1960-01-01\"",
                "\"x\"",
                "1700000000"
            ]
        )
        .await
    );
    insta::assert_snapshot!(
        json(
            "j_dt",
            "DateTime('UTC')",
            &[
                "\"2026-01-02 03:04:05\"",
                "\"2026-01-02T03:04:05+01:00\"",
                "1700000000",
                "0",
                "\"2200-01-01 00:00:00\""
            ]
        )
        .await
    );
    insta::assert_snapshot!(
        json(
            "j_dt64",
            "DateTime64(3, 'UTC')",
            &[
                "\"2026-01-02T03:04:05.678Z\"",
                "1700000000.5",
                "1700000000123",
                "\"soon\""
            ]
        )
        .await
    );
}

#[tokio::test]
async fn what_may_be_null_takes_null_and_nothing_wrong() {
    insta::assert_snapshot!(json("j_null", "Nullable(Int32)", &["5", "null", "", "\"x\""]).await);
    insta::assert_snapshot!(
        json(
            "j_lownull",
            "LowCardinality(Nullable(String))",
            &["\"a\"", "null"]
        )
        .await
    );
}

#[tokio::test]
async fn containers_are_looked_into() {
    insta::assert_snapshot!(
        json(
            "j_arr",
            "Array(UInt8)",
            &["[1, 2]", "[]", "", "[1, 300]", "5", "[null]"]
        )
        .await
    );
    insta::assert_snapshot!(json("j_arrnull", "Array(Nullable(String))", &["[\"a\", null]"]).await);
    insta::assert_snapshot!(
        json("j_arrdate", "Array(Date)", &["[\"2026-01-02\"]", "[\"x\"]"]).await
    );
    insta::assert_snapshot!(
        json(
            "j_map",
            "Map(String, Int32)",
            &["{\"a\": 1}", "{\"a\": \"x\"}", "[1]", "{}"]
        )
        .await
    );
    insta::assert_snapshot!(
        json(
            "j_tup",
            "Tuple(a UInt8, b String)",
            &["{\"a\": 1, \"b\": \"x\"}", "{\"a\": 1000, \"b\": \"x\"}"]
        )
        .await
    );
    insta::assert_snapshot!(json("j_json", "JSON", &["{\"a\": {\"b\": 1}}", "5"]).await);
}

#[tokio::test]
async fn paths_reach_into_objects_and_arrays() {
    let schema = "SCHEMA >
    `id` UInt32 `json:$.id`,
    `name` String `json:$.user.name`,
    `first` Nullable(String) `json:$.tags[0]`,
    `tags` Array(String) `json:$.tags[:]`,
    `prices` Array(Float64) `json:$.items[:].price`,
    `names` Array(String) `json:$.items[:].name`,
    `whole` String `json:$`,
    `user` String `json:$.user`,
    `at` DateTime DEFAULT toDateTime('2026-01-01 00:00:00', 'UTC') `json:$.at`,
    `day` Date DEFAULT toDate(at) `json:$.day`
";
    let plan = project(&[("paths.datasource", schema)]).await;
    let rows = "{\"id\":1,\"user\":{\"name\":\"Ann\"},\"tags\":[\"a\",\"b\"],\"items\":[{\"price\":1.5,\"name\":\"x\"},{\"price\":2,\"name\":\"y\"}]}\n{\"id\":2,\"user\":{},\"tags\":[]}\nnot json\n{\"id\":3,\n";
    let appended = append(&plan, "paths", Format::Ndjson, rows).await.unwrap();
    assert_eq!(
        appended.counts,
        Counts {
            successful: 1,
            quarantined: 3
        }
    );
    insta::assert_snapshot!(tsv("SELECT id, name, first, tags, prices, names, user, at, day, length(whole) > 50 FROM paths").await);
    insta::assert_snapshot!(reasons("paths").await);
}

#[tokio::test]
async fn csv_is_exact_as_well() {
    let schema = "SCHEMA >\n    `a` UInt8,\n    `b` Nullable(Int64),\n    `c` String,\n    `d` Date DEFAULT toDate('2026-01-01'),\n    `e` Array(String)\n";
    let plan = project(&[("c.datasource", schema)]).await;
    let rows = "1,2,x,2026-05-05,\"['p','q']\"\n2,,\"multi\nline, \"\"quoted\"\"\",,[]\n300,1,x,,[]\n3,x,x,,[]\n4,5\n5,6,x,,[],more\n6,\\N,\\N,bad,[]\n7,1,,,oops\n";
    let appended = append(&plan, "c", Format::Csv, rows).await.unwrap();
    assert_eq!(
        appended.counts,
        Counts {
            successful: 2,
            quarantined: 6
        }
    );
    insta::assert_snapshot!(tsv("SELECT * FROM c ORDER BY a").await);
    insta::assert_snapshot!(reasons("c").await);
}

#[tokio::test]
async fn a_nullable_column_of_csv_takes_null_where_it_is_written() {
    let schema = "SCHEMA >\n    `n` UInt8,\n    `s` Nullable(String) DEFAULT 'x',\n    `i` Nullable(Int64) DEFAULT 5,\n    `t` String DEFAULT 'y'\n";
    let plan = project(&[("c_null_default.datasource", schema)]).await;
    let rows = "0,a,1,b\n1,,,\n2,\\N,\\N,\\N\n";
    append(&plan, "c_null_default", Format::Csv, rows)
        .await
        .unwrap();
    let found = tsv("SELECT * FROM c_null_default ORDER BY n").await;
    // An empty text is a text where the column is no other.
    assert_eq!(found, "0\ta\t1\tb\n1\tx\t5\t\n2\t\\N\t\\N\ty\n");
}

/// The engine's own format for rows keeps the digits of a number where a text is wanted.
#[tokio::test]
async fn a_number_in_a_text_stays_as_it_is_written() {
    let values = [
        "1.0",
        "1e3",
        "-0",
        "-2.50",
        "12345678901234567890123",
        "1e999",
        "7",
        "true",
        "\"x\"",
    ];
    let schema = "SCHEMA >\n    `n` UInt32 `json:$.n`,\n    `s` String `json:$.s`,\n    `many` Array(String) `json:$.many[:]`,\n    `map` Map(String, String) `json:$.map`\n";
    let plan = project(&[
        ("text_numbers.datasource", schema),
        ("text_number_events.datasource", schema),
    ])
    .await;
    let row = |(n, value): (usize, &&str)| {
        format!("{{\"n\":{n},\"s\":{value},\"many\":[{value}, 1],\"map\":{{\"a\":{value}}}}}\n")
    };
    let rows = values
        .iter()
        .enumerate()
        .map(row)
        .collect::<Vec<_>>()
        .concat();
    let appended = append(&plan, "text_numbers", Format::Ndjson, rows.as_str()).await;
    assert_eq!(appended.unwrap().counts.quarantined, 0);
    let events = Events::new(super::ingest(), EventLimits::default());
    let (lines, count) = json_lines(rows.clone().into(), false).unwrap();
    let table = plan.table("text_number_events").unwrap();
    events.push(table, lines, count, true).await.unwrap();
    let own = tsv(&format!(
        "SELECT * FROM format(JSONEachRow, 'n UInt32, s String, many Array(String), map Map(String, String)', $${rows}$$) ORDER BY n"
    ))
    .await;
    assert_eq!(tsv("SELECT * FROM text_numbers ORDER BY n").await, own);
    assert_eq!(
        tsv("SELECT * FROM text_number_events ORDER BY n").await,
        own
    );
}

#[tokio::test]
async fn a_long_number_is_read_where_it_fits_and_hides_nothing_else() {
    let schema = "SCHEMA >\n    `i` Int128 `json:$.i`,\n    `f` Float64 `json:$.f`,\n    `d` Decimal(38, 0) `json:$.d`,\n    `u` Nullable(UInt64) `json:$.u`\n";
    let plan = project(&[("long_numbers.datasource", schema)]).await;
    let long = "12345678901234567890123";
    let rows = format!(
        "{{\"i\":{long},\"f\":{long},\"d\":{long},\"x\":[{long}]}}\n{{\"i\":1,\"f\":1,\"d\":1,\"u\":{long}}}\n"
    );
    append(&plan, "long_numbers", Format::Ndjson, rows)
        .await
        .unwrap();
    assert_eq!(
        tsv("SELECT * FROM long_numbers").await,
        format!("{long}\t1.2345678901234568e22\t{long}\t\\N\n")
    );
    assert_eq!(
        reasons("long_numbers").await,
        format!("u: cannot read as Nullable(UInt64): {long}\n")
    );
}

#[tokio::test]
async fn numbers_that_are_rounded_are_read_as_the_engine_rounds_them() {
    insta::assert_snapshot!(
        json(
            "j_bf16",
            "BFloat16",
            &["1.5", "1.53", "\"1.53\"", "7", "null", "\"x\"", ""]
        )
        .await
    );
    let shown = json("j_bf16s", "Array(BFloat16)", &["[1.53,2]", "[]"]).await;
    insta::assert_snapshot!(shown);
    let schema = "SCHEMA >\n    `n` UInt8,\n    `v` Nullable(BFloat16)\n";
    let plan = project(&[("c_bf16.datasource", schema)]).await;
    append(&plan, "c_bf16", Format::Csv, "0,1.53\n1,\n2,x\n")
        .await
        .unwrap();
    assert_eq!(
        tsv("SELECT * FROM c_bf16 ORDER BY n").await,
        "0\t1.5234375\n1\t\\N\n"
    );
    assert_eq!(
        reasons("c_bf16").await,
        "v: cannot read as Nullable(BFloat16): x\n"
    );
}

#[tokio::test]
async fn a_nullable_column_with_a_default_takes_each_of_them() {
    // The default where nothing is given, NULL where NULL is written.
    for (name, data_type) in [
        ("j_null_default", "Nullable(String)"),
        ("j_low_default", "LowCardinality(Nullable(String))"),
    ] {
        let schema = format!(
            "SCHEMA >\n    `n` UInt32 `json:$.n`,\n    `v` {data_type} `json:$.v` DEFAULT 'none'\n"
        );
        let plan = project(&[(&format!("{name}.datasource"), &schema)]).await;
        let rows = "{\"n\":0,\"v\":\"k\"}\n{\"n\":1}\n{\"n\":2,\"v\":null}\n";
        let appended = append(&plan, name, Format::Ndjson, rows.to_owned())
            .await
            .unwrap();
        assert_eq!(
            (appended.counts.successful, appended.counts.quarantined),
            (3, 0)
        );
        let found = tsv(&format!("SELECT v FROM {name} ORDER BY n")).await;
        assert_eq!(found, "k\nnone\n\\N\n");
    }
}
