//! What an engine's refusal says of the statement: what no value and no row could change, what a value may have caused, and what is the engine's own affair.

use pipewright_grammar::diagnostic::Code;

use super::Refusal;
use crate::diagnostics::codes;

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// A name that is unknown; the code says of what.
    Name(Code),
    /// The text cannot be read.
    Syntax,
    /// The structure of the statement: types, numbers of columns and arguments, kinds of joins. No value of the right type changes that.
    Structure(Code),
    /// Anything else that a statement can be refused for; a value in it may be the reason.
    Statement(Code),
}

/// Errors of the structure alone, which are about types.
const TYPES: &[&str] = &[
    "CANNOT_CONVERT_TYPE",
    "ILLEGAL_AGGREGATION",
    "ILLEGAL_COLUMN",
    "ILLEGAL_TYPE_OF_ARGUMENT",
    "ILLEGAL_TYPE_OF_COLUMN_FOR_FILTER",
    "INTERSECT_OR_EXCEPT_RESULT_STRUCTURES_MISMATCH",
    "NOT_AN_AGGREGATE",
    "NO_COMMON_TYPE",
    "NUMBER_OF_ARGUMENTS_DOESNT_MATCH",
    "NUMBER_OF_COLUMNS_DOESNT_MATCH",
    "TOO_FEW_ARGUMENTS_FOR_FUNCTION",
    "TOO_MANY_ARGUMENTS_FOR_FUNCTION",
    "TYPE_MISMATCH",
    "UNION_ALL_RESULT_STRUCTURES_MISMATCH",
    "UNKNOWN_TYPE",
];

/// Errors of the structure alone, which are about something else.
const STRUCTURE: &[&str] = &[
    "AMBIGUOUS_COLUMN_NAME",
    "AMBIGUOUS_IDENTIFIER",
    "ILLEGAL_FINAL",
    "ILLEGAL_PREWHERE",
    "INVALID_JOIN_ON_EXPRESSION",
    "MULTIPLE_EXPRESSIONS_FOR_ALIAS",
    "SAMPLING_NOT_SUPPORTED",
    "UNEXPECTED_EXPRESSION",
];

/// What comes from where the engine runs, from its limits, from rows, or from a mistake of its own.
const ELSEWHERE: &[&str] = &[
    "ABORTED",
    "ACCESS_DENIED",
    "CANNOT_ALLOCATE_MEMORY",
    "DATABASE_ACCESS_DENIED",
    "FILE_DOESNT_EXIST",
    "FUNCTION_NOT_ALLOWED",
    "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO",
    "LIMIT_EXCEEDED",
    "LOGICAL_ERROR",
    "MEMORY_LIMIT_EXCEEDED",
    "NETWORK_ERROR",
    "NOT_IMPLEMENTED",
    "PATH_ACCESS_DENIED",
    "QUERY_IS_TOO_LARGE",
    "QUERY_WAS_CANCELLED",
    "READONLY",
    "SERVER_OVERLOADED",
    "SOCKET_TIMEOUT",
    "SUPPORT_IS_DISABLED",
    "TIMEOUT_EXCEEDED",
    "UNKNOWN_DATABASE",
    "UNKNOWN_QUERY_PARAMETER",
    "UNKNOWN_SETTING",
    "UNKNOWN_TABLE",
];

/// Beginnings of the names of such errors.
const ELSEWHERE_PREFIXES: &[&str] = &["CANNOT_OPEN", "CANNOT_READ", "DNS_", "S3_", "TOO_"];

impl Cause {
    /// The cause of a refusal; `None` for what is not the statement's own.
    pub(super) fn of(refusal: &Refusal) -> Option<Self> {
        let name = refusal.name.as_str();
        let is_in = |names: &[&str]| names.binary_search(&name).is_ok();
        Some(match name {
            "UNKNOWN_IDENTIFIER" | "NO_SUCH_COLUMN_IN_TABLE" => Self::Name(codes::UNKNOWN_COLUMN),
            "UNKNOWN_FUNCTION" | "UNKNOWN_AGGREGATE_FUNCTION" => {
                Self::Name(codes::UNKNOWN_FUNCTION)
            }
            "SYNTAX_ERROR" => Self::Syntax,
            _ if is_in(TYPES) => Self::Structure(codes::WRONG_TYPES),
            _ if is_in(STRUCTURE) || is_place_in_list(refusal) => {
                Self::Structure(codes::REFUSED_STATEMENT)
            }
            _ if is_in(ELSEWHERE)
                || ELSEWHERE_PREFIXES
                    .iter()
                    .any(|prefix| name.starts_with(prefix)) =>
            {
                return None;
            }
            _ if name.starts_with("CANNOT_PARSE_") => Self::Statement(codes::WRONG_TYPES),
            _ => Self::Statement(codes::REFUSED_STATEMENT),
        })
    }
}

/// Whether a refusal is about `ORDER BY 5` and its kin, where there are fewer columns.
fn is_place_in_list(refusal: &Refusal) -> bool {
    refusal.message.contains("Positional argument number")
}

/// Whether a refusal may be about a text that is compared with, or converted to, another type: a wrong statement where the author wrote the text, and a wrong value
/// where a request brought it.
pub(super) fn may_come_from_a_text(refusal: &Refusal) -> bool {
    refusal.name == "TYPE_MISMATCH" || refusal.name.starts_with("CANNOT_PARSE_")
}

/// The text that a message says cannot be converted, and the type that it should have.
pub(super) fn converted_text(message: &str) -> Option<(&str, &str)> {
    [
        ("Cannot convert string '", "' to type "),
        ("Cannot parse string '", "' as "),
        (" while converting '", "' to "),
    ]
    .iter()
    .find_map(|(before, between)| {
        let (_, rest) = message.split_once(before)?;
        let (text, rest) = rest.split_once(between)?;
        let data_type = rest.split(": ").next().unwrap_or(rest);
        Some((text, data_type.trim_end_matches('.')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_errors_are_sorted() {
        for list in [TYPES, STRUCTURE, ELSEWHERE] {
            assert!(list.is_sorted(), "{list:?}");
        }
    }

    #[test]
    fn what_the_engine_says_of_itself_is_no_matter_of_the_statement() {
        let cause = |name: &str, message: &str| {
            Cause::of(&Refusal {
                name: name.to_owned(),
                message: message.to_owned(),
                offset: None,
            })
        };
        assert_eq!(cause("TIMEOUT_EXCEEDED", ""), None);
        assert_eq!(cause("TOO_DEEP_SUBQUERIES", ""), None);
        let refused = codes::REFUSED_STATEMENT;
        assert_eq!(
            cause(
                "BAD_ARGUMENTS",
                "Positional argument number 5 is out of bounds"
            ),
            Some(Cause::Structure(refused))
        );
        assert_eq!(
            cause(
                "BAD_ARGUMENTS",
                "Function dateDiff does not support 'x' unit"
            ),
            Some(Cause::Statement(refused))
        );
    }
}
