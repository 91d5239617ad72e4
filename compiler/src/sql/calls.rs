//! Calls of aggregate functions in the spelling in which two that mean the same are the same text: the engine keeps in a view what its author wrote.

use std::ops::Range;

use super::lexer::{self, Kind, Token};
use crate::template::aggregate_in_lower_case;

/// A statement with names of standard SQL in lower case, also in front of combinators, and `count()` for `count(*)`. For texts that are compared, and not sent.
pub fn canonical_calls(sql: &str) -> String {
    let Ok(tokens) = lexer::tokenize(sql) else {
        return sql.to_owned();
    };
    let list = &tokens.list;
    let kind = |at: usize| list.get(at).map(|token| token.kind);
    let mut text = String::with_capacity(sql.len());
    let mut done = 0;
    for (at, token) in list.iter().enumerate() {
        let follows_dot = at > 0 && kind(at - 1) == Some(Kind::Dot);
        if token.kind != Kind::Word || kind(at + 1) != Some(Kind::OpenRound) || follows_dot {
            continue;
        }
        let Some(name) = aggregate_in_lower_case(token.text(sql)) else {
            continue;
        };
        text.push_str(&sql[done..token.start as usize]);
        text.push_str(&name);
        done = token.end as usize;
        let counts_all = name.starts_with("count")
            && kind(at + 2) == Some(Kind::Asterisk)
            && kind(at + 3) == Some(Kind::CloseRound);
        if counts_all {
            text.push('(');
            done = list[at + 3].start as usize;
        }
    }
    text.push_str(&sql[done..]);
    text
}

/// A key of a table without brackets that say nothing, as a text to be compared: `(a, lower((b)))` is `a, lower(b)`.
pub fn canonical_key(key: &str) -> String {
    let Ok(tokens) = lexer::tokenize(key) else {
        return key.to_owned();
    };
    let mut list = tokens.list;
    while let Some((open, close)) = needless(&list) {
        list.remove(close);
        list.remove(open);
    }
    let words: Vec<&str> = list.iter().map(|token| token.text(key)).collect();
    words.join(" ")
}

/// Two brackets around all, or around one element where a list has its elements.
fn needless(list: &[Token]) -> Option<(usize, usize)> {
    let mut open = Vec::new();
    for (at, token) in list.iter().enumerate() {
        match token.kind {
            Kind::OpenRound | Kind::OpenSquare | Kind::OpenCurly => open.push((at, 0)),
            Kind::Comma => {
                if let Some((_, commas)) = open.last_mut() {
                    *commas += 1;
                }
            }
            Kind::CloseRound | Kind::CloseSquare | Kind::CloseCurly => {
                let (from, commas) = open.pop()?;
                let before = from.checked_sub(1).map(|before| list[before].kind);
                let after = list.get(at + 1).map(|after| after.kind);
                let is_whole = before.is_none() && after.is_none();
                let begins = matches!(before, None | Some(Kind::OpenRound | Kind::Comma));
                let ends = matches!(after, None | Some(Kind::CloseRound | Kind::Comma));
                let has_more = at > from + 1;
                let is_round = token.kind == Kind::CloseRound;
                if is_round && has_more && (is_whole || (begins && ends && commas == 0)) {
                    return Some((from, at));
                }
            }
            _ => {}
        }
    }
    None
}

/// Functions that are for windows alone: the engine takes them for aggregates otherwise, and fails at the first row. Lower case, sorted.
const OF_WINDOWS: &[&str] = &[
    "cume_dist",
    "dense_rank",
    "denserank",
    "exponentialtimedecayedavg",
    "exponentialtimedecayedcount",
    "exponentialtimedecayedmax",
    "exponentialtimedecayedsum",
    "lag",
    "laginframe",
    "lead",
    "leadinframe",
    "nonnegativederivative",
    "nth_value",
    "ntile",
    "percent_rank",
    "percentrank",
    "rank",
    "row_number",
];

/// Whether a function is for windows alone.
pub(crate) fn is_of_windows(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    OF_WINDOWS.binary_search(&name.as_str()).is_ok()
}

/// The names of functions for windows that are called without `OVER`.
pub(crate) fn without_over(sql: &str) -> Vec<Range<usize>> {
    let Ok(tokens) = lexer::tokenize(sql) else {
        return Vec::new();
    };
    let list = &tokens.list;
    let kind = |at: usize| list.get(at).map(|token| token.kind);
    let is = |at: usize, word: &str| {
        list.get(at)
            .is_some_and(|token| token.text(sql).eq_ignore_ascii_case(word))
    };
    let places = (0..list.len()).filter(|at| {
        let follows_dot = *at > 0 && kind(at - 1) == Some(Kind::Dot);
        if list[*at].kind != Kind::Word || follows_dot || !is_of_windows(list[*at].text(sql)) {
            return false;
        }
        let Some(mut after) = behind_brackets(list, at + 1) else {
            return false;
        };
        // `f(parameters)(arguments)`
        while let Some(next) = behind_brackets(list, after) {
            after = next;
        }
        // `FILTER (WHERE …)`, and what is done with NULL.
        if is(after, "FILTER")
            && let Some(next) = behind_brackets(list, after + 1)
        {
            after = next;
        }
        if (is(after, "IGNORE") || is(after, "RESPECT")) && is(after + 1, "NULLS") {
            after += 2;
        }
        !is(after, "OVER")
    });
    places.map(|at| list[at].range()).collect()
}

/// The place behind the bracket that closes the one at a place; `None` where none is opened there, or closed.
fn behind_brackets(list: &[Token], open: usize) -> Option<usize> {
    if list.get(open)?.kind != Kind::OpenRound {
        return None;
    }
    let mut depth = 0_usize;
    for (at, token) in list.iter().enumerate().skip(open) {
        match token.kind {
            Kind::OpenRound => depth += 1,
            Kind::CloseRound => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{OF_WINDOWS, canonical_calls, canonical_key, without_over};

    #[test]
    fn functions_for_windows_are_told_from_others() {
        assert!(OF_WINDOWS.is_sorted());
        let of = |sql: &str| -> Vec<String> {
            let found = without_over(sql).into_iter();
            found.map(|range| sql[range].to_owned()).collect()
        };
        for (sql, names) in [
            (
                "SELECT ROW_NUMBER() AS a, rank() + 1",
                &["ROW_NUMBER", "rank"][..],
            ),
            ("SELECT lagInFrame(a, (1)) FROM t", &["lagInFrame"]),
            (
                "SELECT exponentialTimeDecayedSum(2)(a, b) FROM t",
                &["exponentialTimeDecayedSum"],
            ),
            (
                "SELECT row_number() OVER (ORDER BY a), ntile(2) over w FROM t WINDOW w AS ()",
                &[],
            ),
            (
                "SELECT exponentialTimeDecayedSum(2)(a, b) OVER w, sum(a)",
                &[],
            ),
            (
                "SELECT lag(a) IGNORE NULLS OVER w, lead(a) FILTER (WHERE a) OVER w",
                &[],
            ),
            // Other things of that name.
            (
                "SELECT rank, t.lag, 'rank()', x AS lead FROM rank AS lag",
                &[],
            ),
            (
                "SELECT first_value(a), rank_of(a), arrayMap(lag -> lag, b)",
                &[],
            ),
            ("SELECT rank(", &[]),
        ] {
            assert_eq!(of(sql), names, "{sql}");
        }
    }

    #[test]
    fn brackets_that_say_nothing_are_left_out_of_a_key() {
        for (written, canonical) in [
            ("(a, lower((b)))", "a , lower ( b )"),
            ("((a))", "a"),
            ("toYYYYMM((d))", "toYYYYMM ( d )"),
            ("((d), (a))", "d , a"),
            ("tuple()", "tuple ( )"),
            // What says something stays.
            ("a, (b, c)", "a , ( b , c )"),
            ("(a + b) * c", "( a + b ) * c"),
            ("(a), (b, (c))", "a , ( b , c )"),
            ("a IN (1)", "a IN ( 1 )"),
            ("f((a, b))", "f ( ( a , b ) )"),
            ("arr[(1)]", "arr [ ( 1 ) ]"),
        ] {
            assert_eq!(canonical_key(written), canonical, "{written}");
        }
    }

    #[test]
    fn two_spellings_of_a_call_are_one_text() {
        for (written, canonical) in [
            ("SELECT COUNT(*), count( * )", "SELECT count(), count()"),
            ("SELECT COUNTState(*) FROM t", "SELECT countState() FROM t"),
            ("SELECT SUMIfState(a, b)", "SELECT sumIfState(a, b)"),
            ("SELECT uniqState(A), Max(b)", "SELECT uniqState(A), max(b)"),
            // What means something else stays.
            (
                "SELECT t.COUNT(*), `COUNT`(*), count(a * b), 'COUNT(*)'",
                "SELECT t.COUNT(*), `COUNT`(*), count(a * b), 'COUNT(*)'",
            ),
            (
                "SELECT uniqExact(*), Uniq(a), COUNT",
                "SELECT uniqExact(*), Uniq(a), COUNT",
            ),
            ("SELECT 'not", "SELECT 'not"),
        ] {
            assert_eq!(canonical_calls(written), canonical);
        }
    }
}
