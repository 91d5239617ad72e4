//! The clauses of the outermost `SELECT` of a statement, as [`Outer`] reads it: for rules that must hold for statements which no parser of ours can read.

use std::ops::Range;

use super::lexer::{self, Kind, Token};
use super::outline::Outer;

/// Where the clauses of the outermost `SELECT` stand. Of several queries joined by `UNION` and its kin, the first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Clauses {
    /// `FROM`.
    pub(crate) from: Option<Range<usize>>,
    /// Each `JOIN` of it that is no `ARRAY JOIN`, in order.
    pub(crate) joins: Vec<Range<usize>>,
    /// What stands after `PREWHERE` and `WHERE`.
    pub(crate) conditions: Vec<Range<usize>>,
    /// The elements of `GROUP BY`.
    pub(crate) keys: Vec<Range<usize>>,
    /// Other queries follow.
    pub(crate) united: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Other,
    Condition,
    Keys,
}

/// The clauses of a statement.
pub(crate) fn clauses(sql: &str) -> Clauses {
    let mut clauses = Clauses::default();
    let Ok(tokens) = lexer::tokenize(sql) else {
        return clauses;
    };
    let outer = Outer::of(sql, &tokens.list);
    let (mut part, mut begin, mut end) = (Part::Other, 0, 0);
    for (at, (token, word)) in outer.0.iter().enumerate() {
        let next = match word.as_str() {
            "WHERE" | "PREWHERE" => Some((Part::Condition, at + 1)),
            "GROUP" if outer.is(at + 1, "BY") => Some((Part::Keys, at + 2)),
            "FROM" | "HAVING" | "LIMIT" | "SETTINGS" | "WINDOW" | "QUALIFY" | "OFFSET"
            | "FORMAT" | "UNION" | "INTERSECT" => Some((Part::Other, at)),
            "ORDER" if outer.is(at + 1, "BY") => Some((Part::Other, at)),
            "WITH" if part == Part::Keys => Some((Part::Other, at)),
            "EXCEPT" if clauses.from.is_some() => Some((Part::Other, at)),
            _ => None,
        };
        let splits = part == Part::Keys && token.kind == Kind::Comma;
        if next.is_some() || splits {
            close(&mut clauses, part, begin, end);
            begin = outer.start(at + 1, sql);
        }
        if let Some((kind, from)) = next {
            part = kind;
            begin = outer.start(from, sql);
        }
        match word.as_str() {
            "FROM" if clauses.from.is_none() => clauses.from = Some(token.range()),
            "JOIN" if !outer.is(at.wrapping_sub(1), "ARRAY") => clauses.joins.push(token.range()),
            "UNION" | "INTERSECT" => clauses.united = true,
            "EXCEPT" if clauses.from.is_some() => clauses.united = true,
            _ => {}
        }
        if clauses.united {
            return clauses;
        }
        end = token.end as usize;
    }
    close(&mut clauses, part, begin, end);
    clauses
}

fn close(clauses: &mut Clauses, part: Part, begin: usize, end: usize) {
    if begin >= end {
        return;
    }
    match part {
        Part::Condition => clauses.conditions.push(begin..end),
        Part::Keys => clauses.keys.push(begin..end),
        Part::Other => {}
    }
}

/// Whether a word stands anywhere in a statement, outside of quotes.
pub(crate) fn has_word(sql: &str, words: &[&str]) -> bool {
    let Ok(tokens) = lexer::tokenize(sql) else {
        return true;
    };
    let is = |token: &Token| {
        let text = token.text(sql);
        token.kind == Kind::Word && words.iter().any(|word| text.eq_ignore_ascii_case(word))
    };
    tokens.list.iter().any(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts<'s>(sql: &'s str, ranges: &[Range<usize>]) -> Vec<&'s str> {
        ranges.iter().map(|range| &sql[range.clone()]).collect()
    }

    #[test]
    fn clauses_are_those_of_the_outermost_query() {
        let sql = "SELECT a, (SELECT max(b) FROM x WHERE c) FROM t JOIN u USING k ARRAY JOIN l PREWHERE d WHERE e = (f) GROUP BY a, g(h, i) WITH TOTALS ORDER BY a";
        let found = clauses(sql);
        assert_eq!(found.from, Some(41..45));
        assert_eq!(found.joins.len(), 1);
        assert_eq!(texts(sql, &found.conditions), ["d", "e = (f)"]);
        assert_eq!(texts(sql, &found.keys), ["a", "g(h, i)"]);
        assert!(!found.united);
    }

    #[test]
    fn of_several_queries_the_first_counts() {
        let sql = "SELECT * EXCEPT (a) FROM t WHERE b UNION ALL SELECT * FROM u WHERE c";
        let found = clauses(sql);
        assert_eq!(texts(sql, &found.conditions), ["b"]);
        assert!(found.united);
        let sql = "SELECT x.from, 1 AS where FROM t";
        let found = clauses(sql);
        assert_eq!((found.conditions.len(), found.from), (0, Some(26..30)));
    }
}
