//! The front of a statement: where it begins after comments, and common tables put before its own.

use super::lexer::{past_comments, token_end};
use super::quote_identifier;

/// Where a statement's first word is, after blanks and comments; the end of the text when there is none.
///
/// ```
/// use pipewright_compiler::sql::first_word;
///
/// let sql = "/* a /* b */ */ # c\n// d\nSELECT 1";
/// assert_eq!(&sql[first_word(sql)..], "SELECT 1");
/// ```
pub fn first_word(sql: &str) -> usize {
    past_comments(sql, 0)
}

/// A query before whose common tables others are put: names and the queries that they stand for. A name made by `WITH` hides the table of that name, in
/// subqueries too.
pub fn with_tables(query: &str, tables: &[(String, String)]) -> String {
    if tables.is_empty() {
        return query.to_owned();
    }
    let tables: Vec<String> = tables
        .iter()
        .map(|(name, select)| format!("{} AS ({select})", quote_identifier(name)))
        .collect();
    let tables = tables.join(",\n");
    let start = first_word(query);
    let Some(with) = word_at(query, start, "WITH") else {
        return format!("WITH {tables}\n{query}");
    };
    let next = past_comments(query, with);
    let own = word_at(query, next, "RECURSIVE").unwrap_or(with);
    format!(
        "{} {tables},\n{}",
        &query[..own],
        query[own..].trim_start_matches(' ')
    )
}

/// Where a word ends that is to be found at a place.
fn word_at(sql: &str, at: usize, word: &str) -> Option<usize> {
    let end = token_end(sql, at)?;
    sql[at..end].eq_ignore_ascii_case(word).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_begins_after_all_kinds_of_comments() {
        for (front, statement) in [
            ("", "SELECT 1"),
            (" \n\t", "SELECT 1"),
            ("-- a\n", "SELECT 1"),
            ("// a\n# b\n#! c\n", "SELECT 1"),
            ("/* a /* b */ c */", "SELECT 1"),
            ("/**/", "#1"),
            ("-- only a comment", ""),
        ] {
            let sql = format!("{front}{statement}");
            assert_eq!(first_word(&sql), front.len(), "{sql}");
        }
        // What is not closed is no comment, and the engine says so.
        assert_eq!(first_word("  /* a /* b */"), 2);
    }

    #[test]
    fn tables_go_before_those_that_the_query_makes() {
        let tables = [("t".to_owned(), "SELECT 1".to_owned())];
        for (query, expected) in [
            ("SELECT * FROM t", "WITH t AS (SELECT 1)\nSELECT * FROM t"),
            (
                "-- WITH\n/* x /* y */ */ with a AS (SELECT 2) SELECT * FROM t",
                "-- WITH\n/* x /* y */ */ with t AS (SELECT 1),\na AS (SELECT 2) SELECT * FROM t",
            ),
            (
                "WITH(SELECT 2) AS a SELECT a FROM t",
                "WITH t AS (SELECT 1),\n(SELECT 2) AS a SELECT a FROM t",
            ),
            (
                "WITH /* x */ RECURSIVE a AS (SELECT 1) SELECT * FROM t",
                "WITH /* x */ RECURSIVE t AS (SELECT 1),\na AS (SELECT 1) SELECT * FROM t",
            ),
            (
                "SELECT within FROM t",
                "WITH t AS (SELECT 1)\nSELECT within FROM t",
            ),
            ("WITHIN", "WITH t AS (SELECT 1)\nWITHIN"),
        ] {
            assert_eq!(with_tables(query, &tables), expected);
        }
        assert_eq!(with_tables("SELECT 1", &[]), "SELECT 1");
    }
}
