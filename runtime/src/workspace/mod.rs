//! Stage *read*: a folder → `SourceTree`.

mod discover;
mod projects;
mod read;
mod secrets;

pub use discover::{SETTINGS, discover};
pub use projects::{KINDS, folder_of, projects};
pub use read::{ReadError, Workspace, read};
pub use secrets::{SecretsError, secrets};
