//! The subqueries that a statement reads as tables, and what it gives names to that could be seen in them.
//!
//! The engine looks for a name that a subquery does not know in the query around it: `SELECT 1 AS y FROM (SELECT y FROM t)` is answered even where `t` has no
//! column `y`.

use std::collections::BTreeSet;
use std::ops::Range;

use super::identifier::unquote;
use super::lexer::{self, Kind, Token};
use super::outline::outline;

/// What stands in the place of tables in the outermost query of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Derived {
    /// The bytes between the parentheses of each subquery, without blanks around them.
    pub(crate) subqueries: Vec<Range<usize>>,
    /// The names that the query gives to expressions.
    pub(crate) aliases: BTreeSet<String>,
}

/// The subqueries right of `FROM` and `JOIN` in the outermost query; `None` for a statement that can give names to its subqueries in other ways than by aliases.
pub(crate) fn derived(sql: &str) -> Option<Derived> {
    let list = lexer::tokenize(sql).ok()?.list;
    let word = |at: usize| {
        let token: Option<&Token> = list.get(at);
        let token = token.filter(|token| token.kind == Kind::Word);
        token.map_or("", |token| token.text(sql))
    };
    let is = |at: usize, wanted: &str| word(at).eq_ignore_ascii_case(wanted);
    let mut found = Derived {
        subqueries: Vec::new(),
        aliases: BTreeSet::new(),
    };
    let (mut at, mut depth) = (0, 0_usize);
    while at < list.len() {
        let opens_query = list[at].kind == Kind::OpenRound
            && (is(at + 1, "SELECT") || is(at + 1, "WITH") || is(at + 1, "FROM"));
        if opens_query {
            let end = closing(&list, at)?;
            let is_table = depth == 0
                && at > 0
                && (is(at - 1, "FROM") || is(at - 1, "JOIN"))
                && !(at > 1 && (is(at - 2, "ARRAY") || is(at - 2, "DISTINCT")));
            if is_table {
                found.subqueries.push(inside(sql, list[at], list[end]));
            }
            at = end + 1;
            continue;
        }
        match list[at].kind {
            Kind::OpenRound => depth += 1,
            Kind::CloseRound => depth = depth.checked_sub(1)?,
            Kind::Word if is(at, "WITH") || is(at, "WINDOW") => return None,
            Kind::Word if is(at, "AS") => {
                let name = list.get(at + 1);
                let name = name.filter(|name| matches!(name.kind, Kind::Word | Kind::QuotedName));
                found
                    .aliases
                    .extend(name.map(|name| unquote(name.text(sql))));
            }
            _ => {}
        }
        at += 1;
    }
    let outline = outline(sql);
    if outline.set_operator.is_some() {
        return None;
    }
    for item in outline.items {
        let inside = |token: &&Token| item.span.contains(&token.range().start);
        let mut tokens = list.iter().filter(inside).rev();
        let (last, before) = (tokens.next(), tokens.next());
        let is_name = |token: &&Token| matches!(token.kind, Kind::Word | Kind::QuotedName);
        // A column alone has its own name, and gives no other.
        if before.is_some_and(|before| before.kind != Kind::Dot) {
            let name = last.filter(is_name);
            found
                .aliases
                .extend(name.map(|name| unquote(name.text(sql))));
        }
    }
    Some(found)
}

impl Derived {
    /// Whether a subquery means by itself what it means here.
    pub(crate) fn is_on_its_own(&self, subquery: &str) -> bool {
        let names = self.aliases.iter();
        !names.into_iter().any(|name| lexer::names(subquery, name))
    }
}

/// The place of the parenthesis that closes the one at a place.
fn closing(list: &[Token], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in list.iter().enumerate().skip(open) {
        match token.kind {
            Kind::OpenRound => depth += 1,
            Kind::CloseRound => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

fn inside(sql: &str, open: Token, close: Token) -> Range<usize> {
    let range = open.range().end..close.range().start;
    let text = &sql[range.clone()];
    let start = range.start + (text.len() - text.trim_start().len());
    let end = range.end - (text.len() - text.trim_end().len());
    start..end.max(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(sql: &str) -> String {
        derived(sql).map_or_else(
            || "unclear".to_owned(),
            |found| {
                let texts: Vec<&str> = found
                    .subqueries
                    .iter()
                    .map(|range| &sql[range.clone()])
                    .collect();
                format!("{texts:?} {:?}", found.aliases)
            },
        )
    }

    #[test]
    fn subqueries_in_the_place_of_tables_are_found_with_the_names_around_them() {
        let cases = [
            (
                "SELECT a, b FROM (\nSELECT 1 AS a -- (\n) AS x LEFT JOIN ( SELECT 2 AS b ) y ON 1 = 1",
                r#"["SELECT 1 AS a -- (", "SELECT 2 AS b"] {"x"}"#,
            ),
            // Elsewhere a name may be looked for in the rows around it.
            (
                "SELECT (SELECT max(a) FROM (SELECT 1 AS a)) AS m, a + 1 n FROM t WHERE a IN (SELECT a FROM u)",
                r#"[] {"m", "n"}"#,
            ),
            (
                "SELECT a FROM t WHERE f((a + 1) AS z) AND a IS DISTINCT FROM (SELECT 1)",
                r#"[] {"z"}"#,
            ),
            (
                "SELECT a FROM t ARRAY JOIN (SELECT [1]) AS a",
                r#"[] {"a"}"#,
            ),
            ("WITH 1 AS y SELECT a FROM (SELECT y AS a)", "unclear"),
            (
                "SELECT 1 FROM (SELECT 1) UNION ALL SELECT 2 AS b",
                "unclear",
            ),
            (
                "SELECT sum(a) OVER w FROM (SELECT 1 AS a) WINDOW w AS ()",
                "unclear",
            ),
            ("SELECT t.a, (((", "[] {}"),
        ];
        for (sql, expected) in cases {
            assert_eq!(shown(sql), expected, "{sql}");
        }
    }

    #[test]
    fn what_names_an_alias_around_it_is_not_on_its_own() {
        let sql = "SELECT 1 AS y FROM (SELECT y FROM t) JOIN (SELECT 2) USING z";
        let found = derived(sql).expect("clear");
        let alone: Vec<bool> = found
            .subqueries
            .iter()
            .map(|range| found.is_on_its_own(&sql[range.clone()]))
            .collect();
        assert_eq!(alone, [false, true]);
    }
}
