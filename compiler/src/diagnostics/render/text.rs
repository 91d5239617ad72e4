//! Diagnostics with the source text around them, for people.

use std::ops::Range;

use annotate_snippets::renderer::Renderer;
use annotate_snippets::{AnnotationKind, Group, Level, Patch, Snippet};
use pipewright_grammar::diagnostic::{Diagnostic, Fix, Severity};
use pipewright_grammar::source::{SourceFile, SourceId};

use super::fitted;
use crate::diagnostics::Sources;

/// Whether the text carries colours. Nothing but colour depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// Characters only.
    #[default]
    Plain,
    /// With ANSI colours.
    Coloured,
}

/// Renders diagnostics one after the other, with a blank line between them.
pub fn text(diagnostics: &[Diagnostic], sources: &(impl Sources + ?Sized), style: Style) -> String {
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Coloured => Renderer::styled(),
    };
    let mut output = String::new();
    for diagnostic in diagnostics {
        if !output.is_empty() {
            output.push('\n');
        }
        output.push_str(&renderer.render(&groups(diagnostic, sources)));
        output.push('\n');
    }
    output
}

fn groups<'a>(diagnostic: &'a Diagnostic, sources: &'a (impl Sources + ?Sized)) -> Vec<Group<'a>> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = level
        .primary_title(diagnostic.message.as_ref())
        .id(diagnostic.code.name());
    let mut group = Group::with_title(title);
    for id in labelled_files(diagnostic) {
        if let Some(file) = sources.file(id) {
            group = group.element(labels(diagnostic, file));
        }
    }
    for note in &diagnostic.notes {
        group = group.element(Level::NOTE.message(note.as_ref()));
    }
    for help in &diagnostic.helps {
        group = group.element(Level::HELP.message(help.as_ref()));
    }
    let fixes = diagnostic
        .fixes
        .iter()
        .filter_map(|fix| patch(fix, sources));
    std::iter::once(group).chain(fixes).collect()
}

/// The files that have labels, that of the primary one first.
fn labelled_files(diagnostic: &Diagnostic) -> Vec<SourceId> {
    let mut files: Vec<SourceId> = diagnostic
        .primary()
        .map(|span| span.source)
        .into_iter()
        .collect();
    for label in &diagnostic.labels {
        if !files.contains(&label.span.source) {
            files.push(label.span.source);
        }
    }
    files
}

fn labels<'a>(
    diagnostic: &'a Diagnostic,
    file: &'a SourceFile,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let labels: Vec<_> = diagnostic
        .labels
        .iter()
        .filter(|label| label.span.source == file.id())
        .map(|label| (fitted(label.span, file), label))
        .collect();
    let window = window(file, labels.iter().map(|(range, _)| range.clone()));
    let annotations = labels.into_iter().map(|(range, label)| {
        let kind = if label.primary {
            AnnotationKind::Primary
        } else {
            AnnotationKind::Context
        };
        let annotation = kind.span(range.start - window.start..range.end - window.start);
        if label.text.is_empty() {
            annotation
        } else {
            annotation.label(label.text.as_ref())
        }
    });
    snippet(file, &window).annotations(annotations)
}

fn patch<'a>(fix: &'a Fix, sources: &'a (impl Sources + ?Sized)) -> Option<Group<'a>> {
    let file = sources.file(fix.edits.first()?.span.source)?;
    let edits: Vec<_> = fix
        .edits
        .iter()
        .filter(|edit| edit.span.source == file.id())
        .map(|edit| (fitted(edit.span, file), edit))
        .collect();
    let window = window(file, edits.iter().map(|(range, _)| range.clone()));
    let patches = edits.into_iter().map(|(range, edit)| {
        Patch::new(
            range.start - window.start..range.end - window.start,
            edit.replacement.as_str(),
        )
    });
    let snippet = snippet(file, &window).patches(patches);
    Some(
        Level::HELP
            .secondary_title(fix.title.as_ref())
            .element(snippet),
    )
}

/// The lines from a little above the first range to a little below the last: the renderer looks at all that it is given, and files can be large.
fn window(file: &SourceFile, ranges: impl Iterator<Item = Range<usize>> + Clone) -> Range<usize> {
    const LINES_AROUND: usize = 2;
    let text = file.text();
    let start = ranges.clone().map(|range| range.start).min().unwrap_or(0);
    let end = ranges.map(|range| range.end).max().unwrap_or(0);
    let above = text[..start].rmatch_indices('\n').nth(LINES_AROUND);
    let below = text[end..].match_indices('\n').nth(LINES_AROUND);
    above.map_or(0, |(at, _)| at + 1)..below.map_or(text.len(), |(at, _)| end + at + 1)
}

fn snippet<'a, T: Clone>(file: &'a SourceFile, window: &Range<usize>) -> Snippet<'a, T> {
    let start = u32::try_from(window.start).unwrap_or(u32::MAX);
    let (line, _) = file.line_column(start);
    Snippet::source(&file.text()[window.clone()])
        .path(file.name())
        .line_start(line as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::render::fixture::findings;
    use insta::assert_snapshot;
    use pipewright_grammar::source::Span;

    #[test]
    fn findings_show_the_source_of_every_file() {
        let (files, findings) = findings();
        assert_snapshot!(text(&findings, &files, Style::Plain), @r"
        error[stray-text]: unknown column `amout`
         --> pipes/daily.pipe:3:21
          |
        3 |     SELECT day, sum(amout) AS total
          |                     ^^^^^ not a column of `orders`
          |
         ::: datasources/orders, old.datasource:3:5
          |
        3 |     amount Int64 -- größer
          |     ------ `orders` has this one
          |
          = note: names are case-sensitive
          = help: 100% sure? `amount` might be meant
        help: a column with a similar name exists
          |
        3 |     SELECT day, sum(amount) AS total
          |                         +

        warning[missing-schema]: a second line
                                 in a message
         --> datasources/orders, old.datasource:2:5
          |
        2 |     day Date,
          |     ^^^^^^^^

        error[missing-node]: nothing to compile
        ");
    }

    #[test]
    fn colour_changes_nothing_but_colour() {
        let (files, findings) = findings();
        let coloured = text(&findings, &files, Style::Coloured);
        assert!(coloured.contains("\u{1b}["));
        let mut plain = String::new();
        for (index, part) in coloured.split('\u{1b}').enumerate() {
            plain.push_str(if index == 0 {
                part
            } else {
                part.split_once('m').map_or("", |(_, rest)| rest)
            });
        }
        assert_eq!(plain, text(&findings, &files, Style::Plain));
    }

    #[test]
    fn spans_outside_of_the_file_are_cut() {
        let (files, mut findings) = findings();
        findings[0].labels[0].span = Span::new(SourceId(1), 40, 4000);
        findings[1].labels[0].span = Span::new(SourceId(77), 0, 1);
        assert!(text(&findings, &files, Style::Plain).contains("orders, old.datasource"));
    }
}
