//! What an engine says of a row that goes through every view of a data source, as findings at the views.
//!
//! The runtime inserts one row of default values into each data source that views read, on empty tables. Most of what such a row stumbles over is its own
//! fault: an empty text is no number. Only refusals that no row without them could avoid, and NULL where none is taken, become findings.

use std::collections::BTreeSet;

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::Refusal;
use super::message::{gist, in_lower_case};
use super::silence::is_silenced;
use super::views::{View, all_views};
use crate::deploy::view_name;
use crate::diagnostics::codes;
use crate::emit::table_name;
use crate::graph::Vertex;
use crate::plan::{Plan, TablePlan};
use crate::project::ResourceName;
use crate::sql::outline::outline;
use crate::sql::{quote_identifier, quote_literal};
use crate::types;

/// The engine's names of errors that are not the row's fault.
const OF_STRUCTURE: &[&str] = &[
    "BLOCKS_HAVE_DIFFERENT_STRUCTURE",
    "CANNOT_CONVERT_TYPE",
    "ILLEGAL_COLUMN",
    "ILLEGAL_TYPE_OF_ARGUMENT",
    "NOT_FOUND_COLUMN_IN_BLOCK",
    "NO_SUCH_COLUMN_IN_TABLE",
    "NUMBER_OF_COLUMNS_DOESNT_MATCH",
    "THERE_IS_NO_COLUMN",
    "TYPE_MISMATCH",
    "UNKNOWN_IDENTIFIER",
    "UNKNOWN_TABLE",
];

/// NULL for a column that takes none.
const NULL: &str = "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN";

/// A statement that inserts one row of default values into each data source that views read, by the data source.
pub fn insertions(plan: &Plan) -> Vec<(ResourceName, String)> {
    let mut read: BTreeSet<&Vertex> = BTreeSet::new();
    for view in all_views(plan) {
        let reader = Vertex::Node(view.node.id.clone());
        read.extend(plan.graph.closure(&reader));
    }
    let tables = plan
        .tables
        .iter()
        .filter(|(name, _)| read.contains(&Vertex::Datasource((*name).clone())));
    tables
        .filter_map(|(name, table)| Some((name.clone(), insertion(table)?)))
        .collect()
}

/// Gives one column its default by name; the others have theirs.
fn insertion(table: &TablePlan) -> Option<String> {
    let plain = table.columns.iter().find_map(|column| {
        let data_type = column.data_type.as_deref()?;
        let parsed = types::parse(data_type).ok()?;
        let is_plain = column.default.is_none()
            && !parsed.is_aggregate_state()
            && !parsed.is_simple_aggregate()
            && parsed.family != "Nested";
        is_plain.then_some((&column.name, data_type))
    });
    let (name, data_type) = plain?;
    Some(format!(
        "INSERT INTO {} ({}) SELECT defaultValueOfTypeName({})",
        table_name(&table.name),
        quote_identifier(name),
        quote_literal(data_type)
    ))
}

/// The findings for rows that were refused.
pub fn breaks_inserts(plan: &Plan, refused: &[(ResourceName, Refusal)]) -> Vec<Diagnostic> {
    let mut found: Vec<Diagnostic> = refused
        .iter()
        .filter_map(|(name, refusal)| finding(plan, name, refusal))
        .collect();
    found.retain(|finding| !is_silenced(plan, finding));
    found.dedup_by_key(|finding| finding.primary().map(|span| (span.source, span.start)));
    found
}

fn finding(plan: &Plan, datasource: &ResourceName, refusal: &Refusal) -> Option<Diagnostic> {
    let is_null = refusal.name == NULL;
    if !is_null && !OF_STRUCTURE.contains(&refusal.name.as_str()) {
        return None;
    }
    let view = all_views(plan).find(|view| is_of(view, &refusal.message))?;
    let place = column(&refusal.message).and_then(|column| {
        let items = outline(view.branch.rendered.sql.text()).items;
        let item = items
            .into_iter()
            .find(|item| item.name.as_deref() == Some(&column));
        Some(view.place(plan, item?.span))
    });
    let place = place.or_else(|| plan.node(&view.node.id).map(|(_, node)| node.name.span))?;
    let message = if is_null {
        format!("inserts into `{datasource}` fail where this is NULL")
    } else {
        format!("inserts into `{datasource}` fail in this view")
    };
    let said = in_lower_case(&gist(&refusal.message));
    Some(
        Diagnostic::new(Severity::Warning, codes::BREAKS_INSERTS, message)
            .label(place, "")
            .note(format!("the engine says: {said}"))
            .help(if is_null {
                "make the column of the target `Nullable`, or write `ifNull(…)`"
            } else {
                "make the view give what its target takes"
            }),
    )
}

/// Whether a message says that it comes from a view.
fn is_of(view: &View<'_>, message: &str) -> bool {
    let name = view_name(&view.node.id.pipe, &view.node.id.node);
    view_that_refused(message).is_some_and(|refused| refused == name)
}

/// The name of the view that refused a row, as the engine's message says it.
pub fn view_that_refused(message: &str) -> Option<String> {
    let message = message.replace('`', "");
    let (_, rest) = message.split_once("pushing to view ")?;
    let named = rest.split_once('.').map_or(rest, |(_, named)| named);
    let end = named.find(|next: char| !next.is_alphanumeric() && next != '_');
    let name = &named[..end.unwrap_or(named.len())];
    (!name.is_empty()).then(|| name.to_owned())
}

/// The column of the target that a message is about.
fn column(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("to destination column ")?;
    let name = rest.split(": ").next()?;
    Some(name.trim_matches('`').to_owned())
}
