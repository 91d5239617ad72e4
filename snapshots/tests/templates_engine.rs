//! What a template writes for a value, the engine reads back as that value: for every function of values, and for all characters there are.

mod opened;

use opened::Opened;
use pipewright::engine::Query;
use pipewright_compiler::template::{RenderContext, Template, Values};
use pipewright_grammar::source::{SourceId, Span};
use proptest::test_runner::{Config as Cases, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

/// Texts that are known to be read as something else somewhere.
const TEXTS: &[&str] = &[
    "",
    "'",
    "''",
    "\\",
    "\\\\",
    "\\'",
    "'\\",
    "\"",
    "`",
    "\0",
    "a\0b",
    "%",
    "%%",
    "\\%",
    "%\\",
    "_",
    "\\_",
    "a%b_c",
    "\\z",
    "\\x27",
    "\\u0027",
    "\\n",
    "\n",
    "\r\n",
    "\t",
    "\u{8}",
    "\u{c}",
    "\u{1a}",
    "\u{1b}",
    "\u{7f}",
    "\u{80}",
    "\u{85}",
    "\u{a0}",
    "\u{2018}\u{2019}\u{201c}\u{201d}",
    "\u{2028}",
    "\u{feff}",
    "\u{ff07}",
    "é",
    "日本語",
    "🦀",
    "\u{10ffff}",
    "e\u{301}",
    "' OR 1=1 --",
    "'; DROP TABLE t; --",
    "/* */",
    "-- x",
    "{{a}}",
    "{% end %}",
    "{k: String}",
    "$$",
    "$a$",
    "a,b",
    "[1,2]",
    "NULL",
    " a ",
    "\\N",
    "\\b\\f\\r\\0\\a\\v\\e",
];

struct Reader(Opened);

impl Reader {
    /// Renders and runs; the rows as arrays of JSON.
    fn rows(&self, template: &str, values: &Values) -> Vec<Value> {
        let (compiled, diagnostics) =
            Template::compile_text(template, Span::new(SourceId(0), 0, template.len()));
        assert!(diagnostics.is_empty(), "{template}: {diagnostics:?}");
        let rendered = compiled
            .render(values, &RenderContext::default())
            .unwrap_or_else(|error| panic!("{template}: {error}"));
        let sql = rendered.sql.into_text();
        let mut query = Query::new(sql.as_str(), "JSONCompactEachRow");
        for (name, value) in [
            ("output_format_json_quote_64bit_integers", "1"),
            ("output_format_json_quote_decimals", "1"),
        ] {
            query.settings.push((name.to_owned(), value.to_owned()));
        }
        let text = self.0.runtime.block_on(async {
            let answer = self
                .0
                .engine
                .query(query)
                .await
                .unwrap_or_else(|error| panic!("{template} → {sql}: {error:?}"));
            answer.bytes().await.expect("the answer arrives").to_vec()
        });
        String::from_utf8(text)
            .expect("JSON is UTF-8")
            .lines()
            .map(|line| serde_json::from_str(line).expect("a row is JSON"))
            .collect()
    }

    fn row(&self, template: &str, pairs: &[(&str, Value)]) -> Value {
        let values: Values = pairs
            .iter()
            .map(|(name, value)| (*name, value.clone()))
            .collect();
        let mut rows = self.rows(template, &values);
        assert_eq!(rows.len(), 1, "{template}");
        rows.remove(0)
    }

    /// The value through each function that writes text.
    fn text(&self, text: &str) {
        let row = self.row(
            "SELECT {{String(x)}}, {{x}}, {{String(x)}} = {{ String(x) }}, {{String(x) + 'z'}}, {{Array(xs)}}, {{[x, x]}}, 'q' LIKE {{String(x)}} \
             FROM (SELECT 1) WHERE 1",
            &[("x", json!(text)), ("xs", json!([text, "k", text]))],
        );
        assert_eq!(row[0], *text, "String");
        assert_eq!(row[1], *text, "bare");
        assert_eq!(row[2], 1, "{text:?} equals itself");
        assert_eq!(row[3], format!("{text}z"), "a sum");
        assert_eq!(row[4], json!([text, "k", text]), "Array");
        assert_eq!(row[5], json!([text, text]), "a list");
        assert_eq!(row[6], i32::from(text == "q"), "LIKE something else");
    }

    /// In a pattern the value stands for itself and nothing else.
    fn pattern(&self, text: &str, other: &str) {
        let row = self.row(
            "SELECT s LIKE {{String(x)}}, o LIKE {{String(x)}}, concat('a', s, 'b') LIKE concat('%', {{String(x)}}, '%') \
             FROM (SELECT {{String(x)}} AS s, {{String(y)}} AS o)",
            &[("x", json!(text)), ("y", json!(other))],
        );
        assert_eq!(row[0], 1, "{text:?} is like itself");
        assert_eq!(row[1], i32::from(text == other), "{other:?} LIKE {text:?}");
        assert_eq!(row[2], 1, "{text:?} is found inside of a text");
    }
}

/// All characters, 1,024 at a time.
fn every_character(mut visit: impl FnMut(&str)) {
    let mut chunk = String::new();
    for character in '\0'..=char::MAX {
        chunk.push(character);
        if chunk.chars().count() == 1024 {
            visit(&chunk);
            chunk.clear();
        }
    }
    visit(&chunk);
}

fn numbers(reader: &Reader) {
    for bits in [8u32, 16, 32, 64, 128, 256] {
        let (low, high, top) = ends(bits);
        for (function, numbers) in [
            (format!("Int{bits}"), [low, "-1".into(), "0".into(), high]),
            (
                format!("UInt{bits}"),
                ["0".into(), "1".into(), "7".into(), top],
            ),
        ] {
            for number in numbers {
                let template = format!(
                    "SELECT toString({{{{{function}(x)}}}}), toTypeName({{{{{function}(x)}}}}), toString({{{{Array(xs, '{function}')}}}})"
                );
                let row = reader.row(
                    &template,
                    &[
                        ("x", json!(number)),
                        ("xs", json!(format!("{number},{number}"))),
                    ],
                );
                assert_eq!(row[0], number, "{function}");
                assert_eq!(row[1], function);
                assert!(
                    row[2]
                        .as_str()
                        .is_some_and(|list| list.matches(&number).count() >= 2),
                    "{function}: {row}"
                );
            }
        }
    }
    for (template, value, expected) in [
        (
            "toFloat64({{Float64(x)}})",
            "1.7976931348623157e308",
            "1.7976931348623157e308",
        ),
        ("toFloat64({{Float64(x)}})", "-0.1", "-0.1"),
        ("{{Float32(x)}}", "0.5", "0.5"),
        ("{{Int(x)}}", "2147483647", "2147483647"),
        ("{{Integer(x)}}", "-2147483648", "-2147483648"),
        ("{{Boolean(x)}}", "true", "1"),
        ("{{Boolean(x)}}", "0", "0"),
        ("{{Date(x)}}", "2024-02-29", "2024-02-29"),
        (
            "{{DateTime(x)}}",
            "2024-02-29 23:59:59",
            "2024-02-29 23:59:59",
        ),
        (
            "{{DateTime64(x)}}",
            "2024-02-29 23:59:59.123",
            "2024-02-29 23:59:59.123",
        ),
        ("{{Decimal64(x, scale=3)}}", "-12345.678", "-12345.678"),
        (
            "{{UUID(x)}}",
            "61f0c404-5cb3-11e7-907b-a6006ad3dba0",
            "61f0c404-5cb3-11e7-907b-a6006ad3dba0",
        ),
        ("{{IPv4(x)}}", "255.255.255.255", "255.255.255.255"),
        ("{{IPv6(x)}}", "2001:db8::1", "2001:db8::1"),
    ] {
        let row = reader.row(
            &format!("SELECT toString({template})"),
            &[("x", json!(value))],
        );
        assert_eq!(row[0], expected, "{template}");
    }
}

/// The smallest and greatest signed and the greatest unsigned number of a width.
fn ends(bits: u32) -> (String, String, String) {
    // 2^(bits-1) and 2^bits by doubling decimal digits: 256 bits fit in no integer here.
    let power = |exponent: u32| {
        let mut digits = vec![1u8];
        for _ in 0..exponent {
            let mut carry = 0;
            for digit in &mut digits {
                let double = *digit * 2 + carry;
                *digit = double % 10;
                carry = double / 10;
            }
            if carry > 0 {
                digits.push(carry);
            }
        }
        digits
    };
    let text = |digits: &[u8]| {
        digits
            .iter()
            .rev()
            .map(|digit| char::from(b'0' + digit))
            .collect::<String>()
    };
    // A power of two never ends in zero.
    let less = |mut digits: Vec<u8>| {
        digits[0] -= 1;
        digits
    };
    (
        format!("-{}", text(&power(bits - 1))),
        text(&less(power(bits - 1))),
        text(&less(power(bits))),
    )
}

#[test]
fn every_value_is_read_back_as_it_was_given() {
    let reader = Reader(Opened::new());
    for (at, text) in TEXTS.iter().enumerate() {
        reader.text(text);
        reader.pattern(text, TEXTS[(at + 1) % TEXTS.len()]);
        reader.pattern(text, &format!("{text}x"));
    }
    every_character(|chunk| {
        let row = reader.row(
            "SELECT {{String(x)}}, {{String(x)}} = {{String(x)}}, {{String(x)}} LIKE {{String(x)}}, {{Array(xs)}}",
            &[("x", json!(chunk)), ("xs", json!([chunk]))],
        );
        assert_eq!(row[0], *chunk);
        assert_eq!((&row[1], &row[2]), (&json!(1), &json!(1)), "{chunk:?}");
        assert_eq!(row[3], json!([chunk]));
    });
    numbers(&reader);
    let seed = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let config = Cases {
        cases: 200,
        failure_persistence: None,
        ..Cases::default()
    };
    TestRunner::new_with_rng(config, seed)
        .run(
            &("(?s)(.|['\"`\\\\%_\n\0]){0,24}", "(?s)(.|[%_\\\\]){0,4}"),
            |(text, other)| {
                reader.text(&text);
                reader.pattern(&text, &other);
                Ok(())
            },
        )
        .expect("every text is read back");
    reader.0.close();
}
