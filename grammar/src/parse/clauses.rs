//! Where the parts of a column end: types and expressions have no closing word, so what follows them decides.

use super::entries::{Kind, Tokens};
use crate::syntax::DefaultKind;

impl Tokens {
    /// The end of a type: it goes on over words and parentheses, as in `DOUBLE PRECISION` or `Array(Tuple(a String))`.
    pub(super) fn type_end(&self, start: usize, end: usize) -> usize {
        let mut at = start;
        while at < end {
            let stops = match self.kind(at) {
                Some(Kind::Word) => {
                    at > start && (self.is_clause(at) || self.starts_column(at, end))
                }
                Some(Kind::Open) => false,
                _ => true,
            };
            if stops || (at > start && (self.is_word(at, "NULL") || self.is_word(at, "NOT"))) {
                break;
            }
            at = self.after(at);
        }
        at
    }

    /// The end of an expression: the next clause, JSON path or column.
    pub(super) fn expression_end(&self, start: usize, end: usize) -> usize {
        let mut at = start;
        while at < end
            && !self.is_clause(at)
            && self.kind(at) != Some(Kind::JsonPath)
            && !(at > start && self.starts_column(at, end))
        {
            at = self.after(at);
        }
        at
    }

    fn is_clause(&self, at: usize) -> bool {
        default_kind(self, at).is_some()
            || self.is_word(at, "CODEC") && self.kind(at + 1) == Some(Kind::Open)
            || self.is_word(at, "TTL")
            || self.kind(at) == Some(Kind::Word) && self.token(at).starts_with("json:")
    }

    /// Whether a new column starts on this line although no comma ended the one before.
    pub(super) fn starts_column(&self, at: usize, end: usize) -> bool {
        let names = matches!(self.kind(at), Some(Kind::Word | Kind::BackQuoted));
        let typed =
            at + 1 < end && self.kind(at + 1) == Some(Kind::Word) && !self.starts_line(at + 1);
        let ended = match self.kind(at.saturating_sub(1)) {
            Some(Kind::Word) => self
                .token(at - 1)
                .ends_with(|last: char| last.is_alphanumeric() || last == '_'),
            Some(Kind::Comma | Kind::Open | Kind::Other) | None => false,
            Some(_) => true,
        };
        names
            && typed
            && ended
            && self.starts_line(at)
            && !self.is_clause(at)
            && starts_like_a_name(self.token(at))
    }
}

/// Operators that are words do not name a column.
fn starts_like_a_name(word: &str) -> bool {
    let operators = [
        "AND", "OR", "NOT", "THEN", "ELSE", "WHEN", "END", "IN", "LIKE", "BETWEEN", "IS", "AS",
    ];
    word.starts_with(|first: char| first.is_alphanumeric() || first == '_' || first == '`')
        && !operators
            .iter()
            .any(|operator| operator.eq_ignore_ascii_case(word))
}

/// The kind of default that a word starts.
pub(super) fn default_kind(tokens: &Tokens, at: usize) -> Option<DefaultKind> {
    [
        ("DEFAULT", DefaultKind::Default),
        ("MATERIALIZED", DefaultKind::Materialized),
        ("ALIAS", DefaultKind::Alias),
        ("EPHEMERAL", DefaultKind::Ephemeral),
    ]
    .into_iter()
    .find(|(word, _)| tokens.is_word(at, word))
    .map(|(_, kind)| kind)
}
