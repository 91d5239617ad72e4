//! pest pairs → syntax trees, one file per kind of datafile. Parsing never fails: it returns a tree and diagnostics, and one bad section hides no other.

use crate::diagnostic::Diagnostic;
use crate::source::SourceFile;
use crate::syntax::{ConnectionFile, DatasourceFile, PipeFile, TokenFile};

/// A tree and what was found while reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed<T> {
    /// The tree, as complete as the text allows.
    pub tree: T,
    /// Findings in order of place.
    pub diagnostics: Vec<Diagnostic>,
}

/// Parses a `.pipe` file.
pub fn parse_pipe(_file: &SourceFile) -> Parsed<PipeFile> {
    Parsed {
        tree: PipeFile::default(),
        diagnostics: Vec::new(),
    }
}

/// Parses a `.incl` file: a fragment of a `.pipe` (or `.datasource`) file.
pub fn parse_include(_file: &SourceFile) -> Parsed<PipeFile> {
    Parsed {
        tree: PipeFile::default(),
        diagnostics: Vec::new(),
    }
}

/// Parses a `.datasource` file.
pub fn parse_datasource(_file: &SourceFile) -> Parsed<DatasourceFile> {
    Parsed {
        tree: DatasourceFile::default(),
        diagnostics: Vec::new(),
    }
}

/// Parses a `.connection` file.
pub fn parse_connection(_file: &SourceFile) -> Parsed<ConnectionFile> {
    Parsed {
        tree: ConnectionFile::default(),
        diagnostics: Vec::new(),
    }
}

/// Parses a `.token` file.
pub fn parse_token(_file: &SourceFile) -> Parsed<TokenFile> {
    Parsed {
        tree: TokenFile::default(),
        diagnostics: Vec::new(),
    }
}
