//! Where in a node's text that stands which an engine's message is about. A message gives no position but for what cannot be read: it names functions, operators,
//! clauses, texts and columns.

use std::collections::BTreeSet;
use std::ops::Range;

use super::Refusal;
use crate::check::message::{gist, named};
use crate::graph::Branch;
use crate::mapped_text::PieceKind;
use crate::sql::lexer::{Kind, Token, tokenize};
use crate::sql::outline::outline;
use crate::sql::{self};

/// The functions that operators stand for.
const OPERATORS: &[(&str, &[&str])] = &[
    ("concat", &["||"]),
    ("divide", &["/"]),
    ("equals", &["=", "=="]),
    ("greater", &[">"]),
    ("greaterOrEquals", &[">="]),
    ("ilike", &["ILIKE"]),
    ("in", &["IN"]),
    ("less", &["<"]),
    ("lessOrEquals", &["<="]),
    ("like", &["LIKE"]),
    ("minus", &["-"]),
    ("modulo", &["%", "MOD"]),
    ("multiply", &["*"]),
    ("negate", &["-"]),
    ("not", &["NOT"]),
    ("notEquals", &["!=", "<>"]),
    ("notIlike", &["ILIKE"]),
    ("notIn", &["IN"]),
    ("notLike", &["LIKE"]),
    ("or", &["OR"]),
    ("and", &["AND"]),
    ("plus", &["+"]),
];

/// The bytes that a refusal is about, where the text has one such place.
pub(super) fn position(branch: &Branch, refusal: &Refusal) -> Option<Range<usize>> {
    let text = Text::of(branch)?;
    let said = gist(&refusal.message);
    text.clause(refusal, &said)
        .or_else(|| called(branch, &said))
        .or_else(|| combined(branch, &said))
        .or_else(|| text.operator(&said))
        .or_else(|| text.executed(branch, &refusal.message))
        .or_else(|| text.literal(&said))
        .or_else(|| text.family(&said))
        .or_else(|| {
            let names = named(&refusal.message);
            names.iter().find_map(|name| verbatim_place(branch, name))
        })
        .or_else(|| subject(branch, &said))
}

/// A node's text with its tokens.
struct Text<'a> {
    sql: &'a str,
    tokens: Vec<Token>,
}

impl<'a> Text<'a> {
    fn of(branch: &'a Branch) -> Option<Self> {
        let sql = branch.rendered.sql.text();
        let tokens = tokenize(sql).ok()?.list;
        Some(Self { sql, tokens })
    }

    fn is(&self, at: usize, word: &str) -> bool {
        let token = self.tokens.get(at);
        token.is_some_and(|token| token.text(self.sql).eq_ignore_ascii_case(word))
    }

    /// The only token that is one of these words.
    fn only(&self, words: &[&str]) -> Option<Range<usize>> {
        let mut places =
            (0..self.tokens.len()).filter(|at| words.iter().any(|word| self.is(*at, word)));
        let place = places.next()?;
        places.next().is_none().then(|| self.tokens[place].range())
    }

    /// The clause that a message is about.
    fn clause(&self, refusal: &Refusal, said: &str) -> Option<Range<usize>> {
        match refusal.name.as_str() {
            "UNION_ALL_RESULT_STRUCTURES_MISMATCH" => self
                .only(&["UNION"])
                .or_else(|| outline(self.sql).set_operator),
            "INTERSECT_OR_EXCEPT_RESULT_STRUCTURES_MISMATCH" => outline(self.sql).set_operator,
            "SAMPLING_NOT_SUPPORTED" => self.only(&["SAMPLE"]),
            "INVALID_LIMIT_EXPRESSION" => self.only(&["LIMIT"]),
            "INVALID_JOIN_ON_EXPRESSION" => self.only(&["JOIN"]),
            "NO_COMMON_TYPE" if said.contains("JOIN") => self.only(&["JOIN"]),
            "TYPE_MISMATCH" if said.contains("ARRAY JOIN") => self.only(&["ARRAY"]),
            "ILLEGAL_TYPE_OF_COLUMN_FOR_FILTER" => {
                let (_, rest) = said.split_once("filter in ")?;
                self.only(&[rest.split(':').next()?])
            }
            "MULTIPLE_EXPRESSIONS_FOR_ALIAS" => self.second_alias(said),
            _ => self.place_in_list(said),
        }
    }

    /// The second place where a name is given that has a meaning already.
    fn second_alias(&self, said: &str) -> Option<Range<usize>> {
        if let Some((_, name)) = said.split_once("for alias ") {
            let name = name.trim_matches('`');
            let mut given =
                (1..self.tokens.len()).filter(|at| self.is(at - 1, "AS") && self.names(*at, name));
            given.next()?;
            return Some(self.tokens[given.next()?].range());
        }
        let (_, rest) = said.split_once("CTE with name ")?;
        let name = rest.split(' ').next()?.trim_matches('`');
        let mut given =
            (0..self.tokens.len()).filter(|at| self.is(at + 1, "AS") && self.names(*at, name));
        given.next()?;
        Some(self.tokens[given.next()?].range())
    }

    fn names(&self, at: usize, name: &str) -> bool {
        sql::unquote(self.tokens[at].text(self.sql)) == name
    }

    /// The number of `ORDER BY 5`.
    fn place_in_list(&self, said: &str) -> Option<Range<usize>> {
        let (_, rest) = said.split_once("Positional argument number ")?;
        let number = rest.split(' ').next()?;
        let by = (0..self.tokens.len()).filter(|at| self.is(*at, "BY"));
        let mut places = by.filter_map(|by| {
            let mut after = self.tokens[by + 1..].iter();
            let token = after.find(|token| token.text(self.sql) == number)?;
            Some(token.range())
        });
        places.next()
    }

    /// The operator that a message names by its function, where the statement has only one of it.
    fn operator(&self, said: &str) -> Option<Range<usize>> {
        let (_, after) = said.rsplit_once("function ")?;
        self.operator_of(words(after).next()?)
    }

    fn operator_of(&self, function: &str) -> Option<Range<usize>> {
        let (_, signs) = OPERATORS.iter().find(|(name, _)| *name == function)?;
        self.only(signs)
    }

    /// The function that was being executed, as the rest of a message says it.
    fn executed(&self, branch: &Branch, message: &str) -> Option<Range<usize>> {
        let (_, rest) = message.split_once("while executing function ")?;
        let function = words(rest).next()?;
        called(branch, function).or_else(|| self.operator_of(function))
    }

    /// A text that the author wrote and that a message repeats.
    fn literal(&self, said: &str) -> Option<Range<usize>> {
        let mut texts = self.tokens.iter().filter(|token| token.kind == Kind::Text);
        let found = texts.find(|token| {
            let written = sql::unquote(token.text(self.sql));
            written.len() > 1 && has_word(said, &written)
        });
        found.map(|token| token.range())
    }

    /// A type that there is not.
    fn family(&self, said: &str) -> Option<Range<usize>> {
        let (_, family) = said.split_once("data type family: ")?;
        self.only(&[words(family).next()?])
    }
}

/// The first function of the statement that a message names.
fn called(branch: &Branch, said: &str) -> Option<Range<usize>> {
    let words: BTreeSet<&str> = words(said).collect();
    let mut calls = branch.scan.functions.iter();
    calls
        .find(|called| words.contains(called.name.as_str()))
        .map(|called| called.span.clone())
}

/// The only call with the combinator that a message names: `countIf` for `If suffix`.
fn combined(branch: &Branch, said: &str) -> Option<Range<usize>> {
    let (before, _) = said.split_once(" suffix")?;
    let suffix = before.rsplit(' ').next()?;
    let mut calls = branch
        .scan
        .functions
        .iter()
        .filter(|called| called.name.ends_with(suffix));
    let called = calls.next()?;
    calls.next().is_none().then(|| called.span.clone())
}

/// The only function whose name begins with the first word of a message: `quantile` for `Quantile level …`.
fn subject(branch: &Branch, said: &str) -> Option<Range<usize>> {
    let first = words(said).next()?.to_ascii_lowercase();
    let mut calls = branch
        .scan
        .functions
        .iter()
        .filter(|called| called.name.to_ascii_lowercase().starts_with(&first));
    let called = calls.next().filter(|_| first.len() > 3)?;
    calls.next().is_none().then(|| called.span.clone())
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_alphanumeric() && character != '_')
        .filter(|word| !word.is_empty())
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Whether a text stands in another as a word of its own.
fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(is_word) && !text[at + word.len()..].starts_with(is_word)
    })
}

/// Whether a message repeats a text that the author wrote, and no value of a request stands in its place.
pub(super) fn repeats_a_written_text(branch: &Branch, message: &str) -> bool {
    let said = gist(message);
    let range = Text::of(branch).and_then(|text| text.literal(&said));
    range.is_some_and(|range| {
        let written = sql::unquote(&branch.rendered.sql.text()[range]);
        verbatim_text(branch, &written).is_some()
    })
}

/// Where the author wrote a text, if every text like it is the author's.
pub(super) fn verbatim_text(branch: &Branch, wanted: &str) -> Option<Range<usize>> {
    let sql = branch.rendered.sql.text();
    let tokens = tokenize(sql).ok()?;
    let texts = tokens.list.iter().filter(|token| token.kind == Kind::Text);
    let mut places = texts
        .map(|token| token.range())
        .filter(|range| sql::unquote(&sql[range.clone()]) == wanted)
        .peekable();
    let first = places.peek().cloned()?;
    let written = written(branch);
    places
        .all(|range| written.iter().any(|piece| contains(piece, &range)))
        .then_some(first)
}

/// Where a name stands in the text that the author wrote, as a word of its own.
pub(super) fn verbatim_place(branch: &Branch, name: &str) -> Option<Range<usize>> {
    let sql = branch.rendered.sql.text();
    let written = written(branch);
    sql.match_indices(name)
        .map(|(at, _)| at..at + name.len())
        .filter(|range| written.iter().any(|piece| contains(piece, range)))
        .find(|range| {
            !sql[..range.start].ends_with(is_word) && !sql[range.end..].starts_with(is_word)
        })
}

fn contains(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// The parts of a branch's text that the author wrote.
fn written(branch: &Branch) -> Vec<Range<usize>> {
    let pieces = branch.rendered.sql.pieces();
    pieces
        .filter(|(_, piece)| piece.kind == PieceKind::Verbatim)
        .map(|(range, _)| range)
        .collect()
}
