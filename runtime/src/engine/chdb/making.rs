//! Where the text of an answer in one piece is made: in a buffer of the library, or on its way [out](super::outlet).
//!
//! The way out costs some 40 µs, which a short answer shall not wait for, and the buffer has no bound. What the engine counts of a result is a bound only where few
//! rows are in it: each value has at most the bytes of all, however often it is repeated. So a statement is tried with limits under which its text cannot be
//! long, and runs once more, with its own, when it passes them; one whose kind has done so before takes the way out at once.

use std::sync::atomic::{AtomicU8, Ordering};

use super::super::Query;
use super::super::format::Framing;

/// So many rows a short answer has at most.
const SHORT_ROWS: u64 = 500;

/// So many bytes of columns a short answer has at most. A byte may be a place in a dictionary, or a value with a name: its text is as long as the statement may be.
const SHORT_BYTES: u64 = 8 * 1024;

/// So long a statement is at most whose answer may be short: the names of its columns, which JSON repeats in each row, are in it.
const SHORT_STATEMENT: usize = 2_000;

/// Where the text of an answer is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Making {
    /// Wherever: it has no bound, or leaves as it is made.
    Free,
    /// In a buffer of the library, as long as it is short.
    Here,
    /// On its way out.
    Outside,
}

impl Making {
    /// Where the answer of a `SELECT` is made.
    pub(super) fn of(query: &Query, framing: Framing) -> Self {
        if framing != Framing::Document || query.max_result_bytes.is_none() {
            Self::Free
        } else if query.sql.len() <= SHORT_STATEMENT
            && are_counted(&query.sql)
            && !Kind::of(&query.sql).is_long()
        {
            Self::Here
        } else {
            Self::Outside
        }
    }

    /// The limits of the connection. One that goes outside brings its own, so that the connection need not change between the two.
    pub(super) fn limits(self, most: u64) -> [(&'static str, u64); 2] {
        let (rows, bytes) = match self {
            Self::Free => (0, most),
            Self::Here | Self::Outside => (SHORT_ROWS, most.min(SHORT_BYTES)),
        };
        [("max_result_rows", rows), ("max_result_bytes", bytes)]
    }
}

/// Whether the engine counts what is in a statement's answer, as it does not for the branches of a `UNION` together, nor for an array that is taken apart without a
/// table, nor for one that sets its own limits, or has itself broken off at them. A name may be written otherwise only with escapes.
fn are_counted(sql: &str) -> bool {
    let sql = sql.to_ascii_lowercase();
    ![
        "union",
        "arrayjoin",
        "unnest",
        "max_result",
        "overflow",
        "\\",
    ]
    .iter()
    .any(|word| sql.contains(word))
}

/// Whether an answer has passed the limits of a short one, of which those of its query are no part.
pub(super) fn is_long(said: &str, most: u64) -> bool {
    said.contains("TOO_MANY_ROWS_OR_BYTES") && (said.contains("max rows") || most > SHORT_BYTES)
}

/// Statements that differ in numbers and quoted values alone, or have the same place by chance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind(usize);

/// How often a kind of statement still goes outside at once. Which is right is only a matter of time spent.
static LEFT: [AtomicU8; 4096] = [const { AtomicU8::new(0) }; 4096];

/// How often one goes outside after a long answer, before it is tried again whether its answers are short.
const TURNS: u8 = 200;

impl Kind {
    pub(super) fn of(sql: &str) -> Self {
        // FNV-1a, which costs a nanosecond for each byte.
        let mut hash: u32 = 0x811c_9dc5;
        let mut is_quoted = false;
        for byte in sql.bytes() {
            match byte {
                b'\'' => is_quoted = !is_quoted,
                b'0'..=b'9' => {}
                _ if is_quoted => {}
                other => hash = (hash ^ u32::from(other)).wrapping_mul(0x0100_0193),
            }
        }
        Self((hash >> 20) as usize)
    }

    fn left(self) -> &'static AtomicU8 {
        &LEFT[self.0]
    }

    /// Whether the answers of this kind are taken for long ones, this time.
    fn is_long(self) -> bool {
        let left = self.left().load(Ordering::Relaxed);
        if left > 0 {
            self.left().store(left - 1, Ordering::Relaxed);
        }
        left > 0
    }

    /// Takes down that an answer was long.
    pub(super) fn was_long(self) {
        self.left().store(TURNS, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn making(sql: &str) -> Making {
        let mut query = Query::new(sql, "JSON");
        query.max_result_bytes = Some(1_000_000);
        Making::of(&query, Framing::Document)
    }

    #[test]
    fn what_the_engine_does_not_count_goes_outside() {
        assert_eq!(making("SELECT a FROM t WHERE a = 1"), Making::Here);
        for sql in [
            "SELECT 1 Union All SELECT 2",
            "SELECT ArrayJoin([1])",
            "SELECT unnest([1])",
            r"SELECT `arr\x61yJoin`([1])",
            "SELECT 1 SETTINGS max_result_rows = 0",
            "SELECT 1 SETTINGS result_overflow_mode = 'break'",
            &"SELECT 1 ".repeat(1000),
        ] {
            assert_eq!(making(sql), Making::Outside, "{sql}");
        }
    }

    #[test]
    fn a_kind_of_statement_that_had_a_long_answer_goes_outside_for_a_while() {
        let sql = |value: &str| format!("SELECT kinds FROM learned WHERE a = '{value}'");
        assert_eq!(making(&sql("12")), Making::Here);
        Kind::of(&sql("3")).was_long();
        assert_eq!(making("SELECT others FROM learned"), Making::Here);
        for _ in 0..TURNS {
            assert_eq!(making(&sql("4")), Making::Outside);
        }
        assert_eq!(making(&sql("5")), Making::Here);
    }

    #[test]
    fn only_the_limits_of_short_answers_are_lifted() {
        let rows = "Limit for result exceeded, max rows: 500.00 (TOO_MANY_ROWS_OR_BYTES)";
        let bytes = "Limit for result exceeded, max bytes: 9.77 KiB (TOO_MANY_ROWS_OR_BYTES)";
        assert!(is_long(rows, 1000) && is_long(bytes, 1_000_000));
        assert!(!is_long(bytes, 5_000) && !is_long("Division by zero", 1_000_000));
    }
}
