//! What a query gives and what a source has, as far as the text and the project's tables say it.

use super::Context;
use super::site::Site;
use crate::sql::blocks::{ItemKind, Query, Relation, Select, Statement};

/// The columns of a source.
#[derive(Debug, Clone, Default)]
pub(super) struct Columns {
    /// Those that `*` gives, in order.
    pub(super) shown: Vec<String>,
    /// Those that must be named.
    pub(super) hidden: Vec<String>,
}

impl Columns {
    /// Whether there is a column of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.shown
            .iter()
            .chain(&self.hidden)
            .any(|column| column == name)
    }
}

/// The columns of the only source of a `SELECT` at a site or inside of one.
pub(super) fn of_source(
    statement: &Statement<'_>,
    context: &Context<'_>,
    site: Site<'_>,
    select: &Select,
) -> Option<Columns> {
    match &select.source.as_ref()?.relation {
        Relation::Table { database, name } => {
            let inner = select.with.as_ref();
            let hidden = inner.is_some_and(|with| with.names.iter().any(|(own, _)| own == name));
            if database.is_none() && (hidden || site.may_be_common_table(statement, name)) {
                return None;
            }
            let columns = (context.table)(database.as_deref(), name)?;
            Some(Columns {
                shown: columns.shown,
                hidden: columns.hidden,
            })
        }
        Relation::Query { .. } => {
            let query = &select.source_query()?.query;
            Some(Columns {
                shown: of_query(statement, context, site, query)?,
                hidden: Vec::new(),
            })
        }
    }
}

/// The columns that a query gives; `None` if the text does not say all of their names, or says one twice.
pub(super) fn of_query(
    statement: &Statement<'_>,
    context: &Context<'_>,
    site: Site<'_>,
    query: &Query,
) -> Option<Vec<String>> {
    let select = query.branches.first().filter(|select| select.understood)?;
    let mut columns: Vec<String> = Vec::new();
    for item in &select.items {
        match &item.kind {
            ItemKind::Star => columns.extend(of_source(statement, context, site, select)?.shown),
            ItemKind::Column { qualifier, name } => {
                // With joins, what the engine calls it depends on the other tables.
                if qualifier.is_some() && select.source.is_none() {
                    return None;
                }
                columns.push(name.clone());
            }
            ItemKind::Named { name, .. } => columns.push(name.clone()),
            ItemKind::Other => return None,
        }
    }
    let mut sorted: Vec<&String> = columns.iter().collect();
    sorted.sort();
    let all = sorted.len();
    sorted.dedup();
    (sorted.len() == all).then_some(columns)
}
