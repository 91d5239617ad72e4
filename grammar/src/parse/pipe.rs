//! Sections → `PipeFile`, of `.pipe` and `.incl` files.

use std::collections::BTreeMap;

use super::directives::{overwrite, report_duplicates};
use super::finding;
use super::keyword::{Kind, Place};
use super::section::{Section, Value, sections};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::{SourceFile, Span, Spanned};
use crate::syntax::{NodeDecl, NodeKind, PipeFile, SqlBody};

/// Builds the tree of a file of kind `Pipe` or `Include`.
pub(super) fn build(file: &SourceFile, kind: Kind) -> (PipeFile, Vec<Diagnostic>) {
    let (sections, diagnostics) = sections(file, kind);
    let mut builder = Builder {
        file,
        kind,
        pipe: PipeFile::default(),
        diagnostics,
        reported_outside: false,
    };
    for section in &sections {
        builder.section(section);
    }
    builder.finish();
    (builder.pipe, builder.diagnostics)
}

struct Builder<'a> {
    file: &'a SourceFile,
    kind: Kind,
    pipe: PipeFile,
    diagnostics: Vec<Diagnostic>,
    /// Whether a directive before the first node was reported: one is enough.
    reported_outside: bool,
}

impl Builder<'_> {
    fn section(&mut self, section: &Section<'_>) {
        match section.name() {
            "NODE" => return self.node(section),
            "TOKEN" => {
                let token = section.token(&mut self.diagnostics);
                self.pipe.tokens.extend(token);
                return;
            }
            "TAGS" => return self.pipe.tags.extend(section.list(self.file.text())),
            "INCLUDE" => {
                let position = self.directives().len();
                let include =
                    section.include(self.pipe.nodes.len(), position, &mut self.diagnostics);
                self.pipe.includes.extend(include);
                return;
            }
            _ => {}
        }
        if section.keyword.place == Place::File {
            self.pipe.directives.push(section.directive());
            return;
        }
        match self.pipe.nodes.last_mut() {
            Some(node) => {
                node.span = node.span.cover(section.span());
                in_node(node, section, &mut self.diagnostics);
            }
            None => self.before_nodes(section),
        }
    }

    fn directives(&self) -> &[crate::syntax::Directive] {
        match self.pipe.nodes.last() {
            Some(node) => &node.directives,
            None => &self.pipe.directives,
        }
    }

    fn node(&mut self, section: &Section<'_>) {
        let source = section.place.source;
        let name = match &section.value {
            Value::Line(words) => words.word(0, source),
            Value::Block(_) => None,
        };
        let name = match name {
            Some(name) if !name.value.trim().is_empty() => name,
            _ => {
                self.diagnostics.push(
                    Diagnostic::error(Code::MISSING_NODE_NAME, "`NODE` has no name")
                        .label(section.place, "a name must follow")
                        .help("write `NODE name`"),
                );
                let end = section.place.end as usize;
                Spanned::new(String::new(), Span::new(source, end, end))
            }
        };
        self.pipe.nodes.push(NodeDecl {
            name,
            span: section.span(),
            description: None,
            sql: None,
            kind: None,
            directives: Vec::new(),
        });
    }

    fn before_nodes(&mut self, section: &Section<'_>) {
        if section.name() == "DESCRIPTION" {
            overwrite(
                &mut self.pipe.description,
                section.prose(),
                section.name(),
                &mut self.diagnostics,
            );
            return;
        }
        // What an include brings is not known here: it may well be the node that this belongs to.
        let belongs_here = self.kind == Kind::Include || !self.pipe.includes.is_empty();
        if !belongs_here && !self.reported_outside && section.keyword.belongs_to(self.kind) {
            self.reported_outside = true;
            self.diagnostics.push(
                Diagnostic::error(
                    Code::DIRECTIVE_OUTSIDE_NODE,
                    format!("`{}` stands before the first `NODE`", section.name()),
                )
                .label(section.place, "belongs to no node")
                .help("a line `NODE name` might be missing above it"),
            );
        }
        if section.name() == "SQL" {
            set_sql(&mut self.pipe.sql, section, &mut self.diagnostics);
        } else {
            self.pipe.directives.push(section.directive());
        }
    }

    fn finish(&mut self) {
        if self.kind == Kind::Pipe && self.pipe.includes.is_empty() {
            self.report_missing();
        }
        self.report_node_names();
        self.report_typed_nodes();
        report_duplicates(&self.pipe.directives, &mut self.diagnostics);
        for node in &self.pipe.nodes {
            report_duplicates(&node.directives, &mut self.diagnostics);
        }
    }

    /// Reports a file without nodes and nodes without SQL.
    fn report_missing(&mut self) {
        if self.pipe.nodes.is_empty() && !self.reported_outside {
            let start = Span::new(self.file.id(), 0, 0);
            self.diagnostics.push(
                Diagnostic::warning(Code::MISSING_NODE, "the pipe has no `NODE`")
                    .label(start, "nothing is defined here")
                    .help("write `NODE name` and below it `SQL >` with a query"),
            );
        }
        for node in self.pipe.nodes.iter().filter(|node| node.sql.is_none()) {
            self.diagnostics.push(
                Diagnostic::error(
                    Code::EMPTY_SQL,
                    format!("node `{}` has no SQL", node.name.value),
                )
                .label(node.name.span, "nothing to select")
                .help("write `SQL >` and a query below it"),
            );
        }
    }

    fn report_node_names(&mut self) {
        let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
        for node in &self.pipe.nodes {
            let name = node.name.as_str();
            if name.is_empty() {
                continue;
            }
            if let Some(earlier) = seen.insert(name, node.name.span) {
                self.diagnostics.push(
                    Diagnostic::error(
                        Code::DUPLICATE_NODE,
                        format!("two nodes are called `{name}`"),
                    )
                    .label(node.name.span, "the second one")
                    .label(earlier, "the first one")
                    .help("node names are unique within a pipe"),
                );
            }
        }
    }

    /// A pipe publishes one thing. Classic projects do have several materialized nodes in one pipe, and those work.
    fn report_typed_nodes(&mut self) {
        let mut first: Option<&Spanned<NodeKind>> = None;
        for node in &self.pipe.nodes {
            let Some(kind) = &node.kind else { continue };
            if matches!(kind.value, NodeKind::Standard | NodeKind::Other(_)) {
                continue;
            }
            match first {
                None => first = Some(kind),
                Some(earlier)
                    if kind.value != earlier.value || kind.value == NodeKind::Endpoint =>
                {
                    self.diagnostics.push(
                        Diagnostic::warning(
                            Code::SEVERAL_TYPED_NODES,
                            "a second node of the pipe has a `TYPE`",
                        )
                        .label(kind.span, "the second one")
                        .label(earlier.span, "the first one")
                        .help("a pipe is one endpoint, copy or sink: the second might be a pipe of its own"),
                    );
                }
                Some(_) => {}
            }
        }
    }
}

fn in_node(node: &mut NodeDecl, section: &Section<'_>, diagnostics: &mut Vec<Diagnostic>) {
    match section.name() {
        "DESCRIPTION" => overwrite(
            &mut node.description,
            section.prose(),
            section.name(),
            diagnostics,
        ),
        "SQL" => set_sql(&mut node.sql, section, diagnostics),
        "TYPE" => {
            let kind = node_kind(section, diagnostics);
            overwrite(&mut node.kind, kind, section.name(), diagnostics);
        }
        _ => node.directives.push(section.directive()),
    }
}

fn set_sql(slot: &mut Option<SqlBody>, section: &Section<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let sql = section.sql();
    if sql.text.trim_start_matches('%').trim().is_empty() {
        diagnostics.push(
            Diagnostic::error(Code::EMPTY_SQL, "the SQL is empty")
                .label(section.place, "no query follows"),
        );
    }
    if let Some(earlier) = slot {
        diagnostics.push(finding::duplicate_directive(
            section.name(),
            earlier.span,
            section.place,
        ));
    }
    *slot = Some(sql);
}

const KINDS: [(&str, NodeKind); 6] = [
    ("standard", NodeKind::Standard),
    ("endpoint", NodeKind::Endpoint),
    ("materialized", NodeKind::Materialized),
    ("copy", NodeKind::Copy),
    ("sink", NodeKind::Sink),
    ("stream", NodeKind::Stream),
];

fn node_kind(section: &Section<'_>, diagnostics: &mut Vec<Diagnostic>) -> Spanned<NodeKind> {
    let written = section.text();
    let span = if written.value.is_empty() {
        section.place
    } else {
        written.span
    };
    let name = written.value.trim().to_lowercase();
    if name.is_empty() {
        return Spanned::new(NodeKind::Standard, span);
    }
    if let Some((_, kind)) = KINDS.into_iter().find(|(known, _)| *known == name) {
        return Spanned::new(kind, span);
    }
    let mut diagnostic = Diagnostic::error(
        Code::INVALID_NODE_TYPE,
        format!("`{}` is not a type of node", written.value),
    )
    .label(span, "one of endpoint, materialized, copy, sink, standard");
    let near = KINDS
        .iter()
        .map(|(known, _)| (strsim::damerau_levenshtein(known, &name), *known))
        .filter(|(distance, _)| name.len() < 20 && *distance <= 3)
        .min();
    if let Some((_, known)) = near {
        diagnostic = diagnostic.help(format!("`{known}` might be meant")).fix(
            format!("write `{known}`"),
            crate::diagnostic::Applicability::Unsafe,
            vec![crate::diagnostic::Edit {
                span,
                replacement: known.to_owned(),
            }],
        );
    }
    diagnostics.push(diagnostic);
    Spanned::new(NodeKind::Other(name), span)
}
