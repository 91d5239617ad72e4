//! A node's text in the place of its name: what a name of the reader would capture is written so that it means the same there as in the node.
//!
//! Four meanings can change on the way. A table's name would mean a common table expression of the reader: it gets its database. A name right of an `IN` that stands for a
//! common table expression or a table of the node itself would mean a named scalar of the reader, since the engine looks for one as far out as it goes before it
//! looks for tables: the query that is meant is written out. So would the name of a table right of an `IN`: it gets its database. And the definition of a common table
//! expression would mean one of the reader with the same name and words: it gets other words. And a function of the clock without brackets would mean an expression of
//! its name: it gets brackets.
//!
//! What cannot be written otherwise are the functions that a lambda's name stands for. Such a text is refused ([`called_instead`]).

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use pipewright_grammar::diagnostic::Diagnostic;

use super::allowed::scan;
use super::compilation::MAX_BYTES;
use super::query::QueryError;
use super::shape::Inline;
use crate::diagnostics::codes;
use crate::mapped_text::{MappedText, PieceKind};
use crate::project::PASSING;
use crate::sql::definitions::{Words, definitions};
use crate::sql::{self, Captors, NamedSet, Position, SetMeaning};

/// Names that a text uses and that a reader could capture.
pub(super) struct Captivable<'a> {
    /// Of tables.
    pub(super) tables: &'a BTreeSet<String>,
    /// Right of an `IN`, of queries of the text itself.
    pub(super) named_sets: &'a BTreeSet<String>,
}

/// `(text) AS alias`, with what the reader would capture kept from it. `aliases` are the names that the reader gives to expressions, where that matters.
pub(super) fn wrapped(
    database: &str,
    text: &MappedText,
    names: &Captivable<'_>,
    inline: &Inline,
    captors: Option<&Captors>,
    aliases: Option<&HashSet<String>>,
) -> Result<MappedText, QueryError> {
    let mut out = MappedText::new();
    out.push("(\n", PieceKind::Inserted, None);
    let mut captured = Captured::default();
    if let Some(captors) = captors {
        for name in names.tables.union(names.named_sets) {
            if captors.captures(inline.scope, name) {
                captured.anywhere.insert(name);
            } else if aliases.is_some_and(|aliases| aliases.contains(name)) {
                captured.after_in.insert(name);
            }
        }
    }
    if captured.anywhere.is_empty() && captured.after_in.is_empty() {
        out.append(text);
    } else {
        out.append(&uncaptured(database, text, &captured)?);
    }
    // On a line of its own: the text may end in a `--` comment.
    out.push("\n)", PieceKind::Inserted, None);
    if let Some(alias) = &inline.alias {
        out.push(" AS ", PieceKind::Inserted, None);
        out.push(alias, PieceKind::Inserted, None);
    }
    Ok(out)
}

/// Names that would mean something else.
#[derive(Default)]
struct Captured<'a> {
    /// Wherever they stand.
    anywhere: BTreeSet<&'a str>,
    /// Right of an `IN`.
    after_in: BTreeSet<&'a str>,
}

impl Captured<'_> {
    fn has(&self, name: &str, position: Position) -> bool {
        self.anywhere.contains(name) || (position == Position::In && self.after_in.contains(name))
    }
}

/// The first of the names given to lambdas that the engine would call in one of the texts that are put in.
pub(super) fn called_instead<'a>(
    lambdas: &'a [String],
    texts: &[(Range<usize>, MappedText)],
) -> Option<&'a str> {
    if lambdas.is_empty() || texts.is_empty() {
        return None;
    }
    let texts = texts.iter().map(|(_, text)| text.text());
    let named: HashSet<String> = texts.flat_map(sql::lexer::all_names).collect();
    let is_called = |name: &&String| {
        let name = name.to_ascii_lowercase();
        sql::is_behind_signs(&name)
            || named.contains(&name)
            || sql::called_for(&name)
                .iter()
                .any(|words| words.iter().all(|word| named.contains(*word)))
    };
    lambdas.iter().find(is_called).map(String::as_str)
}

/// The text with definitions that a reader has in the same words in other words, which no other part of the statement has.
pub(super) fn told_apart(
    text: &MappedText,
    of_reader: &BTreeSet<Words>,
    number: u32,
) -> Result<MappedText, QueryError> {
    let scan = scan(text)?;
    let added = |added: &str| {
        let mut out = MappedText::new();
        out.push(added, PieceKind::Inserted, None);
        out
    };
    let end = format!("\n) AS {PASSING}{number}");
    let same = definitions(text.text(), &scan)
        .into_iter()
        .filter(|definition| of_reader.contains(&definition.words));
    let mut edits: Edits = same
        .flat_map(|definition| {
            let Range { start, end: close } = definition.body;
            [
                (start..start, added("SELECT * FROM (\n")),
                (close..close, added(&end)),
            ]
        })
        .collect();
    edits.sort_by_key(|(range, _)| range.start);
    Ok(text.splice(&edits))
}

/// The text with brackets behind words that are functions of the clock.
pub(super) fn with_brackets(text: &MappedText, words: &BTreeSet<&String>) -> MappedText {
    let mut brackets = MappedText::new();
    brackets.push("()", PieceKind::Inserted, None);
    let found = sql::clock::bare(text.text()).into_iter();
    let edits: Edits = found
        .filter(|(word, _)| words.contains(word))
        .map(|(_, place)| (place.end..place.end, brackets.clone()))
        .collect();
    text.splice(&edits)
}

type Edits = Vec<(Range<usize>, MappedText)>;

/// The text in other words, in which none of the captured names is left to be captured.
fn uncaptured(
    database: &str,
    text: &MappedText,
    captured: &Captured<'_>,
) -> Result<MappedText, QueryError> {
    let scan = scan(text)?;
    let mut prefix = MappedText::new();
    let words = format!("{}.", sql::quote_identifier(database));
    prefix.push(&words, PieceKind::Inserted, None);
    let mut edits: Edits = scan
        .tables
        .iter()
        .filter(|table| table.database.is_none() && captured.has(&table.name, table.position))
        .map(|table| (table.span.start..table.span.start, prefix.clone()))
        .collect();
    let mut sets: Vec<&NamedSet> = scan
        .named_sets
        .iter()
        .filter(|set| captured.has(&set.name, Position::In))
        .collect();
    // A set inside of a relation that another set repeats is written before that one: its own relation is shorter.
    sets.sort_by_key(|set| match &set.meaning {
        SetMeaning::CommonTable => 0,
        SetMeaning::Relation { relation, .. } => relation.len(),
    });
    let mut size = text.text().len();
    for set in sets {
        let query = written_out(text, set, &edits);
        size += query.text().len();
        if size > MAX_BYTES {
            return Err(Diagnostic::error(
                codes::SQL_SYNTAX,
                format!("the statement grows past {MAX_BYTES} bytes when sets are written out"),
            )
            .into());
        }
        edits.push((set.span.clone(), query));
    }
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    Ok(text.splice(&edits))
}

/// The query that a name right of an `IN` stands for.
fn written_out(text: &MappedText, set: &NamedSet, edits: &Edits) -> MappedText {
    let mut query = MappedText::new();
    query.push("(SELECT * FROM ", PieceKind::Inserted, None);
    match &set.meaning {
        SetMeaning::CommonTable => {
            let name = sql::quote_identifier(&set.name);
            query.push(&name, PieceKind::Inserted, None);
        }
        SetMeaning::Relation {
            relation,
            modifiers,
        } => {
            query.append(&edited(text, relation, edits));
            for modifier in modifiers {
                query.push(" ", PieceKind::Inserted, None);
                query.append(&text.part(modifier.clone()));
            }
        }
    }
    query.push(")", PieceKind::Inserted, None);
    query
}

/// A part of the text with the edits that fall into it.
fn edited(text: &MappedText, part: &Range<usize>, edits: &Edits) -> MappedText {
    let mut inner: Edits = edits
        .iter()
        .filter(|(range, _)| part.start <= range.start && range.end <= part.end)
        .map(|(range, with)| {
            let range = range.start - part.start..range.end - part.start;
            (range, with.clone())
        })
        .collect();
    inner.sort_by_key(|(range, _)| (range.start, range.end));
    text.part(part.clone()).splice(&inner)
}
