//! What tests of random projects have in common: answers that can be compared, and how many projects are tried.

use pipewright::engine::{Engine, Query};
use proptest::prelude::ProptestConfig;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

/// The lines of an answer, sorted.
pub(crate) async fn sorted_lines(
    engine: &dyn Engine,
    sql: &str,
    format: &str,
) -> Result<Vec<String>, String> {
    let answer = engine
        .query(Query::new(sql, format))
        .await
        .map_err(|error| error.to_string())?;
    let bytes = answer.bytes().await.map_err(|error| error.to_string())?;
    let mut lines: Vec<String> = String::from_utf8_lossy(&bytes)
        .lines()
        .map(str::to_owned)
        .collect();
    lines.sort();
    Ok(lines)
}

/// How many cases `PROPTEST_CASES` asks for.
pub(crate) fn asked() -> Option<u32> {
    std::env::var("PROPTEST_CASES").ok()?.parse().ok()
}

pub(crate) fn configuration(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases: asked().unwrap_or(cases),
        failure_persistence: None,
        max_shrink_iters: 600,
        ..ProptestConfig::default()
    }
}

/// The same cases each time, so that one change can be told from another; `PROPTEST_CASES` asks for that many new ones.
pub(crate) fn runner(cases: u32) -> TestRunner {
    if asked().is_some() {
        return TestRunner::new(configuration(cases));
    }
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(configuration(cases), random)
}
