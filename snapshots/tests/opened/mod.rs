//! An engine for a test, in a folder of its own.

use std::sync::Arc;

use pipewright::engine::{self, Config, Engine};
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
