//! Statements end when nobody waits for them any more.

use super::{engine, running, text, until_running};
use futures::StreamExt;
use pipewright::engine::{EngineError, Query};
use std::time::{Duration, Instant};

const ENDLESS: &str = "SELECT sum(sipHash64(number)) FROM numbers(1000000000000)";

#[tokio::test]
async fn a_timeout_stops_the_statement() {
    let sql = format!("{ENDLESS} WHERE 'timed' != ''");
    let start = Instant::now();
    let error = text(Query::new(&sql, "JSON").timeout(Duration::from_millis(200)))
        .await
        .unwrap_err();
    assert!(matches!(error, EngineError::Timeout { .. }), "{error:?}");
    // Far from never, however busy the machine is.
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    until_running("timed", 0).await;
}

#[tokio::test]
async fn the_engines_own_time_limit_is_a_timeout_too() {
    let query = Query::new(ENDLESS, "JSON").setting("max_execution_time", "1");
    let error = text(query).await.unwrap_err();
    assert!(
        matches!(error, EngineError::Timeout { limit } if limit == Duration::from_secs(1)),
        "{error:?}"
    );
}

#[tokio::test]
async fn dropping_the_future_stops_the_statement() {
    let sql = format!("{ENDLESS} WHERE 'dropped' != ''");
    let task = tokio::spawn(async move { text(Query::new(sql, "JSON")).await });
    until_running("dropped", 1).await;
    task.abort();
    until_running("dropped", 0).await;
}

#[tokio::test]
async fn dropping_at_once_stops_the_statement() {
    // The statement may be waiting, starting or running at that moment.
    for wait in [0, 50, 300, 1000, 3000] {
        let sql = format!("{ENDLESS} WHERE 'at once' != ''");
        let query = engine();
        let asked = tokio::time::timeout(
            Duration::from_micros(wait),
            query.query(Query::new(sql, "JSON")),
        );
        assert!(asked.await.is_err());
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    until_running("at once", 0).await;
}

#[tokio::test]
async fn dropping_the_answer_stops_the_stream() {
    let sql = "SELECT number, 'streamed away' FROM numbers(1000000000000)";
    let mut answer = engine().query(Query::new(sql, "CSV")).await.unwrap();
    assert!(!answer.next().await.unwrap().unwrap().is_empty());
    assert_eq!(running("streamed away").await, 1);
    drop(answer);
    until_running("streamed away", 0).await;
}

#[tokio::test]
async fn a_stream_that_is_read_too_slowly_times_out() {
    let sql = "SELECT number, 'slow reader' FROM numbers(1000000000000)";
    let query = Query::new(sql, "CSV").timeout(Duration::from_millis(300));
    let mut answer = engine().query(query).await.unwrap();
    let mut last = None;
    while let Some(chunk) = answer.next().await {
        last = Some(chunk);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(
        matches!(last, Some(Err(EngineError::Timeout { .. }))),
        "{last:?}"
    );
    until_running("slow reader", 0).await;
}

#[tokio::test]
async fn slow_readers_do_not_hold_up_others() {
    let sql = "SELECT number, 'many slow readers' FROM numbers(1000000000000)";
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers.push(engine().query(Query::new(sql, "CSV")).await.unwrap());
    }
    let quick = tokio::time::timeout(Duration::from_secs(2), super::tsv("SELECT 1")).await;
    assert_eq!(quick.expect("a free connection"), "1\n");
    drop(answers);
    until_running("many slow readers", 0).await;
}

#[tokio::test]
async fn what_a_stopped_statement_had_written_reaches_nobody() {
    let sql =
        "SELECT number, sleepEachRow(0.001) FROM numbers(100000) SETTINGS max_block_size = 10";
    for format in ["JSON", "CSV", "XML"] {
        for wait in [30, 60, 90] {
            let query = Query::new(sql, format).timeout(Duration::from_millis(wait));
            let _ = text(query).await;
        }
        for _ in 0..32 {
            assert_eq!(
                text(Query::new("SELECT 'clean'", "TSV")).await.unwrap(),
                "clean\n"
            );
        }
    }
    let failing = "SELECT throwIf(number = 1000) FROM numbers(100000) SETTINGS max_block_size = 10";
    for _ in 0..8 {
        text(Query::new(failing, "JSON")).await.unwrap_err();
        text(Query::new(failing, "CSV")).await.unwrap_err();
        assert_eq!(
            text(Query::new("SELECT 'clean'", "JSONEachRow"))
                .await
                .unwrap(),
            "{\"'clean'\":\"clean\"}\n"
        );
    }
}
