//! Files → resources.

use std::collections::BTreeMap;

use pipewright_grammar::diagnostic::Diagnostic;
use pipewright_grammar::source::{SourceFile, SourceId, Span, Spanned};
use pipewright_grammar::syntax::{
    ConnectionFile, DatasourceFile, Include, NodeDecl, NodeKind, PipeFile, SqlBody, TokenFile,
};
use pipewright_grammar::{Parsed, parse_connection, parse_datasource, parse_pipe, parse_token};
use rayon::prelude::*;

use super::again::{Findings, Known};
use super::claims::{Claims, keep_named};
use super::prose::described;
use super::{
    Config, Connection, Datasource, Edition, FileKind, Node, PASSING, Pipe, Project, ResourceName,
    SourceTree, Token, edition, include, is_valid_name, quarantine_name,
};
use crate::diagnostics::codes;
use crate::template::{JOB_TIMESTAMP, Template};

/// One file's tree.
enum Syntax {
    Pipe(PipeFile),
    /// A pipe as it was made of the same file before.
    Known(Box<Known>),
    Datasource(DatasourceFile),
    Connection(ConnectionFile),
    Token(TokenFile),
}

impl Syntax {
    fn includes(&self) -> &[Include] {
        match self {
            Self::Pipe(tree) => &tree.includes,
            Self::Datasource(tree) => &tree.includes,
            Self::Known(_) | Self::Connection(_) | Self::Token(_) => &[],
        }
    }
}

/// Loads every datafile of the tree. Never fails: what is wrong is in the diagnostics, and the rest is there.
pub fn load(sources: SourceTree) -> (Project, Vec<Diagnostic>) {
    let loaded = load_again(sources, BTreeMap::new());
    (loaded.project, loaded.diagnostics)
}

/// A project with what is needed to load it again.
pub(crate) struct Loaded {
    pub(crate) project: Project,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) findings: Findings,
}

/// The same, where some pipes are known from before.
pub(crate) fn load_again(sources: SourceTree, known: BTreeMap<SourceId, Known>) -> Loaded {
    let mut loading = Loading {
        project: Project {
            sources,
            ..Project::default()
        },
        diagnostics: Vec::new(),
        findings: Findings::new(),
    };
    if let Some(file) = loading.project.sources.file("pipewright.toml") {
        let (config, mut found) = Config::parse(file);
        loading.diagnostics.append(&mut found);
        loading.project.config = config;
    }
    let results = loading.parsed(known);
    let has_includes = results
        .iter()
        .any(|(_, syntax, _)| !syntax.includes().is_empty());
    let trees = loading.expanded(results);
    let pipes = loading.claimed(trees);
    loading.build(pipes);
    let Loading {
        mut project,
        mut diagnostics,
        findings,
    } = loading;
    add_made_datasources(&mut project);
    refuse_quarantines(&mut project, &mut diagnostics);
    project.edition = Edition::of(&project, has_includes);
    edition::publish(&mut project, &mut diagnostics);
    Loaded {
        project,
        diagnostics,
        findings,
    }
}

/// A project on its way.
struct Loading {
    project: Project,
    diagnostics: Vec<Diagnostic>,
    findings: Findings,
}

/// A pipe that has its name for itself: its tree, or what was made of the same file before.
type Claimed = (ResourceName, Span, Result<PipeFile, Box<Known>>);

impl Loading {
    /// Every file's tree with what was found in it, in order.
    fn parsed(&self, known: BTreeMap<SourceId, Known>) -> Vec<(SourceId, Syntax, Vec<Diagnostic>)> {
        let files = self.project.sources.files().par_iter();
        let mut results: Vec<_> = files
            .filter(|file| !known.contains_key(&file.id()))
            .filter_map(parse)
            .collect();
        results.extend(known.into_iter().map(|(id, mut known)| {
            let found = std::mem::take(&mut known.findings.parsed);
            (id, Syntax::Known(Box::new(known)), found)
        }));
        results.sort_by_key(|(id, ..)| *id);
        results
    }

    /// The trees with includes put in place.
    fn expanded(
        &mut self,
        results: Vec<(SourceId, Syntax, Vec<Diagnostic>)>,
    ) -> Vec<(SourceId, Syntax)> {
        let mut trees = Vec::with_capacity(results.len());
        for (id, syntax, found) in results {
            let expanded = include::expand(
                id,
                syntax.includes(),
                &mut self.project.sources,
                &mut self.diagnostics,
            );
            let again = expanded.and_then(|id| parse(&self.project.sources[id]));
            let own = again.is_none();
            let (id, syntax, found) = again.unwrap_or((id, syntax, found));
            if own && matches!(syntax, Syntax::Pipe(_) | Syntax::Known(_)) {
                let kept = self.findings.entry(id).or_default();
                kept.parsed.clone_from(&found);
            }
            self.diagnostics.extend(found);
            trees.push((id, syntax));
        }
        trees
    }

    /// Gives each file its name, if no other has it, and keeps everything but pipes, which are given back.
    fn claimed(&mut self, trees: Vec<(SourceId, Syntax)>) -> Vec<Claimed> {
        let mut pipes = Vec::new();
        let mut claims = Claims::default();
        let (mut connections, mut tokens) = (Claims::default(), Claims::default());
        let Self {
            project,
            diagnostics,
            ..
        } = self;
        for (id, syntax) in trees {
            let Some(name) = resource_name(&project.sources[id], diagnostics) else {
                continue;
            };
            let span = file_span(&project.sources[id]);
            let (claims, what) = match &syntax {
                Syntax::Pipe(_) | Syntax::Known(_) => (&mut claims, "pipe"),
                Syntax::Datasource(_) => (&mut claims, "data source"),
                Syntax::Connection(_) => (&mut connections, "connection"),
                Syntax::Token(_) => (&mut tokens, "token"),
            };
            if !claims.claim(&name, what, span, &project.sources, diagnostics) {
                continue;
            }
            match syntax {
                Syntax::Pipe(tree) => pipes.push((name, span, Ok(tree))),
                Syntax::Known(known) => pipes.push((name, span, Err(known))),
                Syntax::Datasource(syntax) => {
                    let datasource = Datasource {
                        name: name.clone(),
                        span,
                        syntax,
                        made_by: None,
                    };
                    project.datasources.insert(name, datasource);
                }
                Syntax::Connection(syntax) => {
                    keep_named(&mut project.connections, name, Connection { span, syntax });
                }
                Syntax::Token(syntax) => {
                    keep_named(&mut project.tokens, name, Token { span, syntax });
                }
            }
        }
        pipes
    }

    /// Makes the pipes.
    fn build(&mut self, pipes: Vec<Claimed>) {
        let sources = &self.project.sources;
        let built: Vec<_> = pipes
            .into_par_iter()
            .map(|(name, span, tree)| match tree {
                Ok(tree) => build_pipe(name, span, tree, sources),
                Err(known) => (known.pipe, known.findings.built),
            })
            .collect();
        for (pipe, mut found) in built {
            if let Some(findings) = self.findings.get_mut(&pipe.span.source) {
                findings.built.clone_from(&found);
            }
            self.diagnostics.append(&mut found);
            self.project.pipes.insert(pipe.name.clone(), pipe);
        }
    }
}

/// Data sources that have no file because a materialized node makes them, with the `ENGINE` keys of that node (Classic).
fn add_made_datasources(project: &mut Project) {
    let mut made = Vec::new();
    for pipe in project.pipes.values() {
        for node in pipe
            .nodes
            .iter()
            .filter(|node| node.kind == NodeKind::Materialized)
        {
            let is_usable = |name: &str| is_valid_name(name) && !name.starts_with(PASSING);
            let Some(target) = node.target().filter(|target| is_usable(&target.value)) else {
                continue;
            };
            let name = project.target_name(pipe, &target.value);
            if project.datasources.contains_key(&name) || project.pipes.contains_key(&name) {
                continue;
            }
            let engine = node.directive("ENGINE").cloned();
            let syntax = DatasourceFile {
                engine,
                directives: node.directives.clone(),
                ..DatasourceFile::default()
            };
            let made_by = Some((pipe.name.clone(), node.name.value.clone()));
            made.push(Datasource {
                name,
                span: target.span,
                syntax,
                made_by,
            });
        }
    }
    for datasource in made {
        project
            .datasources
            .entry(datasource.name.clone())
            .or_insert(datasource);
    }
}

/// Each data source has a table for the rows that do not fit, whose name nothing else can have.
fn refuse_quarantines(project: &mut Project, diagnostics: &mut Vec<Diagnostic>) {
    let names: Vec<ResourceName> = project.datasources.keys().cloned().collect();
    for name in names {
        let quarantine = ResourceName {
            name: quarantine_name(&name.name),
            ..name.clone()
        };
        let taken = project.datasources.get(&quarantine).map(|taken| taken.span);
        let Some(span) = taken.or_else(|| project.pipes.get(&quarantine).map(|pipe| pipe.span))
        else {
            continue;
        };
        diagnostics.push(
            Diagnostic::error(
                codes::BAD_RESOURCE_NAME,
                format!("`{quarantine}` is the table of the rows that do not fit into `{name}`"),
            )
            .label(span, "")
            .help("rename the file"),
        );
        project.datasources.remove(&quarantine);
        project.pipes.remove(&quarantine);
    }
}

fn parse(file: &SourceFile) -> Option<(SourceId, Syntax, Vec<Diagnostic>)> {
    fn keep<T>(
        file: &SourceFile,
        parsed: Parsed<T>,
        wrap: fn(T) -> Syntax,
    ) -> (SourceId, Syntax, Vec<Diagnostic>) {
        (file.id(), wrap(parsed.tree), parsed.diagnostics)
    }
    Some(match FileKind::of(file.name())? {
        FileKind::Pipe => keep(file, parse_pipe(file), Syntax::Pipe),
        FileKind::Datasource => keep(file, parse_datasource(file), Syntax::Datasource),
        FileKind::Connection => keep(file, parse_connection(file), Syntax::Connection),
        FileKind::Token => keep(file, parse_token(file), Syntax::Token),
        FileKind::Include | FileKind::Config => return None,
    })
}

fn file_span(file: &SourceFile) -> Span {
    Span::new(file.id(), 0, 0)
}

/// The resource's name, if it is one that SQL and URLs can carry.
fn resource_name(file: &SourceFile, diagnostics: &mut Vec<Diagnostic>) -> Option<ResourceName> {
    let name = ResourceName::of_path(file.name());
    let usable = name
        .as_ref()
        .is_some_and(|name| match FileKind::of(file.name()) {
            Some(FileKind::Pipe | FileKind::Datasource) => is_valid_name(&name.name),
            _ => !name.name.is_empty(),
        });
    let is_passing = |name: &&ResourceName| {
        let kind = FileKind::of(file.name());
        kind == Some(FileKind::Datasource) && name.name.starts_with(PASSING)
    };
    if let Some(name) = name.as_ref().filter(is_passing) {
        diagnostics.push(
            Diagnostic::error(
                codes::BAD_RESOURCE_NAME,
                format!(
                    "`{name}` begins as the tables do that are made for a moment and dropped again"
                ),
            )
            .label(file_span(file), "")
            .help(format!(
                "no data source begins with `{PASSING}`: rename the file"
            )),
        );
        return None;
    }
    if usable {
        return name;
    }
    diagnostics.push(
        Diagnostic::error(
            codes::BAD_RESOURCE_NAME,
            format!("`{}` does not give a usable resource name", file.name()),
        )
        .label(file_span(file), "")
        .help("name the file with letters, digits and underscores, not starting with a digit"),
    );
    None
}

fn build_pipe(
    name: ResourceName,
    span: Span,
    tree: PipeFile,
    sources: &SourceTree,
) -> (Pipe, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let version = version_of(&tree);
    let says_standard = tree.nodes.iter().any(|node| {
        let kind = node.kind.as_ref();
        kind.is_some_and(|kind| sources.slice(kind.span).eq_ignore_ascii_case("standard"))
    });
    let mut nodes: Vec<Node> = tree
        .nodes
        .into_iter()
        .filter_map(|node| build_node(node, &mut diagnostics))
        .collect();
    if nodes.is_empty()
        && let Some(body) = tree.sql
    {
        let (template, mut found) = Template::compile(&body.text, body.span);
        diagnostics.append(&mut found);
        let node_name = Spanned::new(format!("{}_0", name.name), body.span);
        nodes.push(Node {
            name: node_name,
            span: body.span,
            description: None,
            kind: NodeKind::Standard,
            kind_at: None,
            body,
            template,
            directives: tree.directives,
        });
    }
    leave_time_of_copies(&nodes, &mut diagnostics);
    let pipe = Pipe {
        name,
        span,
        description: tree.description.as_ref().map(|text| described(&text.value)),
        tokens: tree.tokens,
        tags: tree.tags.into_iter().map(|tag| tag.value).collect(),
        nodes,
        version,
        says_standard,
        published_by_default: false,
    };
    (pipe, diagnostics)
}

/// Takes back what was said of `job_timestamp` in a pipe that is a copy: there it means what it is to mean, the time of the job.
fn leave_time_of_copies(nodes: &[Node], diagnostics: &mut Vec<Diagnostic>) {
    if !nodes.iter().any(|node| node.kind == NodeKind::Copy) {
        return;
    }
    let parameters = nodes.iter().flat_map(|node| node.template.parameters());
    let places: Vec<Span> = parameters
        .filter(|parameter| parameter.name == JOB_TIMESTAMP)
        .map(|parameter| parameter.span)
        .collect();
    diagnostics.retain(|found| {
        let is_about_it = found.primary().is_some_and(|span| places.contains(&span));
        !(found.code == codes::TEMPLATE_RESERVED_NAME && is_about_it)
    });
}

/// `VERSION n`, which belongs to the pipe wherever it stands.
fn version_of(tree: &PipeFile) -> Option<u32> {
    let nodes = tree.nodes.iter().flat_map(|node| &node.directives);
    let lines = tree.directives.iter().chain(nodes);
    lines
        .filter(|line| line.keyword.value == "VERSION")
        .filter_map(|line| line.value.value.parse().ok())
        .next_back()
}

/// A node without SQL was reported by the parser and is left out.
fn build_node(node: NodeDecl, diagnostics: &mut Vec<Diagnostic>) -> Option<Node> {
    let body: SqlBody = node.sql?;
    let (template, mut found) = Template::compile(&body.text, body.span);
    diagnostics.append(&mut found);
    Some(Node {
        name: node.name,
        span: node.span,
        description: node.description.as_ref().map(|text| described(&text.value)),
        kind_at: node.kind.as_ref().map(|kind| kind.span),
        kind: node.kind.map_or(NodeKind::Standard, |kind| kind.value),
        body,
        template,
        directives: node.directives,
    })
}
