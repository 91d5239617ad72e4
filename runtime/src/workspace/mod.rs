//! Stage *read*: a folder → `SourceTree`.

mod discover;
mod read;

pub use discover::discover;
pub use read::{ReadError, Workspace, read};
