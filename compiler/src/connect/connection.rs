//! A connection as a named collection of the server: the one place where credentials are.

use pipewright_grammar::source::Span;
use pipewright_grammar::syntax::Directive;

use super::sql::Sql;
use super::text::Text;
use super::{Context, Source, Statement, StatementKind};
use crate::diagnostics::codes;
use crate::sql::quote_identifier;
use pipewright_grammar::diagnostic::Diagnostic;

/// A connection that a data source or a sink names.
pub(super) struct Connection<'a> {
    pub(super) name: String,
    /// Absent where the project has no file of it: its collection must be on the server.
    directives: Option<&'a [Directive]>,
}

impl<'a> Connection<'a> {
    /// A connection whose keys stand in the data source itself (Classic).
    pub(super) fn of_source(source: &Source<'a>) -> Self {
        Self {
            name: source.table.name.name.clone(),
            directives: Some(&source.syntax.directives),
        }
    }

    pub(super) fn is_known(&self) -> bool {
        self.directives.is_some()
    }

    pub(super) fn directive(&self, keyword: &str) -> Option<&'a Directive> {
        let mut found = self.directives?.iter().rev();
        let found = found.find(|directive| directive.keyword.value == keyword)?;
        (!found.value.value.trim().is_empty()).then_some(found)
    }

    pub(super) fn has(&self, keyword: &str) -> bool {
        self.directive(keyword).is_some()
    }

    /// The name of its collection.
    pub(super) fn collection(&self) -> String {
        quote_identifier(&self.collection_name())
    }

    fn collection_name(&self) -> String {
        format!("pipewright_{}", self.name)
    }
}

impl<'a> Context<'a> {
    /// The connection of that name; what it lacks is said.
    pub(super) fn connection(&mut self, name: &Directive, kinds: &[&str]) -> Connection<'a> {
        let project = &self.plan.project;
        let found = project.connections.get(name.value.value.trim());
        match found {
            None => self.diagnostics.push(
                Diagnostic::warning(
                    codes::UNSUPPORTED_CONNECTOR,
                    format!("there is no `{}.connection` in this project", name.value.value.trim()),
                )
                .label(name.value.span, "")
                .help(format!(
                    "add the file, or make the named collection `pipewright_{}` on the ClickHouse server",
                    name.value.value.trim()
                )),
            ),
            Some(connection) => {
                if let Some(kind) = &connection.syntax.kind
                    && !kinds.contains(&kind.value.as_str())
                {
                    self.bad(
                        name.value.span,
                        format!(
                            "connection `{}` is of type `{}`, and this needs `{}`",
                            name.value.value.trim(),
                            kind.value,
                            kinds.join("` or `")
                        ),
                    );
                }
            }
        }
        Connection {
            name: name.value.value.trim().to_owned(),
            directives: found.map(|connection| connection.syntax.directives.as_slice()),
        }
    }

    /// The text of a key of a connection.
    pub(super) fn text(&mut self, connection: &Connection<'_>, keyword: &str) -> Option<Text> {
        let directive = connection.directive(keyword)?;
        match Text::read(&directive.value) {
            Ok(text) => Some(text),
            Err(error) => {
                self.bad(directive.value.span, error);
                None
            }
        }
    }

    /// The same for a name that goes with a credential: it is not shown either.
    pub(super) fn login(&mut self, connection: &Connection<'_>, keyword: &str) -> Option<Text> {
        Some(self.text(connection, keyword)?.hidden(keyword))
    }

    /// The same for a key that is a credential. One that stands in the file in plain text is found.
    pub(super) fn credential(
        &mut self,
        connection: &Connection<'_>,
        keyword: &str,
    ) -> Option<Text> {
        let text = self.login(connection, keyword)?;
        let span: Option<Span> = connection
            .directive(keyword)
            .map(|directive| directive.value.span);
        if let Some(span) = span.filter(|_| text.has_credential()) {
            let known = |found: &Diagnostic| {
                found.code == codes::PLAIN_CREDENTIAL && found.primary() == Some(span)
            };
            if !self.diagnostics.iter().any(known) {
                self.diagnostics.push(
                    Diagnostic::warning(
                        codes::PLAIN_CREDENTIAL,
                        format!("the value of `{keyword}` stands in the file as it is"),
                    )
                    .label(span, "")
                    .help(format!(
                        "write `{{{{ tb_secret(\"{}\") }}}}` and set the secret where the project is deployed",
                        keyword.to_ascii_lowercase()
                    )),
                );
            }
        }
        Some(text)
    }
}

/// The collection with some values.
pub(super) fn collection(connection: &Connection<'_>, values: &[(&str, Text)]) -> Statement {
    let mut sql = Sql::from(format!(
        "CREATE NAMED COLLECTION IF NOT EXISTS {} AS\n    ",
        connection.collection()
    ));
    for (at, (key, value)) in values.iter().enumerate() {
        if at > 0 {
            sql.push(",\n    ");
        }
        sql.push(key);
        sql.push(" = ");
        sql.literal(value);
    }
    Statement {
        kind: StatementKind::Collection,
        name: connection.collection_name(),
        sql,
    }
}
