//! Large results in constant memory.

use super::{engine, text};
use futures::StreamExt;
use pipewright::engine::{EngineError, Query};

#[tokio::test]
async fn joined_chunks_are_one_document() {
    let select = "SELECT number AS \"a\nb\", toString(number) AS s FROM numbers(300000)";
    for (format, header) in [
        ("CSV", 0),
        ("CSVWithNames", 1),
        ("CSVWithNamesAndTypes", 2),
        ("TSVWithNames", 1),
    ] {
        let whole = text(Query::new(select, format)).await.unwrap();
        assert_eq!(
            whole
                .lines()
                .filter(|line| line.ends_with("299999\"") || line.ends_with("\t299999"))
                .count(),
            1
        );
        let names = if format.starts_with("CSV") {
            "\"a\nb\",\"s\"\n"
        } else {
            "a\\nb\ts\n"
        };
        assert_eq!(whole.matches(names).count(), header.min(1), "{format}");
        assert_eq!(whole.matches("UInt64").count(), header / 2, "{format}");
        let hidden = if format.starts_with("CSV") {
            header.min(1)
        } else {
            0
        };
        assert_eq!(whole.lines().count(), 300_000 + header + hidden, "{format}");
    }
}

#[tokio::test]
async fn statistics_of_a_stream_are_known_at_its_end() {
    let mut answer = engine()
        .query(Query::new("SELECT number FROM numbers(300000)", "CSV"))
        .await
        .unwrap();
    assert_eq!((answer.statistics(), answer.length()), (None, None));
    while let Some(chunk) = answer.next().await {
        chunk.unwrap();
    }
    let statistics = answer.statistics().unwrap();
    assert!(
        (65_000..=300_000).contains(&statistics.rows_read),
        "{statistics:?}"
    );
    assert!(!statistics.elapsed.is_zero());
}

#[tokio::test]
async fn an_error_in_the_middle_ends_the_stream_with_it() {
    // Far behind what the engine makes before the first piece is taken: an error in there is told before the stream begins.
    let sql = "SELECT throwIf(number = 9900000) FROM numbers(10000000)";
    let chunks: Vec<_> = engine()
        .query(Query::new(sql, "CSV"))
        .await
        .unwrap()
        .collect()
        .await;
    let (last, first) = chunks.split_last().unwrap();
    assert!(first.iter().all(Result::is_ok));
    assert!(
        matches!(last, Err(EngineError::Exception { code: 395, .. })),
        "{last:?}"
    );
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_large_result_is_read_in_constant_memory() {
    let sql = "SELECT number, number * 2, toString(number) FROM numbers(20000000)";
    let mut answer = engine().query(Query::new(sql, "CSV")).await.unwrap();
    let before = super::memory("VmRSS");
    let (mut bytes, mut highest) = (0, 0);
    while let Some(chunk) = answer.next().await {
        bytes += chunk.unwrap().len();
        highest = highest.max(super::memory("VmRSS"));
    }
    assert!(bytes > 500_000_000, "{bytes}");
    assert!(
        highest < before + 200,
        "{before} MiB grew to {highest} MiB for {bytes} bytes"
    );
}
