//! The outermost shape of a `SELECT`, from its tokens: what it gives, and how it ends. For rules that need no more than that, and that must hold for
//! statements which no parser of ours can read.

use std::ops::Range;

use super::identifier::unquote;
use super::lexer::{self, Kind, Token};

/// One element of a `SELECT` list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutputItem {
    /// Its bytes, with the alias.
    pub(crate) span: Range<usize>,
    /// The name of the column that it gives, where the text says it: an alias, or a column alone.
    pub(crate) name: Option<String>,
    /// The function, if the element is one call and nothing else.
    pub(crate) call: Option<String>,
}

/// The outermost query of a statement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outline {
    /// The first `UNION`, `EXCEPT` or `INTERSECT` between whole queries.
    pub(crate) set_operator: Option<Range<usize>>,
    /// `ORDER BY` of the statement.
    pub(crate) order_by: Option<Range<usize>>,
    /// Whether the statement has a `LIMIT` (also `LIMIT … BY`), `OFFSET` or `FETCH`.
    pub(crate) limited: bool,
    /// The elements of the `SELECT` list of the first query.
    pub(crate) items: Vec<OutputItem>,
}

/// A call of a function with the words between its parentheses, where these are a single name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallOfColumn {
    /// The function as written.
    pub(crate) function: String,
    /// The column, without its table.
    pub(crate) column: String,
    /// The bytes of the whole call.
    pub(crate) span: Range<usize>,
}

const CLAUSES: &[&str] = &[
    "FROM",
    "WHERE",
    "PREWHERE",
    "GROUP",
    "HAVING",
    "ORDER",
    "LIMIT",
    "OFFSET",
    "FETCH",
    "UNION",
    "EXCEPT",
    "INTERSECT",
    "SETTINGS",
    "WINDOW",
    "QUALIFY",
    "FORMAT",
    "INTO",
];

/// The outline of a statement; empty for text without a `SELECT` outside of parentheses.
pub(crate) fn outline(sql: &str) -> Outline {
    let Ok(tokens) = lexer::tokenize(sql) else {
        return Outline::default();
    };
    let outer = outermost(&tokens.list);
    let word = |token: &Token| {
        let is_word = token.kind == Kind::Word;
        is_word.then(|| token.text(sql).to_ascii_uppercase())
    };
    let mut outline = Outline::default();
    let mut list: Option<Vec<Token>> = None;
    let mut in_list = false;
    let mut before = String::new();
    for (at, token) in outer.iter().enumerate() {
        let text = word(token).unwrap_or_default();
        // After a dot or `AS`, and before a dot, a word is a name.
        let is_name = before == "."
            || before == "AS"
            || outer.get(at + 1).is_some_and(|next| next.kind == Kind::Dot);
        before = if token.kind == Kind::Dot {
            ".".to_owned()
        } else {
            text.clone()
        };
        if !is_name {
            match text.as_str() {
                "SELECT" if list.is_none() => {
                    list = Some(Vec::new());
                    in_list = true;
                    continue;
                }
                // `* EXCEPT (…)` takes columns away.
                "EXCEPT" if in_list => {}
                "UNION" | "EXCEPT" | "INTERSECT" => {
                    _ = outline.set_operator.get_or_insert(token.range())
                }
                "ORDER" => outline.order_by = Some(token.range()),
                "LIMIT" | "OFFSET" | "FETCH" => outline.limited = true,
                _ => {}
            }
            if in_list && text != "EXCEPT" && CLAUSES.contains(&text.as_str()) {
                in_list = false;
            }
        }
        if in_list && let Some(list) = &mut list {
            list.push(*token);
        }
    }
    outline.items = list
        .unwrap_or_default()
        .split(|token| token.kind == Kind::Comma)
        .filter(|tokens| !tokens.is_empty())
        .map(|tokens| item(sql, tokens))
        .collect();
    outline
}

/// The tokens outside of all brackets, with the brackets.
fn outermost(tokens: &[Token]) -> Vec<Token> {
    let mut depth = 0_usize;
    let mut outer = Vec::new();
    for token in tokens {
        match token.kind {
            Kind::OpenRound | Kind::OpenSquare | Kind::OpenCurly => {
                if depth == 0 {
                    outer.push(*token);
                }
                depth += 1;
            }
            Kind::CloseRound | Kind::CloseSquare | Kind::CloseCurly => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    outer.push(*token);
                }
            }
            _ if depth == 0 => outer.push(*token),
            _ => {}
        }
    }
    outer
}

fn is_name(token: Token) -> bool {
    matches!(token.kind, Kind::Word | Kind::QuotedName)
}

fn item(sql: &str, tokens: &[Token]) -> OutputItem {
    let (first, last) = (tokens[0], tokens[tokens.len() - 1]);
    let text = |token: Token| token.text(sql);
    let mut name = None;
    let mut expression = tokens;
    if is_name(last) {
        match tokens {
            [rest @ .., word, _]
                if word.kind == Kind::Word && text(*word).eq_ignore_ascii_case("as") =>
            {
                name = Some(unquote(text(last)));
                expression = rest;
            }
            // `f(x) name`
            [rest @ .., bracket, _]
                if bracket.kind == Kind::CloseRound && !text(last).eq_ignore_ascii_case("end") =>
            {
                name = Some(unquote(text(last)));
                expression = &tokens[..=rest.len()];
            }
            [_] | [_, _, _]
                if tokens.len() == 1 || (is_name(first) && tokens[1].kind == Kind::Dot) =>
            {
                name = Some(unquote(text(last)));
            }
            _ => {}
        }
    }
    let call = match expression {
        [function, open, close] | [function, open, close, _, _]
            if is_name(*function)
                && open.kind == Kind::OpenRound
                && close.kind == Kind::CloseRound
                && expression[expression.len() - 1].kind == Kind::CloseRound
                && (expression.len() == 3 || expression[3].kind == Kind::OpenRound) =>
        {
            Some(unquote(text(*function)))
        }
        _ => None,
    };
    OutputItem {
        span: first.start as usize..last.end as usize,
        name,
        call,
    }
}

/// Every `function(column)` and `function(table.column)` anywhere in a statement.
pub(crate) fn calls_of_columns(sql: &str) -> Vec<CallOfColumn> {
    let Ok(tokens) = lexer::tokenize(sql) else {
        return Vec::new();
    };
    let list = &tokens.list;
    let mut calls = Vec::new();
    for (at, function) in list.iter().enumerate() {
        if !is_name(*function) || list.get(at + 1).map(|token| token.kind) != Some(Kind::OpenRound)
        {
            continue;
        }
        let rest = &list[at + 2..];
        let (column, close) = match rest {
            [column, close, ..] if is_name(*column) && close.kind == Kind::CloseRound => {
                (column, close)
            }
            [table, dot, column, close, ..]
                if is_name(*table)
                    && dot.kind == Kind::Dot
                    && is_name(*column)
                    && close.kind == Kind::CloseRound =>
            {
                (column, close)
            }
            _ => continue,
        };
        calls.push(CallOfColumn {
            function: unquote(function.text(sql)),
            column: unquote(column.text(sql)),
            span: function.start as usize..close.end as usize,
        });
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(sql: &str) -> Vec<Option<String>> {
        outline(sql)
            .items
            .into_iter()
            .map(|item| item.name)
            .collect()
    }

    #[test]
    fn output_names_are_known_where_the_text_says_them() {
        let known = |name: &str| Some(name.to_owned());
        assert_eq!(
            names(
                "WITH (SELECT 1) AS one SELECT a, t.b, c + 1 AS `d e`, count() total, sumState(x), CASE WHEN a THEN (b) END FROM t"
            ),
            [
                known("a"),
                known("b"),
                known("d e"),
                known("total"),
                None,
                None
            ]
        );
        assert_eq!(names("SELECT * EXCEPT (a) FROM t"), [None]);
        assert_eq!(names("SELECT DISTINCT a FROM t"), [None]);
        assert_eq!(names("(SELECT a FROM t)"), []);
    }

    #[test]
    fn clauses_inside_of_brackets_are_not_the_statement_s() {
        let inner =
            outline("SELECT a FROM (SELECT b FROM t ORDER BY b LIMIT 1 UNION ALL SELECT c)");
        assert_eq!(
            (inner.set_operator, inner.order_by, inner.limited),
            (None, None, false)
        );
        let outer = outline("SELECT a FROM t UNION ALL SELECT b FROM t ORDER BY x.limit");
        assert_eq!(
            (outer.set_operator, outer.order_by, outer.limited),
            (Some(16..21), Some(43..48), false)
        );
    }

    #[test]
    fn an_element_that_is_one_call_says_which() {
        let calls: Vec<_> =
            outline("SELECT sum(a) AS x, quantile(0.5)(a) y, sum(a) / 2 AS z, a FROM t")
                .items
                .into_iter()
                .map(|item| item.call)
                .collect();
        assert_eq!(
            calls,
            [
                Some("sum".to_owned()),
                Some("quantile".to_owned()),
                None,
                None
            ]
        );
    }
}
