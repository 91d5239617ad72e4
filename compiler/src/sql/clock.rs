//! Functions of the clock that the engine also takes without brackets: `CURRENT_DATE`, `today`.
//!
//! Such a word is the function only as long as nothing has its name, not even in a query far around it.

use std::ops::Range;

use super::identifier::unquote;
use super::lexer::{Kind, Token, tokenize};

/// In lower case and sorted; the engine takes them in any.
const WITHOUT_BRACKETS: &[&str] = &[
    "curdate",
    "current_date",
    "current_timestamp",
    "localtime",
    "localtimestamp",
    "now",
    "today",
];

/// The words of a text that stand for the clock if nothing has their name: each as it is written, unquoted, with its place.
pub(crate) fn bare(sql: &str) -> Vec<(String, Range<usize>)> {
    let Ok(tokens) = tokenize(sql) else {
        return Vec::new();
    };
    let list = &tokens.list;
    let is = |at: Option<usize>, kinds: &[Kind]| {
        let token = at.and_then(|at| list.get(at));
        token.is_some_and(|token| kinds.contains(&token.kind))
    };
    let is_alias = |at: usize| {
        let before = at.checked_sub(1).map(|before| list[before].text(sql));
        before.is_some_and(|before| before.eq_ignore_ascii_case("as"))
    };
    let named = |(at, token): (usize, &Token)| {
        let is_name = matches!(token.kind, Kind::Word | Kind::QuotedName);
        let is_part = is(at.checked_sub(1), &[Kind::Dot])
            || is(Some(at + 1), &[Kind::Dot, Kind::OpenRound, Kind::Arrow]);
        if !is_name || is_part || is_alias(at) {
            return None;
        }
        let name = unquote(token.text(sql));
        let lower = name.to_ascii_lowercase();
        let is_known = WITHOUT_BRACKETS.binary_search(&lower.as_str()).is_ok();
        is_known.then(|| (name, token.range()))
    };
    list.iter().enumerate().filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_without_brackets_are_found_where_they_are_no_parts_of_names() {
        let sql = "SELECT today() AS now, t.now, 'today', `today`, x -- now\nFROM t WHERE d < Current_Date";
        let found: Vec<_> = bare(sql).into_iter().map(|(name, _)| name).collect();
        assert_eq!(found, ["today", "Current_Date"]);
        assert!(WITHOUT_BRACKETS.is_sorted());
    }
}
