//! Sections → `ConnectionFile`.

use super::directives::{overwrite, report_duplicates};
use super::keyword::Kind;
use super::section::sections;
use crate::diagnostic::Diagnostic;
use crate::source::{SourceFile, Spanned};
use crate::syntax::ConnectionFile;

/// Builds the tree of a `.connection` file.
pub(super) fn build(file: &SourceFile) -> (ConnectionFile, Vec<Diagnostic>) {
    let (sections, mut diagnostics) = sections(file, Kind::Connection);
    let mut connection = ConnectionFile::default();
    for section in &sections {
        match section.name() {
            "DESCRIPTION" => overwrite(
                &mut connection.description,
                section.prose(),
                section.name(),
                &mut diagnostics,
            ),
            "TYPE" => {
                let kind = section.text();
                let kind = Spanned::new(kind.value.to_lowercase(), kind.span);
                overwrite(&mut connection.kind, kind, section.name(), &mut diagnostics);
            }
            _ => connection.directives.push(section.directive()),
        }
    }
    report_duplicates(&connection.directives, &mut diagnostics);
    (connection, diagnostics)
}
