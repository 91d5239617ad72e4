//! The engine's library comes through npm, also where there is no network to it.

use std::process::Command;
use std::time::{Duration, Instant};

use super::tools;

#[test]
fn without_a_registry_the_engine_s_installation_ends_soon_and_says_why() {
    let cache = tempfile::tempdir().expect("a folder");
    let begun = Instant::now();
    let done = Command::new(env!("CARGO_BIN_EXE_pipewright"))
        .args(["engine", "install"])
        .current_dir(cache.path())
        .env_remove("PIPEWRIGHT_CHDB")
        .env("PIPEWRIGHT_CACHE", cache.path())
        .env("HOME", cache.path())
        // Nobody listens on the port of `discard`.
        .env("npm_config_registry", "http://127.0.0.1:9/")
        .output()
        .expect("the binary runs");
    let said = tools::said(&done);
    assert_eq!(done.status.code(), Some(2), "{said}");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(50), "{took:?}: {said}");
    let last = said.lines().last().expect("a line");
    assert!(
        last.starts_with("error: cannot install the embedded ClickHouse: npm could not fetch"),
        "{said}"
    );
    assert!(
        last.contains("ECONNREFUSED") && last.contains("PIPEWRIGHT_CHDB"),
        "{said}"
    );
}
