//! Formats, parameters, errors, descriptions.

use super::{engine, text, tsv};
use futures::StreamExt;
use pipewright::engine::{Column, EngineError, Query};

#[tokio::test]
async fn json_is_passed_through_with_the_engines_own_statistics() {
    let answer = engine()
        .query(Query::new(
            "SELECT number AS n, toString(number) AS s FROM numbers(2)",
            "JSON",
        ))
        .await
        .unwrap();
    let statistics = answer.statistics().expect("a whole result knows its cost");
    assert_eq!((statistics.rows_read, statistics.bytes_read), (2, 16));
    assert!(answer.length().is_some());
    let body: serde_json::Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(
        body["data"],
        serde_json::json!([{"n": 0, "s": "0"}, {"n": 1, "s": "1"}])
    );
    assert_eq!(body["rows"], 2);
    assert_eq!(body["statistics"]["rows_read"], 2);
}

#[tokio::test]
async fn each_format_arrives_as_one_document() {
    let sql = "SELECT number AS n FROM numbers(2)";
    let answers = [
        ("CSV", "0\n1\n"),
        ("CSVWithNames", "\"n\"\n0\n1\n"),
        ("TSVWithNamesAndTypes", "n\nUInt64\n0\n1\n"),
        ("JSONEachRow", "{\"n\":0}\n{\"n\":1}\n"),
        ("JSONCompactEachRow", "[0]\n[1]\n"),
    ];
    for (format, expected) in answers {
        assert_eq!(
            text(Query::new(sql, format)).await.unwrap(),
            expected,
            "{format}"
        );
    }
    let parquet = engine()
        .query(Query::new(sql, "Parquet"))
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
}

#[tokio::test]
async fn an_empty_result_keeps_its_header() {
    let sql = "SELECT number AS n FROM numbers(2) WHERE n > 5";
    assert_eq!(
        text(Query::new(sql, "CSVWithNames")).await.unwrap(),
        "\"n\"\n"
    );
    assert_eq!(text(Query::new(sql, "CSV")).await.unwrap(), "");
}

#[tokio::test]
async fn parameters_are_bound_and_never_become_sql() {
    let hostile = "x'); DROP TABLE users; --\t\\ \n\r\0 \\N é";
    let query = Query::new(
        "SELECT {value:String} AS v, {n:UInt8} + 1 AS n",
        "JSONCompactEachRow",
    )
    .text("value", hostile)
    .parameter("n", "41");
    let row: serde_json::Value = serde_json::from_str(&text(query).await.unwrap()).unwrap();
    assert_eq!(row, serde_json::json!([hostile, 42]));
    // The next statement on any connection knows nothing of them.
    let error = text(Query::new("SELECT {n:UInt8}", "TSV"))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, EngineError::Exception { name, .. } if name == "UNKNOWN_QUERY_PARAMETER"),
        "{error:?}"
    );
}

#[tokio::test]
async fn exceptions_have_code_name_and_message() {
    for format in ["JSON", "CSV"] {
        let error = text(Query::new("SELECT * FROM missing_table", format))
            .await
            .unwrap_err();
        match error {
            EngineError::Exception {
                code,
                name,
                message,
                ..
            } => {
                assert_eq!((code, name.as_str()), (60, "UNKNOWN_TABLE"));
                assert!(
                    message.contains("missing_table") && !message.contains("pipewright"),
                    "{message}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn syntax_errors_point_into_the_text() {
    for (sql, at) in [
        ("SELECT 1 +", 10),
        ("SELECT 'é' ,, 1", 15),
        ("SELECT\n\n (1", 9),
        ("SELEC 1", 6),
    ] {
        let error = text(Query::new(sql, "JSON")).await.unwrap_err();
        match error {
            EngineError::Exception { name, position, .. } => {
                assert_eq!(name, "SYNTAX_ERROR");
                assert_eq!(position.map(|place| place.offset), Some(at), "{sql}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_trailing_semicolon_or_comment_is_no_harm() {
    assert_eq!(tsv("SELECT 1;").await, "1\n");
    assert_eq!(tsv("SELECT 1 -- one").await, "1\n");
    assert_eq!(tsv("SELECT 1 /* one */ ; ").await, "1\n");
}

#[tokio::test]
async fn describe_names_and_types_the_columns() {
    let columns = engine()
        .describe("SELECT 1 AS a, now() AS b, ['x'] AS `c d` -- end")
        .await
        .unwrap();
    let expected = [("a", "UInt8"), ("b", "DateTime"), ("c d", "Array(String)")];
    let expected = expected.map(|(name, type_name)| Column {
        name: name.to_owned(),
        type_name: type_name.to_owned(),
    });
    assert_eq!(columns, expected);
}

#[tokio::test]
async fn a_syntax_error_in_describe_points_into_the_given_text() {
    let error = engine().describe("SELECT 'é' ,, 1").await.unwrap_err();
    match error {
        EngineError::Exception { position, .. } => {
            assert_eq!(position.map(|place| place.offset), Some(15));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_run_at_the_same_time() {
    let start = std::time::Instant::now();
    let sleeps = (0..4).map(|_| tsv("SELECT sleep(0.5)"));
    let mut sleeps: futures::stream::FuturesUnordered<_> = sleeps.collect();
    while sleeps.next().await.is_some() {}
    assert!(start.elapsed().as_secs_f64() < 1.5, "{:?}", start.elapsed());
}

#[tokio::test]
async fn the_version_is_clickhouses() {
    assert_eq!(engine().version(), tsv("SELECT version()").await.trim());
}
