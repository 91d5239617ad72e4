//! The tokens of a statement for people: what `pipewright debug tokens` prints.

use std::fmt::Write as _;

use super::lexer;

/// One line for each token that is no blank: its byte range, its kind and its text.
pub fn debug_tokens(sql: &str) -> String {
    let mut out = String::new();
    match lexer::tokenize(sql) {
        Ok(tokens) => {
            for token in tokens.list {
                _ = writeln!(
                    out,
                    "{:>6}..{:<6} {:<16} {}",
                    token.start,
                    token.end,
                    format!("{:?}", token.kind),
                    token.text(sql)
                );
            }
        }
        Err(error) => _ = writeln!(out, "{error}"),
    }
    out
}
