//! Diagnostics after the fact: rendering them, and applying the changes that they suggest.

mod fix;
pub mod render;
mod sources;

pub use fix::apply_fixes;
pub use sources::Sources;
