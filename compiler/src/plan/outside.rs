//! Queries from outside: what they name, and what they may not change of the pipes that they read.

use pipewright_grammar::diagnostic::Diagnostic;

use super::Plan;
use super::allowed::{names_engine_table, scan};
use super::compilation::Compilation;
use super::filter::RowFilters;
use super::query::{QueryError, RequestContext};
use crate::diagnostics::codes;
use crate::graph::{Scope, Target, resolve};
use crate::mapped_text::MappedText;
use crate::project::ResourceName;
use crate::sql::Scan;

/// What a query from outside names, as the query writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name in the query.
    pub written: String,
    /// What that is.
    pub meant: Meant,
}

/// What a name in a query means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meant {
    /// A pipe.
    Pipe(ResourceName),
    /// A data source, or a table that is no resource, with its database.
    Table(String),
    /// Nothing: the query cannot be compiled.
    Nothing,
}

impl Plan {
    /// What a query from outside names, before anything is compiled: what is said of a pipe or of a name that nothing has is for those who may read it.
    pub fn named_in_query(
        &self,
        text: &str,
        underscore: Option<&str>,
        request: RequestContext<'_>,
    ) -> Result<Vec<Named>, QueryError> {
        let scope = Scope {
            underscore: underscore.and_then(|name| self.project.pipe(name)),
            ..Scope::default()
        };
        let mut compilation = Compilation::new(self, request, RowFilters::NONE);
        let mapped = compilation.query(text)?;
        let (mut named, scan) = (Vec::new(), scan(&mapped)?);
        // A name that may mean a table is one for those who must not read it.
        let certain = scan.tables.iter().map(|table| (table, true));
        let doubtful = scan.doubtful_sets.iter().map(|table| (table, false));
        for (table, is_certain) in certain.chain(doubtful) {
            let (database, policy) = (table.database.as_deref(), &self.policies.common);
            let meant = match resolve(&self.project, policy, scope, database, &table.name) {
                // The engine has no table of that name.
                Some(Target::Node(..)) if !is_certain => continue,
                Some(Target::Node(pipe, _)) => Meant::Pipe(pipe.name.clone()),
                Some(Target::Datasource(datasource)) => Meant::Table(datasource.name.to_string()),
                Some(Target::Service) => Meant::Table(match database {
                    None => table.name.clone(),
                    Some(database) => format!("{database}.{}", table.name),
                }),
                None if crate::graph::must_resolve(table) || names_engine_table(table) => {
                    Meant::Nothing
                }
                None => continue,
            };
            let written = table.display_name();
            named.push(Named { written, meant });
        }
        Ok(named)
    }
}

/// Settings by which the same text gives other rows.
const MEANING: &[&str] = &[
    "aggregate_functions_null_for_empty",
    "bool_false_representation",
    "bool_true_representation",
    "do_not_merge_across_partitions_select_final",
    "group_by_use_nulls",
    "join_use_nulls",
    "prefer_column_name_to_alias",
];

/// Settings of how values are written, by which a row filter that writes one would give other rows. In pipes they are worth more than such a case.
const WRITING: &[&str] = &["date_time_output_format"];

/// Fails where a caller's setting would change what pipes that are read compute, or a row filter.
pub(super) fn changes_pipes(
    text: &MappedText,
    scan: &Scan,
    filtered: bool,
) -> Result<(), QueryError> {
    let mut settings = scan.settings.iter();
    let changes = |name: &str| MEANING.contains(&name) || (filtered && WRITING.contains(&name));
    let Some(setting) = settings.find(|setting| changes(&setting.name)) else {
        return Ok(());
    };
    let message = format!(
        "the setting `{}` would change what is computed by others than this query: by the pipes that it reads, or by a row filter",
        setting.name
    );
    let diagnostic = Diagnostic::error(codes::SQL_NOT_ALLOWED, message);
    Err(match text.locate_range(setting.span.clone()) {
        Some(span) => diagnostic.label(span, ""),
        None => diagnostic,
    }
    .into())
}
