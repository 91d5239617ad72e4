//! Syntax trees of a pipe project → artifacts: a function from values to values, without IO.

pub mod diagnostics;
pub mod mapped_text;
pub mod sql;
pub mod template;
pub mod types;
