//! SQL text that remembers where each piece came from. Templates render into it, reference resolution edits it, and the position in an engine's error
//! message is looked up in it.

use std::ops::Range;

use pipewright_grammar::source::Span;

/// What a piece of text is, which decides what may be assumed of it when it changes from request to request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PieceKind {
    /// Copied byte for byte from the source; `origin` has the same length.
    Verbatim,
    /// One literal made of a parameter's value: a quoted string, a number, or a cast of one (`toInt32('5')`). Where it is tokens of its own, it tokenizes to the
    /// same shape whatever the value is, so that what was learnt about the statement with one value holds for every other. Where it is a part of something else, it is
    /// made [`Structural`](PieceKind::Structural): see [`MappedText::part_grown_together`] and [`MappedText::assume_nothing_of`].
    Literal,
    /// Made by an expression, and its shape may depend on the value (`columns(…)`, `table(…)`, `sql_and(…)`, lists).
    Structural,
    /// Added by the compiler (parentheses around an inlined node, an alias).
    Inserted,
}

/// A piece of [`MappedText`]: from the end of the piece before it to `end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// One past the last byte in the text.
    pub end: u32,
    /// What it is.
    pub kind: PieceKind,
    /// The source bytes that made it: the same bytes for verbatim pieces, the whole tag for values.
    pub origin: Option<Span>,
    /// Which value of the request a literal holds, counted from 1 over all nodes; 0 where it was not counted. Its origin does not say: a loop makes several
    /// values at one place.
    pub value: u32,
}

/// Text with the origin of every byte.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MappedText {
    text: String,
    pieces: Vec<Piece>,
}

impl MappedText {
    /// Empty text.
    pub fn new() -> Self {
        Self::default()
    }

    /// A text that is, byte for byte, the source at `origin`.
    pub fn verbatim(text: &str, origin: Span) -> Self {
        let mut mapped = Self::new();
        mapped.push(text, PieceKind::Verbatim, Some(origin));
        mapped
    }

    /// Appends a piece. Empty pieces are dropped; adjacent verbatim pieces that are also adjacent in the source become one.
    pub fn push(&mut self, text: &str, kind: PieceKind, origin: Option<Span>) {
        self.push_value(text, kind, origin, 0);
    }

    fn push_value(&mut self, text: &str, kind: PieceKind, origin: Option<Span>, value: u32) {
        if text.is_empty() {
            return;
        }
        self.text.push_str(text);
        let end = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        if kind == PieceKind::Verbatim
            && let Some(Piece {
                end: last_end,
                kind: PieceKind::Verbatim,
                origin: Some(last),
                ..
            }) = self.pieces.last_mut()
            && let Some(span) = origin
            && last.source == span.source
            && last.end == span.start
        {
            last.end = span.end;
            *last_end = end;
            return;
        }
        self.pieces.push(Piece {
            end,
            kind,
            origin,
            value,
        });
    }

    /// Counts the literals on from `last`, so that copies of this text can be told from texts with other values.
    pub fn count_values(&mut self, last: &mut u32) {
        for piece in &mut self.pieces {
            if piece.kind == PieceKind::Literal {
                *last = last.saturating_add(1);
                piece.value = *last;
            }
        }
    }

    /// Makes literals structural that grow together with what stands beside them, as `n_{{ 1 }}` does: with another value, that is another word.
    pub fn part_grown_together(&mut self) {
        let bytes = self.text.as_bytes();
        let mut start = 0;
        for piece in &mut self.pieces {
            let end = piece.end as usize;
            let begins = start > 0 && grows_together(bytes[start - 1], bytes[start]);
            let goes_on = end < bytes.len() && grows_together(bytes[end - 1], bytes[end]);
            if piece.kind == PieceKind::Literal && (begins || goes_on) {
                piece.kind = PieceKind::Structural;
            }
            start = end;
        }
    }

    /// Makes pieces structural, by their numbers.
    pub fn assume_nothing_of(&mut self, pieces: &[usize]) {
        for index in pieces {
            if let Some(piece) = self.pieces.get_mut(*index) {
                piece.kind = PieceKind::Structural;
            }
        }
    }

    /// The piece that the byte at `offset` is in.
    pub fn piece_at(&self, offset: usize) -> Option<&Piece> {
        let index = self
            .pieces
            .partition_point(|piece| piece.end as usize <= offset);
        self.pieces.get(index)
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text without its map.
    pub fn into_text(self) -> String {
        self.text
    }

    /// The pieces with their byte ranges, in order.
    pub fn pieces(&self) -> impl Iterator<Item = (Range<usize>, &Piece)> {
        let mut start = 0;
        self.pieces.iter().map(move |piece| {
            let range = start..piece.end as usize;
            start = piece.end as usize;
            (range, piece)
        })
    }

    /// The place in the source that made the byte at `offset`: the exact byte for verbatim text, the whole tag for a value, and for inserted text the
    /// nearest piece before it that has an origin.
    pub fn locate(&self, offset: usize) -> Option<Span> {
        let index = self
            .pieces
            .partition_point(|piece| piece.end as usize <= offset)
            .min(self.pieces.len().checked_sub(1)?);
        let piece = &self.pieces[index];
        match (piece.kind, piece.origin) {
            (PieceKind::Verbatim, Some(origin)) => {
                let start = if index == 0 {
                    0
                } else {
                    self.pieces[index - 1].end as usize
                };
                let at =
                    (origin.start as usize + offset.saturating_sub(start)).min(origin.end as usize);
                Some(Span::new(origin.source, at, at))
            }
            (_, Some(origin)) => Some(origin),
            (_, None) => self.pieces[..index]
                .iter()
                .rev()
                .find_map(|piece| piece.origin)
                .map(|origin| Span::new(origin.source, origin.end as usize, origin.end as usize)),
        }
    }

    /// The source span for a range of the text: exact where both ends lie in verbatim text of one file.
    pub fn locate_range(&self, range: Range<usize>) -> Option<Span> {
        let start = self.locate(range.start)?;
        let last = self.locate(range.end.saturating_sub(1).max(range.start))?;
        if start.source != last.source || last.end < start.start {
            return Some(start);
        }
        let end = if last.is_empty() && range.end > range.start {
            last.end as usize + 1
        } else {
            last.end as usize
        };
        Some(Span::new(start.source, start.start as usize, end))
    }

    /// Replaces byte ranges of the text, in order and not overlapping, by other mapped text; everything else keeps its bytes and origins.
    #[must_use]
    pub fn splice(&self, edits: &[(Range<usize>, MappedText)]) -> Self {
        let mut out = Self {
            text: String::with_capacity(self.text.len()),
            pieces: Vec::with_capacity(self.pieces.len() + 3 * edits.len()),
        };
        let mut at = 0;
        for (range, replacement) in edits {
            self.copy(at..range.start, &mut out);
            out.append(replacement);
            at = range.end;
        }
        self.copy(at..self.text.len(), &mut out);
        out
    }

    /// A range of the text with its origins.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Self {
        let mut out = Self::new();
        self.copy(range, &mut out);
        out
    }

    /// Appends other mapped text.
    pub fn append(&mut self, other: &Self) {
        for (range, piece) in other.pieces() {
            self.push_value(&other.text[range], piece.kind, piece.origin, piece.value);
        }
    }

    fn copy(&self, range: Range<usize>, out: &mut Self) {
        if range.is_empty() {
            return;
        }
        let first = self
            .pieces
            .partition_point(|piece| piece.end as usize <= range.start);
        let mut start = if first == 0 {
            0
        } else {
            self.pieces[first - 1].end as usize
        };
        for piece in &self.pieces[first..] {
            if start >= range.end {
                break;
            }
            let part = start.max(range.start)..(piece.end as usize).min(range.end);
            let origin = match (piece.kind, piece.origin) {
                (PieceKind::Verbatim, Some(origin)) => {
                    let from = origin.start as usize + part.start - start;
                    Some(Span::new(origin.source, from, from + part.len()))
                }
                (_, origin) => origin,
            };
            out.push_value(&self.text[part], piece.kind, origin, piece.value);
            start = piece.end as usize;
        }
    }
}

/// Whether two bytes beside one another may belong to one token, if one of them is a literal's: letters and digits, `1.5`, `x'41'`, `'it''s'`.
fn grows_together(left: u8, right: u8) -> bool {
    let is_word = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'.') || !byte.is_ascii()
    };
    match (left, right) {
        (b'\'', b'\'') => true,
        (left, b'\'') => is_word(left),
        (left, right) => is_word(left) && is_word(right),
    }
}

#[cfg(test)]
mod tests {
    use pipewright_grammar::source::SourceId;

    use super::*;

    fn source(start: usize, end: usize) -> Span {
        Span::new(SourceId(0), start, end)
    }

    #[test]
    fn a_splice_keeps_the_origin_of_what_it_leaves() {
        let text = MappedText::verbatim("SELECT a FROM n WHERE b", source(100, 123));
        let mut inlined = MappedText::new();
        inlined.push("(", PieceKind::Inserted, None);
        inlined.append(&MappedText::verbatim("SELECT 1", source(10, 18)));
        inlined.push(") AS n", PieceKind::Inserted, None);
        let spliced = text.splice(&[(14..15, inlined)]);
        assert_eq!(spliced.text(), "SELECT a FROM (SELECT 1) AS n WHERE b");
        assert_eq!(spliced.locate(7), Some(source(107, 107)));
        assert_eq!(spliced.locate(15), Some(source(10, 10)));
        assert_eq!(spliced.locate(36), Some(source(122, 122)));
        assert_eq!(spliced.locate_range(30..35), Some(source(116, 121)));
    }
}
