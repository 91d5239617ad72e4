//! Rows on their way into tables.

use super::{engine, tsv};
use bytes::Bytes;
use futures::{StreamExt, stream};
use pipewright::engine::{EngineError, Insert, Rows};
use std::io;

fn rows(chunks: Vec<&'static str>) -> Rows {
    stream::iter(chunks)
        .map(|chunk| Ok(Bytes::from_static(chunk.as_bytes())))
        .boxed()
}

fn into(target: &str, format: &str) -> Insert {
    Insert {
        target: target.to_owned(),
        format: format.to_owned(),
        settings: Vec::new(),
    }
}

async fn table(name: &str) {
    let create = format!("CREATE TABLE {name} (a UInt64, s String) ENGINE = MergeTree ORDER BY a");
    engine().execute(&create).await.unwrap();
}

#[tokio::test]
async fn chunks_may_be_cut_anywhere() {
    table("cut").await;
    let written = engine()
        .insert(into("cut", "CSV"), rows(vec!["1,\"a\"\n2,\"", "b\nb\"\n"]))
        .await
        .unwrap();
    assert_eq!(written.rows, 2);
    let chunks = rows(vec!["{\"a\":3}\n{\"a\"", ":4}\n"]);
    engine()
        .insert(into("cut (a)", "JSONEachRow"), chunks)
        .await
        .unwrap();
    assert_eq!(
        tsv("SELECT * FROM cut ORDER BY a").await,
        "1\ta\n2\tb\\nb\n3\t\n4\t\n"
    );
}

#[tokio::test]
async fn settings_of_an_insert_are_used() {
    table("with_settings").await;
    let mut insert = into("with_settings", "JSONEachRow");
    insert.settings = vec![(
        "input_format_skip_unknown_fields".to_owned(),
        "0".to_owned(),
    )];
    let error = engine()
        .insert(insert.clone(), rows(vec!["{\"a\":1,\"zz\":2}"]))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("zz"), "{error}");
    insert.settings[0].1 = "1".to_owned();
    engine()
        .insert(insert, rows(vec!["{\"a\":1,\"zz\":2}"]))
        .await
        .unwrap();
    assert_eq!(tsv("SELECT a FROM with_settings").await, "1\n");
}

#[tokio::test]
async fn rows_that_do_not_fit_are_refused() {
    table("refused").await;
    let error = engine()
        .insert(into("refused", "CSV"), rows(vec!["1,a\nx,b\n"]))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, EngineError::Exception { message, .. } if message.contains("row 2")),
        "{error:?}"
    );
    assert_eq!(tsv("SELECT count() FROM refused").await, "0\n");
    let error = engine()
        .insert(into("no_such_table", "CSV"), rows(vec!["1"]))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, EngineError::Exception { code: 60, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_insert_whose_rows_fail_is_given_up() {
    table("given_up").await;
    let broken = stream::iter([
        Ok(Bytes::from_static(b"1,a\n")),
        Err(io::Error::other("the line is dead")),
    ])
    .boxed();
    let error = engine()
        .insert(into("given_up", "CSV"), broken)
        .await
        .unwrap_err();
    assert!(matches!(&error, EngineError::Io(_)), "{error:?}");
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert_eq!(tsv("SELECT count() FROM given_up").await, "0\n");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_data_goes_in_through_constant_memory() {
    table("much").await;
    // Inserting sorts blocks of a million rows, whose size has nothing to do with how many there are.
    let chunk = |number: u64| {
        let lines: Vec<String> = (0..50_000)
            .map(|row| format!("{},\"row number {row}\"\n", number * 50_000 + row))
            .collect();
        Ok(Bytes::from(lines.concat()))
    };
    engine()
        .insert(into("much", "CSV"), stream::iter(0..40).map(chunk).boxed())
        .await
        .unwrap();
    let before = super::memory("VmHWM");
    engine()
        .insert(
            into("much", "CSV"),
            stream::iter(40..240).map(chunk).boxed(),
        )
        .await
        .unwrap();
    let after = super::memory("VmHWM");
    assert_eq!(tsv("SELECT count() FROM much").await, "12000000\n");
    assert!(after < before + 200, "{before} MiB grew to {after} MiB");
}
