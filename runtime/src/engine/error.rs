//! What can go wrong in an engine, as values.
//!
//! An exception's text goes in; its code, name, message and place come out, so that the HTTP layer can choose a status
//! and the compiler's source maps can point into the `.pipe` file.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why an engine did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// ClickHouse refused the statement or failed while running it.
    #[error("{message} ({name})")]
    Exception {
        /// The ClickHouse error code, 60 for instance.
        code: i32,
        /// The name of the code, `UNKNOWN_TABLE` for instance.
        name: String,
        /// The message, without code, name and version.
        message: String,
        /// Where in the statement, when ClickHouse says it.
        position: Option<Position>,
    },
    /// The statement took longer than it was given, and was stopped.
    #[error("the query was stopped after {} seconds", .limit.as_secs_f64())]
    Timeout {
        /// The time it was given.
        limit: Duration,
    },
    /// The statement was stopped, because the engine shuts down or nobody waits for the answer any more.
    #[error("the query was cancelled")]
    Cancelled,
    /// The engine has been shut down with the process.
    #[error("the engine has been shut down")]
    Stopping,
    /// Another process holds the data folder.
    #[error(
        "{} is in use by another process{}; stop that process, or choose another project folder",
        .folder.display(), .owner.map(|pid| format!(" (process id {pid})")).unwrap_or_default()
    )]
    Busy {
        /// The folder that is held.
        folder: PathBuf,
        /// The process that holds it, when it left its id.
        owner: Option<u32>,
    },
    /// There is no engine to talk to: not installed or not reachable.
    #[error("{0}")]
    Unavailable(String),
    /// This engine lacks something that was asked for.
    #[error("{feature} needs a newer ClickHouse: this server is version {version}")]
    Unsupported {
        /// What was asked for.
        feature: String,
        /// The version that lacks it.
        version: String,
    },
    /// Reading or writing failed outside the engine.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A place in the text of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Bytes from the start of the statement.
    pub offset: usize,
}

/// A text without certain values: messages of the engine quote what they could not read.
pub(super) fn hide(text: &str, values: &[String]) -> String {
    let values = values.iter().filter(|value| !value.is_empty());
    let mut forms: Vec<String> = values.flat_map(|value| forms(value)).collect();
    // What is a part of another form would leave the rest of it.
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    forms.iter().fold(text.to_owned(), |text, form| {
        text.replace(form.as_str(), "***")
    })
}

/// A value as it is, and as the engine writes it in quotes: as a literal, and as a literal inside of another.
fn forms(value: &str) -> [String; 3] {
    let escaped = |text: &str| {
        let mut out = String::with_capacity(text.len());
        for character in text.chars() {
            match character {
                '\\' => out.push_str("\\\\"),
                '\'' => out.push_str("\\'"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '\0' => out.push_str("\\0"),
                other => out.push(other),
            }
        }
        out
    };
    let once = escaped(value);
    [value.to_owned(), escaped(&once), once]
}

/// Errors that the engine finds before it reads a row, or that are about how many it has read: what they say is about names, types and limits.
const ABOUT_STATEMENTS: &[&str] = &[
    "AMBIGUOUS_COLUMN_NAME",
    "AMBIGUOUS_IDENTIFIER",
    "EMPTY_LIST_OF_COLUMNS_QUERIED",
    "ILLEGAL_AGGREGATION",
    "ILLEGAL_FINAL",
    "ILLEGAL_PREWHERE",
    "ILLEGAL_TYPE_OF_ARGUMENT",
    "INVALID_JOIN_ON_EXPRESSION",
    "MEMORY_LIMIT_EXCEEDED",
    "MULTIPLE_EXPRESSIONS_FOR_ALIAS",
    "NOT_AN_AGGREGATE",
    "NO_COMMON_TYPE",
    "NUMBER_OF_ARGUMENTS_DOESNT_MATCH",
    "NUMBER_OF_COLUMNS_DOESNT_MATCH",
    "SAMPLING_NOT_SUPPORTED",
    "SET_SIZE_LIMIT_EXCEEDED",
    "SYNTAX_ERROR",
    "TOO_FEW_ARGUMENTS_FOR_FUNCTION",
    "TOO_MANY_ARGUMENTS_FOR_FUNCTION",
    "TOO_MANY_BYTES",
    "TOO_MANY_ROWS",
    "TOO_MANY_ROWS_OR_BYTES",
    "UNION_ALL_RESULT_STRUCTURES_MISMATCH",
    "UNKNOWN_AGGREGATE_FUNCTION",
    "UNKNOWN_FUNCTION",
    "UNKNOWN_IDENTIFIER",
    "UNKNOWN_TABLE",
    "UNKNOWN_TYPE",
    "UNSUPPORTED_METHOD",
];

impl EngineError {
    /// An answer has more than `limit` bytes of text; what the engine says itself of one that has more bytes of columns.
    pub(super) fn too_long(limit: u64) -> Self {
        Self::Exception {
            code: 396,
            name: "TOO_MANY_ROWS_OR_BYTES".to_owned(),
            message: format!("Limit for result exceeded: its text is longer than {limit} bytes"),
            position: None,
        }
    }

    /// The text of an answer that is kept as a whole takes more than the `limit` bytes of memory that its query may use.
    pub(super) fn out_of_memory(limit: u64) -> Self {
        Self::Exception {
            code: 241,
            name: "MEMORY_LIMIT_EXCEEDED".to_owned(),
            message: format!(
                "The text of the answer is longer than the {limit} bytes of memory that a query may use"
            ),
            position: None,
        }
    }

    /// The same once more, where it is about the statement and not about the engine.
    pub(crate) fn of_statement(&self) -> Option<Self> {
        match self {
            Self::Exception {
                code,
                name,
                message,
                position,
            } => Some(Self::Exception {
                code: *code,
                name: name.clone(),
                message: message.clone(),
                position: *position,
            }),
            Self::Timeout { limit } => Some(Self::Timeout { limit: *limit }),
            _ => None,
        }
    }

    /// The error without certain values in its message.
    pub(super) fn without(self, values: &[String]) -> Self {
        self.with(|message, _| *message = hide(message, values))
    }

    /// The error for a caller who is not to see all of the statement, nor all of the rows: without what its message quotes of the statement, and without the whole
    /// message where the statement failed on a row, for the engine may have come to one that is hidden.
    pub(crate) fn without_statement(mut self) -> Self {
        let is_of_statement = matches!(&self, Self::Exception { name, .. } if ABOUT_STATEMENTS.contains(&name.as_str()));
        if let Self::Exception { message, .. } = &mut self {
            *message = if is_of_statement {
                before_statement(message).to_owned()
            } else {
                "the statement failed on a row, which may be one that this token does not see"
                    .to_owned()
            };
        }
        self
    }

    /// Reads the text of a ClickHouse exception that `sql` caused.
    pub fn from_exception(text: &str, sql: &str) -> Self {
        let mut code = 0;
        let mut message = text.trim().trim_start_matches("Error: ");
        // Exceptions that crossed a thread or a connection are wrapped once for each crossing.
        while let Some((number, rest)) = strip_code(message) {
            code = number;
            message = rest;
        }
        let mut name = "";
        loop {
            let trimmed = message.trim_end_matches([' ', '.']);
            let Some((rest, last)) = trailing_parenthesis(trimmed) else {
                message = trimmed;
                break;
            };
            if is_error_name(last) {
                name = last;
            } else if !last.starts_with("version ") {
                message = trimmed;
                break;
            }
            message = rest;
        }
        match code {
            159 => {
                return Self::Timeout {
                    limit: time_limit(message),
                };
            }
            394 => return Self::Cancelled,
            _ => {}
        }
        // Where the stack and the frame are is nobody's affair.
        if name == "TOO_DEEP_RECURSION" && message.contains("tack address") {
            message = "the statement is nested too deeply";
        }
        Self::Exception {
            code,
            name: if name.is_empty() {
                "UNKNOWN_EXCEPTION"
            } else {
                name
            }
            .to_owned(),
            position: position(message, sql),
            message: message.to_owned(),
        }
    }

    /// The same error for a text that stood `prefix` bytes into the statement sent and is `length` bytes long.
    pub(crate) fn shifted(self, prefix: usize, length: usize) -> Self {
        self.with(|_, position| {
            if let Some(place) = position {
                place.offset = place.offset.saturating_sub(prefix).min(length);
            }
        })
    }

    /// The same error with what an exception says, and where, changed.
    fn with(mut self, change: impl FnOnce(&mut String, &mut Option<Position>)) -> Self {
        if let Self::Exception {
            message, position, ..
        } = &mut self
        {
            change(message, position);
        }
        self
    }
}

/// A message up to where it begins to quote the statement: what failed stands first, then where.
fn before_statement(message: &str) -> &str {
    const WHERE: &[&str] = &[
        " in scope ",
        ". in scope ",
        ": in scope ",
        ": while ",
        ". while ",
        " in query",
        ": in query",
        ": in block",
    ];
    let lower = message.to_ascii_lowercase();
    let quoted = WHERE.iter().filter_map(|words| lower.find(words));
    // After the place of a syntax error stands the rest of the statement.
    let rest = lower
        .find("failed at position ")
        .and_then(|at| Some(at + lower[at..].find(": ")?));
    let end = quoted.chain(rest).min().unwrap_or(message.len());
    message[..end].trim_end()
}

/// `Code: 62. DB::Exception: rest` → 62 and the rest. Old servers write `Code: 62, e.displayText() = DB::Exception:
/// rest, e.what() = DB::Exception`.
fn strip_code(message: &str) -> Option<(i32, &str)> {
    let rest = message.trim_start().strip_prefix("Code: ")?;
    let end = rest.find(|next: char| !next.is_ascii_digit())?;
    let (number, rest) = (rest[..end].parse().ok()?, &rest[end..]);
    let rest = rest
        .split_once(", e.what() = ")
        .map_or(rest, |(rest, _)| rest);
    let rest = match rest.split_once("DB::Exception: ") {
        Some((between, rest)) if between.len() < 32 => rest,
        _ => rest.trim_start_matches(['.', ',', ' ']),
    };
    Some((number, rest))
}

/// Splits `text (last)` at the parenthesis that closes the text.
fn trailing_parenthesis(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_suffix(')')?;
    let start = inner.rfind('(')?;
    Some((&text[..start], &inner[start + 1..]))
}

/// ClickHouse's names of error codes: capitals, digits and underscores.
fn is_error_name(text: &str) -> bool {
    text.len() > 2
        && text.starts_with(|first: char| first.is_ascii_uppercase())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// `Timeout exceeded: elapsed 1000.000 ms, maximum: 1000 ms` → one second; zero when the text says nothing.
fn time_limit(message: &str) -> Duration {
    let Some((_, rest)) = message.split_once("maximum: ") else {
        return Duration::ZERO;
    };
    let end = rest
        .find(|next: char| !next.is_ascii_digit() && next != '.')
        .unwrap_or(rest.len());
    let number: f64 = rest[..end]
        .trim_end_matches('.')
        .parse()
        .unwrap_or_default();
    let seconds = if rest[end..].trim_start().starts_with("ms") {
        number / 1000.0
    } else {
        number
    };
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// Syntax errors say `failed at position 7`: bytes, counted from one.
fn position(message: &str, sql: &str) -> Option<Position> {
    let (_, rest) = message.split_once("failed at position ")?;
    let digits = rest
        .find(|next: char| !next.is_ascii_digit())
        .unwrap_or(rest.len());
    let one_based: usize = rest[..digits].parse().ok()?;
    // "end of query" may lie behind what we appended to the user's text.
    let offset = one_based.saturating_sub(1).min(sql.trim_end().len());
    Some(Position { offset })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, sql: &str) -> (i32, String, String, Option<usize>) {
        match EngineError::from_exception(text, sql) {
            EngineError::Exception {
                code,
                name,
                message,
                position,
            } => (code, name, message, position.map(|place| place.offset)),
            other => panic!("not an exception: {other:?}"),
        }
    }

    #[test]
    fn where_the_stack_is_is_not_said() {
        let text = "Code: 306. DB::Exception: Stack size too large. Stack address: 0x7f1c2a400000, frame address: 0x7f1c2a3ff000, stack size: 1048576, maximum stack size: 8388608: In scope SELECT [[1]]. (TOO_DEEP_RECURSION) (version 26.7.2.1)";
        let (code, name, message, _) = parsed(text, "SELECT [[1]]");
        assert_eq!((code, name.as_str()), (306, "TOO_DEEP_RECURSION"));
        assert_eq!(message, "the statement is nested too deeply");
        let depth =
            "Code: 306. DB::Exception: Maximum parse depth (1000) exceeded. (TOO_DEEP_RECURSION)";
        assert!(parsed(depth, "").2.starts_with("Maximum parse depth"));
    }

    #[test]
    fn an_exception_splits_into_code_message_and_name() {
        let text = "Code: 60. DB::Exception: Unknown table expression identifier 'nope' in scope SELECT * FROM nope. (UNKNOWN_TABLE)";
        let (code, name, message, position) = parsed(text, "SELECT * FROM nope");
        assert_eq!((code, name.as_str(), position), (60, "UNKNOWN_TABLE", None));
        insta::assert_snapshot!(message, @"Unknown table expression identifier 'nope' in scope SELECT * FROM nope");
    }

    #[test]
    fn what_is_quoted_of_the_statement_can_be_left_out() {
        let said = |message: &str| before_statement(message).to_owned();
        insta::assert_snapshot!(said("Unknown expression identifier `nope` in scope SELECT nope FROM t WHERE org = 1. Maybe you meant: ['n']"), @"Unknown expression identifier `nope`");
        insta::assert_snapshot!(said("Cannot parse string 'x' as Int32: while executing 'FUNCTION toInt32(org :: 0) -> toInt32(org) Int32 : 1'"), @"Cannot parse string 'x' as Int32");
        insta::assert_snapshot!(said("Syntax error: failed at position 10 (1): 1 FROM (SELECT * FROM t WHERE (org = 1)) AS t. Expected one of: FROM"), @"Syntax error: failed at position 10 (1)");
        insta::assert_snapshot!(said("Division by zero"), @"Division by zero");
    }

    #[test]
    fn wrapped_exceptions_are_unwrapped() {
        let text = "Code: 73. DB::Exception: Code: 73. DB::Exception: Unknown format Nope. Maybe you meant: ['One']. (UNKNOWN_FORMAT) (version 26.7.2.1). (UNKNOWN_FORMAT)";
        let (code, name, message, _) = parsed(text, "");
        assert_eq!((code, name.as_str()), (73, "UNKNOWN_FORMAT"));
        insta::assert_snapshot!(message, @"Unknown format Nope. Maybe you meant: ['One']");
    }

    #[test]
    fn syntax_errors_have_a_byte_offset() {
        let text = "Code: 62. DB::Exception: Syntax error: failed at position 16 (1): 1. Expected end of query. (SYNTAX_ERROR)";
        assert_eq!(parsed(text, "SELECT 'é' ,, 1").3, Some(15));
        assert_eq!(parsed(text, "SELECT  ").3, Some(6));
    }

    #[test]
    fn the_wording_of_old_servers_is_understood() {
        let text = "Code: 60, e.displayText() = DB::Exception: Table default.nope doesn't exist., e.what() = DB::Exception";
        let (code, _, message, _) = parsed(text, "");
        assert_eq!(code, 60);
        insta::assert_snapshot!(message, @"Table default.nope doesn't exist");
    }

    #[test]
    fn a_value_is_hidden_however_it_is_quoted() {
        let value = "BEGIN\nit's \\ key".to_owned();
        for text in [
            "it said BEGIN\nit's \\ key.",
            r"it said 'BEGIN\nit\'s \\ key'.",
            r"it said 'f(\'BEGIN\\nit\\\'s \\\\ key\')'.",
        ] {
            let hidden = hide(text, &[value.clone(), String::new()]);
            assert!(
                hidden.contains("***") && !hidden.contains("key"),
                "{hidden}"
            );
        }
    }

    #[test]
    fn text_that_is_no_exception_is_kept() {
        let (code, name, message, position) = parsed("the sky fell (twice)", "");
        assert_eq!((code, position), (0, None));
        assert_eq!(
            (name.as_str(), message.as_str()),
            ("UNKNOWN_EXCEPTION", "the sky fell (twice)")
        );
    }
}
