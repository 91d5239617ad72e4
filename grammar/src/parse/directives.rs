//! What the directives of all kinds of file have in common: descriptions, tokens, includes and plain values.

use std::collections::BTreeMap;

use super::finding;
use super::section::{Block, Section, Value};
use super::value::{list, unquoted};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::{SourceId, Span, Spanned};
use crate::syntax::{Directive, Include, SqlBody, TokenDecl};

impl Section<'_> {
    fn source(&self) -> SourceId {
        self.place.source
    }

    /// The keyword's name, which replaces an alias.
    pub(super) fn name(&self) -> &'static str {
        self.keyword.name
    }

    /// The value as one text without outer quotes.
    pub(super) fn text(&self) -> Spanned<String> {
        match &self.value {
            Value::Line(words) => words.joined(self.source()),
            Value::Block(block) => unquoted(&block.text, block.range.start, self.source()),
        }
    }

    /// The value as prose: the quotes stay, blocks lose their common indentation.
    pub(super) fn prose(&self) -> Spanned<String> {
        match &self.value {
            Value::Line(words) => words.verbatim(self.source()),
            Value::Block(block) => Spanned::new(dedented(&block.text), self.block_span(block)),
        }
    }

    /// The directive as it is, for the lists of those that nothing reads specially.
    pub(super) fn directive(&self) -> Directive {
        Directive {
            keyword: Spanned::new(self.name().to_owned(), self.place),
            value: self.text(),
            block: matches!(self.value, Value::Block(_)),
        }
    }

    /// The value as SQL. An inline one counts, too: that it is inline was reported.
    pub(super) fn sql(&self) -> SqlBody {
        match &self.value {
            Value::Block(block) => SqlBody {
                span: self.block_span(block),
                text: block.text.clone(),
            },
            Value::Line(words) => SqlBody {
                span: Span::new(self.source(), words.range().start, words.range().start),
                text: String::new(),
            },
        }
    }

    /// The value byte for byte, and where it stands.
    pub(super) fn raw<'a>(&'a self, file: &'a str) -> (&'a str, usize) {
        match &self.value {
            Value::Line(words) => {
                let range = words.range();
                (&file[range.clone()], range.start)
            }
            Value::Block(block) => (block.text.as_str(), block.range.start),
        }
    }

    /// The entries of a comma-separated value.
    pub(super) fn list(&self, file: &str) -> Vec<Spanned<String>> {
        let (text, at) = self.raw(file);
        list(text, at, self.source())
    }

    /// `TOKEN name PERMISSION`
    pub(super) fn token(&self, diagnostics: &mut Vec<Diagnostic>) -> Option<TokenDecl> {
        let Value::Line(words) = &self.value else {
            return None;
        };
        let found = words
            .word(0, self.source())
            .zip(words.word(1, self.source()));
        let Some((name, permission)) = found else {
            diagnostics.push(
                Diagnostic::error(Code::INVALID_TOKEN, "`TOKEN` needs a name and a permission")
                    .label(self.span(), "incomplete")
                    .help("write `TOKEN \"name\" READ`"),
            );
            return None;
        };
        let permission = Spanned::new(permission.value.to_ascii_uppercase(), permission.span);
        match permission.as_str() {
            "READ" | "APPEND" => {}
            // Classic takes any word here, and published projects have `CREATE`.
            other => diagnostics.push(
                Diagnostic::warning(
                    Code::INVALID_TOKEN,
                    format!("`{other}` is not a permission of a token"),
                )
                .label(permission.span, "neither `READ` nor `APPEND`"),
            ),
        }
        if words.len() > 2 {
            diagnostics.push(
                Diagnostic::warning(
                    Code::INVALID_TOKEN,
                    "`TOKEN` takes a name and a permission only",
                )
                .label(self.span(), "the rest of the line has no effect")
                .help("a name with blanks needs quotes"),
            );
        }
        Some(TokenDecl { name, permission })
    }

    /// `INCLUDE "path" "KEY=value" …`
    pub(super) fn include(
        &self,
        node_index: usize,
        directive_index: usize,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Include> {
        let words = match &self.value {
            Value::Line(words) if !words.is_empty() => words,
            _ => {
                diagnostics.push(finding::missing_value(self.name(), self.place));
                return None;
            }
        };
        let path = words.word(0, self.source())?;
        let mut arguments = Vec::new();
        for index in 1..words.len() {
            let Some(argument) = words.word(index, self.source()) else {
                continue;
            };
            match argument.value.split_once('=') {
                Some((key, value)) => arguments.push((
                    key.trim().to_owned(),
                    super::value::without_quotes(value).to_owned(),
                )),
                None => diagnostics.push(
                    Diagnostic::warning(
                        Code::INVALID_INCLUDE_ARGUMENT,
                        format!("`{}` is not an argument of an include", argument.value),
                    )
                    .label(argument.span, "has no effect")
                    .help("arguments are written as `\"KEY=value\"`"),
                ),
            }
        }
        Some(Include {
            path,
            arguments,
            node_index,
            directive_index,
        })
    }

    fn block_span(&self, block: &Block) -> Span {
        Span::new(self.source(), block.range.start, block.range.end)
    }
}

/// Puts a value where only one can be; the one before is reported.
pub(super) fn overwrite<T>(
    slot: &mut Option<Spanned<T>>,
    value: Spanned<T>,
    name: &str,
    diagnostics: &mut Vec<Diagnostic>,
) {
    if let Some(earlier) = slot {
        diagnostics.push(finding::duplicate_directive(name, earlier.span, value.span));
    }
    *slot = Some(value);
}

/// Reports directives of one place that are given more than once.
pub(super) fn report_duplicates(directives: &[Directive], diagnostics: &mut Vec<Diagnostic>) {
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    for directive in directives {
        let name = directive.keyword.as_str();
        if let Some(earlier) = seen.insert(name, directive.keyword.span) {
            diagnostics.push(finding::duplicate_directive(
                name,
                earlier,
                directive.keyword.span,
            ));
        }
    }
}

/// Removes the common indentation and runs of blank lines. The first line starts where the block's text does, so it does not count.
fn dedented(text: &str) -> String {
    let indentation = text
        .lines()
        .skip(1)
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.len() - line.trim_start_matches([' ', '\t']).len())
        .min()
        .unwrap_or(0);
    let mut lines: Vec<&str> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_end();
        let line = if index == 0 {
            line
        } else {
            line.get(indentation..).unwrap_or("")
        };
        if !line.is_empty() || lines.last().is_some_and(|last| !last.is_empty()) {
            lines.push(line);
        }
    }
    lines.join("\n")
}
