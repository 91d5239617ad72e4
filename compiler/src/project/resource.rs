//! The resources of a project, named and with their templates compiled.

use std::collections::BTreeMap;

use pipewright_grammar::source::{Span, Spanned};
use pipewright_grammar::syntax::{
    ConnectionFile, DatasourceFile, Directive, NodeKind, SqlBody, TokenDecl, TokenFile,
};

use super::{Config, ResourceName, SourceTree};
use crate::template::Template;

/// A folder of datafiles as named resources.
#[derive(Debug, Default)]
pub struct Project {
    /// The files, with those made from includes at the end.
    pub sources: SourceTree,
    /// `pipewright.toml`, or its defaults.
    pub config: Config,
    /// Data sources by name.
    pub datasources: BTreeMap<ResourceName, Datasource>,
    /// Pipes by name.
    pub pipes: BTreeMap<ResourceName, Pipe>,
    /// Connections by name.
    pub connections: BTreeMap<String, Connection>,
    /// `.token` files by name (Classic).
    pub tokens: BTreeMap<String, Token>,
}

/// A data source.
#[derive(Debug)]
pub struct Datasource {
    /// Its name.
    pub name: ResourceName,
    /// The file.
    pub span: Span,
    /// What the file says; for a data source without a file, the `ENGINE` keys of the node that fills it.
    pub syntax: DatasourceFile,
    /// The materialized node (pipe, node) that makes the data source, when it has no file (Classic): its columns are those of the node's SQL.
    pub made_by: Option<(ResourceName, String)>,
}

/// A pipe.
#[derive(Debug)]
pub struct Pipe {
    /// Its name.
    pub name: ResourceName,
    /// The file.
    pub span: Span,
    /// The description, dedented.
    pub description: Option<String>,
    /// `TOKEN` lines.
    pub tokens: Vec<TokenDecl>,
    /// `TAGS`.
    pub tags: Vec<String>,
    /// The nodes in order, includes put in place.
    pub nodes: Vec<Node>,
}

/// One node of a pipe.
#[derive(Debug)]
pub struct Node {
    /// Its name in the pipe.
    pub name: Spanned<String>,
    /// The whole node in the file.
    pub span: Span,
    /// The description, dedented.
    pub description: Option<String>,
    /// What it is for.
    pub kind: NodeKind,
    /// The SQL as written.
    pub body: SqlBody,
    /// The SQL as a template.
    pub template: Template,
    /// The other directives.
    pub directives: Vec<Directive>,
}

/// A connection to another system.
#[derive(Debug)]
pub struct Connection {
    /// The file.
    pub span: Span,
    /// What the file says.
    pub syntax: ConnectionFile,
}

/// A token declared in a file of its own.
#[derive(Debug)]
pub struct Token {
    /// The file.
    pub span: Span,
    /// What the file says.
    pub syntax: TokenFile,
}

impl Pipe {
    /// The node that readers of the pipe get: its endpoint, else its materialized, copy or last node.
    pub fn output(&self) -> Option<&Node> {
        let first = |kind: NodeKind| self.nodes.iter().find(|node| node.kind == kind);
        first(NodeKind::Endpoint)
            .or_else(|| first(NodeKind::Materialized))
            .or_else(|| first(NodeKind::Copy))
            .or_else(|| self.nodes.last())
    }

    /// The node that is served over HTTP, if the pipe is published.
    pub fn endpoint(&self) -> Option<&Node> {
        self.nodes
            .iter()
            .find(|node| node.kind == NodeKind::Endpoint)
    }

    /// The node of that name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name.value == name)
    }
}

impl Node {
    /// The value of a directive; the last one wins. `keyword` in upper case.
    pub fn directive(&self, keyword: &str) -> Option<&Spanned<String>> {
        self.directives
            .iter()
            .rev()
            .find(|directive| directive.keyword.value == keyword)
            .map(|directive| &directive.value)
    }

    /// The data source that a materialized or copy node fills.
    pub fn target(&self) -> Option<&Spanned<String>> {
        match self.kind {
            NodeKind::Materialized => self.directive("DATASOURCE"),
            NodeKind::Copy => self
                .directive("TARGET_DATASOURCE")
                .or_else(|| self.directive("DATASOURCE")),
            _ => None,
        }
    }
}

impl Project {
    /// The data source of that name in the project itself.
    pub fn datasource(&self, name: &str) -> Option<&Datasource> {
        self.datasources.get(&ResourceName::local(name))
    }

    /// The pipe of that name in the project itself.
    pub fn pipe(&self, name: &str) -> Option<&Pipe> {
        self.pipes.get(&ResourceName::local(name))
    }
}
