//! Forms of the clauses after `FROM`, and of windows.

use sqlparser::tokenizer::Token;

use super::{FormKind, List};

/// `ROWS BETWEEN …` of a window: it has no columns.
pub(super) fn frames(list: &mut List) {
    for at in 1..list.forms.len() {
        let starts = list.is_any(at, &["rows", "range", "groups"])
            && (list.is_any(at + 1, &["between", "unbounded", "current", "interval"])
                || matches!(list.token(at + 1), Some(Token::Number(..))))
            && (list.ends_operand(at - 1)
                || list.before_is(at, &Token::LParen)
                || list.before_is_any(at, &["asc", "desc", "first", "last"]));
        if starts {
            let end = list.find(at, |_, _| false);
            if list.is(end, &Token::RParen) {
                list.drop(FormKind::WindowFrame, at, end);
            }
        }
    }
    list.sweep();
}

/// `COLLATE 'language'` after a key of an order.
pub(super) fn collations(list: &mut List) {
    for at in 1..list.forms.len() {
        if list.is_word(at, "collate")
            && matches!(list.token(at + 1), Some(Token::SingleQuotedString(_)))
        {
            list.drop(FormKind::Collation, at, at + 2);
        }
    }
    list.sweep();
}

/// `STALENESS x` of `WITH FILL`.
pub(super) fn staleness(list: &mut List) {
    for at in 1..list.forms.len() {
        let fills = list.is_word(at, "staleness")
            && (list.ends_operand(at - 1) || list.before_is_any(at, &["fill"]))
            && !list.is(at + 1, &Token::Comma);
        if fills && (0..at).any(|before| list.is_word(before, "fill")) {
            let end = list.find(at + 1, |list, at| {
                list.is(at, &Token::Comma)
                    || list.is_any(
                        at,
                        &[
                            "interpolate",
                            "limit",
                            "offset",
                            "settings",
                            "union",
                            "format",
                        ],
                    )
            });
            list.drop(FormKind::FillStaleness, at, end);
        }
    }
    list.sweep();
}
