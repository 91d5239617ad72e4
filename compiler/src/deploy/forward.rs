//! `FORWARD_QUERY`: the rows of a table that changes, by the author's own query.

use crate::plan::Plan;
use crate::project::ResourceName;
use crate::sql;

/// The query by which the rows of a data source go into its new table; nothing where there is none, or where it stands in the version in force already: then it was
/// written for an earlier change, and its columns are as it left them.
pub fn forward_query(wanted: &Plan, before: Option<&Plan>, name: &str) -> Option<String> {
    let text = |plan: &Plan| {
        let datasource = plan.project.datasource(name)?;
        let query = datasource.syntax.forward_query.as_ref()?;
        Some(query.text.clone())
    };
    let query = text(wanted)?;
    if before.and_then(text).is_some_and(|used| used == query) {
        return None;
    }
    if sql::outline::has_from(&query) {
        return Some(query);
    }
    // The usual form names columns alone. On a line of its own: the text may end in a comment.
    let table = crate::emit::table_name(&ResourceName::local(name));
    Some(format!(
        "{}\nFROM {table}",
        query.trim_end().trim_end_matches(';')
    ))
}
