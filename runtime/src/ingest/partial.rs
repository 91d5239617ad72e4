//! Views that have not seen all rows of what they read: those that were made, or changed, when there were rows already. To make what they fill anew would give
//! rows that nobody wanted there.

use std::collections::BTreeSet;

use pipewright_compiler::deploy::view_name;
use pipewright_compiler::emit;
use pipewright_compiler::plan::{Plan, Role};
use pipewright_compiler::sql::quote_literal;

use super::{Ingest, IngestError, Mark};

impl Ingest {
    /// Marks what these views fill, as far as there are rows that they have not seen. For the time when they are there.
    pub async fn mark_partial(
        &self,
        plan: &Plan,
        views: &BTreeSet<String>,
    ) -> Result<(), IngestError> {
        let nodes = plan.pipes.values().flat_map(|pipe| &pipe.nodes);
        for node in nodes {
            let Role::Materialized { target } = &node.role else {
                continue;
            };
            if !views.contains(&view_name(&node.id.pipe, &node.id.node)) {
                continue;
            }
            let Ok(compiled) = emit::default_sql(plan, &node.id) else {
                continue;
            };
            let read = compiled.datasources.iter();
            let read: Vec<String> = read.map(|name| quote_literal(&name.to_string())).collect();
            if !read.is_empty() && self.have_rows(&read).await? {
                self.mark(Mark::Partial, &target.to_string()).await?;
            }
        }
        Ok(())
    }

    async fn have_rows(&self, names: &[String]) -> Result<bool, IngestError> {
        let sql = format!(
            "SELECT sum(ifNull(total_rows, 0)) > 0 FROM system.tables WHERE database = currentDatabase() AND name IN ({})",
            names.join(", ")
        );
        Ok(self.text(&sql).await?.trim() != "0")
    }

    /// Whether what is in a data source is not all that its views would make of the rows that are there.
    pub(crate) fn is_partial(&self, name: &str) -> bool {
        let filled = self.marked(Mark::Filled, name);
        let partial = self.marked(Mark::Partial, name);
        partial.is_some_and(|at| filled.is_none_or(|filled| at >= filled))
    }
}
