//! A query that reads other tables than it names: names made by `WITH` hide the tables of those names, in subqueries too.

use pipewright_compiler::sql::quote_identifier;

/// A name and the query that takes its place.
pub(super) type Shadow = (String, String);

/// Puts shadows before a query.
pub(super) fn with_shadows(query: &str, shadows: &[Shadow]) -> String {
    if shadows.is_empty() {
        return query.to_owned();
    }
    let shadows: Vec<String> = shadows
        .iter()
        .map(|(name, select)| format!("{} AS ({select})", quote_identifier(name)))
        .collect();
    let shadows = shadows.join(",\n");
    let start = first_word(query);
    let rest = &query[start..];
    let own = rest.get(..4).filter(|word| {
        word.eq_ignore_ascii_case("WITH")
            && rest[4..].starts_with(|next: char| next.is_whitespace() || next == '(')
    });
    match own {
        Some(_) => format!("{}WITH {shadows},\n{}", &query[..start], &rest[4..]),
        None => format!("WITH {shadows}\n{query}"),
    }
}

/// Where a statement begins, after blanks and comments.
fn first_word(text: &str) -> usize {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let blank = rest.len() - rest.trim_start().len();
        if blank > 0 {
            at += blank;
        } else if rest.starts_with("--") {
            at += rest.find('\n').map_or(rest.len(), |end| end + 1);
        } else if rest.starts_with("/*") {
            at += rest.find("*/").map_or(rest.len(), |end| end + 2);
        } else {
            return at;
        }
    }
}

/// Whether a query names a table.
pub(super) fn names_table(query: &str, name: &str) -> bool {
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    query.match_indices(name).any(|(at, _)| {
        !query[..at].ends_with(is_name) && !query[at + name.len()..].starts_with(is_name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_before_those_that_the_query_makes() {
        let shadows = [("t".to_owned(), "SELECT 1".to_owned())];
        assert_eq!(
            with_shadows("SELECT * FROM t", &shadows),
            "WITH t AS (SELECT 1)\nSELECT * FROM t"
        );
        assert_eq!(
            with_shadows(
                "-- WITH\n/* x */ with a AS (SELECT 2) SELECT * FROM t",
                &shadows
            ),
            "-- WITH\n/* x */ WITH t AS (SELECT 1),\n a AS (SELECT 2) SELECT * FROM t"
        );
        assert_eq!(
            with_shadows("SELECT within FROM t", &shadows),
            "WITH t AS (SELECT 1)\nSELECT within FROM t"
        );
    }

    #[test]
    fn a_table_is_named_by_its_whole_name() {
        assert!(names_table("SELECT * FROM `a`", "a"));
        assert!(!names_table("SELECT * FROM ab JOIN b_a", "a"));
    }
}
