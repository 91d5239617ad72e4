//! Sources and the places in them. Every tree, diagnostic and artifact points at bytes of a [`SourceFile`] by [`Span`].

use std::fmt;
use std::ops::Range;

use serde::Serialize;

use crate::diagnostic::{Code, Diagnostic};

/// Which file of a project a span belongs to: the index of the file in its source tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct SourceId(pub u32);

/// A byte range in one source file, `start..end`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Span {
    /// The file.
    pub source: SourceId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The span `start..end` of `source`. Offsets past 4 GiB are clamped; no file that large is ever read.
    pub fn new(source: SourceId, start: usize, end: usize) -> Self {
        Self {
            source,
            start: clamp(start),
            end: clamp(end.max(start)),
        }
    }

    /// The byte range, for slicing the file's text.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The smallest span that covers both; `other` must be of the same file.
    #[must_use]
    pub fn cover(self, other: Self) -> Self {
        Self {
            source: self.source,
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }

    /// Length in bytes.
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether the span covers nothing (a place between two bytes).
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}..{}", self.source.0, self.start, self.end)
    }
}

fn clamp(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

/// A value and the place in the source that made it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Spanned<T> {
    /// The value, after unquoting and trimming.
    pub value: T,
    /// The bytes that it was read from.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Pairs a value with its place.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

impl Spanned<String> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.value
    }
}

/// One file's text under the name that messages show.
#[derive(Debug, Clone)]
pub struct SourceFile {
    id: SourceId,
    name: String,
    text: String,
    line_starts: Vec<u32>,
}

impl SourceFile {
    /// `name` is what messages show: the path relative to the project, with `/`.
    pub fn new(id: SourceId, name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let line_starts = std::iter::once(0)
            .chain(
                text.bytes()
                    .enumerate()
                    .filter(|(_, byte)| *byte == b'\n')
                    .map(|(at, _)| clamp(at + 1)),
            )
            .collect();
        Self {
            id,
            name: name.into(),
            text,
            line_starts,
        }
    }

    /// Reads bytes that need not be UTF-8: invalid sequences become U+FFFD and one diagnostic says where the first one was.
    pub fn from_bytes(
        id: SourceId,
        name: impl Into<String>,
        bytes: Vec<u8>,
    ) -> (Self, Vec<Diagnostic>) {
        match String::from_utf8(bytes) {
            Ok(text) => (Self::new(id, name, text), Vec::new()),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let file = Self::new(
                    id,
                    name,
                    String::from_utf8_lossy(error.as_bytes()).into_owned(),
                );
                let diagnostic =
                    Diagnostic::error(Code::INVALID_UTF8, "the file is not valid UTF-8")
                        .label(
                            Span::new(id, at, at + '\u{fffd}'.len_utf8()),
                            "first invalid byte here",
                        )
                        .help("save the file as UTF-8");
                (file, vec![diagnostic])
            }
        }
    }

    /// The file's number in its source tree.
    pub fn id(&self) -> SourceId {
        self.id
    }

    /// The name that messages show.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text, byte for byte as read (BOM and CRLF included).
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of a span; empty when the span is out of range or cuts a character.
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.range()).unwrap_or("")
    }

    /// Line and column of a byte offset, both from 1, columns in characters.
    pub fn line_column(&self, offset: u32) -> (u32, u32) {
        let line = self
            .line_starts
            .partition_point(|start| *start <= offset)
            .saturating_sub(1);
        let start = self.line_starts[line] as usize;
        let end = (offset as usize).clamp(start, self.text.len());
        let column = self.text.as_bytes()[start..end]
            .iter()
            .filter(|byte| (**byte & 0xC0) != 0x80)
            .count();
        (clamp(line + 1), clamp(column + 1))
    }
}
