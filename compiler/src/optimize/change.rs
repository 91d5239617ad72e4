//! A change to a statement: places of its text, and what goes there instead.

use std::ops::Range;

use crate::mapped_text::{MappedText, PieceKind};

/// What goes in the place of a piece of text.
#[derive(Debug, Clone)]
pub(super) enum Part {
    /// Bytes that stand elsewhere in the text.
    Copy(Range<usize>),
    /// Words that the rule adds.
    Add(String),
}

/// One change.
#[derive(Debug)]
pub(super) struct Change {
    /// What is done, in one line.
    pub(super) what: String,
    /// Where it is about.
    pub(super) at: Range<usize>,
    /// Places and what goes there; in any order, not overlapping.
    pub(super) edits: Vec<(Range<usize>, Vec<Part>)>,
}

impl Change {
    /// The text after the change.
    pub(super) fn apply(&self, text: &MappedText) -> MappedText {
        let mut edits: Vec<(Range<usize>, MappedText)> = self
            .edits
            .iter()
            .map(|(range, parts)| (range.clone(), assemble(text, parts)))
            .collect();
        // Of two edits at one place the insertion comes first.
        edits.sort_by_key(|(range, _)| (range.start, range.end));
        text.splice(&edits)
    }
}

fn assemble(text: &MappedText, parts: &[Part]) -> MappedText {
    let mut out = MappedText::new();
    for part in parts {
        match part {
            Part::Copy(range) => out.append(&text.part(range.clone())),
            Part::Add(words) => out.push(words, PieceKind::Inserted, None),
        }
    }
    out
}

/// Words to add.
pub(super) fn add(words: impl Into<String>) -> Part {
    Part::Add(words.into())
}
