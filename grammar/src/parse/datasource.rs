//! Sections → `DatasourceFile`.

use super::directives::{overwrite, report_duplicates};
use super::finding;
use super::keyword::Kind;
use super::section::{Section, Value, sections};
use super::{index, schema};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::{SourceFile, Span};
use crate::syntax::DatasourceFile;

/// Builds the tree of a `.datasource` file.
pub(super) fn build(file: &SourceFile) -> (DatasourceFile, Vec<Diagnostic>) {
    let (sections, mut diagnostics) = sections(file, Kind::Datasource);
    let mut datasource = DatasourceFile::default();
    let mut misplaced_indexes = Vec::new();
    let mut indexes_at: Option<Span> = None;
    for section in &sections {
        match section.name() {
            "SCHEMA" => {
                let found = read_schema(&mut datasource, section, &mut diagnostics);
                misplaced_indexes = found;
            }
            "INDEXES" => {
                if let Some(earlier) = indexes_at.replace(section.place) {
                    diagnostics.push(finding::duplicate_directive(
                        "INDEXES",
                        earlier,
                        section.place,
                    ));
                }
                let (text, at) = section.raw(file.text());
                datasource.indexes = index::read(text, at, file.id(), &mut diagnostics);
            }
            _ => directive(&mut datasource, section, file, &mut diagnostics),
        }
    }
    datasource.indexes.extend(misplaced_indexes);
    report_duplicates(&datasource.directives, &mut diagnostics);
    if datasource.schema.is_none() && datasource.includes.is_empty() {
        diagnostics.push(
            Diagnostic::warning(Code::MISSING_SCHEMA, "the data source has no `SCHEMA`")
                .label(Span::new(file.id(), 0, 0), "its columns are not known")
                .help("write `SCHEMA >` and the columns below it"),
        );
    }
    (datasource, diagnostics)
}

fn read_schema(
    datasource: &mut DatasourceFile,
    section: &Section<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<crate::syntax::IndexDecl> {
    if let Some(earlier) = datasource.schema {
        diagnostics.push(finding::duplicate_directive(
            "SCHEMA",
            earlier,
            section.place,
        ));
    }
    let Value::Block(block) = &section.value else {
        datasource.schema = Some(section.place);
        return Vec::new();
    };
    let source = section.place.source;
    let span = Span::new(source, block.range.start, block.range.end);
    if block.text.is_empty() {
        diagnostics.push(
            Diagnostic::error(Code::INVALID_SCHEMA, "`SCHEMA` has no columns")
                .label(section.place, "no column follows"),
        );
    }
    datasource.schema = Some(span);
    let read = schema::read(&block.text, block.range.start, source, diagnostics);
    datasource.columns = read.columns;
    read.indexes
}

fn directive(
    datasource: &mut DatasourceFile,
    section: &Section<'_>,
    file: &SourceFile,
    diagnostics: &mut Vec<Diagnostic>,
) {
    match section.name() {
        "DESCRIPTION" => overwrite(
            &mut datasource.description,
            section.prose(),
            section.name(),
            diagnostics,
        ),
        "TOKEN" => datasource.tokens.extend(section.token(diagnostics)),
        "TAGS" => datasource.tags.extend(section.list(file.text())),
        "SHARED_WITH" => {
            let workspaces = section.list(file.text());
            if workspaces.is_empty() {
                diagnostics.push(finding::missing_value(section.name(), section.place));
            }
            datasource.shared_with.extend(workspaces);
        }
        "INCLUDE" => {
            let position = datasource.directives.len();
            datasource
                .includes
                .extend(section.include(0, position, diagnostics));
        }
        "ENGINE" => overwrite(
            &mut datasource.engine,
            section.text(),
            section.name(),
            diagnostics,
        ),
        "FORWARD_QUERY" => {
            let sql = section.sql();
            if sql.text.is_empty() {
                diagnostics.push(
                    Diagnostic::error(Code::EMPTY_SQL, "the `FORWARD_QUERY` is empty")
                        .label(section.place, "no query follows"),
                );
            }
            if let Some(earlier) = &datasource.forward_query {
                diagnostics.push(finding::duplicate_directive(
                    section.name(),
                    earlier.span,
                    section.place,
                ));
            }
            datasource.forward_query = Some(sql);
        }
        _ => datasource.directives.push(section.directive()),
    }
}
