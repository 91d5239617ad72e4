//! Workflow commands that show diagnostics in the diff view of a pull request.

use std::fmt::Write;

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::location;
use crate::diagnostics::Sources;

/// Renders diagnostics as one workflow command per line.
pub fn github(diagnostics: &[Diagnostic], sources: &(impl Sources + ?Sized)) -> String {
    let mut output = String::new();
    for diagnostic in diagnostics {
        let command = match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        let place = location(diagnostic, sources).map_or_else(String::new, |place| {
            format!(
                "file={},line={},endLine={},col={},endColumn={},",
                property(place.file),
                place.line,
                place.end_line,
                place.column,
                place.end_column
            )
        });
        let mut message = diagnostic.message.to_string();
        for further in diagnostic.notes.iter().chain(&diagnostic.helps) {
            message.push('\n');
            message.push_str(further);
        }
        _ = writeln!(
            output,
            "::{command} {place}title={}::{}",
            property(diagnostic.code.name()),
            data(&message)
        );
    }
    output
}

/// Escapes what would end the message.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// Escapes what would end a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::render::fixture::findings;
    use insta::assert_snapshot;

    #[test]
    fn each_finding_is_one_command() {
        let (files, findings) = findings();
        assert_snapshot!(github(&findings, &files), @r"
        ::error file=pipes/daily.pipe,line=3,endLine=3,col=21,endColumn=26,title=stray-text::unknown column `amout`%0Anames are case-sensitive%0A100%25 sure? `amount` might be meant
        ::warning file=datasources/orders%2C old.datasource,line=2,endLine=2,col=5,endColumn=13,title=missing-schema::a second line%0Ain a message
        ::error title=missing-node::nothing to compile
        ");
    }
}
