//! The elements of a `SELECT` list.

use super::{Run, Statement};
use crate::sql::identifier::is_plain_identifier;
use crate::sql::lexer::Kind;

/// One element of a `SELECT` list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// All its tokens.
    pub(crate) run: Run,
    pub(crate) kind: ItemKind,
}

/// What an element gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ItemKind {
    /// `*`.
    Star,
    /// A column under its own name.
    Column {
        /// The table in front of it.
        qualifier: Option<String>,
        name: String,
    },
    /// An expression with a name.
    Named {
        name: String,
        /// The tokens before `AS` or the name.
        expression: Run,
    },
    /// Anything else: its name is the engine's affair.
    Other,
}

impl Item {
    /// The name of the column that it gives, where the text says it.
    pub(crate) fn name(&self) -> Option<&str> {
        match &self.kind {
            ItemKind::Column { name, .. } | ItemKind::Named { name, .. } => Some(name),
            ItemKind::Star | ItemKind::Other => None,
        }
    }
}

impl Statement<'_> {
    pub(super) fn read_items(&self, list: &Run) -> Option<Vec<Item>> {
        let items = self.split(list).into_iter();
        let items = items.map(|run| {
            let kind = self.read_item(&run)?;
            Some(Item { run, kind })
        });
        items.collect()
    }

    fn read_item(&self, run: &Run) -> Option<ItemKind> {
        let last = run.end.checked_sub(1).filter(|last| *last >= run.start)?;
        let first = run.start;
        if run.len() == 1 && self.kind(first) == Some(Kind::Asterisk) {
            return Some(ItemKind::Star);
        }
        // `* EXCEPT (…)`, `COLUMNS('…') APPLY f`: what they give depends on the columns that there are.
        if self.kind(first) == Some(Kind::Asterisk) || self.is(first, "COLUMNS") {
            return Some(ItemKind::Other);
        }
        if run.len() >= 3 && self.is(last - 1, "AS") {
            let Some(name) = self.name(last) else {
                return Some(ItemKind::Other);
            };
            return Some(ItemKind::Named {
                name,
                expression: first..last - 1,
            });
        }
        if let Some(column) = self.column(run) {
            return Some(column);
        }
        // `column name`: an alias without `AS`.
        if run.len() == 2 && self.plain_name(first) && self.plain_name(last) {
            return Some(ItemKind::Named {
                name: self.name(last)?,
                expression: first..last,
            });
        }
        Some(ItemKind::Other)
    }

    fn column(&self, run: &Run) -> Option<ItemKind> {
        let at = run.start;
        match run.len() {
            1 if self.plain_name(at) => Some(ItemKind::Column {
                qualifier: None,
                name: self.name(at)?,
            }),
            3 if self.plain_name(at)
                && self.kind(at + 1) == Some(Kind::Dot)
                && self.name(at + 2).is_some() =>
            {
                Some(ItemKind::Column {
                    qualifier: self.name(at),
                    name: self.name(at + 2)?,
                })
            }
            _ => None,
        }
    }

    /// Whether a token can only be a name.
    pub(crate) fn plain_name(&self, at: usize) -> bool {
        match self.kind(at) {
            Some(Kind::QuotedName) => true,
            Some(Kind::Word) => is_plain_identifier(self.word(at)),
            _ => false,
        }
    }
}
