//! Builds the graph: every branch of every node is rendered, scanned for table names, and each name is resolved.

use std::collections::BTreeMap;

use pipewright_grammar::diagnostic::{Code, Diagnostic, Severity};
use pipewright_grammar::source::Span;
use pipewright_grammar::syntax::NodeKind;
use rayon::prelude::*;

use super::resolve::{Scope, Target, resolve, suggestions};
use super::{Edge, Graph, NodeId, Vertex, cycle};
use crate::diagnostics::codes;
use crate::mapped_text::PieceKind;
use crate::project::{Node, Pipe, Policies, Project};
use crate::sql::{self, Policy, Position, Scan, TableReference, Use};
use crate::template::{ErrorKind, RenderContext, Rendered};

/// One feasible rendering of a node, with check-time values.
#[derive(Debug)]
pub struct Branch {
    /// The text and its source map.
    pub rendered: Rendered,
    /// What the statement is made of.
    pub scan: Scan,
}

/// What a node reads.
#[derive(Debug, Default)]
pub struct NodeReads {
    /// Its feasible renderings that tokenize.
    pub branches: Vec<Branch>,
    /// What is read, with the first place where it is.
    pub sources: BTreeMap<Vertex, Option<Span>>,
    /// Whether the name of some table is computed, so that with other values, or at another time, it may be one that is not among the sources.
    pub computes_names: bool,
    /// What was found on the way.
    found: Vec<Diagnostic>,
}

impl NodeReads {
    /// Where in the file `vertex` is read.
    pub fn place_of(&self, vertex: &Vertex) -> Option<Span> {
        self.sources.get(vertex).copied().flatten()
    }
}

/// Resolves every name of every node. What cannot be resolved is a diagnostic; the rest of the graph is there all the same.
pub fn build(project: &Project, policies: &Policies) -> (Graph, Vec<Diagnostic>) {
    build_again(project, policies, BTreeMap::new())
}

/// The same, where it is known from before what some nodes read.
pub(crate) fn build_again(
    project: &Project,
    policies: &Policies,
    mut known: BTreeMap<NodeId, NodeReads>,
) -> (Graph, Vec<Diagnostic>) {
    let nodes: Vec<(&Pipe, &Node)> = project
        .pipes
        .values()
        .flat_map(|pipe| pipe.nodes.iter().map(move |node| (pipe, node)))
        .collect();
    let waiting: Vec<_> = nodes
        .into_iter()
        .map(|(pipe, node)| {
            let id = NodeId::of(pipe, node);
            let reads = known.remove(&id);
            (pipe, node, id, reads)
        })
        .collect();
    let analysed: Vec<_> = waiting
        .into_par_iter()
        .map(|(pipe, node, id, reads)| {
            let reads = reads.unwrap_or_else(|| {
                let (mut reads, found) = read(project, policies, pipe, node);
                reads.found = found;
                reads
            });
            (pipe, node, id, reads)
        })
        .collect();
    let mut graph = Graph::default();
    for name in project.datasources.keys() {
        graph.vertex(&Vertex::Datasource(name.clone()));
    }
    let mut diagnostics = Vec::new();
    for (pipe, node, id, reads) in analysed {
        diagnostics.extend(reads.found.iter().cloned());
        let vertex = Vertex::Node(id.clone());
        let vertex = graph.vertex(&vertex);
        for source in reads.sources.keys() {
            let source = graph.vertex(source);
            graph.connect(source, vertex, Edge::Read);
        }
        if let Some(target) = node.target() {
            let edge = if node.kind == NodeKind::Copy {
                Edge::Copy
            } else {
                Edge::Materialize
            };
            let name = project.target_name(pipe, &target.value);
            if project.datasources.contains_key(&name) {
                let target = graph.vertex(&Vertex::Datasource(name));
                graph.connect(vertex, target, edge);
            }
        }
        graph.reads.insert(id, reads);
    }
    diagnostics.extend(cycle::find(&graph, project));
    (graph, diagnostics)
}

fn read(
    project: &Project,
    policies: &Policies,
    pipe: &Pipe,
    node: &Node,
) -> (NodeReads, Vec<Diagnostic>) {
    let policy = policies.of_node(&node.kind);
    let mut reads = NodeReads {
        computes_names: node.template.computes_tables(),
        ..NodeReads::default()
    };
    let mut diagnostics: Vec<Diagnostic> = Vec::new();
    let known = |name: &str| {
        resolve(
            project,
            policy,
            Scope {
                pipe: Some(pipe),
                node: None,
                underscore: None,
            },
            None,
            name,
        )
        .is_some()
    };
    let context = RenderContext {
        tables: Some(&known),
        ..RenderContext::check()
    };
    let scope = Scope {
        pipe: Some(pipe),
        node: Some(&node.name.value),
        underscore: None,
    };
    // A template that cannot be rendered at all was reported when it was compiled.
    let branches = if node.template.error().is_some() {
        Vec::new()
    } else {
        node.template.branches(&context)
    };
    for (at, rendered) in branches.into_iter().enumerate() {
        let found = match rendered {
            Err(error) if at == 0 || holds_for_any_value(error.kind) => {
                vec![error.to_diagnostic_at(node.body.span)]
            }
            // Conditions were forced there, so that values may be missing that a request which gets there would bring.
            Err(_) => Vec::new(),
            Ok(rendered) => read_branch(project, policy, scope, node, rendered, &mut reads),
        };
        diagnostics.extend(found.into_iter().map(|diagnostic| {
            if at == 0 {
                diagnostic
            } else {
                in_a_branch(diagnostic)
            }
        }));
    }
    for table in node.template.tables() {
        let vertex = resolve(project, policy, scope, None, &table.value)
            .map(|target| vertex_of(&target, None, &table.value));
        match vertex {
            Some(vertex) => _ = reads.sources.entry(vertex).or_insert(Some(table.span)),
            None => diagnostics.push(unknown(
                project,
                scope,
                &table.value,
                &table.value,
                Some(table.span),
            )),
        }
    }
    dedup(&mut diagnostics);
    (reads, diagnostics)
}

/// Adds what a branch reads; gives what is found in it.
fn read_branch(
    project: &Project,
    policy: &Policy,
    scope: Scope<'_>,
    node: &Node,
    rendered: Rendered,
    reads: &mut NodeReads,
) -> Vec<Diagnostic> {
    let branch = match scan(rendered, node) {
        Ok(branch) => branch,
        Err(diagnostic) => return vec![*diagnostic],
    };
    let mut found = violations(&branch, policy, node);
    for table in &branch.scan.tables {
        let sources = &mut reads.sources;
        resolve_table(project, policy, scope, &branch, table, sources, &mut found);
    }
    reads.computes_names |= is_put_together(&branch);
    reads.branches.push(branch);
    found
}

/// Whether a value is a part of some table's name. What `table()` gave is looked at where it is written.
fn is_put_together(branch: &Branch) -> bool {
    let is_value = |kind| matches!(kind, PieceKind::Literal | PieceKind::Structural);
    let text = &branch.rendered.sql;
    let values = text.pieces().filter(|(_, piece)| is_value(piece.kind));
    let values: Vec<_> = values
        .filter(|(place, _)| {
            let given = text.text()[place.clone()].trim_matches('`');
            !branch.rendered.tables.iter().any(|table| table == given)
        })
        .collect();
    branch.scan.tables.iter().any(|table| {
        values
            .iter()
            .any(|(place, _)| place.start < table.span.end && table.span.start < place.end)
    })
}

/// Whether an error is the template's own, whatever a request brings.
fn holds_for_any_value(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnknownTable
            | ErrorKind::UnknownKeyword
            | ErrorKind::DuplicateArgument
            | ErrorKind::MissingArgument
    )
}

/// A finding of a branch that requests without parameters do not take: the node answers them all the same, so that it is no reason not to serve it.
fn in_a_branch(mut diagnostic: Diagnostic) -> Diagnostic {
    diagnostic.severity = Severity::Warning;
    diagnostic.note("only requests whose parameters lead into this branch fail")
}

fn scan(rendered: Rendered, node: &Node) -> Result<Branch, Box<Diagnostic>> {
    if rendered.sql.text().trim().is_empty() {
        let diagnostic = Diagnostic::error(
            Code::EMPTY_SQL,
            format!("node `{}` has no SQL when it is rendered", node.name.value),
        )
        .label(node.name.span, "this node")
        .help("give every branch of the template a statement");
        return Err(Box::new(diagnostic));
    }
    match sql::scan(rendered.sql.text()) {
        Ok(scan) => match super::values::parts_of_others(&rendered.sql) {
            Ok(_) => Ok(Branch { rendered, scan }),
            Err(diagnostic) => Err(diagnostic),
        },
        Err(error) => {
            let span = rendered
                .sql
                .locate_range(error.span.clone())
                .unwrap_or(node.body.span);
            let diagnostic = Diagnostic::error(codes::SQL_SYNTAX, error.message);
            Err(Box::new(diagnostic.label(span, "")))
        }
    }
}

fn violations(branch: &Branch, policy: &Policy, node: &Node) -> Vec<Diagnostic> {
    sql::guard(&branch.scan, policy, Use::Node)
        .into_iter()
        .chain(sql::unbound(&branch.scan, &branch.rendered.secrets))
        .map(|violation| {
            let span = branch
                .rendered
                .sql
                .locate_range(violation.span)
                .unwrap_or(node.body.span);
            let mut diagnostic =
                Diagnostic::error(codes::SQL_NOT_ALLOWED, violation.message).label(span, "");
            if let Some(help) = violation.help {
                diagnostic = diagnostic.help(help);
            }
            diagnostic
        })
        .collect()
}

fn resolve_table(
    project: &Project,
    policy: &Policy,
    scope: Scope<'_>,
    branch: &Branch,
    table: &TableReference,
    sources: &mut BTreeMap<Vertex, Option<Span>>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let span = branch.rendered.sql.locate_range(table.span.clone());
    let database = table.database.as_deref();
    let Some(target) = resolve(project, policy, scope, database, &table.name) else {
        if must_resolve(table) {
            diagnostics.push(unknown(
                project,
                scope,
                &table.name,
                &table.display_name(),
                span,
            ));
        }
        return;
    };
    if let (Target::Node(..), Some(modifier)) = (&target, table.needs_a_table()) {
        diagnostics.push(modifier_on_node(
            &table.name,
            branch.rendered.sql.locate_range(modifier),
        ));
    }
    sources
        .entry(vertex_of(&target, database, &table.name))
        .or_insert(span);
}

/// Whether a name that nothing has is a mistake. A dictionary is an object of the engine, which a project cannot declare; the engine takes a name after
/// `IN` for a column first; a parameter names a table only when it is bound.
pub(crate) fn must_resolve(table: &TableReference) -> bool {
    !table.parameter && !matches!(table.position, Position::Dictionary | Position::In)
}

/// The vertex for what a name resolved to.
pub(crate) fn vertex_of(target: &Target<'_>, database: Option<&str>, name: &str) -> Vertex {
    match target {
        Target::Node(pipe, node) => Vertex::Node(NodeId::of(pipe, node)),
        Target::Datasource(datasource) => Vertex::Datasource(datasource.name.clone()),
        Target::Service => Vertex::Service(
            database.map_or_else(|| name.to_owned(), |database| format!("{database}.{name}")),
        ),
    }
}

/// The diagnostic for a name that nothing has. A qualified name may be a resource that another workspace shares, which files cannot tell.
pub(crate) fn unknown(
    project: &Project,
    scope: Scope<'_>,
    name: &str,
    qualified: &str,
    span: Option<Span>,
) -> Diagnostic {
    if let Some((workspace, _)) = qualified.split_once('.').filter(|_| qualified != name) {
        let mut diagnostic = Diagnostic::warning(
            codes::UNKNOWN_RESOURCE,
            format!("`{qualified}` is not in this project"),
        );
        if let Some(span) = span {
            diagnostic = diagnostic.label(span, "not found");
        }
        return diagnostic.help(format!(
            "if workspace `{workspace}` shares it, put its datafile below `vendor/{workspace}/`"
        ));
    }
    let mut diagnostic = Diagnostic::error(
        codes::UNKNOWN_RESOURCE,
        format!("`{qualified}` is no node, pipe or data source of this project"),
    );
    if let Some(span) = span {
        diagnostic = diagnostic.label(span, "not found");
    }
    let similar = suggestions(project, scope, name);
    if similar.is_empty() {
        return diagnostic.help(format!(
            "add `{name}.datasource` or `{name}.pipe`, or a node `{name}` to this pipe"
        ));
    }
    let names: Vec<String> = similar.iter().map(|name| format!("`{name}`")).collect();
    diagnostic.help(format!("did you mean {}?", names.join(" or ")))
}

/// The diagnostic for `FINAL`, `SAMPLE` or `PREWHERE` after a node's name.
pub(crate) fn modifier_on_node(name: &str, span: Option<Span>) -> Diagnostic {
    let mut diagnostic = Diagnostic::error(
        codes::MODIFIER_ON_NODE,
        format!("`FINAL`, `SAMPLE` and `PREWHERE` work on tables, and `{name}` is a query"),
    );
    if let Some(span) = span {
        diagnostic = diagnostic.label(span, "not possible here");
    }
    diagnostic.help(format!(
        "move it into `{name}`, behind the data source that it reads"
    ))
}

/// Branches repeat one another's findings: keeps the first of each kind and place.
fn dedup(diagnostics: &mut Vec<Diagnostic>) {
    let mut seen = std::collections::BTreeSet::new();
    diagnostics.retain(|diagnostic| {
        seen.insert((
            diagnostic.code,
            diagnostic.primary(),
            diagnostic.message.clone(),
        ))
    });
}

#[cfg(test)]
mod tests {
    use crate::project::SourceTree;

    /// The findings of a pipe whose node `n1` has this SQL, after `n0`.
    fn findings(sql: &str) -> Vec<String> {
        let files = [
            (
                "t.datasource",
                "SCHEMA >\n    id UInt32, b UInt32\n".to_owned(),
            ),
            (
                "p.pipe",
                format!(
                    "NODE n0\nSQL >\n    SELECT id, b FROM t\n\nNODE n1\nSQL >\n    {sql}\n\nTYPE endpoint\n"
                ),
            ),
        ];
        let tree = SourceTree::new(files.map(|(name, text)| (name.to_owned(), text)));
        let (_, diagnostics) = crate::check(tree);
        let found = diagnostics.into_iter();
        found
            .filter(|found| found.code.name() == "modifier-on-node")
            .map(|found| found.message.into_owned())
            .collect()
    }

    #[test]
    fn what_works_on_tables_only_is_refused_on_nodes() {
        for sql in [
            "SELECT id FROM n0 FINAL",
            "SELECT id FROM n0 SAMPLE 0.1",
            "SELECT id FROM n0 PREWHERE b = 1",
            "SELECT x.id FROM n0 AS x PREWHERE x.b = 1 WHERE id > 0",
            "SELECT id FROM (SELECT id FROM n0 PREWHERE b = 1)",
        ] {
            assert_eq!(
                findings(sql),
                ["`FINAL`, `SAMPLE` and `PREWHERE` work on tables, and `n0` is a query"],
                "{sql}"
            );
        }
        for sql in [
            "SELECT id FROM t PREWHERE b = 1",
            "SELECT t.id FROM t JOIN n0 ON t.id = n0.id PREWHERE t.b = 1",
            "SELECT id FROM (SELECT id FROM n0) WHERE id IN (SELECT id FROM t PREWHERE b = 1)",
        ] {
            assert!(findings(sql).is_empty(), "{sql}");
        }
    }
}
