//! What holds for any text.

use proptest::prelude::*;

use super::*;

/// Pieces that SQL is made of, to put together at random.
fn pieces() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "SELECT",
        "FROM",
        "WITH",
        "AS",
        "(",
        ")",
        ",",
        "a",
        "b.c",
        "IN",
        "NOT",
        "JOIN",
        "ARRAY",
        "LEFT",
        "UNION ALL",
        "EXCEPT",
        "'x'",
        "`y`",
        "1",
        "1.5",
        "{p:Identifier}",
        "{",
        "}",
        "[",
        "]",
        "->",
        "::",
        ".",
        "*",
        "=",
        "FINAL",
        "SAMPLE",
        "SETTINGS",
        "FORMAT",
        "view",
        "dictGet",
        "in",
        "APPLY",
        "arrayMap",
        "--",
        "/*",
        "*/",
        "$t$",
        "\"",
        "'",
        "\\",
        ";",
        "é",
        "\u{2019}",
        "DESCRIBE",
        "EXPLAIN",
        "INTO OUTFILE",
        "ORDER BY",
        "LIMIT",
        "USING",
        "ON",
        "RECURSIVE",
        "interval",
    ])
    .prop_map(str::to_owned);
    prop::collection::vec(
        prop_oneof![9 => known, 1 => any::<char>().prop_map(String::from)],
        0..40,
    )
    .prop_map(|pieces| pieces.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_is_scanned_without_panic_and_spans_are_of_the_text(sql in pieces()) {
        match scan(&sql) {
            Ok(scanned) => {
                for table in &scanned.tables {
                    prop_assert!(sql.get(table.span.clone()).is_some());
                }
                for called in scanned.functions.iter().chain(&scanned.table_functions) {
                    prop_assert!(sql.get(called.span.clone()).is_some());
                }
                for violation in guard(&scanned, &Policy::default(), Use::Node) {
                    prop_assert!(sql.get(violation.span).is_some());
                }
                if let Parsed::Tree(tree) = parse(&sql, &scanned) {
                    for taken in tree.taken_out() {
                        prop_assert!(sql.get(taken.span.clone()).is_some());
                    }
                }
            }
            Err(error) => prop_assert!(sql.get(error.span).is_some()),
        }
    }

    #[test]
    fn quoting_is_read_back(text in any::<String>()) {
        prop_assert_eq!(unquote(&quote_literal(&text)), text.clone());
        let sql = format!("SELECT * FROM {}", quote_identifier(&text));
        if !text.is_empty() {
            let scanned = scan(&sql).unwrap();
            prop_assert_eq!(&scanned.tables[0].name, &text);
            prop_assert_eq!(scanned.tables.len(), 1);
        }
    }
}
