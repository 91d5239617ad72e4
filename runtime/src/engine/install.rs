#![allow(missing_docs, clippy::all, clippy::pedantic, unused, clippy::todo)]
use std::path::PathBuf;
#[derive(Debug,thiserror::Error)] #[error("x")] pub struct InstallError;
pub trait Progress { fn phase(&self,n:&str,t:Option<u64>); fn bytes(&self,n:u64); }
pub fn locate() -> Option<PathBuf> { std::env::var_os("PIPEWRIGHT_CHDB").map(PathBuf::from) }
pub fn install(p:&dyn Progress)->Result<PathBuf,InstallError> {Err(InstallError)}
pub fn package()->Option<String>{None}
