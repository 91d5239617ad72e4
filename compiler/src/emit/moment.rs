//! Conditions over rows that are asked more than once, and mean the same rows each time.

use crate::optimize::changes_each_time;
use crate::sql::lexer::{Kind, tokenize};

/// A condition in which functions that ask for the time have that of one moment, in seconds since 1970. Nothing when it gives a row another answer the next time it is asked all
/// the same.
///
/// ```
/// use pipewright_compiler::emit::at_moment;
///
/// assert_eq!(
///     at_moment("day >= today() - 1", 1_700_000_000).as_deref(),
///     Some("day >= toDate(toDateTime(1700000000)) - 1")
/// );
/// assert_eq!(at_moment("rand() % 2", 1_700_000_000), None);
/// ```
pub fn at_moment(condition: &str, seconds: u64) -> Option<String> {
    let tokens = tokenize(condition).ok()?.list;
    let kind = |at: usize| tokens.get(at).map(|token| token.kind);
    let (mut text, mut done) = (String::with_capacity(condition.len()), 0);
    for (at, token) in tokens.iter().enumerate() {
        let is_call = token.kind == Kind::Word && kind(at + 1) == Some(Kind::OpenRound);
        if !is_call || at > 0 && kind(at - 1) == Some(Kind::Dot) {
            continue;
        }
        let is_bare = kind(at + 2) == Some(Kind::CloseRound);
        let moment = match (token.text(condition).to_ascii_lowercase().as_str(), is_bare) {
            ("now", true) => format!("toDateTime({seconds})"),
            ("now", false) => format!("toDateTime({seconds}, "),
            ("now64", true) => format!("toDateTime64({seconds}, 3)"),
            ("now64", false) => format!("toDateTime64({seconds}, "),
            ("today" | "curdate" | "current_date", true) => {
                format!("toDate(toDateTime({seconds}))")
            }
            ("yesterday", true) => format!("(toDate(toDateTime({seconds})) - 1)"),
            _ => continue,
        };
        text.push_str(&condition[done..token.range().start]);
        text.push_str(&moment);
        done = tokens[at + if is_bare { 2 } else { 1 }].range().end;
    }
    text.push_str(&condition[done..]);
    (!changes_each_time(&text)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::at_moment;

    #[test]
    fn a_condition_has_the_time_of_one_moment() {
        for (condition, expected) in [
            ("a = 1", Some("a = 1")),
            ("at > now() - 5", Some("at > toDateTime(7) - 5")),
            ("at > NOW ( 'UTC' )", Some("at > toDateTime(7,  'UTC' )")),
            (
                "at > now64(6, 'UTC')",
                Some("at > toDateTime64(7, 6, 'UTC')"),
            ),
            ("at > now64()", Some("at > toDateTime64(7, 3)")),
            (
                "d IN (today(), yesterday())",
                Some("d IN (toDate(toDateTime(7)), (toDate(toDateTime(7)) - 1))"),
            ),
            ("s = 'now()'", Some("s = 'now()'")),
            ("at > now", None),
            ("at > nowInBlock()", None),
            ("randCanonical() < 0.5", None),
            ("rowNumberInAllBlocks() < 5", None),
        ] {
            assert_eq!(at_moment(condition, 7).as_deref(), expected, "{condition}");
        }
    }
}
