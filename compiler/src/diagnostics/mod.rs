//! Diagnostics after the fact: rendering them, and applying the changes that they suggest.

pub mod codes;
mod fix;
pub mod render;
mod sources;

pub use fix::apply_fixes;
pub use sources::Sources;
