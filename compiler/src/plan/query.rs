//! From a node, a branch or a query from outside and the values of a request to one SQL statement. The author's text is edited and never printed anew.

use std::collections::BTreeSet;
use std::sync::Arc;

use pipewright_grammar::diagnostic::Diagnostic;
use pipewright_grammar::source::SourceId;

use super::Plan;
use super::allowed::{allowed, scan};
use super::compilation::Compilation;
use super::filter::RowFilters;
use super::outside::changes_pipes;
use super::shape;
use crate::graph::{Branch, NodeId, Scope};
use crate::mapped_text::MappedText;
use crate::optimize::Rewrite;
use crate::project::ResourceName;
use crate::sql::{Scan, Setting, Use};
use crate::template::{RenderContext, Settings, TemplateError, Values};

/// What a request brings.
#[derive(Clone, Copy)]
pub struct RequestContext<'a> {
    /// The parameter values.
    pub values: &'a Values,
    /// How templates are rendered; `tables` is set for each pipe by the plan.
    pub render: RenderContext<'a>,
}

/// A statement that the engine can run.
#[derive(Debug, Clone, Default)]
pub struct Compiled {
    /// The statement with the origin of every byte.
    pub sql: MappedText,
    /// What the templates asked for.
    pub settings: Settings,
    /// Secrets to bind as `{name: String}`.
    pub secrets: BTreeSet<String>,
    /// The data sources that are read.
    pub datasources: BTreeSet<ResourceName>,
    /// The service data sources and system tables that are read.
    pub services: BTreeSet<String>,
    /// The pipes whose output a query names itself, as against those that it reads through them.
    pub named_pipes: BTreeSet<ResourceName>,
    /// The data sources and service data sources that a query names itself.
    pub named_tables: BTreeSet<String>,
    /// Names right of an `IN` that are no resource: columns or expressions, if the engine has no tables of these names.
    pub unknown_sets: BTreeSet<String>,
    /// The format that a query asked for with a trailing `FORMAT`.
    pub format: Option<String>,
    /// Whether a row filter is part of the statement: what the engine says of it may quote the filter.
    pub hides_rows: bool,
    /// What the optimizer did, in order.
    pub rewrites: Arc<[Rewrite]>,
}

/// Why a request cannot become a statement.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueryError {
    /// A parameter is missing or wrong, or the template raised an error.
    #[error("{0}")]
    Template(TemplateError),
    /// The SQL is not allowed or names something that does not exist.
    #[error("{}", .0.message)]
    Sql(Box<Diagnostic>),
    /// There is no such node.
    #[error("there is no node `{0}`")]
    NoSuchNode(String),
}

impl From<Diagnostic> for QueryError {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Sql(Box::new(diagnostic))
    }
}

impl Plan {
    /// The statement of a node for a request.
    pub fn compile_node(
        &self,
        id: &NodeId,
        request: RequestContext<'_>,
    ) -> Result<Compiled, QueryError> {
        self.compile_node_for(id, request, RowFilters::NONE)
    }

    /// The statement of a node before the optimizer looks at it.
    pub fn compile_node_as_written(
        &self,
        id: &NodeId,
        request: RequestContext<'_>,
        filters: &RowFilters,
    ) -> Result<Compiled, QueryError> {
        let mut compilation = Compilation::new(self, request, filters);
        let node = compilation.node(id)?;
        Ok(compilation.finish(&node))
    }

    /// The statement of a node for a caller who sees only some rows.
    pub fn compile_node_for(
        &self,
        id: &NodeId,
        request: RequestContext<'_>,
        filters: &RowFilters,
    ) -> Result<Compiled, QueryError> {
        let mut compiled = self.compile_node_as_written(id, request, filters)?;
        self.optimize(id, &mut compiled);
        Ok(compiled)
    }

    /// The statement of one branch of a node as a check renders it, with the nodes that it reads on the way of their defaults.
    pub fn compile_branch(&self, id: &NodeId, branch: &Branch) -> Result<Compiled, QueryError> {
        let (pipe, _) = self
            .node(id)
            .ok_or_else(|| QueryError::NoSuchNode(id.to_string()))?;
        let (text, values) = (&branch.rendered.sql, Values::default());
        let secrets = &branch.rendered.secrets;
        allowed(
            text,
            &branch.scan,
            &self.policies.common,
            Use::Node,
            secrets,
        )?;
        let request = RequestContext {
            values: &values,
            render: RenderContext::check(),
        };
        let mut compilation = Compilation::new(self, request, RowFilters::NONE);
        let secrets = secrets.iter().cloned();
        compilation.compiled.secrets.extend(secrets);
        let shape = compilation.shape(text, &branch.scan, Self::scope(pipe, &id.node))?;
        compilation.under_way.push(id.clone());
        let node = compilation.inline(text, &shape.0)?;
        Ok(compilation.finish(&node))
    }

    /// The statement of a query from outside, in which pipes and data sources are tables and `_` is `underscore`. One that begins with `%` is a template.
    pub fn compile_query(
        &self,
        text: &str,
        underscore: Option<&str>,
        request: RequestContext<'_>,
    ) -> Result<Compiled, QueryError> {
        self.compile_query_for(text, underscore, request, RowFilters::NONE)
    }

    /// The statement of a query from outside, for a caller who sees only some rows.
    pub fn compile_query_for(
        &self,
        text: &str,
        underscore: Option<&str>,
        request: RequestContext<'_>,
        filters: &RowFilters,
    ) -> Result<Compiled, QueryError> {
        let scope = Scope {
            underscore: underscore.and_then(|name| self.project.pipe(name)),
            ..Scope::default()
        };
        let mut compilation = Compilation::new(self, request, filters);
        let mut mapped = compilation.query(text)?;
        let mut scan = scan(&mapped)?;
        allowed(&mapped, &scan, &self.policies.common, Use::Query, &[])?;
        let format = scan.format.as_ref().map(|format| format.name.clone());
        if let Some(without) = without_format(&mapped, &scan) {
            mapped = without;
            scan = self::scan(&mapped)?;
        }
        let mut shape = compilation.shape(&mapped, &scan, scope)?.0;
        let mut tables = shape.tables.iter();
        let hides_rows = tables.any(|table| filters.of(&table.resource()).is_some());
        if hides_rows || !shape.inlines.is_empty() {
            changes_pipes(&mapped, &scan, hides_rows)?;
        }
        if let Some(format) = &scan.format {
            shape.end = shape::anchor(&mapped, format.span.start).unwrap_or_default();
        }
        compilation.compiled.named_pipes = shape
            .inlines
            .iter()
            .map(|inline| inline.target.pipe.clone())
            .collect();
        let named = shape
            .tables
            .iter()
            .map(|table| table.resource().to_string());
        let doubtful = shape.doubtful.iter().map(ToString::to_string);
        compilation.compiled.named_tables = named.chain(doubtful).collect();
        let node = compilation.inline(&mapped, &shape)?;
        Ok(Compiled {
            format,
            ..compilation.finish(&node)
        })
    }
}

/// A query without its `FORMAT`, where settings come after it.
fn without_format(text: &MappedText, scan: &Scan) -> Option<MappedText> {
    let format = &scan.format.as_ref()?.span;
    let is_behind = |setting: &Setting| setting.span.start >= format.end;
    scan.settings
        .iter()
        .any(is_behind)
        .then(|| text.splice(&[(format.clone(), MappedText::new())]))
}

/// The source id of text that is in no file.
pub const QUERY_SOURCE: SourceId = SourceId(u32::MAX);
