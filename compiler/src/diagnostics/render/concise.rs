//! One line per diagnostic: `path:line:column: error[code]: message`.

use std::fmt::Write;

use pipewright_grammar::diagnostic::Diagnostic;

use super::{location, severity};
use crate::diagnostics::Sources;

/// Renders diagnostics as lines that editors and `grep` understand.
pub fn concise(diagnostics: &[Diagnostic], sources: &(impl Sources + ?Sized)) -> String {
    let mut output = String::new();
    for diagnostic in diagnostics {
        if let Some(place) = location(diagnostic, sources) {
            _ = write!(output, "{}:{}:{}: ", place.file, place.line, place.column);
        }
        let message = diagnostic.message.replace(['\n', '\r'], " ");
        _ = writeln!(
            output,
            "{}[{}]: {message}",
            severity(diagnostic.severity),
            diagnostic.code
        );
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::render::fixture::findings;
    use insta::assert_snapshot;

    #[test]
    fn each_finding_is_one_line() {
        let (files, findings) = findings();
        assert_snapshot!(concise(&findings, &files), @r"
        pipes/daily.pipe:3:21: error[stray-text]: unknown column `amout`
        datasources/orders, old.datasource:2:5: warning[missing-schema]: a second line in a message
        error[missing-node]: nothing to compile
        ");
    }
}
