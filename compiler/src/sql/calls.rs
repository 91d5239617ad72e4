//! Calls of aggregate functions in the spelling in which two that mean the same are the same text: the engine keeps in a view what its author wrote.

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

#[cfg(test)]
mod tests {
    use super::{canonical_calls, canonical_key};

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
