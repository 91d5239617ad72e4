//! Branches of `UNION`, `EXCEPT` and `INTERSECT`.
//!
//! In ClickHouse `WITH`, `ORDER BY`, `LIMIT` before or after a set operator belong to their own branch. `sqlparser` wants parentheses for that, and takes the
//! last `ORDER BY` for the whole union's: each such branch gets the parentheses that it means.

use sqlparser::tokenizer::Token;

use super::List;

/// A query between brackets, or the statement.
struct Level {
    /// Where the branch that is being read starts.
    start: usize,
    /// It has a clause that must be kept to itself.
    own_clauses: bool,
    /// It is the first branch and begins with `WITH`, which stays outside: it covers all branches.
    leading_with: bool,
    united: bool,
}

impl Level {
    fn starting(start: usize, list: &List, united: bool) -> Self {
        let with = list.is_word(start, "with");
        Self {
            start,
            own_clauses: with && united,
            leading_with: with && !united,
            united,
        }
    }
}

/// Puts branches with clauses of their own into parentheses.
pub(super) fn branches(list: &mut List) {
    let mut levels = vec![Level::starting(0, list, false)];
    // Places to open and close at, in the order of the text as far as the stack allows; sorted below.
    let mut opens = Vec::new();
    let mut closes = Vec::new();
    for at in 0..=list.forms.len() {
        let ends = matches!(list.token(at), None | Some(Token::RParen));
        let unites = !ends && is_set_operator(list, at);
        if (ends || unites)
            && let Some(level) = levels.last()
            && (level.united || unites)
            && level.own_clauses
        {
            opens.push(level.start);
            closes.push(at);
        }
        if unites {
            let start = at + 1 + usize::from(list.is_any(at + 1, &["all", "distinct"]));
            if let Some(level) = levels.last_mut() {
                *level = Level::starting(start, list, true);
            }
            continue;
        }
        match list.token(at) {
            Some(Token::LParen) => levels.push(Level::starting(at + 1, list, false)),
            Some(Token::RParen) if levels.len() > 1 => {
                levels.pop();
            }
            _ => {}
        }
        let Some(level) = levels.last_mut() else {
            continue;
        };
        if level.leading_with && list.is_word(at, "select") {
            level.leading_with = false;
            level.start = at;
        }
        let by = list.is_word(at, "order") && list.is_word(at + 1, "by");
        if by || (list.is_any(at, &["limit", "offset"]) && at > level.start) {
            level.own_clauses = true;
        }
    }
    insert_all(list, opens, closes);
}

fn is_set_operator(list: &List, at: usize) -> bool {
    let next = at + 1 + usize::from(list.is_any(at + 1, &["all", "distinct"]));
    at > 0
        && list.is_any(at, &["union", "except", "intersect"])
        && (list.is_any(next, &["select", "with", "from"]) || list.is(next, &Token::LParen))
        && !list.before_is(at, &Token::Mul)
}

/// Rebuilds the list with the brackets in it, in one pass.
fn insert_all(list: &mut List, mut opens: Vec<usize>, mut closes: Vec<usize>) {
    if opens.is_empty() {
        return;
    }
    opens.sort_unstable_by(|left, right| right.cmp(left));
    closes.sort_unstable_by(|left, right| right.cmp(left));
    let old = std::mem::take(&mut list.forms);
    let count = old.len();
    let end = old.last().map_or(0, |form| form.end);
    let bracket = |token: Token, place: usize| super::Form {
        token,
        start: place,
        end: place,
    };
    for (at, form) in old.into_iter().enumerate() {
        while closes.last() == Some(&at) {
            closes.pop();
            list.forms.push(bracket(Token::RParen, form.start));
        }
        while opens.last() == Some(&at) {
            opens.pop();
            list.forms.push(bracket(Token::LParen, form.start));
        }
        list.forms.push(form);
    }
    while closes.last() == Some(&count) {
        closes.pop();
        list.forms.push(bracket(Token::RParen, end));
    }
}
