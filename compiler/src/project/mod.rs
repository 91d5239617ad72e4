//! Stage *load*: `SourceTree` + `pipewright.toml` → [`Project`], the named resources of a folder.
//!
//! Any folder layout is accepted, Classic or Forward: what a file is follows from its ending, and its name from its stem. One bad file hides no other.

mod again;
mod claims;
mod config;
mod edition;
mod include;
mod load;
mod names;
pub mod prose;
mod resource;
mod tree;

pub(crate) use again::{Findings, Known, Names};
pub use config::{Allow, Config, JobsKept, Limits, Policies, Server};
pub use edition::Edition;
pub use load::load;
pub(crate) use load::{Loaded, load_again};
pub use names::{PASSING, ResourceName, is_valid_name, quarantine_name};
pub use resource::{Connection, Datasource, Node, Pipe, Project, Token};
pub use tree::{FileKind, SourceTree};
