//! What a caller's own query may read, as the engine keeps to it.
//!
//! Which tables a query reads is found out from its text, and rights and row filters go by that. Here the engine is told the same in its own words: of the data sources
//! that the query was not found to read it shows no rows, and of those of which the token sees some rows, these. So no data source that a text hides from us is shown,
//! whatever the next syntax of the engine is, unless a pipe of the query reads it.

use pipewright_compiler::deploy::view_name;
use pipewright_compiler::emit;
use pipewright_compiler::plan::{Compiled, Plan, Role, RowFilters};
use pipewright_compiler::sql::quote_literal;

/// The engine's setting for conditions that every reading of a table is under.
const SETTING: &str = "additional_table_filters";

/// The setting that keeps a query to what it was found to read, and whether it holds a row filter.
#[derive(Debug, Default)]
pub(super) struct Fence {
    pub(super) setting: Option<(String, String)>,
    pub(super) hides_rows: bool,
}

/// The fence around a query.
pub(super) fn around(plan: &Plan, compiled: &Compiled, filters: &RowFilters) -> Fence {
    let text = compiled.sql.text();
    // A name can be written otherwise only with escapes.
    let may_name = |name: &str| text.contains(name) || text.contains('\\');
    let mut conditions = Vec::new();
    let mut hides_rows = false;
    for name in plan.tables.keys() {
        let database = name.workspace.as_deref().unwrap_or(&plan.database);
        let mut add = |table: &str, condition: &str| {
            let key = quote_literal(&format!("{database}.{table}"));
            conditions.push(format!("{key}: {}", quote_literal(condition)));
        };
        let filter = filters.of(name);
        if compiled.datasources.contains(name) {
            if let Some(filter) = filter {
                hides_rows = true;
                add(&name.name, filter);
            }
        } else if may_name(&name.name) {
            add(&name.name, "0");
        }
        let quarantine = emit::quarantine_name(name);
        if may_name(&quarantine.name) && !compiled.datasources.contains(&quarantine) {
            add(&quarantine.name, "0");
        }
    }
    // Through a view the engine shows the rows of its target under no condition but the view's.
    let nodes = plan.pipes.values().flat_map(|pipe| &pipe.nodes);
    for node in nodes.filter(|node| matches!(node.role, Role::Materialized { .. })) {
        let view = view_name(&node.id.pipe, &node.id.node);
        if may_name(&view) {
            let key = quote_literal(&format!("{}.{view}", plan.database));
            conditions.push(format!("{key}: '0'"));
        }
    }
    let setting = (!conditions.is_empty())
        .then(|| (SETTING.to_owned(), format!("{{{}}}", conditions.join(", "))));
    Fence {
        setting,
        hides_rows,
    }
}
