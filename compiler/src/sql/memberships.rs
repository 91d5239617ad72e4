//! Every `x IN y` of a statement, with how many columns each side has as far as the text says it.
//!
//! The engine compares the two numbers when it runs a statement, and only where there are rows on both sides, so that on empty tables it takes any.

use std::ops::Range;

use super::blocks::{Item, ItemKind, Nested, Query, Relation, Run, Select, Source, Statement};
use super::lexer::Kind;

/// One `x IN y`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Membership {
    /// The bytes of both sides.
    pub(crate) span: Range<usize>,
    pub(crate) left: Left,
    pub(crate) right: Right,
}

/// What stands left of an `IN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Left {
    /// A tuple of so many values, or one value that is no tuple.
    Values(usize),
    /// A column of a table, for nothing else has the name.
    Column {
        /// What stands before its dot.
        qualifier: Option<String>,
        name: String,
    },
}

/// What stands right of an `IN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Right {
    /// The name of a table, which begins at this byte.
    Table(usize),
    /// A query that gives so many columns.
    Query(usize),
}

/// Functions whose values are no tuples, beside `toDate` and its kin.
const OF_ONE_VALUE: &[&str] = &[
    "JSONExtractBool",
    "JSONExtractFloat",
    "JSONExtractInt",
    "JSONExtractString",
    "JSONExtractUInt",
    "count",
    "formatDateTime",
    "length",
    "lower",
    "replaceAll",
    "splitByChar",
    "substring",
    "trim",
    "uniq",
    "upper",
];

/// Functions that begin with `to` and give what they are given.
const PASSING: &[&str] = &["toLowCardinality", "toNullable"];

/// Whether a value that a function gives is surely no tuple.
pub(crate) fn gives_one_value(function: &str) -> bool {
    let rest = function.strip_prefix("to");
    let converts = rest.is_some_and(|rest| rest.starts_with(|first: char| first.is_uppercase()))
        && !PASSING.contains(&function);
    converts || OF_ONE_VALUE.contains(&function)
}

/// Whether a text may have an `IN` with a query on its right: a look without tokens, since most texts have none.
pub(crate) fn may_have_query(sql: &str) -> bool {
    let bytes = sql.as_bytes();
    let mut opening = sql.match_indices('(').map(|(at, _)| at);
    opening.any(|at| {
        let before = bytes[..at].trim_ascii_end().last_chunk::<2>();
        let inside = bytes[at + 1..].trim_ascii_start().first();
        let first = inside.map(u8::to_ascii_lowercase);
        before.is_some_and(|word| word.eq_ignore_ascii_case(b"in"))
            && matches!(first, Some(b's' | b'w' | b'f' | b'('))
    })
}

/// Every `x IN y` whose `x` the text tells something of, and whose `y` is a name or a query with a known number of columns.
pub(crate) fn memberships(sql: &str) -> Vec<Membership> {
    let Some(statement) = Statement::read(sql) else {
        return Vec::new();
    };
    let all = 0..statement.query.run.end;
    let places: Vec<usize> = all
        .clone()
        .filter(|at| *at > 0 && statement.is(*at, "IN"))
        .collect();
    if places.is_empty() {
        return Vec::new();
    }
    let defined = statement.defines(&all);
    let mut queries = Vec::new();
    collect(&statement.query, &mut queries);
    places
        .into_iter()
        .filter_map(|at| {
            let (left_start, left) = left(&statement, at)?;
            if matches!(&left, Left::Column { name, .. } if defined.contains(name)) {
                return None;
            }
            let (right_end, right) = right(&statement, &queries, at + 1)?;
            Some(Membership {
                span: statement.bytes(&(left_start..right_end)),
                left,
                right,
            })
        })
        .collect()
}

fn collect<'q>(query: &'q Query, found: &mut Vec<&'q Nested>) {
    for nested in query.branches.iter().flat_map(|select| &select.nested) {
        found.push(nested);
        collect(&nested.query, found);
    }
}

/// What stands right of an `IN`, and where it ends.
fn right(statement: &Statement<'_>, queries: &[&Nested], at: usize) -> Option<(usize, Right)> {
    if let Some(query) = queries.iter().find(|query| query.open == at) {
        let columns = given(statement, &query.query)?;
        return Some((query.close + 1, Right::Query(columns)));
    }
    let bracketed = statement.kind(at) == Some(Kind::OpenRound);
    let name = at + usize::from(bracketed);
    statement.name(name)?;
    let last = if statement.kind(name + 1) == Some(Kind::Dot) {
        name + 2
    } else {
        name
    };
    statement.name(last)?;
    let end = last + 1;
    if bracketed && statement.close(at) != end {
        return None;
    }
    let start = statement.bytes(&(name..end)).start;
    Some((end + usize::from(bracketed), Right::Table(start)))
}

/// How many columns a query gives, if its branches agree on it.
fn given(statement: &Statement<'_>, query: &Query) -> Option<usize> {
    let mut counts = query.branches.iter().map(|select| {
        let elements = elements(statement, select)?;
        let known = !elements.iter().any(Element::is_open);
        known.then_some(elements.len())
    });
    let first = counts.next()??;
    counts.all(|count| count == Some(first)).then_some(first)
}

/// What an element of a `SELECT` list gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Element {
    /// The columns of the only table that the query reads.
    Star,
    /// A column of a table, under a name.
    Column {
        name: String,
        qualifier: Option<String>,
        column: String,
    },
    /// What a function gives, under a name.
    Call { name: String, function: String },
    /// Any other expression, under a name.
    Named(String),
    /// One column without a name, of whatever type.
    One,
    /// Any number of columns.
    Open,
}

impl Element {
    fn is_open(&self) -> bool {
        matches!(self, Self::Star | Self::Open)
    }
}

/// What each of the queries that a statement unites gives; `None` where one of them is not understood.
pub(crate) fn outputs(sql: &str) -> Option<Vec<Vec<Element>>> {
    let statement = Statement::read(sql)?;
    let branches = statement.query.branches.iter();
    let outputs: Option<Vec<_>> = branches
        .map(|select| elements(&statement, select))
        .collect();
    outputs.filter(|outputs| !outputs.is_empty())
}

fn elements(statement: &Statement<'_>, select: &Select) -> Option<Vec<Element>> {
    let items = select.items.iter();
    select
        .understood
        .then(|| items.map(|item| element(statement, select, item)).collect())
}

fn element(statement: &Statement<'_>, select: &Select, item: &Item) -> Element {
    let calls = statement.calls(&item.run);
    if calls.contains("untuple") || calls.contains("columns") {
        return Element::Open;
    }
    match &item.kind {
        ItemKind::Star => {
            let source = select.source.as_ref();
            let is_table = |source: &Source| matches!(source.relation, Relation::Table { .. });
            if select.with.is_none() && source.is_some_and(is_table) {
                Element::Star
            } else {
                Element::Open
            }
        }
        ItemKind::Column { qualifier, name } => Element::Column {
            name: name.clone(),
            qualifier: qualifier.clone(),
            column: name.clone(),
        },
        ItemKind::Named { name, expression } => named(statement, name, expression),
        ItemKind::Other => {
            let is_open = statement.has_star(&item.run)
                || statement.is(item.run.start, "COLUMNS")
                || statement.has_word(&item.run, "APPLY");
            if is_open { Element::Open } else { Element::One }
        }
    }
}

fn named(statement: &Statement<'_>, name: &str, expression: &Run) -> Element {
    let name = name.to_owned();
    if let [first] = expression.clone().collect::<Vec<_>>()[..]
        && let Some(column) = statement.name(first)
    {
        return Element::Column {
            name,
            qualifier: None,
            column,
        };
    }
    let open = expression.start + 1;
    let is_call = statement.kind(open) == Some(Kind::OpenRound)
        && statement.close(open) + 1 == expression.end;
    match statement.name(expression.start) {
        Some(function) if is_call => Element::Call { name, function },
        _ => Element::Named(name),
    }
}

/// What stands left of the `IN` at a place, and where it begins.
fn left(statement: &Statement<'_>, at: usize) -> Option<(usize, Left)> {
    let mut end = at;
    while end > 0 && (statement.is(end - 1, "NOT") || statement.is(end - 1, "GLOBAL")) {
        end -= 1;
    }
    value(statement, end)
}

/// The value that ends before a token, if it is one whole operand.
fn value(statement: &Statement<'_>, end: usize) -> Option<(usize, Left)> {
    let last = end.checked_sub(1)?;
    let (start, value) = match statement.kind(last)? {
        Kind::Text | Kind::Number => (last, Left::Values(1)),
        Kind::CloseRound => bracketed(statement, last)?,
        Kind::Word | Kind::QuotedName => {
            let name = statement.name(last)?;
            let qualified = last >= 2 && statement.kind(last - 1) == Some(Kind::Dot);
            let qualifier = if qualified {
                Some(statement.name(last - 2)?)
            } else {
                None
            };
            let start = if qualified { last - 2 } else { last };
            (start, Left::Column { qualifier, name })
        }
        _ => return None,
    };
    begins_operand(statement, start).then_some((start, value))
}

/// A tuple, a value in brackets, or a call.
fn bracketed(statement: &Statement<'_>, close: usize) -> Option<(usize, Left)> {
    let open = (0..close)
        .rev()
        .find(|open| statement.opens(*open) && statement.close(*open) == close)?;
    let inside = open + 1..close;
    if inside.is_empty() {
        return None;
    }
    let elements = statement.split(&inside);
    let called = open
        .checked_sub(1)
        .filter(|before| !begins_operand(statement, *before + 1))
        .and_then(|before| Some((before, statement.name(before)?)));
    match called {
        Some((start, name)) if name == "tuple" && elements.len() > 1 => {
            Some((start, Left::Values(elements.len())))
        }
        Some((start, name)) if gives_one_value(&name) => Some((start, Left::Values(1))),
        Some(_) => None,
        None if elements.len() > 1 => Some((open, Left::Values(elements.len()))),
        None => {
            let (start, value) = value(statement, close)?;
            (start == open + 1).then_some((open, value))
        }
    }
}

/// Whether nothing before a token belongs to the operand that begins there.
fn begins_operand(statement: &Statement<'_>, at: usize) -> bool {
    const BEFORE: &[&str] = &[
        "AND", "BY", "CASE", "DISTINCT", "ELSE", "HAVING", "NOT", "ON", "OR", "PREWHERE",
        "QUALIFY", "SELECT", "THEN", "WHEN", "WHERE",
    ];
    let Some(before) = at.checked_sub(1) else {
        return true;
    };
    match statement.kind(before) {
        Some(Kind::Comma | Kind::OpenRound | Kind::OpenSquare) => true,
        Some(Kind::Word) => BEFORE.iter().any(|word| statement.is(before, word)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn shown(sql: &str) -> String {
        let lines = memberships(sql).into_iter().map(|found| {
            let left = match found.left {
                Left::Values(count) => count.to_string(),
                Left::Column { qualifier, name } => {
                    let qualifier = qualifier.map_or(String::new(), |name| format!("{name}."));
                    format!("{qualifier}{name}")
                }
            };
            let right = match found.right {
                Right::Table(start) => format!("table {}", &sql[start..found.span.end]),
                Right::Query(count) => count.to_string(),
            };
            format!("{left} in {right}: {}\n", &sql[found.span])
        });
        lines.collect()
    }

    #[test]
    fn both_sides_are_counted_where_the_text_says_how_many_they_are() {
        assert_snapshot!(shown("SELECT a IN t, t.a NOT IN (db.u), (a, f(b, c)) GLOBAL NOT IN (SELECT x, sum(y) * 2 FROM v) FROM t WHERE lower(a) IN t AND tuple(1, 2) in (SELECT 1 UNION ALL SELECT 2) AND ('x') IN `t`"), @r"
        a in table t: a IN t
        t.a in table db.u): t.a NOT IN (db.u)
        2 in 2: (a, f(b, c)) GLOBAL NOT IN (SELECT x, sum(y) * 2 FROM v)
        1 in table t: lower(a) IN t
        2 in 1: tuple(1, 2) in (SELECT 1 UNION ALL SELECT 2)
        1 in table `t`: ('x') IN `t`
        ");
    }

    #[test]
    fn what_may_be_a_tuple_or_any_number_of_columns_is_left_alone() {
        for unclear in [
            "SELECT any(a) IN t",
            "SELECT a + b IN t",
            "SELECT a[1] IN t",
            "SELECT a.1 IN t",
            "SELECT if(a, b, c) IN t",
            "SELECT a IN (SELECT * FROM t)",
            "SELECT a IN (SELECT t.* FROM t)",
            "SELECT a IN (SELECT COLUMNS('x') FROM t)",
            "SELECT a IN (SELECT untuple(x) FROM t)",
            "SELECT a IN (SELECT 1 UNION ALL SELECT 2, 3)",
            "SELECT a IN (1, 2)",
            "SELECT a IN ('x')",
            "SELECT a IN [1, 2]",
            "SELECT in(a, t)",
            "SELECT -a IN t",
            "SELECT (b, c) AS a, a IN t",
            "SELECT arrayFilter((a, b) -> (a IN t), c, d)",
        ] {
            assert_eq!(shown(unclear), "", "{unclear}");
        }
    }

    #[test]
    fn statements_without_a_query_right_of_in_are_passed_over() {
        assert!(may_have_query("SELECT a\nIN(SELECT 1)"));
        assert!(may_have_query("a In (\n with b as (select 1) select b)"));
        assert!(!may_have_query(
            "SELECT a IN (1, 2), b in ('x'), f(SELECT 1)"
        ));
        assert!(!may_have_query(""));
    }
}
