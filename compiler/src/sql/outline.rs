//! The outermost shape of a `SELECT`, from its tokens: what it gives, and how it ends. For rules that need no more than that, and that must hold for
//! statements which no parser of ours can read.

use std::ops::Range;

use super::blocks::Statement;
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
    /// `ORDER BY` of the statement, unless it adds rows, with `WITH FILL`.
    pub(crate) order_by: Option<Range<usize>>,
    /// Whether the statement has a `GROUP BY`.
    pub(crate) grouped: bool,
    /// Whether the order of the rows that are read may be seen in other ways: by a window or a join that takes any row, anywhere, or by a `LIMIT`, `OFFSET`
    /// or `FETCH` inside of brackets.
    pub(crate) sees_order: bool,
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
    let outer = Outer::of(sql, &tokens.list);
    let mut outline = Outline::default();
    let mut list: Option<Vec<Token>> = None;
    let mut in_list = false;
    for (token, word) in &outer.0 {
        match word.as_str() {
            "SELECT" if list.is_none() => {
                list = Some(Vec::new());
                in_list = true;
                continue;
            }
            // `* EXCEPT (…)` takes columns away.
            "EXCEPT" if in_list => {}
            "UNION" | "EXCEPT" | "INTERSECT" => {
                _ = outline.set_operator.get_or_insert(token.range());
            }
            "ORDER" => outline.order_by = Some(token.range()),
            "FILL" => outline.order_by = None,
            "GROUP" => outline.grouped = true,
            "LIMIT" | "OFFSET" | "FETCH" => outline.limited = true,
            _ => {}
        }
        if in_list && word != "EXCEPT" && CLAUSES.contains(&word.as_str()) {
            in_list = false;
        }
        if in_list && let Some(list) = &mut list {
            list.push(*token);
        }
    }
    let limits = |token: &Token| {
        let is = |word: &&str| token.text(sql).eq_ignore_ascii_case(word);
        ["LIMIT", "OFFSET", "FETCH"].iter().any(is)
    };
    let outside = outer.0.iter().filter(|(token, _)| limits(token)).count();
    let everywhere = tokens.list.iter().filter(|token| limits(token)).count();
    let picks = |token: &Token| {
        let is = |word: &&str| token.text(sql).eq_ignore_ascii_case(word);
        ["OVER", "ANY", "SEMI", "ASOF"].iter().any(is)
    };
    outline.sees_order = tokens.list.iter().any(picks) || everywhere > outside;
    outline.items = list
        .unwrap_or_default()
        .split(|token| token.kind == Kind::Comma)
        .filter(|tokens| !tokens.is_empty())
        .map(|tokens| item(sql, tokens))
        .collect();
    outline
}

/// The outermost query of a statement as every rule reads it: the tokens outside of all brackets, with the brackets, each with the word of the language that it is,
/// in upper case. After a dot or `AS`, and before a dot, a word is a name, and so none.
pub(super) struct Outer(pub(super) Vec<(Token, String)>);

impl Outer {
    pub(super) fn of(sql: &str, tokens: &[Token]) -> Self {
        let outer = outermost(tokens);
        let text = |token: &Token| match token.kind {
            Kind::Dot => ".".to_owned(),
            Kind::Word => token.text(sql).to_ascii_uppercase(),
            _ => String::new(),
        };
        let texts: Vec<String> = outer.iter().map(text).collect();
        let words = texts.iter().enumerate().map(|(at, text)| {
            let before = at.checked_sub(1).map_or("", |before| &texts[before]);
            let after = texts.get(at + 1).map_or("", String::as_str);
            let is_name = before == "." || before == "AS" || text == "." || after == ".";
            if is_name { String::new() } else { text.clone() }
        });
        let words: Vec<String> = words.collect();
        Self(outer.into_iter().zip(words).collect())
    }

    /// Whether the token at an index is this word.
    pub(super) fn is(&self, at: usize, word: &str) -> bool {
        self.0.get(at).is_some_and(|(_, found)| found == word)
    }

    /// Where the token at an index begins, or the text ends.
    pub(super) fn start(&self, at: usize, sql: &str) -> usize {
        let token = self.0.get(at);
        token.map_or(sql.len(), |(token, _)| token.start as usize)
    }
}

/// Whether the outermost query of a statement reads from something.
pub(crate) fn has_from(sql: &str) -> bool {
    let Ok(tokens) = lexer::tokenize(sql) else {
        return true;
    };
    let outer = outermost(&tokens.list);
    outer.iter().enumerate().any(|(at, token)| {
        let is_name = at > 0 && outer[at - 1].kind == Kind::Dot;
        !is_name && token.kind == Kind::Word && token.text(sql).eq_ignore_ascii_case("FROM")
    })
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

/// Whether a statement may give a name a meaning of its own: an alias with or without `AS`, a common table expression, the argument of a lambda.
pub(crate) fn may_define(sql: &str, name: &str) -> bool {
    Statement::read(sql).is_none_or(|statement| {
        let defined = statement.defines(&(0..statement.query.run.end));
        defined
            .iter()
            .any(|defined| defined.eq_ignore_ascii_case(name))
    })
}

/// The elements of a key: `a, f(b, c)`, also in parentheses or in `tuple(…)`. Nothing for text that cannot be read.
pub(crate) fn key_elements(key: &str) -> Vec<&str> {
    let Ok(tokens) = lexer::tokenize(key) else {
        return Vec::new();
    };
    let mut list = tokens.list.as_slice();
    loop {
        let inner = match list {
            [word, rest @ ..] if word.text(key).eq_ignore_ascii_case("tuple") => rest,
            list => list,
        };
        let [open, inner @ .., close] = inner else {
            break;
        };
        let encloses = open.kind == Kind::OpenRound
            && close.kind == Kind::CloseRound
            && outermost(&list[list.len() - inner.len() - 2..]).len() == 2;
        if !encloses {
            break;
        }
        list = inner;
    }
    let mut elements = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (at, token) in list.iter().enumerate() {
        match token.kind {
            Kind::OpenRound | Kind::OpenSquare | Kind::OpenCurly => depth += 1,
            Kind::CloseRound | Kind::CloseSquare | Kind::CloseCurly => {
                depth = depth.saturating_sub(1);
            }
            Kind::Comma if depth == 0 => {
                elements.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    elements.push(&list[start..]);
    let text =
        |tokens: &[Token]| Some(&key[tokens.first()?.range().start..tokens.last()?.range().end]);
    elements.into_iter().filter_map(text).collect()
}

/// Every name in a text, without quotes.
pub(crate) fn names(sql: &str) -> Vec<String> {
    let Ok(tokens) = lexer::tokenize(sql) else {
        return Vec::new();
    };
    let names = tokens.list.iter().filter(|token| is_name(**token));
    names.map(|token| unquote(token.text(sql))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(sql: &str) -> Vec<Option<String>> {
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
            outputs(
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
        assert_eq!(outputs("SELECT * EXCEPT (a) FROM t"), [None]);
        assert_eq!(outputs("SELECT DISTINCT a FROM t"), [None]);
        assert_eq!(outputs("(SELECT a FROM t)"), []);
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
            (Some(16..21), Some(42..47), false)
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

    #[test]
    fn what_depends_on_the_order_of_rows_is_noticed() {
        let filled = outline("SELECT day FROM t ORDER BY day WITH FILL STEP 1");
        assert!(filled.order_by.is_none() && !filled.grouped && !filled.sees_order);
        let grouped = outline("SELECT a FROM (SELECT * FROM t LIMIT 5) GROUP BY a");
        assert!(grouped.grouped && grouped.sees_order && !grouped.limited);
        assert!(outline("SELECT (row_number() OVER (ORDER BY a)) AS r FROM t").sees_order);
        assert!(!outline("SELECT a FROM t GROUP BY a LIMIT 3").sees_order);
    }

    #[test]
    fn a_name_with_a_meaning_of_its_own_is_noticed() {
        for sql in [
            "SELECT uniqMerge(u) AS users FROM t",
            "SELECT uniqMerge(u) users FROM t",
            "WITH users AS (SELECT 1) SELECT * FROM users",
            "SELECT arrayMap(users -> users + 1, a) FROM t",
            "SELECT 'x' `Users` FROM t",
        ] {
            assert!(may_define(sql, "users"), "{sql}");
        }
        for sql in [
            "SELECT uniq(users) FROM t",
            "SELECT DISTINCT users FROM t GROUP BY users, t.users",
        ] {
            assert!(!may_define(sql, "users"), "{sql}");
        }
    }

    #[test]
    fn a_key_falls_into_its_elements() {
        assert_eq!(key_elements("a, f(b, c), `d`"), ["a", "f(b, c)", "`d`"]);
        assert_eq!(key_elements("tuple(a, (b))"), ["a", "(b)"]);
        assert_eq!(key_elements("((a, b))"), ["a", "b"]);
        assert_eq!(key_elements("(a), (b)"), ["(a)", "(b)"]);
        assert_eq!(key_elements("tuple()"), [""; 0]);
        assert_eq!(key_elements(""), [""; 0]);
        assert_eq!(names("(a, toDate(`b c`), 'd')"), ["a", "toDate", "b c"]);
    }
}
