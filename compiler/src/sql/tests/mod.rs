//! What the scan, the guard and the parser make of whole statements.

mod forms;
mod guard;
mod properties;
mod scan;

use super::*;

/// The tables of a statement: `name`, `database.name`, with `@place` where that is not `FROM`.
fn tables(sql: &str) -> String {
    match scan(sql) {
        Ok(scan) => {
            let shown: Vec<String> = scan.tables.iter().map(shown).collect();
            shown.join(" ")
        }
        Err(error) => format!("error: {}", error.message),
    }
}

fn shown(table: &TableReference) -> String {
    let place = match table.position {
        Position::From => "",
        Position::In => "@in",
        Position::Dictionary => "@dictionary",
        Position::JoinGet => "@joinGet",
        Position::Describe => "@describe",
    };
    format!("{}{place}", table.display_name())
}

fn refused(sql: &str, usage: Use) -> Vec<String> {
    match scan(sql) {
        Ok(scan) => guard(&scan, &Policy::default(), usage)
            .into_iter()
            .map(|violation| violation.message)
            .collect(),
        Err(error) => vec![error.message],
    }
}

fn check_tables(cases: &[(&str, &str)]) {
    for (sql, expected) in cases {
        assert_eq!(tables(sql), *expected, "{sql}");
    }
}

#[test]
fn hostile_sizes_neither_crash_nor_hang() {
    let deep = |depth: usize| format!("SELECT {}1{}", "(".repeat(depth), ")".repeat(depth));
    let scanned = scan(&deep(900)).unwrap();
    assert!(matches!(parse(&deep(900), &scanned), Parsed::Opaque(_)));
    let error = scan(&deep(10_000)).unwrap_err();
    assert_eq!(error.message, "the brackets are nested too deeply");
    assert_eq!(error.span, 1_006..1_007);
    let queries = format!(
        "{}SELECT 1{}",
        "SELECT * FROM (".repeat(900),
        ")".repeat(900)
    );
    assert_eq!(tables(&queries), "");
    let long = format!("SELECT {} FROM a", "f(x IN b, 'text'), ".repeat(500_000));
    assert!(long.len() > 9_000_000);
    assert_eq!(scan(&long).unwrap().tables.len(), 500_001);
    assert!(scan(&"(".repeat(1_000_000)).is_err());
    let tags: Vec<String> = (0..1_000).map(|tag| format!("$t{tag}$")).collect();
    assert!(scan(&format!("SELECT {}", tags.join(" "))).is_err());
    assert!(scan(&format!("SELECT {}", "x -> ".repeat(100_000))).is_ok());
}

#[test]
fn references_answer_line_by_line() {
    assert_eq!(
        references(r#"{"id": 7, "sql": "WITH c AS (SELECT * FROM a) SELECT * FROM c, d.b, a"}"#),
        r#"{"id":7,"status":"parsed","tables":["a","d.b"]}"#
    );
    assert_eq!(
        references(r#"{"id": "x", "sql": "SELECT * FROM a WHERE b c d"}"#),
        r#"{"id":"x","status":"opaque","tables":["a"],"reason":"Expected: EOF, found: c"}"#
    );
    assert_eq!(
        references(r#"{"id": null, "sql": "DROP TABLE a"}"#),
        r#"{"id":null,"status":"rejected","tables":[],"reason":"only `SELECT` and `DESCRIBE` can run here, not `DROP`"}"#
    );
    assert!(references("nonsense").contains("rejected"));
}
