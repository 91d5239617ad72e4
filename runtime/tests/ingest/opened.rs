//! The engine of a test's process, and projects for it.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use pipewright::engine::{self, Config, Engine, Query};
use pipewright_compiler::plan::Plan;
use pipewright_compiler::project::SourceTree;

/// The engine of this process, and the folder of its state, which is called so.
pub(crate) fn opened(name: &str) -> &'static (Arc<dyn Engine>, PathBuf) {
    static OPENED: OnceLock<(Arc<dyn Engine>, PathBuf)> = OnceLock::new();
    OPENED.get_or_init(|| {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        _ = std::fs::remove_dir_all(&folder);
        let config = Config::embedded(&folder);
        let open = move || {
            tokio::runtime::Runtime::new()
                .expect("a runtime")
                .block_on(engine::open(config))
        };
        let opened = std::thread::spawn(open).join().expect("no panic");
        (opened.expect("these tests need the engine"), folder)
    })
}

/// The answer of a query, its columns separated by tabs.
pub(crate) async fn text(engine: &dyn Engine, sql: &str) -> String {
    let answer = engine
        .query(Query::new(sql, "TSV"))
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    String::from_utf8(answer.bytes().await.expect("bytes").to_vec()).expect("UTF-8")
}

/// A project without errors.
pub(crate) fn checked(files: &[(&str, &str)]) -> Plan {
    let sources = SourceTree::new(
        files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned())),
    );
    let (plan, diagnostics) = pipewright_compiler::check(sources);
    assert!(
        diagnostics
            .iter()
            .all(|found| found.severity != pipewright_grammar::diagnostic::Severity::Error),
        "{diagnostics:?}"
    );
    plan
}
