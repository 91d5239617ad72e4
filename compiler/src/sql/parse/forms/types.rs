//! Types: what stands in their brackets tells no one anything who reads the tree, and `sqlparser` knows few of them.

use sqlparser::tokenizer::Token;

use super::{FormKind, List};

/// Second words of types: `DOUBLE PRECISION`.
const SECOND_WORDS: &[&str] = &[
    "precision",
    "varying",
    "unsigned",
    "signed",
    "large",
    "character",
    "char",
    "with",
    "without",
];

/// The type after `::`, and the one in `CAST(x AS …)`: its name alone is left, quoted, so that it is any name.
pub(super) fn types(list: &mut List) {
    for at in 0..list.forms.len() {
        if list.is(at, &Token::DoubleColon) {
            only_name(list, at + 1);
        } else if list.is(at, &Token::LParen)
            && list.before_is_any(at, &["cast", "_cast", "try_cast"])
        {
            let closer = list.after_bracket(at).saturating_sub(1);
            let mut words = all_as(list, at + 1, closer);
            if let Some(last) = words.pop() {
                only_name(list, last + 1);
            }
            for inner in words {
                list.drop(FormKind::InnerAlias, inner, inner + 2);
            }
        }
    }
    list.sweep();
}

/// Each `AS` between two places, outside of brackets.
fn all_as(list: &List, from: usize, to: usize) -> Vec<usize> {
    let mut found = Vec::new();
    let mut at = from;
    while at < to {
        let next = list.find(at, |list, at| list.is_word(at, "as"));
        if next >= to {
            break;
        }
        found.push(next);
        at = next + 1;
    }
    found
}

fn only_name(list: &mut List, at: usize) {
    if list.is_any(at + 1, SECOND_WORDS) {
        return;
    }
    let Some(Token::Word(word)) = list.token(at) else {
        return;
    };
    list.forms[at].token = Token::make_word(&word.value.clone(), Some('`'));
    if list.is(at + 1, &Token::LParen) {
        let end = list.after_bracket(at + 1);
        list.drop(FormKind::TypeArguments, at + 1, end);
    }
}
