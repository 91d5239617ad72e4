//! What was learnt about one shape of a node's SQL, so that nothing is parsed again for a request that differs only in values.
//!
//! A literal in a rendered template tokenizes to the same shape whatever its value (see [`PieceKind::Literal`]). So two renderings of a node with the
//! same pieces, literals aside, have their table names at the same places: the places are found once, written as (piece, offset), and looked up by the
//! pieces.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, RwLock};

use crate::graph::NodeId;
use crate::mapped_text::{MappedText, PieceKind};
use crate::optimize::Recipe;
use crate::project::ResourceName;
use crate::sql::definitions::Words;
use crate::sql::{Captors, Position, ScopeId, quote_identifier};

/// Shapes kept for a node. Past that the cache starts anew: a template with more shapes than this makes them from values (`table(…)`, lists).
const CAPACITY: usize = 256;

/// What was learnt about each shape of one node.
#[derive(Debug)]
pub(super) struct Learnt<T>(RwLock<HashMap<Key, Arc<T>>>);

/// The shapes of one node.
pub(super) type ShapeCache = Learnt<Shape>;

/// How the statement of one node is optimized; `None` where it is not.
pub(super) type RecipeCache = Learnt<Option<Recipe>>;

impl<T> Default for Learnt<T> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

/// The pieces in short: those of the source by their place in it, what else changes the shape by its text, literals by their place alone. The whole of it
/// is compared, so that no other text can pass for it.
pub(super) type Key = Vec<u8>;

/// Longer keys are not kept: the text that makes them so long is made of values and hardly comes twice.
const MAX_KEY: usize = 16 * 1024;

/// Where the names of other nodes stand in a rendering of this shape.
#[derive(Debug, Default)]
pub(super) struct Shape {
    /// In order of place.
    pub(super) inlines: Vec<Inline>,
    /// The tables that are read under their own names.
    pub(super) tables: Vec<TableUse>,
    /// Names of nodes before their columns where the author gave the node an alias, with the alias: what stands in the node's place has no other name.
    pub(super) renamed: Vec<(Anchor, Anchor, String)>,
    /// Names right of an `IN` that stand for a query of the statement itself.
    pub(super) named_sets: BTreeSet<String>,
    /// The names that would capture names of an inlined text; nothing where there is none.
    pub(super) captors: Option<Arc<Captors>>,
    /// Names that the statement gives to lambdas.
    pub(super) lambdas: Vec<String>,
    /// Tables that a name right of an `IN` may mean, beside an expression of that name.
    pub(super) doubtful: Vec<ResourceName>,
    /// Names right of an `IN` that are no resource: a column or an expression, if not a table that the engine has for itself.
    pub(super) unknown_sets: BTreeSet<String>,
    /// What its common table expressions are defined as.
    pub(super) definitions: BTreeSet<Words>,
    /// Words without brackets that are the clock: nothing in the statement has their name.
    pub(super) clock: BTreeSet<String>,
    /// Such words that something in the statement may have for its name.
    pub(super) clock_or_column: BTreeSet<String>,
    /// The statement without a trailing semicolon ends here.
    pub(super) end: Anchor,
}

/// A node's name that its text goes in place of.
#[derive(Debug, Clone)]
pub(super) struct Inline {
    pub(super) start: Anchor,
    pub(super) end: Anchor,
    /// Which node.
    pub(super) target: NodeId,
    /// The alias that the inlined text needs, quoted where it must be; `None` where the author gave one or none is possible.
    pub(super) alias: Option<String>,
    /// The place among the reader's common table expressions.
    pub(super) scope: ScopeId,
}

/// A table that is read under its own name.
#[derive(Debug, Clone)]
pub(super) struct TableUse {
    pub(super) database: Option<String>,
    pub(super) name: String,
    /// How the author names it, where the engine has another name for it: with its `VERSION`, or in the pipe of a workspace by its name there.
    pub(super) written: Option<String>,
    pub(super) start: Anchor,
    pub(super) end: Anchor,
    pub(super) position: Position,
    /// Whether the author gave it an alias.
    pub(super) aliased: bool,
    /// `FINAL` and `SAMPLE …`, in order of place.
    pub(super) modifiers: Vec<(Anchor, Anchor)>,
}

impl TableUse {
    /// The table as a resource.
    pub(super) fn resource(&self) -> ResourceName {
        ResourceName {
            workspace: self.database.clone(),
            name: self.name.clone(),
        }
    }

    /// The name that its columns may be qualified with.
    pub(super) fn written_name(&self) -> &str {
        self.written.as_ref().unwrap_or(&self.name)
    }

    /// The edit that puts the engine's name of the table in place of the author's, which stays as an alias.
    pub(super) fn by_own_name(&self, starts: &[usize]) -> (Range<usize>, MappedText) {
        let mut name = MappedText::new();
        let mut add = |text: &str| name.push(text, PieceKind::Inserted, None);
        if let Some(database) = &self.database {
            add(&quote_identifier(database));
            add(".");
        }
        if matches!(self.position, Position::Dictionary | Position::JoinGet) {
            add(&self.name);
        } else {
            add(&quote_identifier(&self.name));
        }
        if self.position == Position::From && !self.aliased {
            add(" AS ");
            add(&quote_identifier(self.written_name()));
        }
        (range(starts, self.start, self.end), name)
    }
}

/// A place in a text: a piece and an offset into it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Anchor {
    piece: usize,
    offset: usize,
}

impl<T> Learnt<T> {
    pub(super) fn find(&self, key: &[u8]) -> Option<Arc<T>> {
        self.0.read().ok()?.get(key).cloned()
    }

    pub(super) fn keep(&self, key: Key, shape: Arc<T>) {
        if key.len() <= MAX_KEY
            && let Ok(mut shapes) = self.0.write()
        {
            if shapes.len() >= CAPACITY {
                shapes.clear();
            }
            shapes.insert(key, shape);
        }
    }
}

/// The key of a rendering.
pub(super) fn key(text: &MappedText) -> Key {
    let mut key = Vec::with_capacity(256);
    for (range, piece) in text.pieces() {
        match (piece.kind, piece.origin) {
            (PieceKind::Literal, origin) => {
                key.push(1);
                let place = origin.map_or((0, 0), |span| (span.source.0, span.start));
                key.extend_from_slice(&place.0.to_le_bytes());
                key.extend_from_slice(&place.1.to_le_bytes());
                key.extend_from_slice(&piece.value.to_le_bytes());
            }
            (PieceKind::Verbatim, Some(origin)) => {
                key.push(2);
                key.extend_from_slice(&origin.source.0.to_le_bytes());
                key.extend_from_slice(&origin.start.to_le_bytes());
                key.extend_from_slice(&origin.end.to_le_bytes());
            }
            _ => {
                key.push(3);
                key.extend_from_slice(&(range.len() as u64).to_le_bytes());
                key.extend_from_slice(&text.text().as_bytes()[range]);
            }
        }
    }
    key
}

/// The anchor of a byte offset; `None` inside a literal, whose length differs from request to request.
pub(crate) fn anchor(text: &MappedText, offset: usize) -> Option<Anchor> {
    let mut last = Anchor::default();
    for (index, (range, piece)) in text.pieces().enumerate() {
        last = Anchor {
            piece: index,
            offset: range.len(),
        };
        if offset < range.end {
            let inside = piece.kind == PieceKind::Literal && offset > range.start;
            return (!inside).then_some(Anchor {
                piece: index,
                offset: offset - range.start,
            });
        }
    }
    // The end of the text: the end of its last piece, as the start of one that is not there.
    Some(Anchor {
        piece: last.piece + 1,
        offset: 0,
    })
}

/// Byte offsets of the starts of a text's pieces, and its end.
pub(crate) fn starts(text: &MappedText) -> Vec<usize> {
    let mut starts: Vec<usize> = text.pieces().map(|(range, _)| range.start).collect();
    starts.push(text.text().len());
    starts
}

/// The byte range between two anchors.
pub(crate) fn range(starts: &[usize], start: Anchor, end: Anchor) -> Range<usize> {
    let at = |anchor: Anchor| {
        starts
            .get(anchor.piece)
            .or(starts.last())
            .copied()
            .unwrap_or(0)
            + anchor.offset
    };
    at(start)..at(end)
}
