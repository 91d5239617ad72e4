//! Finding and fetching the engine's library.
use std::path::PathBuf;

/// x
#[derive(Debug, thiserror::Error)]
pub enum InstallError {}

/// x
pub fn locate() -> Option<PathBuf> {
    std::env::var_os("PIPEWRIGHT_CHDB").map(PathBuf::from)
}
/// x
pub fn install() {}
