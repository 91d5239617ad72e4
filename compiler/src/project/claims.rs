//! Names of resources, each of which one file has: what two files claim is a finding that names both.

use std::collections::BTreeMap;

use pipewright_grammar::diagnostic::Diagnostic;
use pipewright_grammar::source::Span;

use super::{ResourceName, SourceTree};
use crate::diagnostics::codes;

/// Which file took a name of one name space first. Pipes and data sources share one.
#[derive(Default)]
pub(super) struct Claims(BTreeMap<ResourceName, (&'static str, Span)>);

impl Claims {
    /// Whether a name is free, which it is no longer; where it is not, a finding says so.
    pub(super) fn claim(
        &mut self,
        name: &ResourceName,
        what: &'static str,
        span: Span,
        sources: &SourceTree,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> bool {
        let Some((first_what, first)) = self.0.get(name) else {
            self.0.insert(name.clone(), (what, span));
            return true;
        };
        let (here, there) = (sources[span.source].name(), sources[first.source].name());
        diagnostics.push(
            Diagnostic::error(
                codes::DUPLICATE_RESOURCE,
                format!(
                    "{what} `{name}` in `{here}` has the same name as the {first_what} in `{there}`"
                ),
            )
            .label(span, format!("{what} `{name}`"))
            .label(*first, format!("{first_what} `{name}` is already here"))
            .help(match what {
                "pipe" | "data source" => {
                    "pipes and data sources share one name space: rename one of the files"
                }
                _ => "the name of the file is the name: rename one of the files",
            }),
        );
        false
    }
}

/// Keeps what has a name of its own kind; what another workspace has does not hide what the project has.
pub(super) fn keep_named<T>(known: &mut BTreeMap<String, T>, name: ResourceName, value: T) {
    if name.workspace.is_none() {
        known.insert(name.name, value);
    } else {
        known.entry(name.name).or_insert(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_and_tokens_have_names_of_their_own() {
        let connection =
            "TYPE kafka\n\nKAFKA_BOOTSTRAP_SERVERS a:9092\nKAFKA_KEY k\nKAFKA_SECRET s\n";
        let token = "SCOPE ADMIN\n";
        let of = |names: &[&str]| {
            let files = names.iter().map(|name| {
                let text = if name.ends_with("token") {
                    token
                } else {
                    connection
                };
                ((*name).to_owned(), text.to_owned())
            });
            let (project, diagnostics) = crate::project::load(SourceTree::new(files));
            let names = project
                .connections
                .values()
                .map(|connection| connection.span);
            let files: Vec<&str> = names
                .map(|span| project.sources[span.source].name())
                .collect();
            let messages: Vec<String> = diagnostics
                .iter()
                .map(|found| found.message.to_string())
                .collect();
            format!("{} | {}", files.join(", "), messages.join("; "))
        };
        insta::assert_snapshot!(
            of(&["a/x.connection", "b/x.connection", "a/x.token"]),
            @"a/x.connection | connection `x` in `b/x.connection` has the same name as the connection in `a/x.connection`"
        );
        insta::assert_snapshot!(
            of(&["a/x.token", "b/x.token", "x.connection"]),
            @"x.connection | token `x` in `b/x.token` has the same name as the token in `a/x.token`"
        );
        // What another workspace has is another name, and stands in where the project has none.
        insta::assert_snapshot!(
            of(&["vendor/w/x.connection", "x.connection", "vendor/w/y.connection"]),
            @"x.connection, vendor/w/y.connection | "
        );
    }
}
