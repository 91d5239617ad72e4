//! Statements with places for secrets.

use std::collections::BTreeSet;

use super::text::{Part, Text};
use crate::sql::quote_literal;

/// A statement of which some string literals hold values that are known only when it is deployed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sql {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Sql(String),
    /// What stands in a string literal.
    Value(Part),
}

/// A secret that has neither a value nor a default.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the secret `{0}` has no value")]
pub struct MissingSecret(pub String);

impl From<String> for Sql {
    fn from(text: String) -> Self {
        Self {
            pieces: vec![Piece::Sql(text)],
        }
    }
}

impl From<&str> for Sql {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl Sql {
    pub(super) fn push(&mut self, text: &str) {
        self.pieces.push(Piece::Sql(text.to_owned()));
    }

    pub(super) fn append(&mut self, other: Self) {
        self.pieces.extend(other.pieces);
    }

    /// Adds text as a string literal.
    pub(super) fn literal(&mut self, text: &Text) {
        self.push("'");
        self.pieces
            .extend(text.parts.iter().cloned().map(Piece::Value));
        self.push("'");
    }

    /// The statement as it may be shown: a reference stands for each secret and each credential.
    pub fn text(&self) -> String {
        let shown = |piece: &Piece| match piece {
            Piece::Sql(text) => text.clone(),
            Piece::Value(part) => inside(&part.to_string()),
        };
        self.pieces.iter().map(shown).collect()
    }

    /// The secrets that it needs.
    pub fn secrets(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        for piece in &self.pieces {
            if let Piece::Value(Part::Secret { name, .. }) = piece {
                names.insert(name.as_str());
            }
        }
        names
    }

    /// The statement as it is run.
    pub fn filled(&self, secret: impl Fn(&str) -> Option<String>) -> Result<String, MissingSecret> {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Sql(sql) => text.push_str(sql),
                Piece::Value(Part::Plain(value) | Part::Credential { value, .. }) => {
                    text.push_str(&inside(value));
                }
                Piece::Value(Part::Secret { name, default }) => {
                    let value = secret(name).or_else(|| default.clone());
                    let value = value.ok_or_else(|| MissingSecret(name.clone()))?;
                    text.push_str(&inside(&value));
                }
            }
        }
        Ok(text)
    }

    /// Text without what is secret in this statement.
    pub fn redacted(&self, text: &str, secret: impl Fn(&str) -> Option<String>) -> String {
        let mut text = text.to_owned();
        for piece in &self.pieces {
            let value = match piece {
                Piece::Value(Part::Secret { name, default }) => {
                    secret(name).or_else(|| default.clone())
                }
                Piece::Value(Part::Credential { value, .. }) => Some(value.clone()),
                _ => None,
            };
            for value in value.into_iter().filter(|value| !value.is_empty()) {
                text = text.replace(&inside(&value), "…").replace(&value, "…");
            }
        }
        text
    }
}

/// Text as it stands between the quotes of a literal.
fn inside(text: &str) -> String {
    let quoted = quote_literal(text);
    quoted[1..quoted.len() - 1].to_owned()
}
