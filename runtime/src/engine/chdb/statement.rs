//! What a statement's first word says.

use pipewright_compiler::sql::first_word;

/// What a statement's text says about how it may be run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// Only a `SELECT` can be fetched in chunks.
    pub(super) is_select: bool,
    /// It may change the state of its connection.
    pub(super) leaves_state: bool,
}

impl Statement {
    /// Looks at the first word, past comments and parentheses. In doubt the connection is replaced, which costs
    /// little and is done after the reply.
    pub(super) fn of(sql: &str) -> Self {
        let start = skip_comments(sql).trim_start_matches('(');
        let start = skip_comments(start);
        let end = start
            .find(|next: char| !next.is_ascii_alphabetic())
            .unwrap_or(start.len());
        let word = start[..end].to_ascii_uppercase();
        let is_select = matches!(word.as_str(), "SELECT" | "WITH" | "FROM");
        let reads = is_select
            || matches!(
                word.as_str(),
                "DESCRIBE" | "DESC" | "EXPLAIN" | "SHOW" | "EXISTS"
            );
        let several = sql
            .trim_end_matches(|last: char| last == ';' || last.is_whitespace())
            .contains(';');
        let readonly = sql
            .as_bytes()
            .windows("readonly".len())
            .any(|window| window.eq_ignore_ascii_case(b"readonly"));
        Self {
            is_select: is_select && !several,
            leaves_state: !reads || several || readonly,
        }
    }
}

/// The text behind leading blanks and comments.
fn skip_comments(sql: &str) -> &str {
    &sql[first_word(sql)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, is_select: bool, leaves_state: bool) {
        let expected = Statement {
            is_select,
            leaves_state,
        };
        assert_eq!(Statement::of(sql), expected, "{sql}");
    }

    #[test]
    fn the_first_word_tells_how_a_statement_may_run() {
        check("SELECT 1", true, false);
        check(
            "-- note\n/* more */ ( with x as (select 1) select * from x);",
            true,
            false,
        );
        check("EXPLAIN SELECT 1", false, false);
        check("SET max_threads = 1", false, true);
        check("SELECT 1; SET readonly = 1", false, true);
        check("SELECT 1 SETTINGS READONLY = 1", true, true);
        check("", false, true);
    }
}
