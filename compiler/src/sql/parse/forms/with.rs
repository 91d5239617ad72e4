//! `WITH`: named scalars and modifiers of common table expressions.

use sqlparser::tokenizer::Token;

use super::{FormKind, List};

/// Whether a `WITH` at a place opens a list of common table expressions.
fn opens(list: &List, at: usize) -> bool {
    list.is_word(at, "with")
        && (at == 0
            || list.before_is(at, &Token::LParen)
            || list.before_is_any(
                at,
                &[
                    "all",
                    "distinct",
                    "union",
                    "except",
                    "intersect",
                    "describe",
                    "table",
                ],
            ))
}

/// `expression AS name` becomes `name AS (SELECT expression)`.
pub(super) fn scalars(list: &mut List) {
    let mut at = 0;
    while at < list.forms.len() {
        if opens(list, at) {
            let mut element = at + 1 + usize::from(list.is_word(at + 1, "recursive"));
            loop {
                let end = list.find(element, |list, at| {
                    list.is(at, &Token::Comma)
                        || (list.is_word(at, "select") && at > 0 && list.ends_operand(at - 1))
                        || starts_from(list, at)
                });
                let added = scalar(list, element, end);
                let end = end + added;
                if !list.is(end, &Token::Comma) {
                    break;
                }
                element = end + 1;
            }
        }
        at += 1;
    }
}

fn starts_from(list: &List, at: usize) -> bool {
    list.is_word(at, "from") && at > 0 && list.ends_operand(at - 1)
}

/// Rewrites one element of the list if it is a scalar, and returns how many tokens were added.
fn scalar(list: &mut List, from: usize, to: usize) -> usize {
    let is_scalar = to > from + 2 && list.is_name(to - 1) && list.is_word(to - 2, "as");
    if !is_scalar {
        return 0;
    }
    list.note(FormKind::ScalarWith, from, to);
    let name = list.forms.remove(to - 1);
    let word_as = list.forms.remove(to - 2);
    list.insert(to - 2, Token::RParen);
    list.insert(from, Token::make_word("SELECT", None));
    list.insert(from, Token::LParen);
    list.forms.insert(from, word_as);
    list.forms.insert(from, name);
    3
}

/// `AS [NOT] MATERIALIZED (`.
pub(super) fn modifiers(list: &mut List) {
    for at in 0..list.forms.len() {
        if list.is_word(at, "as")
            && list.is_word(at + 1, "materialized")
            && list.is(at + 2, &Token::LParen)
        {
            list.drop(FormKind::CommonTableModifier, at + 1, at + 2);
        }
    }
    list.sweep();
}
