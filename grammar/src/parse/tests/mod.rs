//! What the parse functions make of texts, construct by construct.

mod blocks;
mod datasources;
mod others;
mod pipes;
mod properties;
mod schemas;

use std::fmt::Write;

use super::{Parsed, parse_datasource, parse_include, parse_pipe};
use crate::diagnostic::Diagnostic;
use crate::source::{SourceFile, SourceId, Spanned};
use crate::syntax::{DatasourceFile, Directive, PipeFile, SqlBody};

fn file(text: &str) -> SourceFile {
    SourceFile::new(SourceId(0), "file", text)
}

/// A pipe's tree and findings, compact.
fn pipe(text: &str) -> String {
    let file = file(text);
    pipe_tree(&file, parse_pipe(&file))
}

/// The same of an include.
fn include(text: &str) -> String {
    let file = file(text);
    pipe_tree(&file, parse_include(&file))
}

fn datasource(text: &str) -> String {
    let file = file(text);
    let Parsed { tree, diagnostics } = parse_datasource(&file);
    let mut out = String::new();
    show_datasource(&mut out, &tree);
    show_findings(&mut out, &file, &diagnostics);
    out
}

fn pipe_tree(file: &SourceFile, parsed: Parsed<PipeFile>) -> String {
    let Parsed { tree, diagnostics } = parsed;
    let mut out = String::new();
    show_text(&mut out, "description", tree.description.as_ref());
    for token in &tree.tokens {
        _ = writeln!(
            out,
            "token {:?} {}",
            token.name.value, token.permission.value
        );
    }
    show_list(&mut out, "tags", &tree.tags);
    for include in &tree.includes {
        _ = writeln!(
            out,
            "include {:?} {:?} after {} nodes, {} directives",
            include.path.value, include.arguments, include.node_index, include.directive_index
        );
    }
    show_directives(&mut out, "", &tree.directives);
    show_sql(&mut out, "sql", file, tree.sql.as_ref());
    for node in &tree.nodes {
        let kind = node
            .kind
            .as_ref()
            .map_or(String::new(), |kind| format!(" {:?}", kind.value));
        _ = writeln!(out, "node {:?}{kind}", node.name.value);
        show_text(&mut out, "  description", node.description.as_ref());
        show_sql(&mut out, "  sql", file, node.sql.as_ref());
        show_directives(&mut out, "  ", &node.directives);
    }
    show_findings(&mut out, file, &diagnostics);
    out
}

fn show_datasource(out: &mut String, tree: &DatasourceFile) {
    show_text(out, "description", tree.description.as_ref());
    for token in &tree.tokens {
        _ = writeln!(
            out,
            "token {:?} {}",
            token.name.value, token.permission.value
        );
    }
    show_list(out, "tags", &tree.tags);
    show_list(out, "shared with", &tree.shared_with);
    for column in &tree.columns {
        _ = write!(out, "column {}", column.name.value);
        let value = |text: &Spanned<String>| text.value.clone();
        for (what, text) in [
            ("", column.data_type.as_ref().map(value)),
            (
                "default ",
                column
                    .default
                    .as_ref()
                    .map(|(kind, text)| format!("{kind:?} {}", text.value)),
            ),
            ("codec ", column.codec.as_ref().map(value)),
            ("path ", column.json_path.as_ref().map(value)),
            ("ttl ", column.ttl.as_ref().map(value)),
        ] {
            if let Some(text) = text {
                _ = write!(out, " | {what}{text}");
            }
        }
        out.push('\n');
    }
    for index in &tree.indexes {
        let granularity = index
            .granularity
            .as_ref()
            .map(|granularity| granularity.value);
        _ = writeln!(
            out,
            "index {} | {} | {} | {granularity:?}",
            index.name.value, index.expression.value, index.kind.value
        );
    }
    show_text(out, "engine", tree.engine.as_ref());
    if let Some(sql) = &tree.forward_query {
        _ = writeln!(out, "forward query {:?}", sql.text);
    }
    show_directives(out, "", &tree.directives);
}

fn show_text(out: &mut String, what: &str, text: Option<&Spanned<String>>) {
    if let Some(text) = text {
        _ = writeln!(out, "{what} {:?}", text.value);
    }
}

fn show_list(out: &mut String, what: &str, list: &[Spanned<String>]) {
    if !list.is_empty() {
        let entries: Vec<&str> = list.iter().map(Spanned::as_str).collect();
        _ = writeln!(out, "{what} {entries:?}");
    }
}

fn show_directives(out: &mut String, indentation: &str, directives: &[Directive]) {
    for directive in directives {
        let block = if directive.block { " >" } else { "" };
        _ = writeln!(
            out,
            "{indentation}{}{block} {:?}",
            directive.keyword.value, directive.value.value
        );
    }
}

fn show_sql(out: &mut String, what: &str, file: &SourceFile, sql: Option<&SqlBody>) {
    let Some(sql) = sql else { return };
    let (line, column) = file.line_column(sql.span.start);
    let template = if sql.is_template() { " template" } else { "" };
    _ = writeln!(out, "{what} at {line}:{column}{template} {:?}", sql.text);
}

fn show_findings(out: &mut String, file: &SourceFile, diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        let places: Vec<String> = diagnostic
            .labels
            .iter()
            .map(|label| {
                let (line, column) = file.line_column(label.span.start);
                format!("{line}:{column} {:?}", file.slice(label.span))
            })
            .collect();
        _ = writeln!(
            out,
            "! {:?}[{}] {} at {}",
            diagnostic.severity,
            diagnostic.code,
            diagnostic.message,
            places.join(", ")
        );
        for fix in &diagnostic.fixes {
            let edit = fix.edits.first().map(|edit| edit.replacement.as_str());
            _ = writeln!(
                out,
                "  fix ({:?}): {} {edit:?}",
                fix.applicability, fix.title
            );
        }
    }
}

/// The findings of a pipe alone.
fn pipe_findings(text: &str) -> String {
    let file = file(text);
    let mut out = String::new();
    show_findings(&mut out, &file, &parse_pipe(&file).diagnostics);
    out
}
