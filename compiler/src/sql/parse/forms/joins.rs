//! Forms of joins.

use sqlparser::tokenizer::Token;

use super::{FormKind, List};

const MODIFIERS: &[&str] = &[
    "global", "local", "any", "all", "asof", "semi", "anti", "only",
];
const KINDS: &[&str] = &[
    "inner", "left", "right", "full", "outer", "cross", "natural", "paste",
];

/// `[LEFT] ARRAY JOIN list`: names columns, which `sqlparser` would take for tables.
pub(super) fn array_joins(list: &mut List) {
    let mut at = 0;
    while at + 1 < list.forms.len() {
        if list.is_word(at, "array") && list.is_word(at + 1, "join") {
            let from = if list.before_is_any(at, &["left", "inner"]) {
                at - 1
            } else {
                at
            };
            let end = list.find(at + 2, |list, at| {
                let clause = [
                    "prewhere", "where", "group", "having", "order", "limit", "settings", "union",
                    "window", "qualify", "select", "offset",
                ];
                let joins = list.is_any(at, MODIFIERS)
                    || list.is_any(at, KINDS)
                    || list.is_word(at, "join")
                    || list.is_word(at, "array");
                list.is_any(at, &clause) || (joins && !list.is(at + 1, &Token::LParen))
            });
            list.drop(FormKind::ArrayJoin, from, end);
            at = end;
        } else {
            at += 1;
        }
    }
    list.sweep();
}

/// Words before `JOIN` in any order; `sqlparser` takes `ANY` and its kin for the table's alias. Also `GLOBAL` before `IN`.
pub(super) fn strictness(list: &mut List) {
    for at in 0..list.forms.len() {
        if list.is_word(at, "global")
            && (list.is_word(at + 1, "in")
                || (list.is_word(at + 1, "not") && list.is_word(at + 2, "in")))
        {
            list.drop(FormKind::Strictness, at, at + 1);
        }
        if !list.is_word(at, "join") {
            continue;
        }
        let mut first = at;
        while first > 0 && (list.is_any(first - 1, MODIFIERS) || list.is_any(first - 1, KINDS)) {
            first -= 1;
        }
        for word in first..at {
            if list.is_any(word, MODIFIERS) {
                list.drop(FormKind::Strictness, word, word + 1);
            } else if list.is_word(word, "paste") {
                list.note(FormKind::Strictness, word, word + 1);
                list.forms[word].token = Token::make_word("CROSS", None);
            }
        }
    }
    list.sweep();
}

/// `USING a, b` without parentheses gets them.
pub(super) fn using_lists(list: &mut List) {
    let mut at = 0;
    while at < list.forms.len() {
        if list.is_word(at, "using") && list.is_name(at + 1) {
            let mut end = at + 2;
            let joins = [Token::Period, Token::Comma];
            while joins.iter().any(|token| list.is(end, token)) && list.is_name(end + 1) {
                end += 2;
            }
            list.insert(end, Token::RParen);
            list.insert(at + 1, Token::LParen);
            at = end;
        }
        at += 1;
    }
}
