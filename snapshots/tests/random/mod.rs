//! What tests of random projects have in common: an engine in a folder of its own, and how many projects are tried.

use std::sync::Arc;

use pipewright::engine::{self, Config, Engine, Query};
use proptest::prelude::ProptestConfig;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// An engine without data, and what runs its futures.
pub(crate) struct Opened {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) runtime: Runtime,
    _state: TempDir,
}

impl Opened {
    pub(crate) fn new() -> Self {
        let state = tempfile::tempdir().expect("a temporary folder");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        assert!(
            engine::locate().is_some(),
            "the engine is not installed: run `cargo run -- engine install`"
        );
        let engine: Arc<dyn Engine> = runtime
            .block_on(engine::open(Config::embedded(state.path())))
            .expect("the engine opens");
        Self {
            engine,
            runtime,
            _state: state,
        }
    }

    pub(crate) fn close(self) {
        self.runtime.block_on(self.engine.shutdown());
    }
}

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
