//! The parts of a table's definition that are SQL of their author's: defaults, keys, TTLs, indexes, codecs, settings.
//!
//! They are written into `CREATE TABLE` and `ALTER TABLE` as they are, and who may make a data source is not always who may read every table or file. So each
//! part must be a closed piece of SQL that reads nothing: it cannot end the clause that it stands in, and it calls only what a node may call.

use pipewright_grammar::diagnostic::Diagnostic;
use pipewright_grammar::source::Spanned;
use pipewright_grammar::syntax::DatasourceFile;

use crate::diagnostics::codes;
use crate::sql::lexer::{Kind, Token};
use crate::sql::{self, Policy, Use};

/// Reports each part of a definition that is not closed.
pub(super) fn check(syntax: &DatasourceFile, policy: &Policy, diagnostics: &mut Vec<Diagnostic>) {
    for (what, text) in parts(syntax) {
        let reason = if what == "`ENGINE_SETTINGS`" {
            reason_against_settings(&text.value)
        } else {
            reason_against_part(&text.value, policy)
        };
        if let Some(reason) = reason {
            diagnostics.push(
                Diagnostic::error(
                    codes::SQL_NOT_ALLOWED,
                    format!("{what} cannot stand in the definition of a table: {reason}"),
                )
                .label(text.span, "")
                .help("write one expression over the columns of this data source"),
            );
        }
    }
}

/// The parts, each with what to call it and where it stands.
fn parts(syntax: &DatasourceFile) -> Vec<(String, &Spanned<String>)> {
    let mut parts = Vec::new();
    for column in &syntax.columns {
        let default = column.default.as_ref().map(|(_, text)| text);
        let named = [
            ("default", default),
            ("codec", column.codec.as_ref()),
            ("TTL", column.ttl.as_ref()),
        ];
        for (what, text) in named {
            let of = || format!("the {what} of column `{}`", column.name.value);
            parts.extend(text.map(|text| (of(), text)));
        }
    }
    for index in &syntax.indexes {
        for text in [&index.expression, &index.kind] {
            parts.push((format!("the index `{}`", index.name.value), text));
        }
    }
    for directive in &syntax.directives {
        let keyword = &directive.keyword.value;
        if keyword.starts_with("ENGINE_") && !directive.value.value.trim().is_empty() {
            parts.push((format!("`{keyword}`"), &directive.value));
        }
    }
    parts
}

/// Why a text is no list of settings; `None` if it is. A value is a literal: `disk(…)` would reach any folder.
fn reason_against_settings(text: &str) -> Option<String> {
    let tokens = match sql::lexer::tokenize(text) {
        Ok(tokens) => tokens.list,
        Err(error) => return Some(error.message),
    };
    let is_setting = |tokens: &[Token]| match tokens {
        [name, equals, rest @ ..] => {
            let is_word = |token: &Token, words: &[&str]| {
                let text = token.text(text);
                token.kind == Kind::Word && words.iter().any(|word| word.eq_ignore_ascii_case(text))
            };
            let rest = match rest {
                [sign, rest @ ..] if sign.text(text) == "-" => rest,
                rest => rest,
            };
            let is_literal = matches!(rest, [value] if matches!(value.kind, Kind::Number | Kind::Text) || is_word(value, &["true", "false"]));
            matches!(name.kind, Kind::Word) && equals.kind == Kind::Equals && is_literal
        }
        _ => false,
    };
    let is_list = tokens
        .split(|token| token.kind == Kind::Comma)
        .all(is_setting);
    (!is_list).then(|| "it is no list of `name = value` with plain values".to_owned())
}

/// The same for a part of a definition, in which the engine takes no query either.
fn reason_against_part(text: &str, policy: &Policy) -> Option<String> {
    let has_query = sql::lexer::tokenize(text).is_ok_and(|tokens| {
        let is_select = |token: &Token| token.text(text).eq_ignore_ascii_case("SELECT");
        tokens
            .list
            .iter()
            .any(|token| token.kind == Kind::Word && is_select(token))
    });
    if has_query {
        return Some("a query cannot stand here".to_owned());
    }
    if ends_in_comment(text) {
        return Some("a comment stands at its end".to_owned());
    }
    reason_against(text, policy)
}

/// Whether what is written right behind a text would belong to its last comment.
fn ends_in_comment(text: &str) -> bool {
    let followed = format!("{text})");
    let Ok(tokens) = sql::lexer::tokenize(&followed) else {
        return true;
    };
    let last = tokens.list.last();
    last.is_none_or(|last| last.range().start != text.len())
}

/// Why a text cannot stand as an expression, or a list of them, in another statement; `None` if it can.
pub(crate) fn reason_against(text: &str, policy: &Policy) -> Option<String> {
    if text.trim().is_empty() {
        return Some("it is empty".to_owned());
    }
    // Alone, so that a parenthesis that closes one of ours is found; in parentheses, so that an open comment is.
    [
        format!("SELECT 1 WHERE {text}"),
        format!("SELECT 1 WHERE (\n{text}\n)"),
    ]
    .iter()
    .find_map(|statement| reason_in(statement, policy))
}

fn reason_in(statement: &str, policy: &Policy) -> Option<String> {
    let scan = match sql::scan(statement) {
        Ok(scan) => scan,
        Err(error) => return Some(error.message),
    };
    if !scan.tables.is_empty() || !scan.table_functions.is_empty() {
        return Some("it reads a table".to_owned());
    }
    if scan.format.is_some()
        || !scan.settings.is_empty()
        || scan.trailing_semicolon.is_some()
        || scan.into_outfile.is_some()
    {
        return Some("only an expression can stand here".to_owned());
    }
    let refused = sql::guard(&scan, policy, Use::Node).into_iter();
    let violation = refused.chain(sql::unbound(&scan, &[])).next();
    violation.map(|violation| violation.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_taken(text: &str) {
        assert_eq!(
            reason_against_part(text, &Policy::default()),
            None,
            "{text}"
        );
    }

    fn assert_refused(text: &str) {
        assert!(
            reason_against_part(text, &Policy::default()).is_some(),
            "{text}"
        );
    }

    #[test]
    fn what_definitions_are_made_of_is_taken() {
        for text in [
            "now()",
            "'a; b) --'",
            "toDate(ts), id",
            "tuple()",
            "(a, b)",
            "cityHash64(user_id)",
            "toDateTime(ts) + INTERVAL 90 DAY",
            "ts + toIntervalDay(1) DELETE WHERE kind = 'x', ts + INTERVAL 1 WEEK TO VOLUME 'cold'",
            "ts + INTERVAL 1 MONTH GROUP BY id SET v = max(v)",
            "bloom_filter(0.01)",
            "Delta, ZSTD(3)",
            "CAST('2020-01-01', 'DateTime')",
            "if(a > 0, b, c)",
            "map()",
            "comment, format, sample",
            "JSONExtractString(body, 'a')",
            "1 -- one\n+ 1",
            "1 /* one */",
        ] {
            assert_taken(text);
        }
    }

    #[test]
    fn what_leaves_its_place_or_reads_is_refused() {
        for text in [
            "file('/etc/passwd')",
            "(SELECT * FROM secret)",
            "(SELECT 1)",
            "x) ORDER BY x AS SELECT * FROM file('/etc/passwd') --",
            "ts + INTERVAL 1 DAY AS SELECT * FROM secret",
            "ts + INTERVAL 1 DAY SETTINGS disk = disk(type = 'local', path = '/')",
            "1; DROP TABLE t",
            "1 /* open",
            "1 -- one",
            "id # the key",
            "a, -- one\n b -- two",
            "x IN secret",
            "hostName()",
            "name = {secret:String}",
            "dictGet('d', 'v', 1)",
            "",
        ] {
            assert_refused(text);
        }
    }

    #[test]
    fn settings_have_plain_values() {
        assert_eq!(
            reason_against_settings(
                "index_granularity = 256, storage_policy = 'hot', allow_nullable_key = true"
            ),
            None
        );
        for text in [
            "disk = disk(type = 'local', path = '/')",
            "a = 1 AS SELECT 1",
            "a",
            "a = 1,",
            "a = (1)",
        ] {
            assert!(reason_against_settings(text).is_some(), "{text}");
        }
    }
}
