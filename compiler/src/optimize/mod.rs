//! Stage *optimize*: a statement with its nodes put in → the same statement with less for the engine to do. A list of named rules, each in a file of its
//! own, each switchable, each leaving alone what it does not understand.
//!
//! The author's text is spliced and never printed anew: what a rule makes consists of pieces of the text that was there and of words that it adds. So the
//! result of one optimization is a [`Recipe`] over the places of the text, which holds for every rendering of the same shape; a request whose shape was
//! seen before only follows it.
//!
//! What the engine does well by itself has no rule here (`book/src/performance.md` has the measurements): it drops columns that nobody reads, pushes
//! filters through nodes, and reads nothing for a branch that can give no rows.

mod change;
mod columns;
mod constant_conditions;
mod duplicate_distinct;
mod functions;
mod merge_chains;
mod merge_projection;
mod merge_tail;
mod recipe;
mod rules;
mod share_node;
mod site;
mod useless_order;

use std::ops::Range;

use pipewright_grammar::source::{SourceId, Span};
use serde::Serialize;

pub(crate) use functions::{asks_the_clock, changes_each_time, is_random};
pub use recipe::Recipe;
pub use rules::{RULES, Rule, Rules, rule};

use self::change::Change;
use crate::mapped_text::{MappedText, PieceKind};
use crate::sql::blocks::{ClauseKind, Query, Statement};

/// Longer statements are left as they are: reading them again after each change would take too long.
const SIZE_LIMIT: usize = 64 * 1024;

/// Most changes to one statement.
const CHANGE_LIMIT: usize = 200;

/// The source of positions in the text that is being optimized.
const HERE: SourceId = SourceId(u32::MAX - 1);

/// The columns of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableColumns {
    /// Those that `*` gives, in order.
    pub shown: Vec<String>,
    /// Those that have to be named: computed ones.
    pub hidden: Vec<String>,
}

/// What the rules may know of the world beyond the text.
pub struct Context<'a> {
    /// The columns of a table by database and name; `None` for tables that are not the project's.
    pub table: &'a dyn Fn(Option<&str>, &str) -> Option<TableColumns>,
}

/// One change and the rule that made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rewrite {
    /// The rule.
    pub rule: &'static str,
    /// What it did, in one line.
    pub what: String,
    /// Where, in the author's files.
    #[serde(skip)]
    pub at: Option<Span>,
}

/// Optimizes a statement; `None` if there is nothing to do.
pub fn run(text: &MappedText, rules: &Rules, context: &Context<'_>) -> Option<Recipe> {
    if text.text().len() > SIZE_LIMIT || rules.is_empty() {
        return None;
    }
    let mut work = placed(text);
    let mut rewrites = Vec::new();
    while rewrites.len() < CHANGE_LIMIT {
        let Some((rule, change)) = next_change(text, &work, rules, context) else {
            break;
        };
        let at = text_place(&work, change.at.start).and_then(|offset| text.locate(offset));
        work = change.apply(&work);
        rewrites.push(Rewrite {
            rule: rule.name,
            what: change.what,
            at,
        });
    }
    if rewrites.is_empty() {
        return None;
    }
    Recipe::new(text, &work, rewrites)
}

/// The text as pieces that say where in it they stand.
fn placed(text: &MappedText) -> MappedText {
    let mut placed = MappedText::new();
    for (range, piece) in text.pieces() {
        let kind = match piece.kind {
            PieceKind::Literal => PieceKind::Literal,
            _ => PieceKind::Verbatim,
        };
        let origin = Span::new(HERE, range.start, range.end);
        placed.push(&text.text()[range], kind, Some(origin));
    }
    placed
}

/// Where in the first text a byte of the changed one comes from.
fn text_place(work: &MappedText, offset: usize) -> Option<usize> {
    work.locate(offset).map(|span| span.start as usize)
}

fn next_change(
    first: &MappedText,
    work: &MappedText,
    rules: &Rules,
    context: &Context<'_>,
) -> Option<(&'static Rule, Change)> {
    let statement = Statement::read(work.text())?;
    if has_settings(&statement, &statement.query) {
        return None;
    }
    let literals = literals(work);
    let subject = Subject {
        statement: &statement,
        first,
        text: work,
        literals: &literals,
        context,
    };
    let enabled = RULES.iter().filter(|rule| rules.has(rule.name));
    enabled
        .into_iter()
        .find_map(|rule| Some((rule, (rule.apply)(&subject)?)))
}

/// A setting can change what names mean and what a join gives; but not the one that a rule adds.
fn has_settings(statement: &Statement<'_>, query: &Query) -> bool {
    query.branches.iter().any(|select| {
        let settings = select.clause(ClauseKind::Settings);
        settings.is_some_and(|clause| statement.slice(&clause.body) != share_node::SETTING)
            || (!select.understood && statement.has_word(&select.run, "SETTINGS"))
            || select
                .nested
                .iter()
                .any(|nested| has_settings(statement, &nested.query))
    })
}

fn literals(text: &MappedText) -> Vec<Range<usize>> {
    let literals = text
        .pieces()
        .filter(|(_, piece)| piece.kind == PieceKind::Literal);
    literals.map(|(range, _)| range).collect()
}

/// What a rule looks at.
struct Subject<'a> {
    statement: &'a Statement<'a>,
    /// The statement before the first change.
    first: &'a MappedText,
    text: &'a MappedText,
    /// The bytes that differ from request to request: nothing may be decided by them.
    literals: &'a [Range<usize>],
    context: &'a Context<'a>,
}

impl Subject<'_> {
    /// Whether any byte of a range is a value of the request.
    fn has_literal(&self, range: &Range<usize>) -> bool {
        self.literals
            .iter()
            .any(|literal| literal.start < range.end && range.start < literal.end)
    }
}

#[cfg(test)]
mod tests;
