//! Stage *apply*, its words: why a deploy stopped, with the file of the project that is the reason and a way out where one is known.

use std::fmt::Write as _;

use pipewright_compiler::plan::Plan;

use super::{DeployError, file_of};

/// An error of a deploy of this version, with its causes.
pub fn told(error: &DeployError, plan: &Plan) -> String {
    let text = with_causes(error);
    match error {
        DeployError::Statement { sql, source } => {
            let Some(name) = made_by(sql) else {
                return text;
            };
            let place = file_of(plan, name).map_or(String::new(), |file| format!("{file}: "));
            format!("{place}`{name}` cannot be made, and nothing has changed: {source}")
        }
        DeployError::Fill { name, source } => match null_column(&source.to_string()) {
            Some(column) => {
                let place = file_of(plan, name).map_or(String::new(), |file| format!("{file}: "));
                format!(
                    "{place}`{name}` cannot be filled, and nothing has changed: column `{column}` has NULLs, and its new type takes none; \
                     a FORWARD_QUERY with `ifNull({column}, …) AS {column}` says what becomes of them"
                )
            }
            None => text,
        },
        _ => text,
    }
}

/// An error with its causes.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            _ = write!(text, ": {words}");
        }
        cause = error.source();
    }
    text
}

/// What a statement makes: the name of a table or view.
fn made_by(sql: &str) -> Option<&str> {
    let rest = ["CREATE MATERIALIZED VIEW ", "CREATE TABLE "]
        .iter()
        .find_map(|start| sql.trim_start().strip_prefix(start))?;
    let rest = rest.strip_prefix("IF NOT EXISTS ").unwrap_or(rest);
    let name = rest.split([' ', '\n', '(']).next()?;
    Some(name.trim_matches(['`', '"'])).filter(|name| !name.is_empty())
}

/// The column whose NULLs the engine could not convert, as it names it.
fn null_column(said: &str) -> Option<&str> {
    if !said.contains("Cannot convert NULL value to non-Nullable type") {
        return None;
    }
    let (_, rest) = said.split_once("accurateCast(")?;
    let name = rest.split([',', ' ', ')']).next()?;
    let name = match name.split_once('.') {
        Some((table, column)) if table.starts_with("__table") => column,
        _ => name,
    };
    Some(name.trim_matches('`')).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_statement_makes_is_read_from_it() {
        assert_eq!(
            made_by("CREATE MATERIALIZED VIEW mv__a__n TO `t` AS SELECT 1"),
            Some("mv__a__n")
        );
        assert_eq!(
            made_by("CREATE TABLE IF NOT EXISTS `t` (a Int8)"),
            Some("t")
        );
        assert_eq!(made_by("ALTER TABLE t ADD COLUMN b Int8"), None);
    }

    #[test]
    fn the_column_with_nulls_is_the_one_that_the_engine_names() {
        let said = "Cannot convert NULL value to non-Nullable type: while executing 'FUNCTION accurateCast(__table1.amount : 4, 'Int64'_String :: 2)'";
        assert_eq!(null_column(said), Some("amount"));
        assert_eq!(null_column("accurateCast(x, y): another error"), None);
    }
}
