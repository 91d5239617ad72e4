//! `INDEXES` → index declarations: `[INDEX] name expression TYPE kind [GRANULARITY n]`, one per line or comma-separated.

use std::ops::Range;

use super::entries::{Kind, Tokens};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::{SourceId, Spanned};
use crate::syntax::IndexDecl;

/// Reads the indexes of a value that stands at `offset` of the file.
pub(super) fn read(
    text: &str,
    offset: usize,
    source: SourceId,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<IndexDecl> {
    let tokens = Tokens::read(text, offset, source);
    let mut indexes = Vec::new();
    let mut start = 0;
    while start < tokens.len() {
        let end = entry_end(&tokens, start);
        if end > start {
            indexes.extend(entry(&tokens, start..end, diagnostics));
        }
        start = if tokens.kind(end) == Some(Kind::Comma) {
            end + 1
        } else {
            end
        };
    }
    indexes
}

/// An entry ends at a comma, or at a line end unless the next line goes on with its `TYPE` or `GRANULARITY`.
fn entry_end(tokens: &Tokens, start: usize) -> usize {
    let (mut has_type, mut has_granularity) = (false, false);
    let mut at = start;
    while at < tokens.len() && tokens.kind(at) != Some(Kind::Comma) {
        let is_type = tokens.is_word(at, "TYPE");
        let is_granularity = tokens.is_word(at, "GRANULARITY");
        let goes_on = is_type && !has_type || is_granularity && has_type && !has_granularity;
        if at > start && tokens.starts_line(at) && !goes_on {
            break;
        }
        has_type |= is_type && at > start;
        has_granularity |= is_granularity;
        at = tokens.after(at);
    }
    at
}

/// Reads one entry.
pub(super) fn entry(
    tokens: &Tokens,
    range: Range<usize>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<IndexDecl> {
    let span = tokens.span(range.clone());
    let invalid = |message: String, label: &'static str| {
        Diagnostic::error(Code::INVALID_INDEX, message)
            .label(span, label)
            .help("write `name expression TYPE kind GRANULARITY n`")
    };
    let Some(type_at) = type_word(tokens, &range) else {
        diagnostics.push(invalid(
            "an index has no `TYPE`".to_owned(),
            "`TYPE` and a kind must stand here",
        ));
        return None;
    };
    let prefixed = tokens.is_word(range.start, "INDEX") && type_at > range.start + 2;
    let name_at = if prefixed {
        range.start + 1
    } else {
        range.start
    };
    let name = match tokens.kind(name_at) {
        Some(Kind::Word) if name_at < type_at => tokens.part(name_at, 0, 0),
        Some(Kind::BackQuoted) if name_at < type_at => tokens.part(name_at, 1, 1),
        _ => {
            diagnostics.push(invalid(
                "an index has no name".to_owned(),
                "must start with a name",
            ));
            return None;
        }
    };
    if name_at + 1 >= type_at {
        diagnostics.push(invalid(
            format!("index `{}` has no expression", name.value),
            "an expression must stand between the name and `TYPE`",
        ));
        return None;
    }
    let granularity_at = (type_at + 1..range.end)
        .find(|at| tokens.is_word(*at, "GRANULARITY"))
        .unwrap_or(range.end);
    if type_at + 1 >= granularity_at {
        diagnostics.push(invalid(
            format!("index `{}` has no kind", name.value),
            "a kind such as `minmax` must follow `TYPE`",
        ));
        return None;
    }
    let granularity = granularity(tokens, granularity_at + 1..range.end, &name, diagnostics);
    Some(IndexDecl {
        expression: tokens.slice(name_at + 1..type_at),
        kind: tokens.slice(type_at + 1..granularity_at),
        granularity,
        span,
        name,
    })
}

/// The last `TYPE` outside of parentheses; one in capitals is preferred, since a column may be called `type`.
fn type_word(tokens: &Tokens, range: &Range<usize>) -> Option<usize> {
    let mut found: Option<usize> = None;
    let mut at = range.start;
    while at < range.end {
        let better =
            found.is_none_or(|found| tokens.token(found) != "TYPE" || tokens.token(at) == "TYPE");
        if tokens.is_word(at, "TYPE") && at > range.start && better {
            found = Some(at);
        }
        at = tokens.after(at);
    }
    found
}

fn granularity(
    tokens: &Tokens,
    range: Range<usize>,
    name: &Spanned<String>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Spanned<u64>> {
    if range.start > range.end {
        return None;
    }
    let written = tokens.slice(range);
    if let Ok(number) = written.value.parse() {
        return Some(Spanned::new(number, written.span));
    }
    diagnostics.push(
        Diagnostic::error(
            Code::INVALID_INDEX,
            format!("the granularity of index `{}` is not a number", name.value),
        )
        .label(written.span, "a whole number must follow `GRANULARITY`"),
    );
    None
}
