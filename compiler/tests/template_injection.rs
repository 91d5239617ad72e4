//! No value changes the structure of the SQL around it: what a value renders to tokenizes to the same shape as a harmless value of the same type.

use pipewright_compiler::template::{RenderContext, Template, Values};
use pipewright_grammar::source::{SourceId, Span};
use proptest::prelude::*;

/// The shape of a token: a lexer of ClickHouse's literals, names and comments, enough to see where a value ends.
fn shape(sql: &str) -> Vec<String> {
    let bytes = sql.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'\'' | b'`' | b'"') => {
                at += 1;
                loop {
                    match bytes.get(at) {
                        None => return vec!["unterminated".into()],
                        Some(b'\\') => at += 2,
                        // A doubled quote stays inside of the literal.
                        Some(byte) if *byte == quote && bytes.get(at + 1) == Some(&quote) => {
                            at += 2;
                        }
                        Some(byte) if *byte == quote => break,
                        Some(_) => at += 1,
                    }
                }
                at += 1;
                tokens.push(format!("quoted by {}", quote as char));
            }
            b'-' if bytes.get(at + 1) == Some(&b'-') => {
                at += sql[at..].find('\n').unwrap_or(sql.len() - at);
                tokens.push("comment".into());
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                at += sql[at..].find("*/").map_or(sql.len() - at, |end| end + 2);
                tokens.push("comment".into());
            }
            b'0'..=b'9' => {
                let end = sql[at..]
                    .find(|character: char| !character.is_ascii_alphanumeric() && character != '.');
                at += end.unwrap_or(sql.len() - at);
                tokens.push("number".into());
            }
            byte if byte.is_ascii_alphabetic() || byte == b'_' => {
                let end = sql[at..]
                    .find(|character: char| !character.is_ascii_alphanumeric() && character != '_');
                let end = end.map_or(sql.len(), |end| at + end);
                tokens.push(sql[at..end].to_owned());
                at = end;
            }
            byte if byte.is_ascii_whitespace() => at += 1,
            _ => {
                let character = sql[at..].chars().next().unwrap_or(' ');
                tokens.push(character.to_string());
                at += character.len_utf8();
            }
        }
    }
    tokens
}

/// Functions and positions with a harmless value. The value is always one literal or one name.
const TEMPLATES: &[(&str, &str)] = &[
    ("SELECT {{a}} AS x", "v"),
    ("SELECT {{String(a)}} AS x", "v"),
    ("SELECT {{String(a) + 'z'}} AS x", "v"),
    ("SELECT {{f'{a}'}} AS x", "v"),
    ("WHERE x LIKE {{String(a)}} AND y", "v"),
    (
        "WHERE x LIKE {{sql_unescape('%' + String(a) + '%', '%')}} AND y",
        "v",
    ),
    ("WHERE x LIKE {{sql_unescape(a, a)}} AND y", "v"),
    ("WHERE x = {{sql_unescape(a)}} AND y", "v"),
    ("WHERE {{sql_and(x=a)}} AND y", "v"),
    ("WHERE {{sql_and(x__in=[a])}} AND y", "v"),
    ("SELECT {{symbol(a)}} AS x", "v"),
    ("SELECT {{symbol(a, '\"')}} AS x", "v"),
    (
        "SELECT {{JSON(b, '[1]')}}, {{a.replace('x', 'y')}} AS x",
        "v",
    ),
    ("SELECT {{[a, a]}} AS x", "v"),
    ("SELECT {{(a, 1)}} AS x", "v"),
    ("SELECT {{ {'k': a} }} AS x", "v"),
    ("SELECT {{ {a: 1} }} AS x", "v"),
    ("{{backend_hint(a)}}SELECT 1", "v"),
    ("{% for x in [a] %}{{x}}{% end %}", "v"),
    ("{% set x = a %}{{x}} {{x + x}}", "v"),
    ("SELECT {{DateTime(a)}}", "2020-01-01 00:00:00"),
    ("SELECT {{DateTime64(a)}}", "2020-01-01 00:00:00.000"),
    ("SELECT {{Date(a)}}", "2020-01-01"),
    ("SELECT {{Int32(a)}}", "1"),
    ("SELECT {{UInt256(a)}}", "1"),
    ("SELECT {{Float64(a)}}", "1"),
    ("SELECT {{Boolean(a)}}", "1"),
    ("SELECT {{Decimal64(a, scale=2)}}", "1"),
    ("SELECT {{UUID(a)}}", "00000000-0000-0000-0000-000000000000"),
    ("SELECT {{IPv6(a)}}", "::"),
    ("SELECT {{tb_secret(a, 'd')}}", "v"),
];

fn render(template: &str, value: &str) -> Option<String> {
    let (template, diagnostics) =
        Template::compile_text(template, Span::new(SourceId(0), 0, template.len()));
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let mut values = Values::new();
    values.insert_text("a", value);
    let rendered = template.render(&values, &RenderContext::default()).ok()?;
    Some(rendered.sql.into_text())
}

fn assert_same_shape(template: &str, harmless: &str, value: &str) {
    let expected = shape(&render(template, harmless).expect("the harmless value renders"));
    if let Some(sql) = render(template, value) {
        assert_eq!(
            shape(&sql),
            expected,
            "{template} with {value:?} gives {sql}"
        );
    }
}

/// Payloads that are known to break out where something is missing.
const PAYLOADS: &[&str] = &[
    "'",
    "''",
    "\\",
    "\\'",
    "\\\\'",
    "' OR 1=1 --",
    "\\' OR 1=1 --",
    "'; DROP TABLE t; --",
    "\"",
    "`",
    "`; DROP",
    "\\`",
    "/*",
    "*/",
    "-- x\n",
    "\n",
    "\r\n",
    "\0",
    "\u{1a}",
    "\\z",
    "%",
    "\\%",
    "%'",
    "\\%'",
    "\u{2019}",
    "\u{ff07}",
    "\u{2028}",
    "\u{85}",
    "é'",
    "日'本",
    "{{a}}",
    "{% end %}",
    "{k: String}",
    "${a}",
    "x' 'y",
    "'||'",
    "toInt32('1')",
    "1) OR (1",
    "a,b",
    "a.b",
    "a' AS b",
    "NULL",
    "\\x27",
    "\\u0027",
    "\t'",
    "\u{8}'",
    "'\\",
    "\\\\",
    "a\\",
    "%\\",
    "\\%\\",
    "2020-01-01 00:00:00' OR 1",
    "2020-01-01 00:00:00.000'",
    "1'",
    "1;",
    "+1",
    "\u{661}",
    "١'",
    "0x41",
    "1e5",
    "inf",
    "nan",
    "::1'",
    "::ffff:1.2.3.4",
    "\u{feff}'",
    "\u{202e}'",
    "\u{10ffff}'",
];

#[test]
fn no_payload_leaves_its_quotes() {
    for (template, harmless) in TEMPLATES {
        for payload in PAYLOADS {
            assert_same_shape(template, harmless, payload);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_value_changes_the_shape(value in "(?s)(.|['\"`\\\\%\n\0]){0,24}") {
        for (template, harmless) in TEMPLATES {
            assert_same_shape(template, harmless, &value);
        }
    }

    #[test]
    fn any_text_compiles_and_renders_without_panic(text in "(\\{\\{|\\}\\}|\\{%|%\\}|\\{#|#\\}|if|for|x|in|end|set|=|String|Array|\\(|\\)|\\[|\\]|'|,|1|a| |\\.|:|-|not|and){0,40}") {
        let (template, _) = Template::compile_text(&text, Span::new(SourceId(0), 0, text.len()));
        let context = RenderContext { steps: 10_000, ..RenderContext::default() };
        let _ = template.render(&Values::new(), &context);
        let _ = template.branches(&context);
    }
}
