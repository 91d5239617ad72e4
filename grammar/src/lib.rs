//! Text of a pipe project → syntax trees.
//!
//! This crate knows the shape of the files and of the template language, and nothing of ClickHouse. Parsing never fails: each function returns a tree
//! and diagnostics.

pub mod codes;
pub mod diagnostic;
mod parse;
pub mod source;
pub mod syntax;
pub mod template;

pub use parse::{
    Parsed, parse_connection, parse_datasource, parse_include, parse_pipe, parse_token,
};
