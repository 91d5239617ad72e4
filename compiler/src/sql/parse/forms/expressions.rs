//! Forms inside of expressions and of clauses that hold them.

use sqlparser::tokenizer::Token;

use super::{FormKind, List};

/// `{name:Type}` is a placeholder, or a name if its type is `Identifier`.
pub(super) fn parameters(list: &mut List) {
    let mut at = 0;
    while at < list.forms.len() {
        if list.is(at, &Token::LBrace) && list.is_name(at + 1) && list.is(at + 2, &Token::Colon) {
            let end = list.after_bracket(at);
            let name = match list.token(at + 1) {
                Some(Token::Word(word)) => word.value.clone(),
                _ => String::new(),
            };
            let is_identifier = list.is_word(at + 3, "identifier");
            let last = list.forms[end - 1].end;
            let form = &mut list.forms[at];
            form.end = last;
            form.token = if is_identifier {
                Token::make_word(&format!("{{{name}:Identifier}}"), Some('`'))
            } else {
                Token::Placeholder(format!("{{{name}}}"))
            };
            list.forms.drain(at + 1..end);
        }
        at += 1;
    }
}

/// `a.^b`, `a.b.:Int64`, `a[].b`: the path without its type and without what makes an array of it.
pub(super) fn json_paths(list: &mut List) {
    for at in 0..list.forms.len() {
        if at > 0
            && list.is(at, &Token::LBracket)
            && list.is(at + 1, &Token::RBracket)
            && list.ends_operand(at - 1)
        {
            list.drop(FormKind::JsonPath, at, at + 2);
        }
        if !list.is(at, &Token::Period) {
            continue;
        }
        if list.is(at + 1, &Token::Caret) {
            list.drop(FormKind::JsonPath, at + 1, at + 2);
        } else if list.is(at + 1, &Token::Colon) && list.is_name(at + 2) {
            let mut end = at + 3;
            if list.is(end, &Token::LParen) {
                end = list.after_bracket(end);
            }
            list.drop(FormKind::JsonPath, at, end);
        }
    }
    list.sweep();
}

/// `x.1` becomes `x[1]`.
pub(super) fn tuple_elements(list: &mut List) {
    let mut at = 1;
    while at + 1 < list.forms.len() {
        if list.is(at, &Token::Period) && matches!(list.token(at + 1), Some(Token::Number(..))) {
            list.forms[at].token = Token::LBracket;
            list.insert(at + 2, Token::RBracket);
        }
        at += 1;
    }
}

/// `APPLY(f)`, `APPLY f`, and `EXCEPT`/`REPLACE` after `COLUMNS(…)`.
pub(super) fn column_transformers(list: &mut List) {
    let mut at = 1;
    while at < list.forms.len() {
        let after_columns = list.before_is(at, &Token::RParen) || list.before_is(at, &Token::Mul);
        if list.is_word(at, "apply") && after_columns {
            let mut end = at + 1;
            if list.is_name(end) {
                end += 1;
            }
            if list.is(end, &Token::Arrow) {
                end = list.find(end, |list, at| {
                    list.is(at, &Token::Comma) || list.is_any(at, &["from", "apply"])
                });
            } else if list.is(end, &Token::LParen) {
                end = list.after_bracket(end);
            }
            list.drop(FormKind::ColumnTransformer, at, end);
            list.sweep();
            continue;
        }
        let transforms = list.is_any(at, &["except", "replace"])
            && list.before_is(at, &Token::RParen)
            && list.is(at + 1, &Token::LParen)
            && !list.is_any(at + 2, &["select", "with", "from"])
            && !list.is(at + 2, &Token::LParen);
        // `* EXCEPT (…)` and `* REPLACE (…)` are known, but only one of each and only after the star itself.
        let strict = list.is_any(at, &["except", "replace"]) && list.is_word(at + 1, "strict");
        if transforms || strict {
            let end = if strict {
                if list.is(at + 2, &Token::LParen) {
                    list.after_bracket(at + 2)
                } else {
                    at + 3
                }
            } else {
                list.after_bracket(at + 1)
            };
            list.drop(FormKind::ColumnTransformer, at, end);
            list.sweep();
            continue;
        }
        let bare_replace =
            list.is_word(at, "replace") && list.before_is(at, &Token::Mul) && list.is_name(at + 1);
        if bare_replace {
            let end = list.find(at + 1, |list, at| {
                list.is_word(at, "from") || list.is(at, &Token::Comma)
            });
            list.drop(FormKind::ColumnTransformer, at, end);
            list.sweep();
            continue;
        }
        at += 1;
    }
}

/// Words that `sqlparser` reads as the start of something where they are names.
const NAMES: &[&str] = &[
    "interval",
    "date",
    "timestamp",
    "time",
    "first",
    "last",
    "case",
    "end",
    "left",
    "right",
    "format",
    "settings",
    "limit",
    "offset",
    "order",
    "group",
    "from",
    "to",
    "table",
    "position",
    "array",
    "map",
    "struct",
    "current_date",
    "current_timestamp",
    "user",
    "values",
    "view",
    "row",
    "rows",
    "set",
    "sample",
    "window",
    "when",
    "then",
    "else",
    "index",
    "key",
    "exists",
    "extract",
    "distinct",
    "not",
    "cast",
    "trim",
    "substring",
    "ceil",
    "floor",
    "convert",
    "lambda",
    "join",
    "union",
    "except",
    "intersect",
    "having",
    "where",
    "prewhere",
    "final",
    "any",
    "all",
    "global",
    "anti",
    "semi",
    "asof",
    "on",
    "using",
    "by",
    "current_user",
    "session_user",
    "localtime",
    "localtimestamp",
    "current_time",
    "qualify",
    "tablesample",
    "fetch",
    "connect",
    "start",
    "match",
    "prior",
    "is",
    "in",
];

/// A keyword that can only be a name where it stands is quoted.
pub(super) fn names_like_keywords(list: &mut List) {
    for at in 0..list.forms.len() {
        if !list.is_any(at, NAMES) {
            continue;
        }
        let after_dot = list.before_is(at, &Token::Period);
        let after_as = list.before_is_any(at, &["as"]) && !list.is(at + 1, &Token::LParen);
        let expected = match at.checked_sub(1) {
            None => false,
            Some(before) => !list.ends_operand(before) && !list.is(before, &Token::Mul),
        };
        let ends = match list.token(at + 1) {
            None
            | Some(
                Token::Comma
                | Token::RParen
                | Token::RBracket
                | Token::Period
                | Token::Eq
                | Token::Neq
                | Token::Lt
                | Token::Gt
                | Token::LtEq
                | Token::GtEq
                | Token::Plus
                | Token::Div
                | Token::Mod
                | Token::Arrow
                | Token::DoubleColon
                | Token::StringConcat
                | Token::Question
                | Token::Colon,
            ) => true,
            Some(Token::Word(_)) => list.is_any(
                at + 1,
                &[
                    "as", "is", "from", "and", "or", "in", "between", "like", "ilike", "desc",
                    "asc", "then", "else", "when", "end", "not", "global", "where", "group",
                    "order", "union", "limit", "having", "using",
                ],
            ),
            Some(_) => false,
        };
        let is_interval = list.is_word(at, "interval")
            && (list.is(at + 1, &Token::Mul)
                || list.is(at + 1, &Token::LBracket)
                || list.is_word(at + 1, "with"));
        let ends = ends || is_interval;
        let compares = list.is_word(at, "distinct") && list.before_is_any(at, &["is", "not"]);
        let is_table = list.is_word(at, "table") && list.before_is_any(at, &["from", "join"]);
        let is_function = list.is_any(at, &["any", "all"]) && calls(list, at);
        // `SELECT *, from FROM t`; `END`, `NOT` and the like begin or end something only at other places.
        let is_end = list.is_any(at, &["end", "when", "then", "else"])
            || (list.is_word(at, "case") && list.is_word(at + 1, "when"));
        let is_name = after_dot || after_as || (expected && ends && !is_end && !compares);
        if (is_function || ((is_name || is_table) && !list.is(at + 1, &Token::LParen)))
            && let Some(Token::Word(word)) = list.token(at)
        {
            list.forms[at].token = Token::make_word(&word.value.clone(), Some('`'));
        }
    }
}

/// Whether the `any` or `all` at a place is a function, and not a comparison with each row of a query.
fn calls(list: &List, at: usize) -> bool {
    let after_operator = at.checked_sub(1).is_some_and(|before| {
        !list.ends_operand(before) && !matches!(list.token(before), Some(Token::Word(_)))
    });
    let query = (at + 2..list.forms.len()).find(|next| !list.is(*next, &Token::LParen));
    let query = query.is_some_and(|next| list.is_any(next, &["select", "with", "from"]));
    after_operator && list.is(at + 1, &Token::LParen) && !query
}

/// `()` is a tuple without elements where no name stands before it.
pub(super) fn empty_tuples(list: &mut List) {
    let mut at = 1;
    while at + 1 < list.forms.len() {
        let before = list.token(at - 1);
        let stands_alone = match before {
            Some(Token::Word(_)) => list.before_is_any(at, &["select", "by"]),
            Some(Token::RParen | Token::RBracket) => false,
            _ => true,
        };
        if list.is(at, &Token::LParen)
            && list.is(at + 1, &Token::RParen)
            && !list.is(at + 2, &Token::Arrow)
            && stands_alone
        {
            list.insert(at, Token::make_word("tuple", None));
            at += 1;
        }
        at += 1;
    }
}

/// `a DIV b`, `a MOD b`, and `WITH TIES`, `WITH TOTALS` and the like at the end of clauses.
pub(super) fn word_operators(list: &mut List) {
    let mut grouped = false;
    for at in 0..list.forms.len() {
        if list.is_word(at, "group") && list.is_word(at + 1, "by") {
            grouped = true;
        }
        let between = at > 0 && list.ends_operand(at - 1);
        let is_operator = between
            && !list.is(at + 1, &Token::Comma)
            && !list.is(at + 1, &Token::RParen)
            && !list.before_is_any(at, &["as"]);
        if is_operator && list.is_word(at, "div") && !list.is_word(at + 1, "from") {
            list.forms[at].token = Token::Div;
        } else if is_operator && list.is_word(at, "mod") && !list.is_word(at + 1, "from") {
            list.forms[at].token = Token::Mod;
        } else if list.is_word(at, "with")
            && (list.is_word(at + 1, "ties")
                || (list.is_any(at + 1, &["totals", "rollup", "cube"]) && !grouped))
        {
            list.drop(FormKind::WithModifier, at, at + 2);
        }
    }
    list.sweep();
}

/// A comma before `FROM`, a closing bracket or the end.
pub(super) fn trailing_commas(list: &mut List) {
    for at in 0..list.forms.len() {
        let from = list.is_word(at + 1, "from")
            && (list.is_name(at + 2) || list.is(at + 2, &Token::LParen))
            && !list.is_any(at + 2, &["from", "as", "is", "in"]);
        let closes = matches!(
            list.token(at + 1),
            None | Some(Token::RParen | Token::RBracket)
        );
        if list.is(at, &Token::Comma) && (from || closes) {
            list.forms[at].token = Token::EOF;
        }
    }
    list.sweep();
}

/// What `AS name` means at a level of brackets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aliases {
    /// It names an item of a select list, a table, a window, or it is a type: `sqlparser` reads it.
    Known,
    /// It names a part of an expression.
    Inner,
}

/// `AS name` inside of an expression: `f(x AS y)`, `(a + b AS c) * 2`, `ORDER BY a AS b`.
pub(super) fn inner_aliases(list: &mut List) {
    let mut open = vec![Aliases::Known];
    for at in 0..list.forms.len() {
        match list.token(at) {
            Some(Token::LParen) => open.push(aliases_in(list, at)),
            Some(Token::LBracket | Token::LBrace) => open.push(Aliases::Inner),
            Some(Token::RParen | Token::RBracket | Token::RBrace) if open.len() > 1 => {
                open.pop();
            }
            _ => {}
        }
        let Some(level) = open.last_mut() else {
            continue;
        };
        if list.is_any(at, &["where", "prewhere", "having", "qualify", "on"])
            || (list.is_any(at, &["group", "order"]) && list.is_word(at + 1, "by"))
        {
            if !list.before_is_any(at, &["distinct"]) {
                *level = Aliases::Inner;
            }
        } else if list.is_any(at, &["select", "from", "join", "window", "interpolate"]) {
            let is_clause = at == 0
                || list.ends_operand(at - 1)
                || list.before_is(at, &Token::LParen)
                || list.before_is(at, &Token::Mul);
            if is_clause || list.is_word(at, "select") {
                *level = Aliases::Known;
            }
        } else if *level == Aliases::Inner
            && list.is_word(at, "as")
            && list.is_name(at + 1)
            && !list.is(at + 2, &Token::LParen)
        {
            list.drop(FormKind::InnerAlias, at, at + 2);
        }
    }
    list.sweep();
}

fn aliases_in(list: &List, at: usize) -> Aliases {
    let query = list.is_any(at + 1, &["select", "with", "from"]);
    let typed = list.before_is_any(at, &["cast", "try_cast", "replace", "accuratecast"]);
    let tables = list.before_is_any(at, &["from", "join", "interpolate"]);
    if query || typed || tables {
        Aliases::Known
    } else {
        Aliases::Inner
    }
}

/// `INTERVAL '1 month'` is `INTERVAL 1 month`.
pub(super) fn interval_strings(list: &mut List) {
    let mut at = 0;
    while at < list.forms.len() {
        if list.is_word(at, "interval")
            && let Some(Token::SingleQuotedString(text)) = list.token(at + 1)
            && let Some((number, unit)) = text.trim().split_once(' ')
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && unit.bytes().all(|byte| byte.is_ascii_alphabetic())
        {
            let unit = Token::make_word(unit, None);
            list.forms[at + 1].token = Token::Number(number.to_owned(), false);
            list.insert(at + 2, unit);
        }
        at += 1;
    }
}

/// `LIMIT 1 BY x LIMIT 10`: the first is taken out. `LIMIT 2, 1 BY x`, too.
pub(super) fn limit_by(list: &mut List) {
    let mut at = 0;
    while at < list.forms.len() {
        if list.is_word(at, "limit") {
            let end = list.find(at + 1, |list, at| {
                list.is_any(at, &["limit", "settings", "union", "format", "offset"])
            });
            let end = if list.is_word(end, "offset") {
                list.find(end + 1, |list, at| {
                    list.is_any(at, &["limit", "settings", "union", "format"])
                })
            } else {
                end
            };
            let by = list.find(at + 1, |list, at| list.is_word(at, "by"));
            let skips = list.find(at + 1, |list, at| {
                list.is(at, &Token::Comma) || list.is_word(at, "offset")
            });
            if by < end && (list.is_word(end, "limit") || skips < by) {
                list.drop(FormKind::LimitBy, at, end);
            }
            at = end.max(at + 1);
        } else {
            at += 1;
        }
    }
    list.sweep();
}
