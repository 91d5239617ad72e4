//! A query that reads other tables than it names: names made by `WITH` hide the tables of those names, in subqueries too.

pub(super) use pipewright_compiler::sql::with_tables as with_shadows;

/// A name and the query that takes its place.
pub(super) type Shadow = (String, String);

/// Whether a query names a table.
pub(super) fn names_table(query: &str, name: &str) -> bool {
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    query.match_indices(name).any(|(at, _)| {
        !query[..at].ends_with(is_name) && !query[at + name.len()..].starts_with(is_name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_named_by_its_whole_name() {
        assert!(names_table("SELECT * FROM `a`", "a"));
        assert!(!names_table("SELECT * FROM ab JOIN b_a", "a"));
    }
}
