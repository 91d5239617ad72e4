//! The resources of a project, named and with their templates compiled.

use std::collections::BTreeMap;

use pipewright_grammar::source::{Span, Spanned};
use pipewright_grammar::syntax::{
    ConnectionFile, DatasourceFile, Directive, NodeKind, SqlBody, TokenDecl, TokenFile,
};

use super::{Config, Edition, ResourceName, SourceTree};
use crate::template::Template;

/// A folder of datafiles as named resources.
#[derive(Debug, Default)]
pub struct Project {
    /// The files, with those made from includes at the end.
    pub sources: SourceTree,
    /// `pipewright.toml`, or its defaults.
    pub config: Config,
    /// For which of the two the files are written.
    pub edition: Edition,
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
#[derive(Debug, PartialEq, Eq)]
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
    /// `VERSION` (Classic).
    pub version: Option<u32>,
    /// Whether a node says `TYPE standard`: that the pipe is not to be served.
    pub says_standard: bool,
    /// Whether its endpoint is its last node because no node has a `TYPE` (Classic).
    pub published_by_default: bool,
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
    /// Where `TYPE` says so.
    pub kind_at: Option<Span>,
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

impl Datasource {
    /// `VERSION` (Classic).
    pub fn version(&self) -> Option<u32> {
        self.syntax.directive("VERSION")?.value.value.parse().ok()
    }
}

impl Project {
    /// The resource that `name__vN` means: with `VERSION N`, a Classic push names it so, while files name it without.
    pub fn unversioned(&self, name: &ResourceName) -> Option<ResourceName> {
        let (plain, version) = name.name.rsplit_once("__v")?;
        let plain = ResourceName {
            workspace: name.workspace.clone(),
            name: plain.to_owned(),
        };
        let declared = match self.pipes.get(&plain) {
            Some(pipe) => pipe.version,
            None => self.datasources.get(&plain)?.version(),
        };
        (declared? == version.parse::<u32>().ok()?).then_some(plain)
    }

    /// The data source that a node of a pipe fills under that name.
    pub(crate) fn target_name(&self, pipe: &Pipe, target: &str) -> ResourceName {
        let name = ResourceName {
            workspace: pipe.name.workspace.clone(),
            name: target.to_owned(),
        };
        if self.datasources.contains_key(&name) {
            return name;
        }
        self.unversioned(&name).unwrap_or(name)
    }

    /// The data source of that name in the project itself.
    pub fn datasource(&self, name: &str) -> Option<&Datasource> {
        self.datasources.get(&ResourceName::local(name))
    }

    /// The pipe of that name in the project itself.
    pub fn pipe(&self, name: &str) -> Option<&Pipe> {
        self.pipes.get(&ResourceName::local(name))
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::{RequestContext, Role, RowFilters};
    use crate::project::SourceTree;
    use crate::template::{RenderContext, Values};

    /// A query over resources with versions, for one who sees the rows of a day.
    fn compiled(text: &str, filter: Option<&str>) -> String {
        let files = [
            (
                "views.datasource",
                "VERSION 3\n\nSCHEMA >\n    `day` Date,\n    `path` String\n",
            ),
            ("days.datasource", "VERSION 2\n\nSCHEMA >\n    `day` Date\n"),
            (
                "top.pipe",
                "VERSION 1\nNODE a\nSQL >\n    SELECT path FROM views__v3\n\nTYPE endpoint\n",
            ),
            (
                "v.pipe",
                "NODE n\nSQL >\n    SELECT day FROM views\n\nTYPE materialized\nDATASOURCE days__v2\n",
            ),
        ];
        let files = files.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let (plan, diagnostics) = crate::compile(SourceTree::new(files));
        assert_eq!(diagnostics, []);
        let role = &plan.pipe("v").unwrap().nodes[0].role;
        assert!(matches!(role, Role::Materialized { target } if target.name == "days"));
        let mut filters = RowFilters::default();
        if let Some(filter) = filter {
            filters.add("views", filter);
        }
        let values = Values::default();
        let request = RequestContext {
            values: &values,
            render: RenderContext::default(),
        };
        let compiled = plan.compile_query_for(text, None, request, &filters);
        compiled.map_or_else(
            |error| error.to_string(),
            |compiled| compiled.sql.into_text(),
        )
    }

    #[test]
    fn a_name_with_its_version_means_what_is_named_without() {
        assert_eq!(
            compiled(
                "SELECT views__v3.path FROM views__v3 FINAL WHERE day IN days__v2",
                None
            ),
            "SELECT views__v3.path FROM views AS views__v3 FINAL WHERE day IN days"
        );
        assert_eq!(
            compiled("SELECT v.path FROM views__v3 AS v, views", None),
            "SELECT v.path FROM views AS v, views"
        );
        assert_eq!(
            compiled("SELECT * FROM top__v1", None),
            "SELECT * FROM (\nSELECT path FROM views AS views__v3\n) AS top__v1"
        );
        let other = compiled("SELECT * FROM views__v2", None);
        assert!(other.contains("`views__v2` is no node"), "{other}");
    }

    #[test]
    fn a_row_filter_holds_under_a_name_with_a_version_too() {
        assert_eq!(
            compiled(
                "SELECT views__v3.path FROM views__v3 FINAL",
                Some("day = '2026-01-01'")
            ),
            "SELECT views__v3.path FROM (SELECT * FROM views FINAL WHERE (\nday = '2026-01-01'\n)) AS views__v3 "
        );
        assert_eq!(
            compiled("SELECT * FROM top__v1", Some("day > 1")),
            "SELECT * FROM (\nSELECT path FROM (SELECT * FROM views PREWHERE (\nday > 1\n)) AS views__v3\n) AS top__v1"
        );
    }
}
