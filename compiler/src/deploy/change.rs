//! What a table is × what the project says it should be → the statements between them, and what they do to rows.
//!
//! Both sides are descriptions by the engine, of the table that is there and of an empty one made from the project's text, so that two spellings of one thing
//! are no difference.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::Step;
use super::alter::{Altering, alter_columns, alter_rest};
use super::loss::{Description, of_engine};
use super::value::converted;
use super::widen::widened;
use crate::sql::lexer::{Kind, Token, tokenize};
use crate::sql::{canonical_key, quote_identifier};

/// A table as the engine describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TableShape {
    /// The engine with its arguments, keys, TTL and settings, in canonical form.
    pub engine_full: String,
    /// `ORDER BY`.
    pub sorting_key: String,
    /// `PRIMARY KEY`.
    pub primary_key: String,
    /// `PARTITION BY`.
    #[serde(default)]
    pub partition_key: String,
    /// `SAMPLE BY`.
    #[serde(default)]
    pub sampling_key: String,
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
    /// The column's own TTL, or nothing.
    #[serde(default)]
    pub ttl: String,
}

/// What a change does to rows that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Nothing: only descriptions change.
    Nothing,
    /// All rows are read and written anew.
    Rewrites,
    /// Values or rows go, and do not come back.
    Destroys,
}

/// A change of one table: what it means, and how it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The table.
    pub name: String,
    /// What changes, in words.
    pub what: Vec<String>,
    /// What it does to rows.
    pub effect: Effect,
    /// How it is made.
    pub method: Method,
}

/// How a table becomes another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// In place.
    Alter {
        /// Statements that readers and writers of the old table do not notice, so that they can run before the new version is in force.
        before: Vec<Statement>,
        /// Statements of a moment, run when the new version comes into force.
        during: Vec<Statement>,
        /// Statements that the old version would notice, run when nobody uses it any more.
        after: Vec<String>,
    },
    /// A new table beside the old one, filled from it, and then put in its place at once.
    Rebuild {
        /// The columns that are filled.
        columns: Vec<String>,
        /// What they are filled with: expressions over the old table. With a forward query that is not used.
        values: Vec<String>,
    },
}

/// A statement, and what takes it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The statement.
    pub sql: String,
    /// What takes it back, where that is needed; running it without need does no harm.
    pub undo: Option<String>,
    /// A question to the engine, answered by 0 where the statement has nothing to do and would be refused. A statement without one can be run again at any time.
    #[serde(default)]
    pub only_if: Option<String>,
    /// The same of what takes it back.
    #[serde(default)]
    pub undo_only_if: Option<String>,
}

impl Statement {
    /// A statement that can be run again at any time, as what takes it back.
    pub fn new(sql: String, undo: Option<String>) -> Self {
        Self {
            sql,
            undo,
            only_if: None,
            undo_only_if: None,
        }
    }
}

/// The parts of an engine's description.
pub(super) struct Clauses<'a> {
    /// Up to the TTL, without the keys' own ORDER BY changes taken out.
    body: &'a str,
    pub(super) ttl: &'a str,
    pub(super) settings: Vec<&'a str>,
}

/// Settings that the runtime makes itself.
const OWN_SETTINGS: &[&str] = &[
    "non_replicated_deduplication_window",
    "fsync_after_insert",
    "fsync_part_directory",
];

/// What the engine says of every table.
const USUAL: &str = "index_granularity = 8192";

/// Settings that a table has from its beginning to its end.
const FIXED_SETTINGS: &[&str] = &[
    "index_granularity",
    "index_granularity_bytes",
    "enable_mixed_granularity_parts",
    "add_minmax_index_for_numeric_columns",
    "add_minmax_index_for_string_columns",
    "add_minmax_index_for_temporal_columns",
    "table_disk",
];

/// The name of a setting.
pub(super) fn key(setting: &str) -> &str {
    setting.split(" = ").next().unwrap_or(setting)
}

/// The tokens of an engine's description outside of brackets.
fn outer_tokens(engine_full: &str) -> Vec<Token> {
    let tokens = tokenize(engine_full).map_or_else(|_| Vec::new(), |tokens| tokens.list);
    let mut depth = 0_usize;
    // The outermost brackets themselves stand outside.
    let is_outer = |token: &Token| match token.kind {
        Kind::OpenRound | Kind::OpenSquare | Kind::OpenCurly => {
            depth += 1;
            depth == 1
        }
        Kind::CloseRound | Kind::CloseSquare | Kind::CloseCurly => {
            depth = depth.saturating_sub(1);
            depth == 0
        }
        _ => depth == 0,
    };
    tokens.into_iter().filter(is_outer).collect()
}

pub(super) fn clauses(engine_full: &str) -> Clauses<'_> {
    let tokens = outer_tokens(engine_full);
    // A column can have the name of a clause: it is no clause right behind a word or a comma that wants a column.
    let begins = |at: usize, word: &str| {
        let is = |at: usize, word: &str| {
            let token = tokens.get(at);
            token.is_some_and(|token| token.kind == Kind::Word && token.text(engine_full) == word)
        };
        let wants_column = |before: usize| {
            tokens[before].kind == Kind::Comma
                || is(before, "BY")
                || is(before, "KEY") && before > 0 && is(before - 1, "PRIMARY")
        };
        tokens[at].kind == Kind::Word
            && tokens[at].text(engine_full) == word
            && at > 0
            && !wants_column(at - 1)
    };
    let settings_at = (0..tokens.len()).rfind(|at| begins(*at, "SETTINGS"));
    let until = settings_at.unwrap_or(tokens.len());
    let ttl_at = (0..until).find(|at| begins(*at, "TTL"));
    let starts = |at: usize| {
        tokens
            .get(at)
            .map_or(engine_full.len(), |token| token.range().start)
    };
    let body = engine_full[..starts(ttl_at.unwrap_or(until))].trim_end();
    let ttl = ttl_at.map_or("", |at| {
        engine_full[tokens[at].range().end..starts(until)].trim()
    });
    let mut listed = Vec::new();
    if let Some(at) = settings_at {
        let mut from = tokens[at].range().end;
        let commas = tokens[at..].iter();
        for comma in commas.filter(|token| token.kind == Kind::Comma) {
            listed.push(engine_full[from..comma.range().start].trim());
            from = comma.range().end;
        }
        listed.push(engine_full[from..].trim());
    }
    let settings = listed
        .into_iter()
        .filter(|setting| {
            !setting.is_empty() && *setting != USUAL && !OWN_SETTINGS.contains(&key(setting))
        })
        .collect();
    Clauses {
        body,
        ttl,
        settings,
    }
}

/// The change that makes a table what `step` says. Nothing when only the text of the definition differs. `renamed` says which new column is which old one under
/// another name.
pub fn change_table(
    step: &Step,
    actual: &TableShape,
    wanted: &TableShape,
    forward_query: bool,
    renamed: &BTreeMap<String, String>,
) -> Option<Change> {
    let name = quote_identifier(&step.name);
    let mut rebuilt = rebuilds(actual, wanted);
    for (to, from) in renamed {
        rebuilt.push(format!("column {from} is renamed to {to}"));
    }
    if !rebuilt.is_empty() || (forward_query && actual.columns != wanted.columns) {
        return Some(rebuild(
            step,
            actual,
            wanted,
            forward_query,
            renamed,
            rebuilt,
        ));
    }
    let mut altering = Altering::default();
    alter_columns(&mut altering, &step.name, actual, wanted);
    alter_rest(&mut altering, &name, actual, wanted);
    if altering.is_empty() {
        return None;
    }
    Some(Change {
        name: step.name.clone(),
        what: altering.what,
        effect: altering.effect,
        method: Method::Alter {
            before: altering.before,
            during: altering.during,
            after: altering.after,
        },
    })
}

/// Why a table cannot be altered in place.
fn rebuilds(actual: &TableShape, wanted: &TableShape) -> Vec<String> {
    let mut reasons = Vec::new();
    let (old, new) = (clauses(&actual.engine_full), clauses(&wanted.engine_full));
    // Keys stand in the body as their author wrote them; by themselves, two spellings of one are the same.
    if old.body != new.body && keyed(actual, old.body) != keyed(wanted, new.body) {
        reasons.push(format!("engine and keys: {} -> {}", old.body, new.body));
    } else if old.body == new.body
        && (actual.sorting_key != wanted.sorting_key || actual.primary_key != wanted.primary_key)
    {
        reasons.push(format!(
            "sorting key: {} -> {}",
            actual.sorting_key, wanted.sorting_key
        ));
    }
    for name in FIXED_SETTINGS {
        let of = |clauses: &Clauses<'_>| {
            let mut settings = clauses.settings.iter();
            let found = settings.find(|setting| key(setting) == *name);
            found.map_or_else(|| format!("{name} as usual"), ToString::to_string)
        };
        let (old, new) = (of(&old), of(&new));
        if old != new {
            reasons.push(format!("setting {old} -> {new}"));
        }
    }
    for column in &wanted.columns {
        let differs = |old: &&ColumnShape| {
            old.data_type != column.data_type && widened(actual, old, column).is_none()
        };
        if let Some(old) = find(actual, &column.name).filter(differs) {
            reasons.push(format!(
                "column {}: {} -> {}",
                column.name, old.data_type, column.data_type
            ));
        }
    }
    reasons
}

/// The engine with its arguments, and its keys.
fn keyed(shape: &TableShape, body: &str) -> [String; 5] {
    let tokens = outer_tokens(body);
    let begins = |token: &&Token| {
        let words = ["PARTITION", "PRIMARY", "ORDER", "SAMPLE"];
        token.kind == Kind::Word && words.contains(&token.text(body))
    };
    let keys = tokens.iter().skip(1).find(begins);
    let engine = &body[..keys.map_or(body.len(), |token| token.range().start)];
    [
        engine.trim_end().to_owned(),
        canonical_key(&shape.partition_key),
        canonical_key(&shape.sorting_key),
        canonical_key(&shape.primary_key),
        canonical_key(&shape.sampling_key),
    ]
}

pub(super) fn find<'a>(shape: &'a TableShape, name: &str) -> Option<&'a ColumnShape> {
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
fn rebuild<'a>(
    step: &Step,
    actual: &'a TableShape,
    wanted: &'a TableShape,
    forward_query: bool,
    renamed: &BTreeMap<String, String>,
    mut what: Vec<String>,
) -> Change {
    let old_of = |name: &str| {
        let old = renamed.get(name).map_or(name, String::as_str);
        find(actual, old)
    };
    for column in &wanted.columns {
        if old_of(&column.name).is_none() {
            what.push(format!("new column {}", column.name));
        }
    }
    let (columns, values) = wanted
        .columns
        .iter()
        .filter(|column| is_stored(column))
        .filter_map(|column| Some((column, old_of(&column.name)?)))
        .filter(|(_, old)| old.default_kind != "EPHEMERAL")
        .map(|(column, old)| (column.name.clone(), converted(column, old)))
        .unzip();
    let mut effect = Effect::Rewrites;
    let (before, after) = (clauses(&actual.engine_full), clauses(&wanted.engine_full));
    let described = |clauses: &Clauses<'a>, shape: &'a TableShape| Description {
        body: clauses.body,
        sorting_key: &shape.sorting_key,
    };
    if let Some(loss) = of_engine(&described(&before, actual), &described(&after, wanted)) {
        what.push(loss);
        effect = Effect::Destroys;
    }
    if before.ttl != after.ttl && !after.ttl.is_empty() {
        what.push(format!(
            "TTL: {} -> {}: older rows go",
            or_none(before.ttl),
            after.ttl
        ));
        effect = Effect::Destroys;
    }
    for column in &wanted.columns {
        let differs = old_of(&column.name).is_some_and(|old| old.ttl != column.ttl);
        if differs && !column.ttl.is_empty() {
            what.push(format!(
                "column {}: TTL {}: older values go",
                column.name, column.ttl
            ));
            effect = Effect::Destroys;
        }
    }
    for column in wanted.columns.iter().filter(|column| !is_stored(column)) {
        if !forward_query && old_of(&column.name).is_some_and(is_stored) {
            what.push(format!("column {}: its values go", column.name));
            effect = Effect::Destroys;
        }
    }
    for column in &actual.columns {
        let kept = find(wanted, &column.name).is_some()
            || renamed.values().any(|from| *from == column.name);
        if !kept {
            what.push(format!("column {} goes", column.name));
            if !forward_query && is_stored(column) {
                effect = Effect::Destroys;
            }
        }
    }
    Change {
        name: step.name.clone(),
        what,
        effect,
        method: Method::Rebuild { columns, values },
    }
}

pub(super) fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clauses_of_an_engine_are_found_where_they_begin() {
        let shown = |engine_full: &str| {
            let Clauses {
                body,
                ttl,
                settings,
            } = clauses(engine_full);
            format!("{body} | {ttl} | {}", settings.join(" ; "))
        };
        insta::assert_snapshot!(
            shown("MergeTree PARTITION BY toYYYYMM(d) ORDER BY (id, if(s = ' TTL x, SETTINGS y = 1', 1, 2)) TTL d + toIntervalWeek(1) SETTINGS index_granularity = 8192, storage_policy = 'a, b', merge_with_ttl_timeout = 5"),
            @"MergeTree PARTITION BY toYYYYMM(d) ORDER BY (id, if(s = ' TTL x, SETTINGS y = 1', 1, 2)) | d + toIntervalWeek(1) | storage_policy = 'a, b' ; merge_with_ttl_timeout = 5"
        );
        insta::assert_snapshot!(
            shown("MergeTree ORDER BY id TTL d + toIntervalDay(1) WHERE s = ' SETTINGS ' SETTINGS index_granularity = 8192"),
            @"MergeTree ORDER BY id | d + toIntervalDay(1) WHERE s = ' SETTINGS ' | "
        );
        insta::assert_snapshot!(shown("MergeTree ORDER BY TTL SETTINGS index_granularity = 16"), @"MergeTree ORDER BY TTL |  | index_granularity = 16");
        insta::assert_snapshot!(shown("MergeTree PRIMARY KEY TTL ORDER BY (TTL, id) TTL d"), @"MergeTree PRIMARY KEY TTL ORDER BY (TTL, id) | d | ");
        insta::assert_snapshot!(shown("MergeTree ORDER BY KEY TTL d"), @"MergeTree ORDER BY KEY | d | ");
        insta::assert_snapshot!(shown("Null"), @"Null |  | ");
    }
}
