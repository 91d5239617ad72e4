//! A statement as blocks: each `SELECT` with its list, its source and its clauses, and the queries inside of it. What the optimizer stands on.
//!
//! It reads tokens and not `sqlparser`'s tree, for three reasons: its spans are exact to the byte for every part, it works on statements that the parser
//! does not know, and what it does not understand it says for that one `SELECT` alone (`understood` is false), so that the rest can still be worked on. A
//! keyword out of its place, twice, or unknown makes a block not understood; nothing is guessed.

mod items;
mod names;
mod read;
mod source;

use std::ops::Range;

pub(crate) use items::{Item, ItemKind};
pub(crate) use source::{Relation, Source};

use super::identifier::unquote;
use super::lexer::{self, Kind, Token};

/// A run of tokens, by index.
pub(crate) type Run = Range<usize>;

/// Queries inside of queries are read to this depth; deeper ones are left alone.
const DEPTH_LIMIT: usize = 250;

/// A statement, its tokens, and its outermost query.
#[derive(Debug)]
pub(crate) struct Statement<'a> {
    pub(crate) text: &'a str,
    tokens: Vec<Token>,
    /// For each opening bracket the index of the one that closes it.
    closes: Vec<usize>,
    pub(crate) query: Query,
}

/// `SELECT … [UNION ALL SELECT …]`.
#[derive(Debug, Default)]
pub(crate) struct Query {
    /// All its tokens, without brackets around it.
    pub(crate) run: Run,
    pub(crate) branches: Vec<Select>,
    /// Whether every set operator is `UNION ALL`; true for a query of one branch.
    pub(crate) only_union_all: bool,
}

/// One `SELECT` with its clauses.
#[derive(Debug, Default)]
pub(crate) struct Select {
    /// From `WITH` or `SELECT` to the end of its last clause.
    pub(crate) run: Run,
    /// Whether every token was given a meaning. If not, only `run` and `nested` count.
    pub(crate) understood: bool,
    pub(crate) with: Option<With>,
    /// The word `SELECT`.
    pub(crate) keyword: usize,
    pub(crate) distinct: Option<usize>,
    /// The tokens of the list.
    pub(crate) list: Run,
    pub(crate) items: Vec<Item>,
    /// What stands after `FROM`.
    pub(crate) from: Option<Run>,
    /// The only source, where there are no joins.
    pub(crate) source: Option<Source>,
    /// Every other clause, in order.
    pub(crate) clauses: Vec<Clause>,
    /// The queries inside of it, in order.
    pub(crate) nested: Vec<Nested>,
}

/// `WITH` and what it defines.
#[derive(Debug, Default)]
pub(crate) struct With {
    /// The word `WITH`.
    pub(crate) keyword: usize,
    pub(crate) recursive: bool,
    /// The names that it defines, with whether each is a table.
    pub(crate) names: Vec<(String, bool)>,
}

/// What a clause is, in the order in which they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ClauseKind {
    Prewhere,
    Where,
    GroupBy,
    Having,
    Window,
    Qualify,
    OrderBy,
    Limit,
    Offset,
    Settings,
}

/// A clause with its tokens.
#[derive(Debug, Clone)]
pub(crate) struct Clause {
    pub(crate) kind: ClauseKind,
    /// With its keywords.
    pub(crate) run: Run,
    /// Without its keywords.
    pub(crate) body: Run,
}

/// Where a query stands in the `SELECT` around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// As a table of `FROM` or `JOIN`.
    Source,
    /// The set right of an `IN`.
    Set,
    /// Anywhere else: a scalar, `EXISTS`, a common table expression.
    Other,
}

/// A query in brackets.
#[derive(Debug)]
pub(crate) struct Nested {
    pub(crate) place: Place,
    pub(crate) query: Query,
    /// The opening bracket.
    pub(crate) open: usize,
    /// The closing bracket.
    pub(crate) close: usize,
}

impl<'a> Statement<'a> {
    /// Reads a statement; `None` for text that cannot be tokenized or whose brackets do not match.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        let tokens = lexer::tokenize(text).ok()?.list;
        let closes = brackets(&tokens)?;
        let mut statement = Self {
            text,
            tokens,
            closes,
            query: Query::default(),
        };
        statement.query = statement.read_query(0..statement.tokens.len(), DEPTH_LIMIT)?;
        Some(statement)
    }

    /// The kind of a token; `None` outside of the text.
    pub(crate) fn kind(&self, at: usize) -> Option<Kind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    /// The text of a token.
    pub(crate) fn word(&self, at: usize) -> &'a str {
        self.tokens
            .get(at)
            .map_or("", |token| token.text(self.text))
    }

    /// Whether a token is that bare word, in any case.
    pub(crate) fn is(&self, at: usize, word: &str) -> bool {
        self.kind(at) == Some(Kind::Word) && self.word(at).eq_ignore_ascii_case(word)
    }

    /// The bytes of a run; empty at its place for an empty run.
    pub(crate) fn bytes(&self, run: &Run) -> Range<usize> {
        if run.is_empty() {
            let at = self
                .tokens
                .get(run.start)
                .map_or(self.text.len(), |token| token.start as usize);
            return at..at;
        }
        self.tokens[run.start].start as usize..self.tokens[run.end - 1].end as usize
    }

    /// The text of a run, with the blanks between its tokens as written.
    pub(crate) fn slice(&self, run: &Run) -> &'a str {
        &self.text[self.bytes(run)]
    }

    /// The name that a token is, without quotes; `None` for other tokens.
    pub(crate) fn name(&self, at: usize) -> Option<String> {
        matches!(self.kind(at), Some(Kind::Word | Kind::QuotedName)).then(|| unquote(self.word(at)))
    }

    /// The index of the bracket that closes the one at `open`.
    pub(crate) fn close(&self, open: usize) -> usize {
        self.closes.get(open).copied().unwrap_or(open)
    }

    /// Whether the bracket that opens at `open`, or one that holds nothing else, stands beside a set operator.
    pub(crate) fn is_united(&self, mut open: usize) -> bool {
        const BEFORE: [&str; 5] = ["UNION", "INTERSECT", "EXCEPT", "ALL", "DISTINCT"];
        let is_one_of = |at: usize, words: &[&str]| words.iter().any(|word| self.is(at, word));
        loop {
            let close = self.close(open);
            let Some(before) = open.checked_sub(1) else {
                return is_one_of(close + 1, &BEFORE[..3]);
            };
            if is_one_of(before, &BEFORE) || is_one_of(close + 1, &BEFORE[..3]) {
                return true;
            }
            if self.kind(before) != Some(Kind::OpenRound) || self.close(before) != close + 1 {
                return false;
            }
            open = before;
        }
    }

    /// Whether a token opens a bracket.
    pub(crate) fn opens(&self, at: usize) -> bool {
        matches!(
            self.kind(at),
            Some(Kind::OpenRound | Kind::OpenSquare | Kind::OpenCurly)
        )
    }

    /// The tokens of a run outside of all brackets; a bracket itself counts, with what is in it left out.
    pub(crate) fn outermost(&self, run: &Run) -> impl Iterator<Item = usize> {
        let end = run.end;
        let mut at = run.start;
        std::iter::from_fn(move || {
            let here = at;
            if here >= end {
                return None;
            }
            at = if self.opens(here) {
                self.close(here) + 1
            } else {
                here + 1
            };
            Some(here)
        })
    }

    /// The runs between the commas of a run.
    pub(crate) fn split(&self, run: &Run) -> Vec<Run> {
        let mut parts = Vec::new();
        let mut start = run.start;
        for at in self.outermost(run) {
            if self.kind(at) == Some(Kind::Comma) {
                parts.push(start..at);
                start = at + 1;
            }
        }
        parts.push(start..run.end);
        parts
    }
}

impl Select {
    /// The clause of that kind.
    pub(crate) fn clause(&self, kind: ClauseKind) -> Option<&Clause> {
        self.clauses.iter().find(|clause| clause.kind == kind)
    }

    /// The query that is the only source.
    pub(crate) fn source_query(&self) -> Option<&Nested> {
        let Relation::Query { open } = self.source.as_ref()?.relation else {
            return None;
        };
        self.nested.iter().find(|nested| nested.open == open)
    }
}

impl Query {
    /// The `SELECT` of a query without set operators, if it is understood.
    pub(crate) fn single(&self) -> Option<&Select> {
        match self.branches.as_slice() {
            [select] if select.understood => Some(select),
            _ => None,
        }
    }
}

/// For each bracket its partner; `None` if they do not match.
fn brackets(tokens: &[Token]) -> Option<Vec<usize>> {
    let mut closes: Vec<usize> = (0..tokens.len()).collect();
    let mut open = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let opener = match token.kind {
            Kind::OpenRound | Kind::OpenSquare | Kind::OpenCurly => {
                open.push((at, token.kind));
                continue;
            }
            Kind::CloseRound => Kind::OpenRound,
            Kind::CloseSquare => Kind::OpenSquare,
            Kind::CloseCurly => Kind::OpenCurly,
            _ => continue,
        };
        let (from, kind) = open.pop()?;
        if kind != opener {
            return None;
        }
        closes[from] = at;
    }
    open.is_empty().then_some(closes)
}

#[cfg(test)]
mod tests;
