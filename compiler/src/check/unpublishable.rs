//! Data sources without columns, which no table can be made from.

use pipewright_grammar::diagnostic::Diagnostic;

use crate::diagnostics::codes;
use crate::plan::Plan;

pub(super) fn check(plan: &Plan) -> Vec<Diagnostic> {
    let empty = plan.project.datasources.values().filter(|datasource| {
        datasource.syntax.schema.is_some() && datasource.syntax.columns.is_empty()
    });
    empty
        .map(|datasource| {
            Diagnostic::error(
                codes::BAD_ENGINE,
                format!("data source `{}` has no columns", datasource.name),
            )
            .label(
                datasource.syntax.schema.unwrap_or(datasource.span),
                "empty schema",
            )
            .help("give it at least one column: `name Type`")
        })
        .collect()
}
