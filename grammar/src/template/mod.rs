//! The template language inside SQL bodies: text → [`Template`], so that parameters, docs and branches are known without rendering.
//!
//! Two steps over one pest grammar: the text is cut at its tags (their ends are found by plain search, as the language defines it), then each tag's text is
//! parsed by the rule for what it holds. Parsing never fails: a broken tag becomes a diagnostic and the rest is kept. Time is linear in the text; depth and
//! height of everything are bounded, so neither parsing nor any later walk can exhaust the stack.

mod blocks;
mod constants;
mod displays;
mod expression;
mod grammar;
mod literal;
mod names;
mod open;
mod operations;
mod scan;
mod tree;

pub use tree::{
    Argument, ArgumentKind, Clause, Collector, Comparison, Expr, ExprKind, FormatPart, Handler,
    Item, Operator, Statement, Target, Template, Unary, Whitespace,
};

use crate::parse::Parsed;
use crate::source::Span;

/// How many brackets, or blocks, may lie inside each other.
pub const MAX_DEPTH: usize = 40;

/// How many levels one expression may have.
pub const MAX_HEIGHT: u16 = 160;

/// Parses a template: `text` is what follows the leading `%` of a body, and `span` its place, so that `span.start + offset` is the place of a byte of it.
pub fn parse_template(text: &str, span: Span) -> Parsed<Template> {
    blocks::parse(text, span)
}
