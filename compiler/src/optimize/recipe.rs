//! How to make an optimized statement from one of the same shape.

use std::sync::Arc;

use pipewright_grammar::source::Span;

use super::{HERE, Rewrite};
use crate::mapped_text::{MappedText, PieceKind};
use crate::plan::shape::{self, Anchor};

/// The pieces of an optimized statement: taken from the statement before, or added.
#[derive(Debug, Clone)]
pub struct Recipe {
    steps: Vec<Step>,
    rewrites: Arc<[Rewrite]>,
}

#[derive(Debug, Clone)]
enum Step {
    Take(Anchor, Anchor),
    Add(String),
}

impl Recipe {
    /// From a text, and what became of its copy whose pieces say where they come from. `None` if a value was cut, which no rule does.
    pub(super) fn new(
        text: &MappedText,
        made: &MappedText,
        rewrites: Vec<Rewrite>,
    ) -> Option<Self> {
        let mut steps = Vec::new();
        let mut cacheable = true;
        let mut anchor = |offset: u32| {
            shape::anchor(text, offset as usize).unwrap_or_else(|| {
                cacheable = false;
                Anchor::default()
            })
        };
        for (range, piece) in made.pieces() {
            match piece.origin {
                Some(Span { source, start, end }) if source == HERE => {
                    if range.len() != (end - start) as usize {
                        return None;
                    }
                    steps.push(Step::Take(anchor(start), anchor(end)));
                }
                _ => steps.push(Step::Add(made.text()[range].to_owned())),
            }
        }
        cacheable.then(|| Self {
            steps,
            rewrites: rewrites.into(),
        })
    }

    /// The optimized statement.
    pub fn follow(&self, text: &MappedText) -> MappedText {
        let starts = shape::starts(text);
        let mut out = MappedText::new();
        for step in &self.steps {
            match step {
                Step::Take(start, end) => {
                    out.append(&text.part(shape::range(&starts, *start, *end)));
                }
                Step::Add(words) => out.push(words, PieceKind::Inserted, None),
            }
        }
        out
    }

    /// What was done, in order.
    pub fn rewrites(&self) -> &Arc<[Rewrite]> {
        &self.rewrites
    }
}
