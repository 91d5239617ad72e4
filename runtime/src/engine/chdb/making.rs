//! Where the text of an answer is made that comes in one piece: on the thread that asks, or in threads of the engine.

use super::super::Query;
use super::super::format::Framing;

/// So many rows an answer has at most whose text is made on the thread that asks.
const SHORT_ROWS: u64 = 10_000;

/// So long a statement is at most whose answer may be short: the names of its columns, which JSON repeats in each row, are in it.
const SHORT_STATEMENT: usize = 6_000;

/// Where the text of an answer is made that is bounded and comes in one piece.
///
/// On the thread that asks, it takes a tenth less of a short query's time, but none of the query's memory: what has many rows is made by the engine's own threads, which
/// count it. How many rows there are is seen when there are more than [`SHORT_ROWS`]; the statement runs once more then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Making {
    /// As the engine has it.
    Free,
    /// On the thread that asks, and not for many rows.
    Here,
    /// In the engine's threads.
    Counted,
}

impl Making {
    pub(super) fn of(query: &Query, framing: Framing) -> Self {
        if framing != Framing::Document || query.max_result_bytes.is_none() {
            Self::Free
        } else if query.sql.len() <= SHORT_STATEMENT && are_counted(&query.sql) {
            Self::Here
        } else {
            Self::Counted
        }
    }

    /// The setting that it takes.
    pub(super) fn setting(self) -> Option<(&'static str, String)> {
        match self {
            Self::Free => None,
            Self::Here => Some(("max_result_rows", SHORT_ROWS.to_string())),
            Self::Counted => Some(("output_format_parallel_formatting", "1".to_owned())),
        }
    }
}

/// Whether the engine counts the rows of a statement's answer, as it does not those of a `UNION` and of an array that is taken apart without a table. A name may be
/// written otherwise only with escapes.
fn are_counted(sql: &str) -> bool {
    let sql = sql.to_ascii_lowercase();
    !["union", "arrayjoin", "unnest", "\\"]
        .iter()
        .any(|word| sql.contains(word))
}

/// Whether an answer has more rows than are made on the thread that asks.
pub(super) fn is_long(said: &str) -> bool {
    said.contains("TOO_MANY_ROWS_OR_BYTES") && said.contains("max rows")
}
