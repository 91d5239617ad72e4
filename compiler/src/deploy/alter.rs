//! A table becomes another in place: the statements, and what takes them back.

use std::fmt::Write as _;

use super::change::{ColumnShape, Effect, Statement, TableShape, clauses, find, key, or_none};
use super::widen::{Widening, widened};
use crate::optimize::changes_each_time;
use crate::sql::{quote_identifier, quote_literal};

/// The parts of a change in place, as they are found.
pub(super) struct Altering {
    pub(super) what: Vec<String>,
    pub(super) effect: Effect,
    pub(super) before: Vec<Statement>,
    pub(super) during: Vec<Statement>,
    pub(super) after: Vec<String>,
}

impl Default for Altering {
    fn default() -> Self {
        Self {
            what: Vec::new(),
            effect: Effect::Nothing,
            before: Vec::new(),
            during: Vec::new(),
            after: Vec::new(),
        }
    }
}

impl Altering {
    pub(super) fn is_empty(&self) -> bool {
        self.before.is_empty() && self.during.is_empty() && self.after.is_empty()
    }

    fn before(&mut self, sql: String, undo: Option<String>) {
        self.before.push(Statement::new(sql, undo));
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

pub(super) fn alter_columns(
    altering: &mut Altering,
    table: &str,
    actual: &TableShape,
    wanted: &TableShape,
) {
    let name = &quote_identifier(table);
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
        altering.what.push(format!("column {} goes", column.name));
        altering.effect = Effect::Destroys;
        altering.after.push(format!(
            "ALTER TABLE {name} DROP COLUMN IF EXISTS {} SETTINGS mutations_sync = 2",
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
        let Some(old) = find(actual, &column.name) else {
            altering
                .what
                .push(format!("new column {} {}", column.name, column.data_type));
            let ttl = match column.ttl.as_str() {
                "" => String::new(),
                ttl => format!(" TTL {ttl}"),
            };
            altering.before(
                format!(
                    "ALTER TABLE {name} ADD COLUMN IF NOT EXISTS {}{ttl} {}",
                    definition(column),
                    place(at)
                ),
                Some(format!(
                    "ALTER TABLE {name} DROP COLUMN IF EXISTS {} SETTINGS mutations_sync = 2",
                    quote_identifier(&column.name)
                )),
            );
            keep_values(altering, name, column);
            order.insert(at.min(order.len()), &column.name);
            continue;
        };
        let moved = order.get(at).is_some_and(|there| *there != column.name);
        if moved {
            order.retain(|other| *other != column.name);
            order.insert(at, &column.name);
            altering.what.push(format!("column {}: moves", column.name));
            // The order of columns is nothing that the old version would miss.
            altering.before(
                format!(
                    "ALTER TABLE {name} MODIFY COLUMN {} {}",
                    definition(old),
                    place(at)
                ),
                None,
            );
        }
        alter_column(altering, table, actual, old, column);
    }
}

/// Lets the rows that are there keep what a new column's default gives them, where it would give them something else each time they are read.
fn keep_values(altering: &mut Altering, table: &str, column: &ColumnShape) {
    if !is_on_disk(column) || !changes_each_time(&column.default_expression) {
        return;
    }
    altering.effect = altering.effect.max(Effect::Rewrites);
    altering.what.push(format!(
        "column {}: its default is written into the rows that are there, for it gives another value each time",
        column.name
    ));
    let quoted = quote_identifier(&column.name);
    altering.before(
        format!("ALTER TABLE {table} MATERIALIZE COLUMN {quoted} SETTINGS mutations_sync = 2"),
        None,
    );
}

/// Whether the table has values of the column.
fn is_on_disk(column: &ColumnShape) -> bool {
    !matches!(column.default_kind.as_str(), "ALIAS" | "EPHEMERAL")
}

/// Another type, default, codec or TTL for a column.
fn alter_column(
    altering: &mut Altering,
    table: &str,
    actual: &TableShape,
    old: &ColumnShape,
    column: &ColumnShape,
) {
    let name = &quote_identifier(table);
    alter_column_ttl(altering, name, old, column);
    let mut old = old.clone();
    if old.data_type != column.data_type {
        let widening = widened(actual, &old, column);
        let quoted = quote_identifier(&column.name);
        altering.what.push(format!(
            "column {}: {} -> {}",
            column.name, old.data_type, column.data_type
        ));
        if widening == Some(Widening::Values) {
            altering.effect = altering.effect.max(Effect::Rewrites);
        }
        // Every value of the old type is one of the new: the old version reads and writes what it did.
        altering.before(
            format!(
                "ALTER TABLE {name} MODIFY COLUMN {quoted} {}",
                column.data_type
            ),
            Some(format!(
                "ALTER TABLE {name} MODIFY COLUMN {quoted} {}",
                old.data_type
            )),
        );
        old.data_type.clone_from(&column.data_type);
    }
    let old = &old;
    if definition(old) == definition(column) {
        return;
    }
    altering
        .what
        .push(format!("column {}: default or codec", column.name));
    if is_on_disk(old) && !is_on_disk(column) {
        altering.effect = Effect::Destroys;
        altering
            .what
            .push(format!("column {}: its values go", column.name));
    }
    let quoted = quote_identifier(&column.name);
    let same_default = (&old.default_kind, &old.default_expression)
        == (&column.default_kind, &column.default_expression);
    if old.default_kind == "DEFAULT" && !same_default {
        // Rows older than the column take its default whenever they are read: what they read as now is to stay.
        altering.effect = altering.effect.max(Effect::Rewrites);
        altering.before(
            format!("ALTER TABLE {name} MATERIALIZE COLUMN {quoted} SETTINGS mutations_sync = 2"),
            None,
        );
    }
    altering.during.extend(of_properties(table, old, column));
}

/// What a column has beside its name and type.
struct Property<'a> {
    /// As in `REMOVE …`.
    kind: &'a str,
    /// As in a definition.
    text: String,
    /// The condition, in the engine's list of columns, that it is there.
    is_there: &'static str,
}

/// Its default of any kind, and its codec.
fn properties(column: &ColumnShape) -> [Option<Property<'_>>; 2] {
    let default = (!column.default_kind.is_empty()).then(|| Property {
        kind: &column.default_kind,
        text: format!("{} {}", column.default_kind, column.default_expression),
        is_there: "notEmpty(default_kind)",
    });
    let codec = (!column.codec.is_empty()).then(|| Property {
        kind: "CODEC",
        text: column.codec.clone(),
        is_there: "notEmpty(compression_codec)",
    });
    [default, codec]
}

/// Gives a column the properties of another. What is not there cannot be removed, and who removes it looks first.
fn of_properties(table: &str, old: &ColumnShape, column: &ColumnShape) -> Vec<Statement> {
    let start = format!(
        "ALTER TABLE {} MODIFY COLUMN {}",
        quote_identifier(table),
        quote_identifier(&column.name)
    );
    let set = |property: &Property<'_>| format!("{start} {} {}", column.data_type, property.text);
    let remove = |property: &Property<'_>| format!("{start} REMOVE {}", property.kind);
    let has = |property: &Property<'_>| {
        format!(
            "SELECT count() FROM system.columns WHERE database = currentDatabase() AND table = {} AND name = {} AND {}",
            quote_literal(table),
            quote_literal(&column.name),
            property.is_there
        )
    };
    let (mut removed, mut others) = (Vec::new(), Vec::new());
    for pair in properties(old).iter().zip(&properties(column)) {
        match pair {
            (Some(old), None) => removed.push(Statement {
                only_if: Some(has(old)),
                ..Statement::new(remove(old), Some(set(old)))
            }),
            (None, Some(new)) => others.push(Statement {
                undo_only_if: Some(has(new)),
                ..Statement::new(set(new), Some(remove(new)))
            }),
            (Some(old), Some(new)) if old.text != new.text => {
                others.push(Statement::new(set(new), Some(set(old))));
            }
            _ => {}
        }
    }
    removed.append(&mut others);
    removed
}

/// Another TTL of a column's own: values that are older than a new one go.
fn alter_column_ttl(altering: &mut Altering, name: &str, old: &ColumnShape, column: &ColumnShape) {
    if old.ttl == column.ttl {
        return;
    }
    let quoted = quote_identifier(&column.name);
    altering.what.push(format!(
        "column {}: TTL: {} -> {}",
        column.name,
        or_none(&old.ttl),
        or_none(&column.ttl)
    ));
    altering.after.push(if column.ttl.is_empty() {
        format!("ALTER TABLE {name} MODIFY COLUMN {quoted} REMOVE TTL")
    } else {
        altering.effect = Effect::Destroys;
        format!(
            "ALTER TABLE {name} MODIFY COLUMN {quoted} {} TTL {} SETTINGS mutations_sync = 2",
            column.data_type, column.ttl
        )
    });
}

pub(super) fn alter_rest(
    altering: &mut Altering,
    name: &str,
    actual: &TableShape,
    wanted: &TableShape,
) {
    let (old, new) = (clauses(&actual.engine_full), clauses(&wanted.engine_full));
    alter_indexes(altering, name, actual, wanted);
    for setting in old
        .settings
        .iter()
        .filter(|setting| !new.settings.iter().any(|kept| key(kept) == key(setting)))
    {
        altering
            .what
            .push(format!("setting {} as usual", key(setting)));
        altering.before(
            format!("ALTER TABLE {name} RESET SETTING {}", key(setting)),
            Some(format!("ALTER TABLE {name} MODIFY SETTING {setting}")),
        );
    }
    for setting in new
        .settings
        .iter()
        .filter(|setting| !old.settings.contains(setting))
    {
        altering.what.push(format!("setting {setting}"));
        let earlier = old.settings.iter().find(|old| key(old) == key(setting));
        altering.before(
            format!("ALTER TABLE {name} MODIFY SETTING {setting}"),
            Some(match earlier {
                Some(earlier) => format!("ALTER TABLE {name} MODIFY SETTING {earlier}"),
                None => format!("ALTER TABLE {name} RESET SETTING {}", key(setting)),
            }),
        );
    }
    if old.ttl != new.ttl {
        altering
            .what
            .push(format!("TTL: {} -> {}", or_none(old.ttl), or_none(new.ttl)));
        if new.ttl.is_empty() {
            altering
                .after
                .push(format!("ALTER TABLE {name} REMOVE TTL"));
        } else {
            // Rows that are older than the new TTL go.
            altering.effect = Effect::Destroys;
            altering.after.push(format!(
                "ALTER TABLE {name} MODIFY TTL {} SETTINGS mutations_sync = 2",
                new.ttl
            ));
        }
    }
}

fn alter_indexes(altering: &mut Altering, name: &str, actual: &TableShape, wanted: &TableShape) {
    for (index, definition) in actual
        .indexes
        .iter()
        .filter(|index| !wanted.indexes.contains(index))
    {
        altering.what.push(format!("index {index} goes"));
        altering.before(
            format!(
                "ALTER TABLE {name} DROP INDEX IF EXISTS {} SETTINGS mutations_sync = 2",
                quote_identifier(index)
            ),
            Some(format!(
                "ALTER TABLE {name} ADD INDEX IF NOT EXISTS {} {definition}",
                quote_identifier(index)
            )),
        );
    }
    for (index, definition) in wanted
        .indexes
        .iter()
        .filter(|index| !actual.indexes.contains(index))
    {
        altering.what.push(format!("index {index}"));
        altering.effect = altering.effect.max(Effect::Rewrites);
        altering.before(
            format!(
                "ALTER TABLE {name} ADD INDEX IF NOT EXISTS {} {definition}",
                quote_identifier(index)
            ),
            Some(format!(
                "ALTER TABLE {name} DROP INDEX IF EXISTS {} SETTINGS mutations_sync = 2",
                quote_identifier(index)
            )),
        );
        altering.before(
            format!(
                "ALTER TABLE {name} MATERIALIZE INDEX {} SETTINGS mutations_sync = 2",
                quote_identifier(index)
            ),
            None,
        );
    }
}
