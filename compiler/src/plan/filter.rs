//! Row filters: a caller who may see only some rows of a table gets `(SELECT … FROM table PREWHERE filter)` wherever a statement, or a node that it reads, names
//! that table. The filter is part of the statement that the engine runs, so that no join, subquery or pipe gets around it.
//!
//! `PREWHERE` and not `WHERE`, because the engine may evaluate conditions of one `WHERE`, and of those around it, in any order: `throwIf(secret = 'x')` of a caller
//! would tell by its failure what is in rows that the filter hides. What follows a `PREWHERE` sees the rows that it lets through.

use std::collections::BTreeMap;
use std::ops::Range;

use pipewright_grammar::diagnostic::Diagnostic;
use pipewright_grammar::syntax::DefaultKind;

use super::closed;
use super::shape::{self, Anchor, TableUse};
use super::{Plan, QueryError};
use crate::diagnostics::codes;
use crate::mapped_text::{MappedText, PieceKind};
use crate::project::ResourceName;
use crate::sql::{self, Position};

/// Row filters by the name of the table, qualified where it is in another database. Each is one SQL expression over the table's columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowFilters(BTreeMap<String, String>);

/// Why a text is no row filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FilterError(String);

impl RowFilters {
    /// No filters: everything is seen.
    pub const NONE: &'static Self = &Self(BTreeMap::new());

    /// Adds a filter. With an earlier one on the same table, rows are seen that either lets through.
    pub fn add(&mut self, table: &str, filter: &str) {
        self.0
            .entry(table.to_owned())
            .and_modify(|known| *known = format!("(\n{known}\n) OR (\n{filter}\n)"))
            .or_insert_with(|| filter.to_owned());
    }

    /// Whether nothing is filtered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether some rows of a table are not seen.
    pub fn hides(&self, table: &str) -> bool {
        self.0.contains_key(table)
    }

    /// The tables of which some rows are not seen.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The filter on a table.
    pub fn of(&self, table: &ResourceName) -> Option<&str> {
        if self.0.is_empty() {
            None
        } else {
            self.0.get(&table.to_string()).map(String::as_str)
        }
    }

    /// Whether a text is one expression that reads no table, so that it stays inside the parentheses that are put around it.
    pub fn check(filter: &str) -> Result<(), FilterError> {
        match closed::reason_against(filter, &sql::Policy::default()) {
            None => Ok(()),
            Some(reason) => Err(FilterError(format!(
                "`{filter}` is no row filter: {reason}"
            ))),
        }
    }

    /// The edits that put the filters into a statement.
    pub(super) fn edits(
        &self,
        plan: &Plan,
        text: &MappedText,
        starts: &[usize],
        tables: &[TableUse],
    ) -> Result<Vec<(Range<usize>, MappedText)>, QueryError> {
        let mut edits = Vec::new();
        for table in tables {
            let name = table.resource();
            let Some(filter) = self.of(&name) else {
                continue;
            };
            match table.position {
                Position::From | Position::In => {}
                Position::Describe => continue,
                Position::Dictionary | Position::JoinGet => {
                    let message = format!(
                        "`{name}` cannot be read by this function: only some of its rows may be seen"
                    );
                    return Err(Diagnostic::error(codes::SQL_NOT_ALLOWED, message).into());
                }
            }
            let place = shape::range(starts, table.start, table.end);
            let mut out = MappedText::new();
            let add = |out: &mut MappedText, text: &str| out.push(text, PieceKind::Inserted, None);
            add(
                &mut out,
                &format!(
                    "(SELECT {} FROM ",
                    columns(plan, &name, table.position, text.text())
                ),
            );
            if table.written.is_some() {
                add(&mut out, &crate::emit::table_name(&name));
            } else {
                out.append(&text.part(place.clone()));
            }
            for (start, end) in &table.modifiers {
                add(&mut out, " ");
                out.append(&text.part(shape::range(starts, *start, *end)));
            }
            let clause = clause(plan, &name, text, starts, &table.modifiers);
            add(&mut out, &format!(" {clause} (\n{filter}\n))"));
            if table.position == Position::From && !table.aliased {
                add(
                    &mut out,
                    &format!(" AS {}", sql::quote_identifier(table.written_name())),
                );
            }
            edits.push((place, out));
            edits.extend(
                table
                    .modifiers
                    .iter()
                    .map(|(start, end)| (shape::range(starts, *start, *end), MappedText::new())),
            );
        }
        Ok(edits)
    }
}

/// The clause that a filter stands in. With `FINAL`, `PREWHERE` would choose among rows before the last of each key is found, and so show what has been replaced; the
/// engine moves no other condition there either. A `Null` table has no rows to hide.
fn clause(
    plan: &Plan,
    name: &ResourceName,
    text: &MappedText,
    starts: &[usize],
    modifiers: &[(Anchor, Anchor)],
) -> &'static str {
    let is_final = |(start, end): &(Anchor, Anchor)| {
        let modifier = text.text().get(shape::range(starts, *start, *end));
        modifier.is_some_and(|word| word.trim().eq_ignore_ascii_case("FINAL"))
    };
    let table = plan.tables.get(name);
    let is_null = table.is_some_and(|table| table.engine.name == "Null");
    if is_null || modifiers.iter().any(is_final) {
        "WHERE"
    } else {
        "PREWHERE"
    }
}

/// The columns that can be read: `*` leaves out those that are computed, which are there only where the statement names them, so that its own `*` is what it is without
/// a filter.
fn columns(plan: &Plan, name: &ResourceName, position: Position, statement: &str) -> String {
    let computed =
        |kind: DefaultKind| matches!(kind, DefaultKind::Materialized | DefaultKind::Alias);
    let columns = plan
        .tables
        .get(name)
        .map_or(&[][..], |table| &table.columns);
    let extra = columns.iter().filter(|column| {
        let is_computed = column
            .default
            .as_ref()
            .is_some_and(|(kind, _)| computed(*kind));
        is_computed && position == Position::From && sql::lexer::names(statement, &column.name)
    });
    std::iter::once("*".to_owned())
        .chain(extra.map(|column| sql::quote_identifier(&column.name)))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::plan::RequestContext;
    use crate::project::SourceTree;
    use crate::template::{RenderContext, Values};

    fn plan() -> Plan {
        let files = [
            (
                "t.datasource",
                "SCHEMA >\n    `org` Int32,\n    `v` Int32,\n    `w` Int32 ALIAS v + 1\n",
            ),
            ("u.datasource", "SCHEMA >\n    `org` Int32\n"),
            (
                "p.pipe",
                "NODE a\nSQL >\n    WITH t AS (SELECT * FROM t) SELECT * FROM t\nNODE b\nSQL >\n    SELECT * FROM a JOIN t FINAL USING org\nTYPE endpoint\n",
            ),
        ];
        let (plan, diagnostics) = crate::compile(SourceTree::new(
            files.map(|(path, text)| (path.to_owned(), text.to_owned())),
        ));
        assert_eq!(diagnostics, []);
        plan
    }

    fn query(text: &str) -> String {
        let (plan, values) = (plan(), Values::default());
        let mut filters = RowFilters::default();
        filters.add("t", "org = 1");
        let request = RequestContext {
            values: &values,
            render: RenderContext::default(),
        };
        // Twice: the second time the shapes of the nodes are known.
        let first = plan
            .compile_query_for(text, None, request, &filters)
            .map(|compiled| compiled.sql.into_text());
        let second = plan
            .compile_query_for(text, None, request, &filters)
            .map(|compiled| compiled.sql.into_text());
        assert_eq!(first.as_ref().ok(), second.as_ref().ok());
        first.unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn the_filter_is_at_every_place_of_the_table() {
        assert_snapshot!(query("SELECT t.v FROM t SAMPLE 0.1 JOIN u USING org"), @r"
        SELECT t.v FROM (SELECT * FROM t SAMPLE 0.1 PREWHERE (
        org = 1
        )) AS t  JOIN u USING org
        ");
        assert_snapshot!(query("SELECT * FROM u, t AS x FINAL WHERE org IN t OR org IN (SELECT v FROM `t`)"), @r"
        SELECT * FROM u, (SELECT * FROM t FINAL WHERE (
        org = 1
        )) AS x  WHERE org IN (SELECT * FROM t PREWHERE (
        org = 1
        )) OR org IN (SELECT v FROM (SELECT * FROM `t` PREWHERE (
        org = 1
        )) AS t)
        ");
    }

    #[test]
    fn computed_columns_are_there_where_they_are_named() {
        assert_snapshot!(query("SELECT t.w, 'v' FROM t"), @r"
        SELECT t.w, 'v' FROM (SELECT *, w FROM t PREWHERE (
        org = 1
        )) AS t
        ");
    }

    #[test]
    fn pipes_are_filtered_where_they_read_the_table() {
        assert_snapshot!(query("SELECT count() FROM p"), @r"
        SELECT count() FROM (
        SELECT * FROM (
        WITH t AS (SELECT * FROM (SELECT * FROM t PREWHERE (
        org = 1
        )) AS t) SELECT * FROM t
        ) AS a JOIN (SELECT * FROM t FINAL WHERE (
        org = 1
        )) AS t  USING org
        ) AS p
        ");
    }

    #[test]
    fn what_cannot_be_filtered_is_refused() {
        assert_snapshot!(query("SELECT joinGet('t', 'v', 1)"), @"the function `joinGet` is not allowed");
    }

    #[test]
    fn tables_beside_the_resources_cannot_be_read() {
        for name in [
            "pw_snap_t",
            "pw_next_t",
            "pipewright.pw_snap_t",
            "shared.pw_snap_t",
            "shared.mv__p__a",
            "default.secretfile",
            "t_quarantine2_quarantine",
        ] {
            for text in [
                format!("SELECT 1 IN {name}"),
                format!("SELECT globalNotIn(1, {name})"),
                format!("SELECT v FROM t WHERE (org, v) IN ({name})"),
                format!("SELECT v FROM {name}"),
                format!("SELECT v FROM u WHERE v IN (SELECT 1 IN {name})"),
            ] {
                let said = query(&text);
                assert!(said.contains("is no"), "{text}: {said}");
            }
        }
        // A column of the query itself.
        assert!(query("SELECT v FROM u WHERE 1 IN pwned").contains("1 IN pwned"));
    }

    #[test]
    fn no_lambda_is_called_in_what_is_put_in() {
        for text in [
            "WITH (a, b) -> 1 AS equals SELECT * FROM t",
            "SELECT arrayMap(((a, b) -> 1) AS equals, [1], [2]), * FROM t",
            "WITH ((a, b) -> 1) AS g, g AS equals SELECT * FROM u JOIN t USING org",
            "WITH (a, b) -> 1 AS `EQUALS` SELECT * FROM p",
            "WITH x -> 1 AS plus SELECT * FROM p",
            "SELECT v FROM u UNION ALL SELECT arrayMap((x -> 1) AS `in`, [1]) FROM t",
        ] {
            let said = query(text);
            assert!(
                said.contains("is the name of a lambda here"),
                "{text}: {said}"
            );
        }
        for text in [
            "WITH x -> x + 1 AS more SELECT more(v) FROM t",
            "WITH (a, b) -> 1 AS equals SELECT equals(1, 2)",
            "SELECT arrayMap(x -> x = 1, [1]) AS equals FROM t",
        ] {
            let said = query(text);
            assert!(said.starts_with(&text[..10]), "{text}: {said}");
        }
    }

    #[test]
    fn a_set_that_may_be_a_table_is_one_for_those_who_see_some_of_its_rows() {
        for text in [
            "SELECT (1, 2) IN t AS t",
            "SELECT (1 IN t) + 1 AS t",
            "WITH 1 IN t AS t SELECT t",
            "SELECT tuple(1 IN t AS t)",
            "SELECT 1 IN t AS y, y AS t",
            "SELECT CAST(1 IN t AS UInt8) AS t",
            "SELECT org FROM u LEFT ARRAY JOIN [1 IN t] AS t",
            "SELECT 1 INTERSECT SELECT 1 IN t AS t",
        ] {
            let said = query(text);
            assert!(
                said.contains("only some rows of the data source may be seen")
                    || said.contains("(SELECT * FROM t PREWHERE"),
                "{text}: {said}"
            );
        }
    }

    #[test]
    fn two_filters_show_the_rows_of_both() {
        let mut filters = RowFilters::default();
        filters.add("t", "org = 1 -- one");
        filters.add("t", "org = 2");
        assert_eq!(
            filters.of(&ResourceName::local("t")),
            Some("(\norg = 1 -- one\n) OR (\norg = 2\n)")
        );
    }

    #[test]
    fn a_filter_is_one_expression() {
        for good in ["org = 1", "name IN ('a', 'b') AND x > 2", "like(a, '%)%')"] {
            assert_eq!(RowFilters::check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "1) OR (1",
            "1 /*",
            "1; SELECT 2",
            "org IN (SELECT 1 FROM u)",
            "org IN u",
            "1 FORMAT JSON",
            "1 SETTINGS max_threads = 1",
            "'",
        ] {
            assert!(RowFilters::check(bad).is_err(), "{bad}");
        }
    }
}
