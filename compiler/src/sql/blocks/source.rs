//! What a `SELECT` reads, where it is one thing.

use super::{Run, Statement};
use crate::sql::lexer::Kind;

/// The only source of a `SELECT`.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// With its alias.
    pub(crate) run: Run,
    pub(crate) relation: Relation,
    pub(crate) alias: Option<String>,
}

/// What a source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Relation {
    /// A table or a common table expression.
    Table {
        database: Option<String>,
        name: String,
    },
    /// A query in brackets.
    Query {
        /// The opening bracket.
        open: usize,
    },
}

impl Source {
    /// Whether a name in front of a dot may mean this source.
    pub(crate) fn answers_to(&self, qualifier: &str) -> bool {
        let by_name = match &self.relation {
            Relation::Table { name, database } => {
                name == qualifier || database.as_deref() == Some(qualifier)
            }
            Relation::Query { .. } => false,
        };
        by_name || self.alias.as_deref() == Some(qualifier)
    }
}

impl Statement<'_> {
    /// A source without joins, `FINAL`, `SAMPLE`, column lists and table functions; `None` for anything else.
    pub(super) fn read_source(&self, from: &Run) -> Option<Source> {
        let (relation, mut at) = self.read_relation(from)?;
        let mut alias = None;
        if self.is(at, "AS") && at + 2 == from.end {
            alias = Some(self.name(at + 1)?);
            at += 2;
        } else if at + 1 == from.end && self.plain_name(at) {
            alias = Some(self.name(at)?);
            at += 1;
        }
        (at == from.end).then(|| Source {
            run: from.clone(),
            relation,
            alias,
        })
    }

    /// The relation at the start of a run, and where it ends.
    pub(crate) fn read_relation(&self, run: &Run) -> Option<(Relation, usize)> {
        let at = run.start;
        if self.kind(at) == Some(Kind::OpenRound) {
            let is_query = self.is(at + 1, "SELECT") || self.is(at + 1, "WITH");
            return is_query.then(|| (Relation::Query { open: at }, self.close(at) + 1));
        }
        if !self.plain_name(at) || at >= run.end {
            return None;
        }
        let name = self.name(at)?;
        if at + 2 < run.end && self.kind(at + 1) == Some(Kind::Dot) {
            let relation = Relation::Table {
                database: Some(name),
                name: self.name(at + 2)?,
            };
            return Some((relation, at + 3));
        }
        let relation = Relation::Table {
            database: None,
            name,
        };
        Some((relation, at + 1))
    }
}
