//! Text → syntax trees, one file per kind of datafile. Parsing never fails: it returns a tree and diagnostics, and one bad section hides no other.
//!
//! `lines` (one pest run) → `section` (which lines belong together) → `pipe`, `datasource`, `connection`, `token` (what the sections mean);
//! the values of `SCHEMA` and `INDEXES` get a pest run of their own in `entries`.

mod body;
mod clauses;
mod connection;
mod datasource;
mod directives;
mod entries;
mod finding;
mod index;
mod keyword;
mod lines;
mod pipe;
mod schema;
mod section;
mod shape;
#[cfg(test)]
mod tests;
mod token;
mod value;

use pest_derive::Parser;

use crate::diagnostic::Diagnostic;
use crate::source::SourceFile;
use crate::syntax::{ConnectionFile, DatasourceFile, PipeFile, TokenFile};
use keyword::Kind;

/// The generated parser of `datafile.pest`. Its rules match every text, so its errors never reach anyone.
#[derive(Parser)]
#[grammar = "datafile.pest"]
struct DatafileParser;

/// A tree and what was found while reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed<T> {
    /// The tree, as complete as the text allows.
    pub tree: T,
    /// Findings in order of place.
    pub diagnostics: Vec<Diagnostic>,
}

impl<T> Parsed<T> {
    fn new(tree: T, mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics
            .sort_by_key(|diagnostic| diagnostic.primary().map(|span| (span.start, span.end)));
        Self { tree, diagnostics }
    }
}

/// Parses a `.pipe` file.
pub fn parse_pipe(file: &SourceFile) -> Parsed<PipeFile> {
    let (tree, diagnostics) = pipe::build(file, Kind::Pipe);
    Parsed::new(tree, diagnostics)
}

/// Parses a `.incl` file: a fragment of a `.pipe` (or `.datasource`) file.
pub fn parse_include(file: &SourceFile) -> Parsed<PipeFile> {
    let (tree, diagnostics) = pipe::build(file, Kind::Include);
    Parsed::new(tree, diagnostics)
}

/// Parses a `.datasource` file.
pub fn parse_datasource(file: &SourceFile) -> Parsed<DatasourceFile> {
    let (tree, diagnostics) = datasource::build(file);
    Parsed::new(tree, diagnostics)
}

/// Parses a `.connection` file.
pub fn parse_connection(file: &SourceFile) -> Parsed<ConnectionFile> {
    let (tree, diagnostics) = connection::build(file);
    Parsed::new(tree, diagnostics)
}

/// Parses a `.token` file.
pub fn parse_token(file: &SourceFile) -> Parsed<TokenFile> {
    let (tree, diagnostics) = token::build(file);
    Parsed::new(tree, diagnostics)
}
