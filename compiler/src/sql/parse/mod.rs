//! The parsed tree of a statement, for lineage, checks and optimization.
//!
//! Text → tokens of our own [lexer](super::lexer) → ClickHouse-only [forms] taken out or turned into what they mean → `sqlparser`. The tokens carry byte
//! offsets where `sqlparser` expects columns, so every span of the tree is a range of the original text. What no form covers is *opaque*: the reason is kept,
//! nothing else follows from it.

mod dialect;
mod forms;

use std::collections::HashSet;
use std::ops::{ControlFlow, Range};

use sqlparser::ast::{ObjectNamePart, Statement, visit_relations};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan};

use dialect::NodeDialect;
use forms::Form;

use super::lexer;
use super::reference::Position;
use super::scan::Scan;

/// Longer statements are opaque: they are generated, and their tree would serve no one.
const SIZE_LIMIT: usize = 1 << 20;

/// Deeper brackets are opaque. The parser descends recursively.
const DEPTH_LIMIT: usize = 128;

/// The parser's own limit; each bracket costs it several levels.
const RECURSION_LIMIT: usize = 1_000;

/// The outcome of [`parse`].
#[derive(Debug)]
pub enum Parsed {
    /// A tree.
    Tree(Box<Tree>),
    /// No tree; the engine may accept the statement all the same.
    Opaque(Opaque),
}

/// Why there is no tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opaque {
    /// The parser's words.
    pub reason: String,
    /// The byte it stopped at, where it said so.
    pub position: Option<usize>,
}

/// A parsed statement. The tree itself stays inside of this module's parent: nothing else knows `sqlparser`.
#[derive(Debug)]
pub struct Tree {
    pub(super) statement: Statement,
    taken_out: Vec<TakenOut>,
}

/// A ClickHouse form that the tree does not show, or shows as something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenOut {
    /// Which.
    pub form: FormKind,
    /// Its bytes.
    pub span: Range<usize>,
}

pub use forms::FormKind;

impl Tree {
    /// The forms that were taken out before parsing, in the order of the text.
    pub fn taken_out(&self) -> &[TakenOut] {
        &self.taken_out
    }
}

/// Parses a statement that was scanned.
pub fn parse(sql: &str, scan: &Scan) -> Parsed {
    match tree(sql, scan) {
        Ok(tree) => Parsed::Tree(Box::new(tree)),
        Err(opaque) => Parsed::Opaque(opaque),
    }
}

fn tree(sql: &str, scan: &Scan) -> Result<Tree, Opaque> {
    let opaque = |reason: &str, position| Opaque {
        reason: reason.to_owned(),
        position,
    };
    if sql.len() > SIZE_LIMIT {
        return Err(opaque("the statement is too long to be parsed", None));
    }
    let tokens = lexer::tokenize(sql).map_err(|error| Opaque {
        reason: error.message,
        position: Some(error.span.start),
    })?;
    let mut forms = forms::forms(sql, &tokens.list);
    if let Some(deep) = too_deep(&forms) {
        return Err(opaque(
            "the brackets are nested too deeply to be parsed",
            Some(deep),
        ));
    }
    let taken_out = forms::take_out(&mut forms, scan);
    let tokens = forms.into_iter().map(with_span).collect();
    let dialect = NodeDialect::default();
    let mut parser = Parser::new(&dialect)
        .with_recursion_limit(RECURSION_LIMIT)
        .with_tokens_with_locations(tokens);
    let parsed = parser.parse_statement().and_then(|statement| {
        parser.expect_token(&Token::EOF)?;
        Ok(statement)
    });
    match parsed {
        Ok(statement) => {
            misread_table(&statement, scan)?;
            Ok(Tree {
                statement,
                taken_out,
            })
        }
        Err(error) => {
            let (reason, position) = plain_reason(&error.to_string());
            Err(Opaque { reason, position })
        }
    }
}

/// A tree whose tables are not those of the scan was misread, however well it parsed.
fn misread_table(statement: &Statement, scan: &Scan) -> Result<(), Opaque> {
    let mut known: HashSet<&str> = HashSet::new();
    known.extend(scan.tables.iter().map(|table| table.name.as_str()));
    known.extend(scan.common_tables.iter().map(|table| table.name.as_str()));
    known.extend(
        scan.table_functions
            .iter()
            .map(|called| called.name.as_str()),
    );
    let mut found = HashSet::new();
    let stranger = visit_relations(statement, |relation| {
        let last = relation.0.last().and_then(ObjectNamePart::as_ident);
        match last {
            Some(name) if known.contains(name.value.as_str()) || name.value.starts_with('{') => {
                found.insert(name.value.clone());
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Break(relation.to_string()),
        }
    });
    if let ControlFlow::Break(name) = stranger {
        return Err(Opaque {
            reason: format!("the parser takes `{name}` for a table"),
            position: None,
        });
    }
    let missing = scan.tables.iter().find(|table| {
        table.position == Position::From && !table.parameter && !found.contains(&table.name)
    });
    match missing {
        Some(table) => Err(Opaque {
            reason: format!("the parser does not see the table `{}`", table.name),
            position: Some(table.span.start),
        }),
        None => Ok(()),
    }
}

fn too_deep(forms: &[Form]) -> Option<usize> {
    let mut depth = 0_usize;
    for form in forms {
        match form.token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                depth += 1;
                if depth > DEPTH_LIMIT {
                    return Some(form.start);
                }
            }
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// Byte offsets as the columns of one line; columns count from 1.
fn with_span(form: Form) -> TokenWithSpan {
    let location = |at: usize| Location::new(1, at as u64 + 1);
    TokenWithSpan::new(
        form.token,
        Span::new(location(form.start), location(form.end)),
    )
}

/// The parser's message without its prefix and its place, and the place.
fn plain_reason(message: &str) -> (String, Option<usize>) {
    let message = message
        .strip_prefix("sql parser error: ")
        .unwrap_or(message);
    match message.rsplit_once(" at Line: 1, Column: ") {
        Some((reason, column)) => {
            let position = column
                .parse::<usize>()
                .ok()
                .map(|column| column.saturating_sub(1));
            (reason.to_owned(), position)
        }
        None => (message.to_owned(), None),
    }
}
