//! Which lines inside an open block end it.
//!
//! The reference ends a block at every line at column 0 whose first word is a directive. SQL and prose have such lines too (`filter from x`, `type = 'x'`,
//! `version,`), so here the whole line must read as that directive. What is doubtful is decided as the reference does when the word is in capitals,
//! and as text when it is not.

use pest::Parser;

use super::body::Scanner;
use super::keyword::{Form, Keyword, Kind, find, is_loud, nearest};
use super::{DatafileParser, Rule};

/// What an open block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Context {
    /// SQL.
    Sql,
    /// Columns or indexes.
    Schema,
    /// Prose or a setting.
    Text,
}

impl Context {
    pub(super) fn of(keyword: &Keyword) -> Self {
        match keyword.form {
            Form::Sql => Self::Sql,
            Form::Block => Self::Schema,
            Form::Line | Form::LineOrBlock => Self::Text,
        }
    }
}

/// Whether a text reads as the given shape.
pub(super) fn is(shape: Rule, text: &str) -> bool {
    DatafileParser::parse(shape, text).is_ok()
}

/// Whether a line at column 0 (`written` and what follows it) is a directive although a block is open.
pub(super) fn ends_block(written: &str, tail: &str, kind: Kind, context: Context) -> bool {
    let Some(keyword) = find(written) else {
        return ends_block_misspelt(written, tail, kind, context);
    };
    if context == Context::Schema && (!keyword.belongs_to(kind) || is_column(tail)) {
        return false;
    }
    reads_as(keyword, written, tail)
}

fn reads_as(keyword: &Keyword, written: &str, tail: &str) -> bool {
    let loud = is_loud(written);
    if (loud || keyword.form != Form::Line) && is(Rule::shape_block, tail) {
        return true;
    }
    let opens = matches!(keyword.form, Form::Sql | Form::Block) || keyword.name == "DESCRIPTION";
    if loud && opens && is(Rule::shape_loud_block, tail) {
        return true;
    }
    if loud && keyword.form == Form::Sql && is(Rule::shape_query, tail) {
        return true;
    }
    is(if loud { keyword.loud } else { keyword.quiet }, tail)
}

/// Whether a line at column 0 is a `NODE` whose name is a word of SQL: `NODE as`. A query that is not over could go on like this.
pub(super) fn is_node_like_sql(
    written: &str,
    tail: &str,
    kind: Kind,
    context: Context,
    scanner: &Scanner,
) -> bool {
    let is_node = written == "NODE" && matches!(kind, Kind::Pipe | Kind::Include);
    let is_over = context != Context::Sql || scanner.is_between() && !scanner.is_dangling();
    is_node && is_over && is(Rule::shape_sql_word, tail)
}

/// Whether a SCHEMA line goes on like a column whose name happens to be a directive.
fn is_column(tail: &str) -> bool {
    tail.trim_end().ends_with(',') || is(Rule::shape_column, tail)
}

/// Words shorter than this resemble a directive too easily.
const SHORTEST_CERTAIN: usize = 8;

/// Whether an unknown word at column 0 must have been meant as a directive.
fn ends_block_misspelt(written: &str, tail: &str, kind: Kind, context: Context) -> bool {
    if !is_loud(written) || written.len() < 3 {
        return false;
    }
    if context == Context::Schema && is_column(tail) {
        return false;
    }
    if context == Context::Schema && (written == "SETTINGS" || is(Rule::shape_quoted, tail)) {
        return true;
    }
    // Much SQL is in capitals, so what is cheap to see comes first.
    let opens = tail.trim_start().starts_with('>') && is(Rule::shape_block, tail);
    let typed = written.len() <= "TYPE".len() + 1 && is(Rule::shape_node_type, tail);
    if !opens && !typed && written.len() < SHORTEST_CERTAIN {
        return false;
    }
    let Some(meant) = nearest(written, kind) else {
        return false;
    };
    match meant.form {
        _ if opens => meant.form != Form::Line,
        _ if meant.name == "TYPE" => typed,
        Form::Line | Form::LineOrBlock => {
            meant.name.len() >= SHORTEST_CERTAIN && is(meant.loud, tail)
        }
        Form::Block | Form::Sql => false,
    }
}

/// Whether an indented line inside a block can only have been meant as a directive.
pub(super) fn is_swallowed(
    written: &str,
    tail: &str,
    kind: Kind,
    context: Context,
    scanner: &Scanner,
) -> bool {
    let Some(keyword) = find(written).filter(|keyword| keyword.belongs_to(kind)) else {
        return false;
    };
    if !is_loud(written) || !scanner.is_between() {
        return false;
    }
    let long = written.contains('_');
    match context {
        Context::Sql if scanner.is_dangling() => false,
        Context::Sql => match keyword.name {
            _ if keyword.form != Form::Line && is(Rule::shape_block, tail) => true,
            "TYPE" => is(Rule::shape_node_type, tail),
            "TOKEN" => is(Rule::shape_token, tail),
            "ENGINE" => is(Rule::shape_engine, tail),
            "NODE" | "DATASOURCE" => is(Rule::shape_name, tail),
            _ if long => is(Rule::shape_quoted, tail) || is(Rule::shape_name, tail),
            _ => is(Rule::shape_quoted, tail),
        },
        Context::Schema if is_column(tail) => false,
        Context::Schema => match keyword.name {
            "ENGINE" => is(Rule::shape_engine, tail),
            _ if keyword.form == Form::Line => is(Rule::shape_quoted, tail),
            _ => is(Rule::shape_quoted, tail) || is(Rule::shape_block, tail),
        },
        Context::Text => false,
    }
}
