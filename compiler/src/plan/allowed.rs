//! What of a statement may reach the engine, and what is said of the rest.

use pipewright_grammar::diagnostic::Diagnostic;

use super::query::QueryError;
use crate::diagnostics::codes;
use crate::mapped_text::MappedText;
use crate::project::{PASSING, ResourceName};
use crate::sql::{self, Policy, Position, Scan, TableReference, Use};

/// The scan of a text, or why there is none.
pub(super) fn scan(text: &MappedText) -> Result<Scan, QueryError> {
    sql::scan(text.text()).map_err(|error| {
        let mut diagnostic = Diagnostic::error(codes::SQL_SYNTAX, error.message);
        if let Some(span) = text.locate_range(error.span) {
            diagnostic = diagnostic.label(span, "");
        }
        diagnostic.into()
    })
}

/// Fails where a text may not reach the engine, or names a query parameter other than the secrets that its own template binds.
pub(super) fn allowed(
    text: &MappedText,
    scan: &Scan,
    policy: &Policy,
    usage: Use,
    secrets: &[String],
) -> Result<(), QueryError> {
    let refused = sql::guard(scan, policy, usage).into_iter();
    let Some(violation) = refused.chain(sql::unbound(scan, secrets)).next() else {
        return Ok(());
    };
    let mut diagnostic = Diagnostic::error(codes::SQL_NOT_ALLOWED, violation.message);
    if let Some(span) = text.locate_range(violation.span) {
        diagnostic = diagnostic.label(span, "");
    }
    if let Some(help) = violation.help {
        diagnostic = diagnostic.help(help);
    }
    Err(diagnostic.into())
}

/// Whether a name that is no resource, right of an `IN`, may be meant for a table that the engine has beside the resources: with a database in front (as a column it
/// could not be the right side of an `IN`), the view behind a materialized node, a quarantine, a table of a deploy. Any other is left alone: it may be an alias.
pub(super) fn names_engine_table(table: &TableReference) -> bool {
    let name = &table.name;
    table.position == Position::In
        && (table.database.is_some()
            || [PASSING, "mv__"].iter().any(|own| name.starts_with(own))
            || name.ends_with("_quarantine"))
}

/// A name right of an `IN` that may be a table of which the caller sees only some rows.
pub(super) fn ambiguous(resource: &ResourceName) -> Diagnostic {
    Diagnostic::error(
        codes::SQL_NOT_ALLOWED,
        format!("`{resource}` right of `IN` may be the data source or an expression of that name, and only some rows of the data source may be seen"),
    )
    .help("give the expression another name")
}

/// A lambda whose name would be called in a text that is put in.
pub(super) fn lambda_called(name: &str) -> Diagnostic {
    Diagnostic::error(
        codes::SQL_NOT_ALLOWED,
        format!("`{name}` is the name of a lambda here, and would be called in what is read: there it is another function"),
    )
    .help("give the lambda another name")
}

/// A name that is the clock in what is read, and beside that perhaps a column.
pub(super) fn clock_captured(name: &str) -> Diagnostic {
    Diagnostic::error(
        codes::SQL_NOT_ALLOWED,
        format!(
            "`{name}` is the name of an expression here, and in what is read the clock or a column"
        ),
    )
    .help("give the expression another name, or write brackets behind the function")
}

/// What only the author of a pipe may do.
pub(super) fn not_in_a_query(functions: &str, deed: &str) -> QueryError {
    let message =
        format!("`{functions}` cannot be called here: only the node of a pipe may {deed}");
    Diagnostic::error(codes::SQL_NOT_ALLOWED, message).into()
}
