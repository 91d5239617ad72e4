//! What a row that leaves a value out, or writes null, or nests wrongly, becomes in columns of every kind.

use super::{append, engine, project, reasons, tsv};
use pipewright::engine::Query;
use pipewright::ingest::Format;

/// The value of `v` after each row, in order, then how many rows were set aside. Rows count `n` up from zero.
async fn stored(name: &str, column: &str, format: Format, rows: &[&str]) -> (String, u64) {
    let schema = format!("SCHEMA >\n    `n` UInt32 `json:$.n`,\n    `v` {column}\n");
    let plan = project(&[(&format!("{name}.datasource"), &schema)]).await;
    let appended = append(&plan, name, format, rows.join("\n")).await.unwrap();
    let found = tsv(&format!("SELECT n, v FROM {name} ORDER BY n")).await;
    (
        found.replace('\t', ":").trim_end().replace('\n', " "),
        appended.counts.quarantined,
    )
}

const GIVEN_ABSENT_NULL: [&str; 3] = ["{\"n\":0,\"v\":\"x\"}", "{\"n\":1}", "{\"n\":2,\"v\":null}"];

#[tokio::test]
async fn an_enum_takes_its_default_where_no_value_is_given() {
    for (name, column, expected) in [
        (
            "en_plain",
            "Enum8('x' = 1, 'y' = 2) `json:$.v` DEFAULT 'y'",
            "0:x 1:y 2:y",
        ),
        (
            "en_wide",
            "Enum16('x' = -1, 'y' = 500) `json:$.v` DEFAULT 'y'",
            "0:x 1:y 2:y",
        ),
        (
            "en_null",
            "Nullable(Enum8('x' = 1, 'y' = 2)) `json:$.v` DEFAULT 'y'",
            "0:x 1:y 2:\\N",
        ),
        (
            "en_aggregate",
            "SimpleAggregateFunction(max, Enum8('x' = 1, 'y' = 2)) `json:$.v` DEFAULT 'y'",
            "0:x 1:y 2:y",
        ),
    ] {
        let found = stored(name, column, Format::Ndjson, &GIVEN_ABSENT_NULL).await;
        assert_eq!(found, (expected.to_owned(), 0), "{column}");
    }
    let rows = ["n,v", "0,x", "1,", "2,\\N"];
    let column = "Enum8('x' = 1, 'y' = 2) DEFAULT 'y'";
    let found = stored("en_csv", column, Format::Csv, &rows).await;
    assert_eq!(found, ("0:x 1:y 2:y".to_owned(), 0));
}

#[tokio::test]
async fn a_simple_aggregate_of_nullable_values_takes_null() {
    let column = "SimpleAggregateFunction(anyLast, Nullable(String)) `json:$.v`";
    let found = stored("agg_null", column, Format::Ndjson, &GIVEN_ABSENT_NULL).await;
    assert_eq!(found, ("0:x 1:\\N 2:\\N".to_owned(), 0));
    let column = "SimpleAggregateFunction(anyLast, Nullable(String)) `json:$.v` DEFAULT 'd'";
    let found = stored("agg_default", column, Format::Ndjson, &GIVEN_ABSENT_NULL).await;
    assert_eq!(found, ("0:x 1:d 2:\\N".to_owned(), 0));
}

#[tokio::test]
async fn a_tuple_that_is_not_there_is_its_default_or_an_empty_one() {
    let rows = [
        "{\"n\":0,\"v\":{\"a\":5,\"b\":\"x\"}}",
        "{\"n\":1}",
        "{\"n\":2,\"v\":null}",
        "{\"n\":3,\"v\":{\"a\":\"no\",\"b\":\"x\"}}",
    ];
    for (name, column, expected) in [
        (
            "tup_default",
            "Tuple(a Int32, b String) `json:$.v` DEFAULT (1, 'a')",
            "0:(5,'x') 1:(1,'a') 2:(1,'a')",
        ),
        (
            "tup_plain",
            "Tuple(a Int32, b LowCardinality(String)) `json:$.v`",
            "0:(5,'x') 1:(0,'') 2:(0,'')",
        ),
        (
            "tup_enum",
            "Tuple(a Int32, b Enum8('x' = 7)) `json:$.v`",
            "0:(5,'x') 1:(0,'x') 2:(0,'x')",
        ),
    ] {
        let found = stored(name, column, Format::Ndjson, &rows).await;
        assert_eq!(found, (expected.to_owned(), 1), "{column}");
    }
    let rows = [
        "{\"n\":0,\"v\":[5,\"x\"]}",
        "{\"n\":1}",
        "{\"n\":2,\"v\":null}",
    ];
    let column = "Tuple(Int32, String) `json:$.v` DEFAULT (1, 'a')";
    let found = stored("tup_unnamed", column, Format::Ndjson, &rows).await;
    assert_eq!(found, ("0:(5,'x') 1:(1,'a') 2:(1,'a')".to_owned(), 0));
}

#[tokio::test]
async fn what_is_no_array_in_an_array_of_arrays_is_set_aside() {
    let rows = [
        "{\"n\":0,\"v\":[[1,2],[3]]}",
        "{\"n\":1,\"v\":[1]}",
        "{\"n\":2,\"v\":[[1],2]}",
        "{\"n\":3,\"v\":[[1],[\"x\"]]}",
        "{\"n\":4,\"v\":[[]]}",
        "{\"n\":5,\"v\":[]}",
        "{\"n\":6}",
        "{\"n\":7,\"v\":[[\"x\"]]}",
    ];
    for (name, path) in [("nest_path", "$.v[:][:]"), ("nest_whole", "$.v")] {
        let column = format!("Array(Array(Int32)) `json:{path}`");
        let found = stored(name, &column, Format::Ndjson, &rows).await;
        assert_eq!(found, ("0:[[1,2],[3]] 4:[[]] 5:[] 6:[]".to_owned(), 4));
        let why = "v: cannot read as Array(Array(Int32)): ";
        assert_eq!(
            reasons(name).await.replace(why, ""),
            "[1]\n[[\"x\"]]\n[[1],2]\n[[1],[\"x\"]]\n"
        );
    }
    let rows = [
        "{\"n\":0,\"v\":[{\"t\":[\"a\",\"b\"]},{\"t\":[]},{}]}",
        "{\"n\":1,\"v\":[{\"t\":\"a\"}]}",
    ];
    let column = "Array(Array(String)) `json:$.v[:].t[:]`";
    let found = stored("nest_keys", column, Format::Ndjson, &rows).await;
    assert_eq!(found, ("0:[['a','b'],[],[]]".to_owned(), 1));
}

#[tokio::test]
async fn an_array_of_which_no_item_can_be_read_is_not_an_empty_one() {
    let rows = ["{\"n\":0,\"v\":[]}", "{\"n\":1,\"v\":[\"x\"]}"];
    for (name, column) in [
        ("items_int", "Array(Int32) `json:$.v[:]`"),
        ("items_null", "Array(Nullable(Int32)) `json:$.v`"),
        ("items_tuple", "Array(Tuple(a Int32)) `json:$.v`"),
    ] {
        let found = stored(name, column, Format::Ndjson, &rows).await;
        assert_eq!(found, ("0:[]".to_owned(), 1), "{column}");
    }
}

#[tokio::test]
async fn plain_columns_take_their_defaults_from_rows_that_are_read_as_columns() {
    for (name, column, given, expected) in [
        (
            "plain_text",
            "String `json:$.v` DEFAULT 'f'",
            "\"x\"",
            "0:x 1:f 2:f",
        ),
        (
            "plain_number",
            "UInt32 `json:$.v` DEFAULT 5",
            "7",
            "0:7 1:5 2:5",
        ),
    ] {
        let rows = [
            &format!("{{\"n\":0,\"v\":{given}}}"),
            GIVEN_ABSENT_NULL[1],
            GIVEN_ABSENT_NULL[2],
        ];
        let found = stored(name, column, Format::Ndjson, &rows).await;
        assert_eq!(found, (expected.to_owned(), 0), "{column}");
    }
}

#[tokio::test]
async fn a_default_stands_for_null_in_parquet() {
    let schema = "SCHEMA >\n    `n` UInt32,\n    `v` String DEFAULT 'f'\n";
    let plan = project(&[("parquet_default.datasource", schema)]).await;
    let query = "SELECT toUInt32(number) AS n, if(number = 1, NULL, 'x') AS v FROM numbers(3)";
    let file = engine().query(Query::new(query, "Parquet")).await.unwrap();
    let file = file.bytes().await.unwrap().to_vec();
    let appended = append(&plan, "parquet_default", Format::Parquet, file)
        .await
        .unwrap();
    assert_eq!(appended.counts.quarantined, 0);
    assert_eq!(
        tsv("SELECT n, v FROM parquet_default ORDER BY n").await,
        "0\tx\n1\tf\n2\tx\n"
    );
}
