//! Tokens → blocks.

use super::{Clause, ClauseKind, Nested, Place, Query, Run, Select, Statement, With};
use crate::sql::lexer::Kind;

/// A word that begins something at the outermost level of a `SELECT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Start {
    With,
    Select,
    From,
    Clause(ClauseKind),
    /// A clause that is not worked with.
    Unknown,
}

/// Words before which a bracket with a query in it is a query, and no argument of a function.
const BEFORE_QUERIES: &[&str] = &[
    "SELECT",
    "DISTINCT",
    "FROM",
    "JOIN",
    "WHERE",
    "PREWHERE",
    "HAVING",
    "BY",
    "AS",
    "MATERIALIZED",
    "AND",
    "OR",
    "NOT",
    "IN",
    "EXISTS",
    "WHEN",
    "THEN",
    "ELSE",
    "CASE",
    "ON",
    "LIKE",
    "BETWEEN",
    "LIMIT",
    "OFFSET",
    "WITH",
    "RECURSIVE",
    "ALL",
    "ANY",
];

impl Statement<'_> {
    pub(super) fn read_query(&self, run: Run, depth: usize) -> Option<Query> {
        let mut query = Query {
            run: run.clone(),
            branches: Vec::new(),
            only_union_all: true,
        };
        let mut start = run.start;
        let mut skip = run.start;
        for at in self.outermost(&run) {
            if at < skip || !self.is_keyword(at) {
                continue;
            }
            let union = self.is(at, "UNION");
            // `* EXCEPT (…)` takes columns away.
            let takes_away = at > run.start && self.kind(at - 1) != Some(Kind::Asterisk);
            let other = self.is(at, "INTERSECT") || (self.is(at, "EXCEPT") && takes_away);
            if !union && !other {
                continue;
            }
            query.only_union_all &= union && self.is(at + 1, "ALL");
            query.branches.push(self.read_select(start..at, depth)?);
            let modified = self.is(at + 1, "ALL") || self.is(at + 1, "DISTINCT");
            start = at + 1 + usize::from(modified);
            skip = start;
        }
        query
            .branches
            .push(self.read_select(start..run.end, depth)?);
        Some(query)
    }

    /// Whether a word may be a keyword here: after a dot or `AS`, and before a dot, it is a name.
    fn is_keyword(&self, at: usize) -> bool {
        self.kind(at) == Some(Kind::Word)
            && self.kind(at + 1) != Some(Kind::Dot)
            && (at == 0 || (self.kind(at - 1) != Some(Kind::Dot) && !self.is(at - 1, "AS")))
    }

    fn start(&self, at: usize) -> Option<Start> {
        if !self.is_keyword(at) {
            return None;
        }
        let by = self.is(at + 1, "BY");
        let kind = match self.word(at).to_ascii_uppercase().as_str() {
            "WITH" => return Some(Start::With),
            "SELECT" => return Some(Start::Select),
            "FROM" => return Some(Start::From),
            "PREWHERE" => ClauseKind::Prewhere,
            "WHERE" => ClauseKind::Where,
            "GROUP" if by => ClauseKind::GroupBy,
            "HAVING" => ClauseKind::Having,
            "WINDOW" => ClauseKind::Window,
            "QUALIFY" => ClauseKind::Qualify,
            "ORDER" if by => ClauseKind::OrderBy,
            "LIMIT" => ClauseKind::Limit,
            "OFFSET" => ClauseKind::Offset,
            "SETTINGS" => ClauseKind::Settings,
            // Without `BY`, the first two are no clauses.
            "GROUP" | "ORDER" | "FORMAT" | "INTO" | "FETCH" => return Some(Start::Unknown),
            _ => return None,
        };
        Some(Start::Clause(kind))
    }

    fn read_select(&self, run: Run, depth: usize) -> Option<Select> {
        let mut select = Select {
            run: run.clone(),
            ..Select::default()
        };
        select.understood = self.read_clauses(&run, &mut select).is_some();
        let complete = self.read_nested(&run, &select, depth.checked_sub(1)?)?;
        select.nested = complete.0;
        select.understood &= complete.1;
        if select.understood
            && let Some(from) = select.from.clone()
        {
            select.source = self.read_source(&from);
        }
        Some(select)
    }

    /// Splits a `SELECT` at its keywords; `None` as soon as one is out of place.
    fn read_clauses(&self, run: &Run, select: &mut Select) -> Option<()> {
        let mut starts: Vec<(Start, usize)> = Vec::new();
        for at in self.outermost(run) {
            let Some(start) = self.start(at) else {
                continue;
            };
            // `ORDER BY … WITH FILL`, `GROUP BY … WITH TOTALS`, `LIMIT … WITH TIES`.
            if start == Start::With && !starts.is_empty() {
                continue;
            }
            if starts.last().is_some_and(|(last, _)| *last >= start) || start == Start::Unknown {
                return None;
            }
            starts.push((start, at));
        }
        let first = starts.first()?;
        if first.1 != run.start || !matches!(first.0, Start::With | Start::Select) {
            return None;
        }
        let ends = starts.iter().skip(1).map(|(_, at)| *at).chain([run.end]);
        let mut has_list = false;
        for ((start, at), end) in starts.iter().zip(ends) {
            match start {
                Start::With => select.with = Some(self.read_with(*at, end)?),
                Start::Select => {
                    has_list = true;
                    select.keyword = *at;
                    let mut from = at + 1;
                    if self.is(from, "DISTINCT") {
                        select.distinct = Some(from);
                        from += 1;
                        if self.is(from, "ON") {
                            return None;
                        }
                    } else if self.is(from, "TOP") || self.is(from, "ALL") {
                        return None;
                    }
                    select.list = from..end;
                    select.items = self.read_items(&select.list)?;
                }
                Start::From => select.from = Some(at + 1..end),
                Start::Clause(kind) => {
                    let words = match kind {
                        ClauseKind::GroupBy | ClauseKind::OrderBy => 2,
                        _ => 1,
                    };
                    let body = at + words..end;
                    if body.is_empty() {
                        return None;
                    }
                    select.clauses.push(Clause {
                        kind: *kind,
                        run: *at..end,
                        body,
                    });
                }
                Start::Unknown => return None,
            }
        }
        has_list.then_some(())
    }

    fn read_with(&self, keyword: usize, end: usize) -> Option<With> {
        let recursive = self.is(keyword + 1, "RECURSIVE");
        let start = keyword + 1 + usize::from(recursive);
        let mut with = With {
            keyword,
            recursive,
            names: Vec::new(),
        };
        for part in self.split(&(start..end)) {
            let last = part.end.checked_sub(1)?;
            if part.len() < 3 {
                return None;
            }
            let table_query = self.is(part.start + 1, "AS")
                && (self.kind(part.start + 2) == Some(Kind::OpenRound)
                    || self.is(part.start + 2, "MATERIALIZED"));
            if table_query && self.kind(last) == Some(Kind::CloseRound) {
                with.names.push((self.name(part.start)?, true));
            } else if self.is(last - 1, "AS") {
                with.names.push((self.name(last)?, false));
            } else {
                return None;
            }
        }
        Some(with)
    }

    /// The queries in brackets anywhere in a run, and whether all of them were told from arguments.
    fn read_nested(&self, run: &Run, select: &Select, depth: usize) -> Option<(Vec<Nested>, bool)> {
        let (mut found, mut complete) = (Vec::new(), true);
        let from = select.from.clone().unwrap_or(0..0);
        let mut at = run.start;
        while at < run.end {
            let begins = self.kind(at) == Some(Kind::OpenRound)
                && (self.is(at + 1, "SELECT")
                    || self.is(at + 1, "WITH")
                    || self.is(at + 1, "FROM"));
            if !begins {
                at += 1;
                continue;
            }
            let close = self.close(at);
            let before = at.checked_sub(1).filter(|before| *before >= run.start);
            let is_argument = before.is_some_and(|before| match self.kind(before) {
                Some(Kind::Word) => !BEFORE_QUERIES.iter().any(|word| self.is(before, word)),
                Some(Kind::QuotedName) => true,
                _ => false,
            });
            let follows = |word: &str| before.is_some_and(|before| self.is(before, word));
            let outermost = from.contains(&at) && self.outermost(&from).any(|outer| outer == at);
            let comma = before.is_some_and(|before| self.kind(before) == Some(Kind::Comma));
            let place = if outermost && (at == from.start || follows("JOIN") || comma) {
                Place::Source
            } else if follows("IN") {
                Place::Set
            } else {
                Place::Other
            };
            if is_argument {
                complete = false;
            } else {
                let query = self.read_query(at + 1..close, depth)?;
                found.push(Nested {
                    place,
                    query,
                    open: at,
                    close,
                });
            }
            at = close + 1;
        }
        Some((found, complete))
    }
}
