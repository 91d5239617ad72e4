//! Values in a rendered statement: each must be tokens of its own, for only then is it a value and nothing else.
//!
//! A value is written as a literal. Where the author puts it inside of quotes, of a comment or at the end of a word, it is a part of something that began before
//! it, and another value could end that: `/* {{ String(x) }} */` is closed by a value that holds `*/`. What would be such a way out is an error; what is none with
//! this value is looked at anew for the next one.

use std::ops::Range;

use pipewright_grammar::diagnostic::Diagnostic;

use crate::diagnostics::codes;
use crate::mapped_text::{MappedText, PieceKind};
use crate::sql::lexer::{self, Comment, Kind};

/// What a value is a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// A word or a number. It ends where no letter or digit follows.
    Word,
    /// Something in quotes, or an operator.
    Quoted,
    /// A comment to the end of its line. No value holds a line's end, for it is escaped.
    Line,
    /// A comment that `*/` ends.
    Block,
}

/// A token or a comment: its bytes, and how many of them open it.
struct Region {
    range: Range<usize>,
    opening: usize,
    part: Part,
}

impl Region {
    /// Whether a place lies in the middle of it.
    fn holds(&self, place: usize) -> bool {
        self.range.start < place && place < self.range.end
    }

    /// Whether a value that begins behind the start of this is a part of it, whatever comes next.
    fn contains(&self, value: &Range<usize>) -> bool {
        let opened = value.start >= self.range.start + self.opening;
        match self.part {
            Part::Word | Part::Line => opened && value.end <= self.range.end,
            Part::Quoted | Part::Block => opened && value.end < self.range.end,
        }
    }
}

/// The pieces of a rendered statement that are values, but no tokens of their own, so that nothing may be assumed of them when they change; an error where one could
/// end what it stands in. A text that has no tokens is somebody else's to report.
pub(crate) fn parts_of_others(text: &MappedText) -> Result<Vec<usize>, Box<Diagnostic>> {
    let is_value = |kind| matches!(kind, PieceKind::Literal | PieceKind::Structural);
    if !text.pieces().any(|(_, piece)| is_value(piece.kind)) {
        return Ok(Vec::new());
    }
    let Ok(tokens) = lexer::tokenize(text.text()) else {
        return Ok(Vec::new());
    };
    let tokens_of_sql = tokens.list.iter().map(|token| Region {
        range: token.range(),
        opening: 1,
        part: match token.kind {
            Kind::Word | Kind::Number => Part::Word,
            _ => Part::Quoted,
        },
    });
    let comments = tokens
        .comments
        .into_iter()
        .map(|Comment { range, is_line }| Region {
            opening: if text.text().as_bytes()[range.start] == b'#' {
                1
            } else {
                2
            },
            range,
            part: if is_line { Part::Line } else { Part::Block },
        });
    let mut regions: Vec<Region> = tokens_of_sql.chain(comments).collect();
    regions.sort_by_key(|region| region.range.start);
    let at = |place: usize| {
        let next = regions.partition_point(|region| region.range.end <= place);
        regions.get(next).filter(|region| region.holds(place))
    };
    let mut parts = Vec::new();
    for (index, (range, piece)) in text.pieces().enumerate() {
        if !is_value(piece.kind) {
            continue;
        }
        match (at(range.start), at(range.end)) {
            (None, None) => {}
            (Some(region), _) if region.contains(&range) => {
                if region.part != Part::Line {
                    parts.push(index);
                }
            }
            // The first digits of a longer word.
            (None, Some(region))
                if region.part == Part::Word && region.range.start >= range.start =>
            {
                parts.push(index);
            }
            _ => return Err(stands_in_quotes(text, range)),
        }
    }
    Ok(parts)
}

fn stands_in_quotes(text: &MappedText, range: Range<usize>) -> Box<Diagnostic> {
    let mut diagnostic = Diagnostic::error(
        codes::SQL_NOT_ALLOWED,
        "a value stands inside of quotes or of a comment, and could end them",
    )
    .help("write `{{ … }}` without quotes around it: a value brings its own");
    if let Some(span) = text.locate_range(range) {
        diagnostic = diagnostic.label(span, "");
    }
    Box::new(diagnostic)
}

#[cfg(test)]
mod tests {
    use pipewright_grammar::source::{SourceId, Span};

    use super::*;

    /// A text in which `‹…›` are values.
    fn mapped(text: &str) -> MappedText {
        let mut mapped = MappedText::new();
        for (at, part) in text.split(['‹', '›']).enumerate() {
            let kind = if at % 2 == 0 {
                PieceKind::Verbatim
            } else {
                PieceKind::Literal
            };
            mapped.push(part, kind, Some(Span::new(SourceId(0), 0, part.len())));
        }
        mapped
    }

    fn found(text: &str) -> String {
        match parts_of_others(&mapped(text)) {
            Ok(parts) => format!("{parts:?}"),
            Err(error) => error.message.into_owned(),
        }
    }

    #[test]
    fn a_value_between_tokens_stands_for_itself() {
        for text in [
            "SELECT ‹'a'›",
            "SELECT a=‹'a'›, b>‹5›-‹6›",
            "SELECT [‹'a'›,‹'b'›] -- ‹'it'›",
            "f(‹toInt32('5')›)",
        ] {
            assert_eq!(found(text), "[]", "{text}");
        }
    }

    #[test]
    fn a_value_that_is_a_part_of_something_is_looked_at_each_time() {
        assert_eq!(found("FROM n_‹1›"), "[1]");
        assert_eq!(found("SELECT ‹1›st"), "[1]");
        assert_eq!(found("SELECT '‹5› days'"), "[1]");
        assert_eq!(found("SELECT 1 /* ‹'a'› */"), "[1]");
        assert_eq!(found("SELECT $h$ ‹'a'› $h$"), "[1]");
    }

    #[test]
    fn a_value_that_ends_what_it_stands_in_is_refused() {
        for text in [
            "SELECT '‹'a'›'",
            "SELECT 'a'‹'b'›",
            "SELECT ‹'a'›'b'",
            "SELECT x‹'41'›",
            "SELECT 1 /* ‹'*/ UNION ALL SELECT 2 /*'› */",
            "SELECT $h$ ‹'$h$ || 1 || $h$'› $h$",
            "SELECT 5-‹-1› AND s",
        ] {
            assert!(
                found(text).contains("could end them"),
                "{text}: {}",
                found(text)
            );
        }
    }
}
