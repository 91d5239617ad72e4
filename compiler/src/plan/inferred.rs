//! Data sources that no file declares: what the node that fills one says of its engine and keys.
//!
//! A node that groups makes rows of its own for the groups with each insert, and only a table of states can make one of them: so its target is an
//! `AggregatingMergeTree` sorted by the groups, and its view gives states. All aggregates become states of their own function, also those that could be a
//! `SimpleAggregateFunction`: so every column of such a data source is read in one way, with `-Merge`, and a column keeps its meaning when its function changes. There is no
//! partition key: what is right depends on how much comes and how long it stays, which no query says, and where it is written out a key can be added.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};
use pipewright_grammar::source::Span;
use serde::Serialize;

use super::{Engine, Plan, QueryError, Role};
use crate::diagnostics::codes;
use crate::emit;
use crate::graph::NodeId;
use crate::mapped_text::{MappedText, PieceKind};
use crate::project::ResourceName;
use crate::sql::quote_identifier;
use crate::sql::states::{Grouped, grouped};

/// What follows from the query of the node that fills a data source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inferred {
    /// The columns that its groups are told apart by.
    pub keys: Vec<String>,
    /// The columns that hold states.
    pub states: Vec<State>,
    /// Whether there are other columns.
    #[serde(skip)]
    has_others: bool,
}

/// A column of states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct State {
    /// Its name.
    pub name: String,
    /// What a reader calls to have its values, such as `sumMerge`.
    pub read_with: String,
}

/// A node's statement with states.
#[derive(Debug, Clone)]
pub struct Written {
    /// The statement.
    pub sql: MappedText,
    /// What takes the place of which bytes of the author's files, in order; nothing where the statement comes from no file as it is.
    pub edits: Option<Vec<(Span, String)>>,
    /// What follows from it; nothing for a node that neither groups nor aggregates.
    pub inferred: Option<Inferred>,
}

impl Inferred {
    fn of(grouped: &Grouped) -> Self {
        let states = grouped.states.iter().map(|state| State {
            name: state.name.clone(),
            read_with: state.merge.clone(),
        });
        Self {
            keys: grouped.keys.clone(),
            states: states.collect(),
            has_others: grouped.has_others,
        }
    }

    /// `ENGINE_SORTING_KEY`.
    pub fn sorting_key(&self) -> String {
        let keys: Vec<String> = self.keys.iter().map(|key| quote_identifier(key)).collect();
        if keys.is_empty() {
            "tuple()".to_owned()
        } else {
            keys.join(", ")
        }
    }

    /// `ENGINE_SETTINGS`, if there is need: whether a key may be NULL is the engine's to know, and columns that follow from the keys have one value for each of them.
    pub fn settings(&self) -> Option<String> {
        let mut settings = Vec::new();
        if !self.keys.is_empty() {
            settings.push("allow_nullable_key = 1");
        }
        if self.has_others {
            settings.push("allow_dimensions_outside_sorting_key = 1");
        }
        (!settings.is_empty()).then(|| settings.join(", "))
    }

    /// How its columns are read: `sumMerge(total)`.
    pub fn readings(&self) -> Vec<String> {
        let states = self.states.iter();
        states
            .map(|state| format!("{}({})", state.read_with, quote_identifier(&state.name)))
            .collect()
    }
}

/// Completes the tables that nodes make.
pub(super) fn infer(plan: &mut Plan, diagnostics: &mut Vec<Diagnostic>) {
    let made: Vec<(ResourceName, NodeId)> = plan
        .tables
        .iter()
        .filter_map(|(name, table)| Some((name.clone(), table.made_by.clone()?)))
        .collect();
    for (name, id) in made {
        let Some(engine) = plan.wants_states(&name, &id) else {
            continue;
        };
        // What cannot be compiled is said elsewhere.
        let Ok(compiled) = emit::default_sql(plan, &id) else {
            continue;
        };
        match plan.with_states(&compiled.sql) {
            Ok(Written {
                inferred: Some(inferred),
                ..
            }) => complete(plan, &name, &id, inferred),
            Err(QueryError::Sql(reason)) if engine == Wanted::Inferred => {
                let mut reason = *reason;
                reason.message = format!(
                    "`{name}` is not declared, and cannot be inferred: {}",
                    reason.message
                )
                .into();
                diagnostics.push(reason);
            }
            // A node that does not group; and with an engine of its author's, the query is the author's, too.
            Ok(_) | Err(_) => {}
        }
    }
    warn(plan, diagnostics);
}

/// Warns of targets that are in no file: the name may be a slip. Classic nodes say with `ENGINE` that they make theirs.
fn warn(plan: &Plan, diagnostics: &mut Vec<Diagnostic>) {
    for node in plan.pipes.values().flat_map(|pipe| &pipe.nodes) {
        let (Role::Materialized { target } | Role::Copy { target, .. }) = &node.role else {
            continue;
        };
        let table = plan.tables.get(target);
        let Some(table) = table.filter(|table| table.made_by.is_some()) else {
            continue;
        };
        let Some((_, node)) = plan.node(&node.id) else {
            continue;
        };
        let Some(written) = node.target().filter(|_| node.directive("ENGINE").is_none()) else {
            continue;
        };
        let mut warning = super::pipe::unknown_target(&plan.project, written);
        warning.severity = Severity::Warning;
        let engine = &table.engine;
        let sorted = engine.sorting_key.as_deref().unwrap_or("tuple()");
        warning = match &table.inferred {
            Some(inferred) => {
                let made = format!(
                    "a table is made for it: {} sorted by {sorted}, of states of the node's aggregates",
                    engine.name
                );
                let warning = warning.note(made);
                match inferred.readings().as_slice() {
                    [] => warning,
                    readings => warning.note(format!("read them as {}", readings.join(", "))),
                }
            }
            None => warning.note("a table is made for it from the columns of this node"),
        };
        diagnostics.push(warning.note("`pipewright pull` writes it down"));
    }
}

/// Whether a node says which engine its target has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Inferred,
    Said,
}

fn complete(plan: &mut Plan, name: &ResourceName, id: &NodeId, inferred: Inferred) {
    let says = |keyword: &str| {
        let node = plan.node(id).map(|(_, node)| node);
        node.is_some_and(|node| node.directive(keyword).is_some())
    };
    let (has_engine, has_key) = (says("ENGINE"), says("ENGINE_SORTING_KEY"));
    let Some(table) = plan.tables.get_mut(name) else {
        return;
    };
    if !has_engine {
        table.engine = Engine {
            name: "AggregatingMergeTree",
            sorting_key: Some(inferred.sorting_key()),
            settings: inferred.settings(),
            ..Engine::default()
        };
    } else if !has_key {
        table.engine.sorting_key = Some(inferred.sorting_key());
        table.engine.settings = table.engine.settings.take().or_else(|| inferred.settings());
    }
    table.inferred = Some(inferred);
}

impl Plan {
    /// Whether a data source that a node makes may be one of states: one of another engine than that for them is what its author wants it to be.
    fn wants_states(&self, name: &ResourceName, id: &NodeId) -> Option<Wanted> {
        let (_, node) = self.node(id)?;
        let is_for_states = self.tables.get(name)?.engine.name == "AggregatingMergeTree";
        match node.directive("ENGINE") {
            None => Some(Wanted::Inferred),
            Some(_) if is_for_states => Some(Wanted::Said),
            Some(_) => None,
        }
    }

    /// Whether a node fills a data source that is inferred to hold states.
    pub(crate) fn fills_states(&self, id: &NodeId) -> bool {
        let node = self
            .pipes
            .get(&id.pipe)
            .and_then(|pipe| pipe.node(&id.node));
        let Some(Role::Materialized { target }) = node.map(|node| &node.role) else {
            return false;
        };
        let table = self.tables.get(target);
        table.is_some_and(|table| table.inferred.is_some())
    }

    /// A node's statement with states in the place of the values of its aggregates.
    pub fn with_states(&self, sql: &MappedText) -> Result<Written, QueryError> {
        let grouped = grouped(sql.text()).map_err(|reason| {
            let mut diagnostic =
                Diagnostic::new(Severity::Error, codes::BAD_TARGET, reason.message)
                    .help(reason.help);
            if let Some(span) = sql.locate_range(reason.span) {
                diagnostic = diagnostic.label(span, "");
            }
            QueryError::from(diagnostic)
        })?;
        let Some(grouped) = grouped else {
            return Ok(Written {
                sql: sql.clone(),
                edits: Some(Vec::new()),
                inferred: None,
            });
        };
        let splices: Vec<_> = grouped
            .edits
            .iter()
            .map(|(range, text)| {
                let mut inserted = MappedText::new();
                inserted.push(text, PieceKind::Structural, sql.locate_range(range.clone()));
                (range.clone(), inserted)
            })
            .collect();
        Ok(Written {
            sql: sql.splice(&splices),
            edits: in_files(sql, &grouped),
            inferred: Some(Inferred::of(&grouped)),
        })
    }
}

/// The edits as edits of files. A loop of a template makes several places of one.
fn in_files(sql: &MappedText, grouped: &Grouped) -> Option<Vec<(Span, String)>> {
    let mut edits: Vec<(Span, String)> = Vec::new();
    for (range, text) in &grouped.edits {
        let pieces = [range.start, range.end - 1].map(|at| sql.piece_at(at));
        let is_written = |piece: Option<&crate::mapped_text::Piece>| {
            piece.is_some_and(|piece| piece.kind == PieceKind::Verbatim)
        };
        let span = sql.locate_range(range.clone())?;
        if !pieces.into_iter().all(is_written)
            || span.end as usize - span.start as usize != range.len()
        {
            return None;
        }
        match edits.iter().find(|(known, _)| *known == span) {
            Some((_, known)) if known == text => {}
            Some(_) => return None,
            None => edits.push((span, text.clone())),
        }
    }
    edits.sort_by_key(|(span, _)| span.start);
    Some(edits)
}

#[cfg(test)]
mod tests;
