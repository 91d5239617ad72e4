//! Which names a run of tokens uses, defines and calls. Where a word may be a keyword or a name, it counts as a name: a rule asks whether names meet, and
//! leaves alone what does.

use std::collections::BTreeSet;

use super::{Run, Statement};
use crate::sql::lexer::Kind;

/// Words after which a name is no alias.
const BEFORE_EXPRESSIONS: &[&str] = &[
    "SELECT", "DISTINCT", "BY", "WHERE", "PREWHERE", "HAVING", "QUALIFY", "ON", "AND", "OR", "NOT",
    "IN", "LIKE", "ILIKE", "BETWEEN", "CASE", "WHEN", "THEN", "ELSE", "USING", "INTERVAL", "LIMIT",
    "OFFSET", "DIV", "MOD", "FROM", "JOIN", "IS",
];

/// Words that stand after an expression and are no alias of it.
const AFTER_EXPRESSIONS: &[&str] = &[
    "AND", "SELECT", "OR", "NOT", "IN", "LIKE", "ILIKE", "BETWEEN", "WHEN", "THEN", "ELSE", "END",
    "ASC", "DESC", "IS", "NULL", "NULLS", "FIRST", "LAST", "FROM", "WHERE", "PREWHERE", "GROUP",
    "HAVING", "ORDER", "LIMIT", "OFFSET", "BY", "ON", "USING", "JOIN", "LEFT", "RIGHT", "INNER",
    "OUTER", "FULL", "CROSS", "UNION", "ALL", "DIV", "MOD", "AS", "GLOBAL", "OVER", "WITH", "ANY",
    "SEMI", "ANTI", "ASOF", "SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR",
    "SETTINGS", "COLLATE",
];

/// Keywords that can stand before a bracket.
const NOT_CALLED: &[&str] = &[
    "AND", "OR", "NOT", "IN", "LIKE", "ILIKE", "BETWEEN", "CASE", "WHEN", "THEN", "ELSE",
    "INTERVAL", "AS", "IS", "DIV", "MOD", "GLOBAL", "BY", "WHERE", "SELECT", "FROM", "ON", "USING",
    "HAVING", "DISTINCT", "ALL", "UNION",
];

impl Statement<'_> {
    /// The names in a run that are no function's: columns, aliases, tables and what looks like them, each by the first word of `a.b.c`.
    pub(crate) fn names(&self, run: &Run) -> BTreeSet<String> {
        run.clone().filter_map(|at| self.first_name(at)).collect()
    }

    /// Whether a name is used in a run, as the first word of `a.b.c`.
    pub(crate) fn uses(&self, run: &Run, name: &str) -> bool {
        run.clone()
            .any(|at| self.first_name(at).as_deref() == Some(name))
    }

    /// Whether a name is anywhere in a run, also after a dot.
    pub(crate) fn mentions(&self, run: &Run, name: &str) -> bool {
        run.clone().any(|at| self.name(at).as_deref() == Some(name))
    }

    fn first_name(&self, at: usize) -> Option<String> {
        let after_dot = at > 0 && self.kind(at - 1) == Some(Kind::Dot);
        let called =
            self.kind(at) == Some(Kind::Word) && self.kind(at + 1) == Some(Kind::OpenRound);
        if after_dot || called {
            None
        } else {
            self.name(at)
        }
    }

    /// The functions that are called in a run, in lower case.
    pub(crate) fn calls(&self, run: &Run) -> BTreeSet<String> {
        let called = |at: &usize| {
            self.kind(at + 1) == Some(Kind::OpenRound)
                && self.name(*at).is_some()
                && !NOT_CALLED.iter().any(|word| self.is(*at, word))
        };
        let names = run.clone().filter(called);
        names
            .filter_map(|at| Some(self.name(at)?.to_ascii_lowercase()))
            .collect()
    }

    /// Whether a bare word is in a run that is neither quoted nor part of a compound name.
    pub(crate) fn has_word(&self, run: &Run, word: &str) -> bool {
        run.clone().any(|at| {
            self.is(at, word)
                && self.kind(at + 1) != Some(Kind::Dot)
                && !(at > 0 && self.kind(at - 1) == Some(Kind::Dot))
        })
    }

    /// Every name that a run may give a meaning of its own: an alias with or without `AS`, a common table expression, the argument of a lambda.
    pub(crate) fn defines(&self, run: &Run) -> BTreeSet<String> {
        let mut defined = self.gives(run);
        for at in run.clone() {
            if self.kind(at) == Some(Kind::Arrow) && at > run.start {
                defined.extend(self.lambda_arguments(run, at - 1));
            }
        }
        defined
    }

    /// The same without the arguments of lambdas, which have their meaning there alone.
    pub(crate) fn gives(&self, run: &Run) -> BTreeSet<String> {
        let mut defined = BTreeSet::new();
        for at in run.clone() {
            let Some(name) = self.name(at) else {
                continue;
            };
            let introduces = self.is(at + 1, "AS")
                && (self.kind(at + 2) == Some(Kind::OpenRound) || self.is(at + 2, "MATERIALIZED"));
            if introduces || (at > run.start && self.follows_expression(at)) {
                defined.insert(name);
            }
        }
        defined
    }

    /// Whether what stands before a name makes it an alias.
    fn follows_expression(&self, at: usize) -> bool {
        let bare = self.kind(at) == Some(Kind::Word);
        let before = at - 1;
        if self.is(before, "AS") {
            return true;
        }
        if bare && AFTER_EXPRESSIONS.iter().any(|word| self.is(at, word)) {
            return false;
        }
        match self.kind(before) {
            Some(Kind::Word) => !BEFORE_EXPRESSIONS.iter().any(|word| self.is(before, word)),
            before => before.is_some_and(Kind::ends_value),
        }
    }

    fn lambda_arguments(&self, run: &Run, last: usize) -> Vec<String> {
        if self.kind(last) != Some(Kind::CloseRound) {
            return self.name(last).into_iter().collect();
        }
        let open = run
            .clone()
            .find(|at| self.opens(*at) && self.close(*at) == last);
        open.map_or_else(Vec::new, |open| {
            (open + 1..last).filter_map(|at| self.name(at)).collect()
        })
    }

    /// Whether an asterisk stands for columns in a run, other than in `count(*)`.
    pub(crate) fn has_star(&self, run: &Run) -> bool {
        run.clone().any(|at| {
            if self.kind(at) != Some(Kind::Asterisk) {
                return false;
            }
            let before = at.checked_sub(1).and_then(|before| self.kind(before));
            let starts = matches!(
                before,
                None | Some(Kind::Comma | Kind::OpenRound | Kind::Dot)
            ) || self.is(at.wrapping_sub(1), "SELECT")
                || self.is(at.wrapping_sub(1), "DISTINCT");
            let counted = at >= 2
                && self.is(at - 2, "count")
                && self.kind(at - 1) == Some(Kind::OpenRound)
                && self.kind(at + 1) == Some(Kind::CloseRound);
            starts && !counted
        })
    }
}
