//! A node's text in the place of its name: what a name of the reader would capture is written so that it means the same there as in the node.
//!
//! Three meanings can change on the way. A table's name would mean a common table expression of the reader: it gets its database. A name right of an `IN` that stands for a
//! common table expression or a table of the node itself would mean a named scalar of the reader, since the engine looks for one as far out as it goes before it
//! looks for tables: the query that is meant is written out.

use std::collections::BTreeSet;
use std::ops::Range;

use pipewright_grammar::diagnostic::Diagnostic;

use super::query::{MAX_BYTES, QueryError, scan};
use super::shape::Inline;
use crate::diagnostics::codes;
use crate::mapped_text::{MappedText, PieceKind};
use crate::sql::{self, NamedSet, SetMeaning};

/// Names that a text uses and that a reader could capture.
pub(super) struct Captivable<'a> {
    /// Of tables.
    pub(super) tables: &'a BTreeSet<String>,
    /// Right of an `IN`, of queries of the text itself.
    pub(super) named_sets: &'a BTreeSet<String>,
}

/// `(text) AS alias`, with what the reader would capture kept from it.
pub(super) fn wrapped(
    database: &str,
    text: &MappedText,
    names: &Captivable<'_>,
    inline: &Inline,
) -> Result<MappedText, QueryError> {
    let mut out = MappedText::new();
    out.push("(\n", PieceKind::Inserted, None);
    let captures = |name| names.tables.contains(name) || names.named_sets.contains(name);
    if inline.captured.iter().any(captures) {
        out.append(&uncaptured(database, text, &inline.captured)?);
    } else {
        out.append(text);
    }
    // On a line of its own: the text may end in a `--` comment.
    out.push("\n)", PieceKind::Inserted, None);
    if let Some(alias) = &inline.alias {
        out.push(" AS ", PieceKind::Inserted, None);
        out.push(alias, PieceKind::Inserted, None);
    }
    Ok(out)
}

type Edits = Vec<(Range<usize>, MappedText)>;

/// The text in other words, in which none of the captured names is left to be captured.
fn uncaptured(
    database: &str,
    text: &MappedText,
    captured: &[String],
) -> Result<MappedText, QueryError> {
    let scan = scan(text)?;
    let mut prefix = MappedText::new();
    let words = format!("{}.", sql::quote_identifier(database));
    prefix.push(&words, PieceKind::Inserted, None);
    let mut edits: Edits = scan
        .tables
        .iter()
        .filter(|table| table.database.is_none() && captured.contains(&table.name))
        .map(|table| (table.span.start..table.span.start, prefix.clone()))
        .collect();
    let mut sets: Vec<&NamedSet> = scan
        .named_sets
        .iter()
        .filter(|set| captured.contains(&set.name))
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
