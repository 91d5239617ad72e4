//! No value changes the structure of the SQL around it: what a value renders to tokenizes to the same shape as a harmless value of the same type.

use std::collections::BTreeSet;

use pipewright_compiler::sql;
use pipewright_compiler::template::{Mode, RenderContext, Template, Values};
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
    // Longer than any value that is made here: a value that is the name of a secret chooses it, which changes the shape and is meant to.
    let secrets = ["the_only_secret_that_a_template_here_can_name".to_owned()];
    let context = RenderContext {
        secrets: &secrets,
        ..RenderContext::default()
    };
    let rendered = template.render(&values, &context).ok()?;
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

/// Templates whose value may become several literals or names: only what the statement reads and calls must stay.
const WIDER: &[(&str, &str)] = &[
    ("SELECT {{Array(a, 'String')}}", "v"),
    ("SELECT {{Array(a, 'Int32')}}", "1"),
    ("SELECT {{split_to_array(a)}}", "v"),
    (
        "SELECT {% for x in split_to_array(a) %}{{x}},{% end %} 1",
        "v",
    ),
    ("SELECT {{columns(a)}}", "v"),
    ("SELECT {{columns(a, fn='sum')}}", "v"),
    ("SELECT {{column(a)}}", "v"),
    ("SELECT {{JSON(a, '{}')}}", "{}"),
    ("WHERE {{sql_and(x__in=Array(a, 'String'))}}", "v"),
    ("WHERE x IN {{Array(a)}}", "v"),
    ("SELECT 1 FROM t SETTINGS max_threads = {{Int8(a)}}", "1"),
    (
        "SELECT 1 {{max_threads(4)}} FROM t {{backend_hint(a)}}",
        "v",
    ),
    (
        "WHERE x = {{tb_secret('the_only_secret_that_a_template_here_can_name')}} AND y = {{String(a)}}",
        "v",
    ),
];

/// What a statement does, as the compiler's own reading of SQL sees it.
fn meaning(sql: &str) -> String {
    let scan = match sql::scan(sql) {
        Ok(scan) => scan,
        Err(error) => return format!("unreadable: {}", error.message),
    };
    let called = |list: &[sql::Called]| {
        list.iter()
            .map(|one| one.name.clone())
            .collect::<BTreeSet<_>>()
    };
    let tables: BTreeSet<_> = scan
        .tables
        .iter()
        .map(|table| {
            (
                table.database.clone(),
                table.name.clone(),
                table.alias.clone(),
                table.is_final.is_some(),
            )
        })
        .collect();
    let settings: Vec<_> = scan.settings.iter().map(|setting| &setting.name).collect();
    let parameters: Vec<_> = scan
        .parameters
        .iter()
        .map(|one| (&one.name, &one.type_text))
        .collect();
    format!(
        "{:?} {tables:?} {:?} {:?} {settings:?} {parameters:?} {:?} {:?} {:?} {} {}",
        scan.kind,
        called(&scan.functions),
        called(&scan.table_functions),
        scan.format.map(|format| format.name),
        scan.common_tables
            .iter()
            .map(|one| &one.name)
            .collect::<Vec<_>>(),
        scan.trailing_semicolon.is_some(),
        scan.into_outfile.is_some(),
        scan.ends_in_line_comment,
    )
}

/// The template as (a part of) one whole statement that reads `t`.
fn statement(template: &str) -> String {
    if template.starts_with("WHERE") {
        format!("SELECT f(z) FROM t {template}")
    } else if template.starts_with("{%") {
        format!("SELECT {template}")
    } else if template.contains(" FROM ") {
        template.to_owned()
    } else {
        format!("{template} FROM t WHERE f(z) = 1")
    }
}

fn assert_same_meaning(template: &str, harmless: &str, value: &str) {
    let template = statement(template);
    let expected = meaning(&render(&template, harmless).expect("the harmless value renders"));
    assert!(expected.starts_with("Select"), "{template}: {expected}");
    if let Some(sql) = render(&template, value) {
        assert_eq!(
            meaning(&sql),
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

#[test]
fn no_payload_changes_what_a_statement_reads_or_calls() {
    for (template, harmless) in TEMPLATES.iter().chain(WIDER) {
        for payload in PAYLOADS {
            assert_same_meaning(template, harmless, payload);
        }
    }
}

/// Small changes of real templates: what a fuzzer would try first.
fn mutated(text: &str, changes: &[(usize, usize, u8)]) -> String {
    const PIECES: &[&str] = &[
        "{{",
        "}}",
        "{%",
        "%}",
        "'",
        "\"",
        "(",
        ")",
        "[",
        "]",
        ",",
        "=",
        "\\",
        "\0",
        "\n",
        " ",
        "é",
        "\u{10ffff}",
        "not ",
        "lambda x: x",
        "%",
        "*",
        "**",
        "if ",
        "end",
        "else",
        "for x in y",
        "0x",
        "1e999",
        "f'{a}'",
    ];
    let mut characters: Vec<String> = text.chars().map(String::from).collect();
    for (at, piece, kind) in changes {
        let at = at % (characters.len() + 1);
        match kind % 3 {
            0 => characters.insert(at, PIECES[piece % PIECES.len()].to_owned()),
            1 if at < characters.len() => {
                characters.remove(at);
            }
            _ => {
                let end = (at + piece % 16).min(characters.len());
                let copy = characters[at..end].to_vec();
                characters.extend(copy);
            }
        }
    }
    characters.concat()
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
    fn no_value_changes_what_a_statement_reads_or_calls(value in "(?s)(.|['\"`\\\\%\n\0,;(){}]|--|/\\*|\\*/| OR | FROM x| UNION ){0,24}") {
        for (template, harmless) in TEMPLATES.iter().chain(WIDER) {
            assert_same_meaning(template, harmless, &value);
        }
    }

    #[test]
    fn a_changed_template_never_panics_and_ends(at in 0usize..64, changes in prop::collection::vec((0usize..200, 0usize..200, 0u8..3), 1..12), value in ".{0,8}") {
        let base = TEMPLATES.iter().chain(WIDER).nth(at % (TEMPLATES.len() + WIDER.len())).expect("in range").0;
        let text = mutated(base, &changes);
        let (template, _) = Template::compile_text(&text, Span::new(SourceId(0), 0, text.len()));
        let context = RenderContext { steps: 10_000, output_limit: 1 << 16, ..RenderContext::default() };
        let mut values = Values::new();
        for parameter in template.parameters() {
            values.insert_text(parameter.name.clone(), value.clone());
        }
        let _ = template.render(&values, &context);
        let _ = template.branches(&RenderContext { mode: Mode::Check, ..context });
    }

    #[test]
    fn any_text_compiles_and_renders_without_panic(text in "(\\{\\{|\\}\\}|\\{%|%\\}|\\{#|#\\}|if|for|x|in|end|set|=|String|Array|\\(|\\)|\\[|\\]|'|,|1|a| |\\.|:|-|not|and){0,40}") {
        let (template, _) = Template::compile_text(&text, Span::new(SourceId(0), 0, text.len()));
        let context = RenderContext { steps: 10_000, ..RenderContext::default() };
        let _ = template.render(&Values::new(), &context);
        let _ = template.branches(&context);
    }
}
