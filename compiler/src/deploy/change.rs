//! What a table is × what the project says it should be → the statements between them, and what they do to rows.
//!
//! Both sides are descriptions by the engine, of the table that is there and of an empty one made from the project's text, so that two spellings of one thing
//! are no difference.

use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

use super::Step;
use crate::sql::{quote_identifier, quote_literal};

/// A table as the engine describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TableShape {
    /// The engine with its arguments, keys, TTL and settings, in canonical form.
    pub engine_full: String,
    /// `ORDER BY`.
    pub sorting_key: String,
    /// `PRIMARY KEY`.
    pub primary_key: String,
    /// The columns in order.
    pub columns: Vec<ColumnShape>,
    /// Skip indexes: name, then the rest of the definition.
    pub indexes: Vec<(String, String)>,
}

/// A column as the engine describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ColumnShape {
    /// The name.
    pub name: String,
    /// The type.
    #[serde(rename = "type")]
    pub data_type: String,
    /// `DEFAULT`, `MATERIALIZED`, …, or nothing.
    pub default_kind: String,
    /// The expression of the default.
    pub default_expression: String,
    /// `CODEC(…)`, or nothing.
    pub codec: String,
}

/// What a change does to rows that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Nothing: only descriptions change.
    Nothing,
    /// All rows are read and written anew.
    Rewrites,
    /// Values or rows go, and do not come back.
    Destroys,
}

/// A change of one table or view: statements that are run in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The table or view.
    pub name: String,
    /// What changes, in words.
    pub what: Vec<String>,
    /// What it does to rows.
    pub effect: Effect,
    /// The statements.
    pub sql: Vec<String>,
}

/// The parts of an engine's description.
struct Clauses<'a> {
    /// Up to the TTL, without the keys' own ORDER BY changes taken out.
    body: &'a str,
    ttl: &'a str,
    settings: Vec<&'a str>,
}

/// Settings that the runtime makes itself.
const OWN_SETTINGS: &[&str] = &[
    "non_replicated_deduplication_window",
    "index_granularity = 8192",
];

fn clauses(engine_full: &str) -> Clauses<'_> {
    let (rest, settings) = engine_full
        .rsplit_once(" SETTINGS ")
        .unwrap_or((engine_full, ""));
    let (body, ttl) = rest.split_once(" TTL ").unwrap_or((rest, ""));
    let settings = settings
        .split(", ")
        .filter(|setting| {
            !setting.is_empty() && !OWN_SETTINGS.iter().any(|own| setting.starts_with(own))
        })
        .collect();
    Clauses {
        body,
        ttl,
        settings,
    }
}

/// The name of the table that is filled beside another while that is rebuilt.
pub fn beside(name: &str) -> String {
    format!("pw_rebuild_{name}")
}

/// The change that makes a table what `step` says. Nothing when only the text of the definition differs.
pub fn change_table(
    step: &Step,
    actual: &TableShape,
    wanted: &TableShape,
    forward_query: Option<&str>,
) -> Option<Change> {
    let name = quote_identifier(&step.name);
    let described = format!(
        "ALTER TABLE {name} MODIFY COMMENT {}",
        quote_literal(&step.comment())
    );
    let mut change = Change {
        name: step.name.clone(),
        what: Vec::new(),
        effect: Effect::Nothing,
        sql: Vec::new(),
    };
    let rebuilt = rebuilds(actual, wanted);
    if !rebuilt.is_empty() || (forward_query.is_some() && actual.columns != wanted.columns) {
        change.what = rebuilt;
        rebuild(&mut change, step, actual, wanted, forward_query);
        return Some(change);
    }
    alter_columns(&mut change, &name, actual, wanted);
    alter_rest(&mut change, &name, actual, wanted);
    if change.sql.is_empty() && actual == wanted {
        return None;
    }
    change.sql.push(described);
    Some(change)
}

/// Why a table cannot be altered in place.
fn rebuilds(actual: &TableShape, wanted: &TableShape) -> Vec<String> {
    let mut reasons = Vec::new();
    let (old, new) = (clauses(&actual.engine_full), clauses(&wanted.engine_full));
    if old.body != new.body {
        reasons.push(format!("engine and keys: {} -> {}", old.body, new.body));
    } else if actual.sorting_key != wanted.sorting_key || actual.primary_key != wanted.primary_key {
        reasons.push(format!(
            "sorting key: {} -> {}",
            actual.sorting_key, wanted.sorting_key
        ));
    }
    for column in &wanted.columns {
        if let Some(old) =
            find(actual, &column.name).filter(|old| old.data_type != column.data_type)
        {
            reasons.push(format!(
                "column {}: {} -> {}",
                column.name, old.data_type, column.data_type
            ));
        }
    }
    reasons
}

fn find<'a>(shape: &'a TableShape, name: &str) -> Option<&'a ColumnShape> {
    shape.columns.iter().find(|column| column.name == name)
}

/// Whether an insert gives the column.
fn is_stored(column: &ColumnShape) -> bool {
    !matches!(
        column.default_kind.as_str(),
        "MATERIALIZED" | "ALIAS" | "EPHEMERAL"
    )
}

/// A new table beside the old one, filled from it and then put in its place at once.
fn rebuild(
    change: &mut Change,
    step: &Step,
    actual: &TableShape,
    wanted: &TableShape,
    forward_query: Option<&str>,
) {
    let (name, new) = (
        quote_identifier(&step.name),
        quote_identifier(&beside(&step.name)),
    );
    for column in &wanted.columns {
        if find(actual, &column.name).is_none() {
            change.what.push(format!("new column {}", column.name));
        }
    }
    let kept: Vec<(&ColumnShape, &ColumnShape)> = wanted
        .columns
        .iter()
        .filter(|column| is_stored(column))
        .filter_map(|column| Some((column, find(actual, &column.name)?)))
        .collect();
    let lost: Vec<&str> = actual
        .columns
        .iter()
        .filter(|column| find(wanted, &column.name).is_none())
        .map(|column| column.name.as_str())
        .collect();
    change.effect = Effect::Rewrites;
    for column in lost {
        change.what.push(format!("column {column} goes"));
        if forward_query.is_none() {
            change.effect = Effect::Destroys;
        }
    }
    let insert = if let Some(query) = forward_query {
        format!(
            "INSERT INTO {new} SELECT * FROM (\n{query}\n) SETTINGS insert_deduplicate = 0, max_partitions_per_insert_block = 0"
        )
    } else {
        let names: Vec<String> = kept
            .iter()
            .map(|(column, _)| quote_identifier(&column.name))
            .collect();
        let values: Vec<String> = kept
            .iter()
            .map(|(column, old)| value(column, old))
            .collect();
        format!(
            "INSERT INTO {new} ({}) SELECT {} FROM {name} SETTINGS insert_deduplicate = 0, max_partitions_per_insert_block = 0",
            names.join(", "),
            values.join(", ")
        )
    };
    change.sql = vec![
        format!("DROP TABLE IF EXISTS {new} SYNC"),
        step.sql_with_comment().replacen(
            &format!("CREATE TABLE IF NOT EXISTS {name}"),
            &format!("CREATE TABLE IF NOT EXISTS {new}"),
            1,
        ),
        insert,
        format!("EXCHANGE TABLES {name} AND {new}"),
        format!("DROP TABLE {new} SYNC"),
    ];
}

/// A value of the old column as one of the new: a value that does not fit stops the statement in place of being cut.
fn value(column: &ColumnShape, old: &ColumnShape) -> String {
    let name = quote_identifier(&column.name);
    if column.data_type == old.data_type {
        return name;
    }
    let exact = crate::types::parse(&column.data_type)
        .is_ok_and(|data_type| !data_type.is_aggregate_state() && !data_type.is_simple_aggregate());
    if exact {
        format!("accurateCast({name}, {})", quote_literal(&column.data_type))
    } else {
        format!("CAST({name}, {})", quote_literal(&column.data_type))
    }
}

fn definition(column: &ColumnShape) -> String {
    let mut text = format!("{} {}", quote_identifier(&column.name), column.data_type);
    if !column.default_kind.is_empty() {
        _ = write!(
            text,
            " {} {}",
            column.default_kind, column.default_expression
        );
    }
    if !column.codec.is_empty() {
        _ = write!(text, " {}", column.codec);
    }
    text
}

fn alter_columns(change: &mut Change, name: &str, actual: &TableShape, wanted: &TableShape) {
    let place = |at: usize| match at
        .checked_sub(1)
        .and_then(|before| wanted.columns.get(before))
    {
        Some(before) => format!("AFTER {}", quote_identifier(&before.name)),
        None => "FIRST".to_owned(),
    };
    for column in actual
        .columns
        .iter()
        .filter(|column| find(wanted, &column.name).is_none())
    {
        change.what.push(format!("column {} goes", column.name));
        change.effect = Effect::Destroys;
        change.sql.push(format!(
            "ALTER TABLE {name} DROP COLUMN {} SETTINGS mutations_sync = 2",
            quote_identifier(&column.name)
        ));
    }
    let mut order: Vec<&str> = actual
        .columns
        .iter()
        .filter(|column| find(wanted, &column.name).is_some())
        .map(|column| column.name.as_str())
        .collect();
    for (at, column) in wanted.columns.iter().enumerate() {
        match find(actual, &column.name) {
            None => {
                change
                    .what
                    .push(format!("new column {} {}", column.name, column.data_type));
                change.sql.push(format!(
                    "ALTER TABLE {name} ADD COLUMN {} {}",
                    definition(column),
                    place(at)
                ));
                order.insert(at.min(order.len()), &column.name);
            }
            Some(old) => {
                let same_default = (&old.default_kind, &old.default_expression)
                    == (&column.default_kind, &column.default_expression);
                if old.default_kind == "DEFAULT" && !same_default {
                    // Rows older than the column take its default whenever they are read: what they read as now is to stay.
                    change.effect = change.effect.max(Effect::Rewrites);
                    change.sql.push(format!(
                        "ALTER TABLE {name} MATERIALIZE COLUMN {} SETTINGS mutations_sync = 2",
                        quote_identifier(&column.name)
                    ));
                }
                if !old.default_kind.is_empty() && column.default_kind.is_empty() {
                    change.sql.push(format!(
                        "ALTER TABLE {name} MODIFY COLUMN {} REMOVE {}",
                        quote_identifier(&column.name),
                        old.default_kind
                    ));
                }
                if !old.codec.is_empty() && column.codec.is_empty() {
                    change.sql.push(format!(
                        "ALTER TABLE {name} MODIFY COLUMN {} REMOVE CODEC",
                        quote_identifier(&column.name)
                    ));
                }
                let moved = order.get(at).is_some_and(|there| *there != column.name);
                if moved {
                    order.retain(|other| *other != column.name);
                    order.insert(at, &column.name);
                }
                if moved || definition(old) != definition(column) {
                    change.what.push(format!(
                        "column {}: {}",
                        column.name,
                        if moved { "moves" } else { "default or codec" }
                    ));
                    let place = if moved {
                        format!(" {}", place(at))
                    } else {
                        String::new()
                    };
                    change.sql.push(format!(
                        "ALTER TABLE {name} MODIFY COLUMN {}{place}",
                        definition(column)
                    ));
                }
            }
        }
    }
}

fn alter_rest(change: &mut Change, name: &str, actual: &TableShape, wanted: &TableShape) {
    let (old, new) = (clauses(&actual.engine_full), clauses(&wanted.engine_full));
    for (index, _) in actual
        .indexes
        .iter()
        .filter(|index| !wanted.indexes.contains(index))
    {
        change.what.push(format!("index {index} goes"));
        change.sql.push(format!(
            "ALTER TABLE {name} DROP INDEX {} SETTINGS mutations_sync = 2",
            quote_identifier(index)
        ));
    }
    for (index, definition) in wanted
        .indexes
        .iter()
        .filter(|index| !actual.indexes.contains(index))
    {
        change.what.push(format!("index {index}"));
        change.effect = change.effect.max(Effect::Rewrites);
        change.sql.push(format!(
            "ALTER TABLE {name} ADD INDEX {} {definition}",
            quote_identifier(index)
        ));
        change.sql.push(format!(
            "ALTER TABLE {name} MATERIALIZE INDEX {} SETTINGS mutations_sync = 2",
            quote_identifier(index)
        ));
    }
    for setting in old
        .settings
        .iter()
        .filter(|setting| !new.settings.iter().any(|kept| key(kept) == key(setting)))
    {
        change
            .what
            .push(format!("setting {} as usual", key(setting)));
        change
            .sql
            .push(format!("ALTER TABLE {name} RESET SETTING {}", key(setting)));
    }
    for setting in new
        .settings
        .iter()
        .filter(|setting| !old.settings.contains(setting))
    {
        change.what.push(format!("setting {setting}"));
        change
            .sql
            .push(format!("ALTER TABLE {name} MODIFY SETTING {setting}"));
    }
    if old.ttl != new.ttl {
        change
            .what
            .push(format!("TTL: {} -> {}", or_none(old.ttl), or_none(new.ttl)));
        if new.ttl.is_empty() {
            change.sql.push(format!("ALTER TABLE {name} REMOVE TTL"));
        } else {
            // Rows that are older than the new TTL go.
            change.effect = Effect::Destroys;
            change.sql.push(format!(
                "ALTER TABLE {name} MODIFY TTL {} SETTINGS mutations_sync = 2",
                new.ttl
            ));
        }
    }
}

fn key(setting: &str) -> &str {
    setting.split(" = ").next().unwrap_or(setting)
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

/// A view with another query: the old one goes before the tables change, the new one comes after them.
pub fn change_view(step: &Step) -> (Change, Change) {
    let name = quote_identifier(&step.name);
    let change = |what: &str, sql: String| Change {
        name: step.name.clone(),
        what: vec![what.to_owned()],
        effect: Effect::Nothing,
        sql: vec![sql],
    };
    (
        change(
            "the old view goes",
            format!("DROP VIEW IF EXISTS {name} SYNC"),
        ),
        change(
            "the view with its new query; rows that are there stay as they are",
            step.sql_with_comment(),
        ),
    )
}
