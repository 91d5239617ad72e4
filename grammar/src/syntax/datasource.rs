//! `.datasource` files.

use serde::Serialize;

use super::{Directive, Include, SqlBody, TokenDecl, last};
use crate::source::{Span, Spanned};

/// One `.datasource` file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DatasourceFile {
    /// The description.
    pub description: Option<Spanned<String>>,
    /// `TOKEN` lines.
    pub tokens: Vec<TokenDecl>,
    /// `TAGS`, split at commas.
    pub tags: Vec<Spanned<String>>,
    /// `SHARED_WITH` workspaces.
    pub shared_with: Vec<Spanned<String>>,
    /// `INCLUDE` lines (Classic).
    pub includes: Vec<Include>,
    /// The `SCHEMA` value, if there is one.
    pub schema: Option<Span>,
    /// The columns of `SCHEMA` in order.
    pub columns: Vec<ColumnDecl>,
    /// The entries of `INDEXES`.
    pub indexes: Vec<IndexDecl>,
    /// `ENGINE`.
    pub engine: Option<Spanned<String>>,
    /// `FORWARD_QUERY`: how rows of the old schema become rows of this one.
    pub forward_query: Option<SqlBody>,
    /// Every other directive (`ENGINE_*`, `KAFKA_*`, `IMPORT_*`, `PG_*`, `BACKFILL`, `VERSION`, …) in file order.
    pub directives: Vec<Directive>,
}

impl DatasourceFile {
    /// The value of a directive; the last one wins where it is repeated. `keyword` in upper case.
    pub fn directive(&self, keyword: &str) -> Option<&Directive> {
        last(&self.directives, keyword)
    }
}

/// One column of a `SCHEMA`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnDecl {
    /// The name without back-quotes.
    pub name: Spanned<String>,
    /// The ClickHouse type as written; absent when only a default was given.
    pub data_type: Option<Spanned<String>>,
    /// The default expression and its kind.
    pub default: Option<(DefaultKind, Spanned<String>)>,
    /// The text between the parentheses of `CODEC(…)`.
    pub codec: Option<Spanned<String>>,
    /// The JSON path without the `json:` prefix, such as `$.a.b[:].c`.
    pub json_path: Option<Spanned<String>>,
    /// A column `TTL` expression.
    pub ttl: Option<Spanned<String>>,
    /// The whole entry.
    pub span: Span,
}

/// How a column gets the value that an insert does not give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum DefaultKind {
    /// `DEFAULT expr`.
    Default,
    /// `MATERIALIZED expr` (Classic).
    Materialized,
    /// `ALIAS expr`.
    Alias,
    /// `EPHEMERAL [expr]`.
    Ephemeral,
}

/// One entry of `INDEXES`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IndexDecl {
    /// The index's name.
    pub name: Spanned<String>,
    /// The indexed expression.
    pub expression: Spanned<String>,
    /// The kind with its arguments, such as `bloom_filter(0.01)`.
    pub kind: Spanned<String>,
    /// `GRANULARITY`, if given.
    pub granularity: Option<Spanned<u64>>,
    /// The whole entry.
    pub span: Span,
}
