//! `.pipe` files, and `.incl` files as fragments of them.

use serde::Serialize;

use super::{Directive, SqlBody, TokenDecl, last};
use crate::source::{Span, Spanned};

/// One `.pipe` file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PipeFile {
    /// The pipe's description.
    pub description: Option<Spanned<String>>,
    /// `TOKEN` lines.
    pub tokens: Vec<TokenDecl>,
    /// `TAGS`, split at commas.
    pub tags: Vec<Spanned<String>>,
    /// The nodes in file order.
    pub nodes: Vec<NodeDecl>,
    /// `INCLUDE` lines in file order.
    pub includes: Vec<Include>,
    /// Every other directive before the first node (`VERSION`, `MAINTAINER`, `SOURCE`, …); in a `.incl` fragment also what belongs to the node that includes it.
    pub directives: Vec<Directive>,
    /// An SQL body before the first `NODE`: an error in a `.pipe`, the node's SQL in a `.incl`.
    pub sql: Option<SqlBody>,
}

/// One `NODE` with all that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeDecl {
    /// The node's name.
    pub name: Spanned<String>,
    /// From the `NODE` keyword to the end of its last directive.
    pub span: Span,
    /// The node's description.
    pub description: Option<Spanned<String>>,
    /// The SQL, if the node has any.
    pub sql: Option<SqlBody>,
    /// `TYPE`, if given.
    pub kind: Option<Spanned<NodeKind>>,
    /// Every other directive of the node (`DATASOURCE`, `TARGET_DATASOURCE`, `COPY_*`, `EXPORT_*`, `ENGINE*`, …) in file order.
    pub directives: Vec<Directive>,
}

impl NodeDecl {
    /// The value of a directive; the last one wins where it is repeated. `keyword` in upper case.
    pub fn directive(&self, keyword: &str) -> Option<&Directive> {
        last(&self.directives, keyword)
    }
}

impl PipeFile {
    /// The value of a directive that stands before the first node. `keyword` in upper case.
    pub fn directive(&self, keyword: &str) -> Option<&Directive> {
        last(&self.directives, keyword)
    }
}

/// What a node is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    /// A step that others read.
    Standard,
    /// Published over HTTP.
    Endpoint,
    /// Feeds a data source with every insert into the table that it reads.
    Materialized,
    /// Fills a data source on demand or by schedule.
    Copy,
    /// Exports to a connection.
    Sink,
    /// Exports to a stream (Classic).
    Stream,
    /// Some other word; a diagnostic said so.
    Other(String),
}

/// `INCLUDE "file" "KEY=value" …` (Classic).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Include {
    /// The path as written, relative to the including file.
    pub path: Spanned<String>,
    /// `KEY=value` arguments.
    pub arguments: Vec<(String, String)>,
    /// How many nodes of the file stand before the line: the included ones go there.
    pub node_index: usize,
    /// How many directives of that position stand before it (in the node, or before the first node).
    pub directive_index: usize,
}
