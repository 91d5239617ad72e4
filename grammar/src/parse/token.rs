//! Sections → `TokenFile`.

use super::directives::overwrite;
use super::finding;
use super::keyword::Kind;
use super::section::{Section, sections};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::SourceFile;
use crate::syntax::{ScopeDecl, TokenFile};

/// Builds the tree of a `.token` file.
pub(super) fn build(file: &SourceFile) -> (TokenFile, Vec<Diagnostic>) {
    let (sections, mut diagnostics) = sections(file, Kind::Token);
    let mut token = TokenFile::default();
    for section in &sections {
        match section.name() {
            "DESCRIPTION" => overwrite(
                &mut token.description,
                section.prose(),
                section.name(),
                &mut diagnostics,
            ),
            "SCOPE" => {
                let scope = section.text();
                if scope.value.is_empty() {
                    diagnostics.push(finding::missing_value(section.name(), section.place));
                }
                token.scopes.push(ScopeDecl {
                    scope,
                    resource: None,
                    filter: None,
                });
            }
            "RESOURCE" | "FILTER" => in_scope(&mut token, section, &mut diagnostics),
            _ => {}
        }
    }
    (token, diagnostics)
}

fn in_scope(token: &mut TokenFile, section: &Section<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let Some(scope) = token.scopes.last_mut() else {
        diagnostics.push(
            Diagnostic::error(
                Code::DIRECTIVE_OUTSIDE_SCOPE,
                format!("`{}` stands before the first `SCOPE`", section.name()),
            )
            .label(section.place, "belongs to no scope"),
        );
        return;
    };
    let slot = match section.name() {
        "RESOURCE" => &mut scope.resource,
        _ => &mut scope.filter,
    };
    overwrite(slot, section.text(), section.name(), diagnostics);
}
