//! `pipewright sql`: a query over the project, with all that a query over HTTP has: secrets, limits, and what the API has changed.

use std::path::Path;

use pipewright_compiler::sql;

use super::ExitStatus;
use super::arguments::{Remote, Sql};
use super::printer::Printer;
use super::serve::Does;
use super::session::run as with_server;

pub(super) fn run(
    sql: &Sql,
    project: Option<&Path>,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let here = Remote {
        host: None,
        token: None,
    };
    let query = with_format(&sql.query, &sql.format);
    with_server(
        &here,
        Does::Nothing,
        project,
        printer,
        |client| async move {
            let taken = |bytes: &[u8]| printer.bytes(bytes);
            match client.download("/v0/sql", &query, taken).await {
                Ok(_) => Ok(ExitStatus::Success),
                Err(error) => {
                    printer.error(&format!("{error:#}"));
                    Ok(ExitStatus::Findings)
                }
            }
        },
    )
}

/// The query with that format, if it names none itself.
fn with_format(query: &str, format: &str) -> String {
    let query = query.trim_end().trim_end_matches(';');
    if sql::scan(query).is_ok_and(|scan| scan.format.is_some()) {
        return query.to_owned();
    }
    format!("{query}\nFORMAT {format}")
}

#[cfg(test)]
mod tests {
    use super::with_format;

    #[test]
    fn a_format_is_added_where_there_is_none() {
        let csv = |query: &str| with_format(query, "CSV");
        assert_eq!(csv("SELECT 1 -- one"), "SELECT 1 -- one\nFORMAT CSV");
        assert_eq!(csv("SELECT 1;\n"), "SELECT 1\nFORMAT CSV");
        assert_eq!(csv("SELECT 1 FORMAT TSV;"), "SELECT 1 FORMAT TSV");
    }
}
