//! The typed trees of one file: only spans and text, no names resolved and no ClickHouse semantics.
//!
//! Every directive of a file is kept, also the ones that this version does not use, so that later stages can show them and a formatter loses nothing.

mod connection;
mod datasource;
mod pipe;
mod token;

use serde::Serialize;

pub use connection::ConnectionFile;
pub use datasource::{ColumnDecl, DatasourceFile, DefaultKind, IndexDecl};
pub use pipe::{Include, NodeDecl, NodeKind, PipeFile};
pub use token::{ScopeDecl, TokenFile};

use crate::source::{Span, Spanned};

/// One directive, `KEYWORD value` on a line or `KEYWORD >` with a block below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Directive {
    /// The keyword in upper case, aliases replaced by the name they stand for (`INDICES` → `INDEXES`).
    pub keyword: Spanned<String>,
    /// The value: one line with the outer quotes taken off, or the text of the block.
    pub value: Spanned<String>,
    /// Whether the value was written as a `>` block.
    pub block: bool,
}

/// The text of a `SQL >`-like block.
///
/// `text` has exactly the bytes of `span`, except that each byte of a `#` comment line (outside of string literals) is a blank, so that offsets into
/// `text` are offsets into the file (`span.start + offset`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SqlBody {
    /// The bytes of the body, from its first non-blank to its last non-blank byte.
    pub span: Span,
    /// The SQL, of the same length as `span`. A leading `%` (which makes it a template) is part of it.
    pub text: String,
}

impl SqlBody {
    /// Whether the body is a template: its first byte is `%`.
    pub fn is_template(&self) -> bool {
        self.text.starts_with('%')
    }
}

/// `TOKEN name PERMISSION` in a datafile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenDecl {
    /// The token's name.
    pub name: Spanned<String>,
    /// `READ` or `APPEND` in upper case, or what else was written.
    pub permission: Spanned<String>,
}

/// Finds the last directive of that keyword: a repeated directive overwrites.
pub(crate) fn last<'a>(directives: &'a [Directive], keyword: &str) -> Option<&'a Directive> {
    directives
        .iter()
        .rev()
        .find(|directive| directive.keyword.value == keyword)
}
