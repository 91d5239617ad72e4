//! Diagnostics → text, in the formats of `--format`. Each takes plain data and gives a value: printing is the caller's.

mod concise;
mod github;
mod json;
mod text;

pub use concise::concise;
pub use github::github;
pub use json::json;
pub use text::{Style, text};

use pipewright_grammar::diagnostic::{Diagnostic, Severity};
use pipewright_grammar::source::{SourceFile, Span};

use super::Sources;

/// A place as people count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Location<'a> {
    file: &'a str,
    line: u32,
    column: u32,
    end_line: u32,
    end_column: u32,
}

fn locate(span: Span, sources: &(impl Sources + ?Sized)) -> Option<Location<'_>> {
    let file = sources.file(span.source)?;
    let (line, column) = file.line_column(span.start);
    let (end_line, end_column) = file.line_column(span.end);
    Some(Location {
        file: file.name(),
        line,
        column,
        end_line,
        end_column,
    })
}

/// The place that a diagnostic is about.
fn location<'a>(
    diagnostic: &Diagnostic,
    sources: &'a (impl Sources + ?Sized),
) -> Option<Location<'a>> {
    locate(diagnostic.primary()?, sources)
}

pub(crate) fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

/// A span cut to what the file has, at whole characters.
fn fitted(span: Span, file: &SourceFile) -> std::ops::Range<usize> {
    let text = file.text();
    let start = text.floor_char_boundary(span.range().start.min(text.len()));
    let end = text.ceil_char_boundary(span.range().end.clamp(start, text.len()));
    start..end
}

#[cfg(test)]
mod fixture {
    //! The diagnostics that every renderer's test shows.

    use pipewright_grammar::diagnostic::{Applicability, Code, Diagnostic, Edit};
    use pipewright_grammar::source::{SourceFile, SourceId, Span};

    pub(super) fn findings() -> (Vec<SourceFile>, Vec<Diagnostic>) {
        let pipe = "NODE daily\nSQL >\n    SELECT day, sum(amout) AS total\n    FROM orders\nTYPE endpoint\n";
        let datasource = "SCHEMA >\n    day Date,\n    amount Int64 -- größer\n";
        let files = vec![
            SourceFile::new(SourceId(0), "pipes/daily.pipe", pipe),
            SourceFile::new(
                SourceId(1),
                "datasources/orders, old.datasource",
                datasource,
            ),
        ];
        let amout = span(0, pipe, "amout");
        let findings = vec![
            Diagnostic::error(Code::STRAY_TEXT, "unknown column `amout`")
                .label(amout, "not a column of `orders`")
                .label(span(1, datasource, "amount"), "`orders` has this one")
                .note("names are case-sensitive")
                .help("100% sure? `amount` might be meant")
                .fix(
                    "a column with a similar name exists",
                    Applicability::Unsafe,
                    vec![Edit {
                        span: amout,
                        replacement: "amount".to_owned(),
                    }],
                ),
            Diagnostic::warning(Code::MISSING_SCHEMA, "a second line\nin a message")
                .label(span(1, datasource, "day Date"), ""),
            Diagnostic::error(Code::MISSING_NODE, "nothing to compile"),
        ];
        (files, findings)
    }

    fn span(source: u32, text: &str, part: &str) -> Span {
        let start = text.find(part).expect("the fixture has it");
        Span::new(SourceId(source), start, start + part.len())
    }
}
