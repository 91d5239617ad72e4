//! The reference scan: what a statement is and which names it uses, from its tokens alone.
//!
//! In: SQL text after templates are rendered. Out: [`Scan`], plain lists of names with byte ranges. It works on statements that no parser of ours can read,
//! because resolution and the guard must; where tokens leave a doubt (a column called `from`), it decides as the engine's parser does, and where
//! even that stays open it reports a table too many rather than one too few. One pass, a heap-allocated stack instead of recursion.
//!
//! Scoping follows the engine (each rule checked on it): a common table expression is visible in the whole `SELECT` that defines it and below, also in
//! expressions defined before it, but not inside its own definition unless `RECURSIVE`; the leading `WITH` of a `UNION` covers every branch without a
//! `WITH` of its own, that of a later branch only its own; `view(SELECT …)` sees none of those outside; names are case-sensitive; a database-qualified name is never one.

mod call;
mod frame;
mod given;
mod keyword;
mod lookup;
mod position;
mod queries;
mod scope;
mod tables;
mod walk;
mod word;

pub(crate) use given::{aliases, called_for, is_behind_signs};
pub(crate) use scope::ScopeId;

use std::ops::Range;

use super::lexer::{self, Kind, Token};
use super::reference::{Called, Parameter, Setting, TableReference};

/// What kind of statement a text holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatementKind {
    /// `SELECT`, with or without `WITH`, parentheses, `FROM` first.
    Select,
    /// `DESCRIBE` or `DESC`.
    Describe,
    /// Anything else, by its first word in upper case (`INSERT` also for `WITH … INSERT`).
    Other(String),
    /// Nothing but blanks and comments.
    Empty,
}

/// A clause at the end of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// What it names, unquoted: the format.
    pub name: String,
    /// The whole clause with its keyword.
    pub span: Range<usize>,
}

/// A common table expression or a named scalar of a `WITH` clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommonTable {
    /// Its name, unquoted.
    pub name: String,
    /// The name's bytes.
    pub span: Range<usize>,
    /// Whether it is a table (`name AS (SELECT …)`) and not a scalar (`expression AS name`).
    pub is_table: bool,
    /// Where the bracket of its query opens, if it is a table.
    pub bracket: Option<usize>,
    /// Whether its `WITH` lets it read itself.
    pub recursive: bool,
}

/// A name right of an `IN` that stands for a query of the same statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedSet {
    /// The name, unquoted.
    pub name: String,
    /// The name's bytes.
    pub span: Range<usize>,
    /// What it stands for.
    pub meaning: SetMeaning,
}

/// What a name right of an `IN` stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetMeaning {
    /// A common table expression.
    CommonTable,
    /// What has that alias in the `FROM` of the same query.
    Relation {
        /// The bytes of the table's name, the query in brackets or the call.
        relation: Range<usize>,
        /// `FINAL` and `SAMPLE …` after it.
        modifiers: Vec<Range<usize>>,
    },
}

impl NamedSet {
    /// Whether it stands for a table by its alias.
    pub fn is_alias_of(&self, table: &TableReference) -> bool {
        matches!(&self.meaning, SetMeaning::Relation { relation, .. } if *relation == table.span)
    }
}

/// What a statement is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// The statement's kind.
    pub kind: StatementKind,
    /// The word that decides the kind.
    pub kind_span: Range<usize>,
    /// Tables in the order of their appearance, without names of common table expressions.
    pub tables: Vec<TableReference>,
    /// Ordinary and aggregate functions that are called, or passed by name (`APPLY(max)`, `arrayMap(upper, …)`).
    pub functions: Vec<Called>,
    /// Other names before a bracket: of types, of common table expressions with columns. A name that must not be called is not taken for one of these.
    pub openers: Vec<Called>,
    /// Functions in the place of a table.
    pub table_functions: Vec<Called>,
    /// Names set by `SETTINGS`, of the statement and of every subquery.
    pub settings: Vec<Setting>,
    /// `FORMAT name` at the end.
    pub format: Option<Clause>,
    /// A `FORMAT` before that, in which the engine would answer.
    pub earlier_format: Option<Range<usize>>,
    /// `INTO OUTFILE`, anywhere.
    pub into_outfile: Option<Range<usize>>,
    /// The semicolons at the end.
    pub trailing_semicolon: Option<Range<usize>>,
    /// The names that `WITH` clauses define, in order.
    pub common_tables: Vec<CommonTable>,
    /// Names right of an `IN` that stand for a query of the same statement, in order. A named scalar of a statement around it would be taken for them.
    pub named_sets: Vec<NamedSet>,
    /// Names right of an `IN` that are also given to an expression of the statement, which the engine takes as a rule; inside of that expression it takes a table.
    pub doubtful_sets: Vec<TableReference>,
    /// Names that are given to lambdas, each with its bytes. The engine calls them in the place of functions of these names, in texts that are put in too.
    pub lambdas: Vec<(String, Range<usize>)>,
    /// `{name:Type}` parameters.
    pub parameters: Vec<Parameter>,
    /// `(EXPLAIN …)` in the place of a subquery.
    pub explained: Option<Range<usize>>,
    /// Dictionary or join table arguments that are neither a literal nor a name, so that what they read is unknown.
    pub dynamic_dictionaries: Vec<Range<usize>>,
    /// The text ends in a comment that swallows whatever is appended on the same line.
    pub ends_in_line_comment: bool,
    captors: Captors,
    queries: queries::Queries,
}

impl Scan {
    /// The names that capture others.
    pub fn captors(&self) -> &Captors {
        &self.captors
    }

    /// Whether a column of a table in one place may be a column of what is read in the query of another place: that query reads the table itself, or a query that does.
    pub(crate) fn may_feed(&self, table: &TableReference, place: &TableReference) -> bool {
        self.queries.may_feed(table.query, place.query)
    }
}

/// The names of a statement that capture the names of tables in a text that is put into it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captors {
    scopes: scope::Scopes,
}

impl Captors {
    /// Whether a bare table name, put in the place of a reference, could mean a common table expression or a named scalar of this statement. Qualifying a name that is
    /// not captured after all changes nothing.
    pub(crate) fn captures(&self, place: ScopeId, name: &str) -> bool {
        self.scopes.may_capture(place, name)
    }
}

/// Why a text cannot be scanned, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SqlError {
    /// One lower-case line.
    pub message: String,
    /// The bytes it is about.
    pub span: Range<usize>,
}

impl SqlError {
    pub(super) fn new(message: impl Into<String>, span: Range<usize>) -> Self {
        Self {
            message: message.into(),
            span,
        }
    }
}

/// Scans one statement.
///
/// Fails only for text that the engine could not read either (an unclosed string, unbalanced brackets) and for several statements in one text.
///
/// ```
/// # use pipewright_compiler::sql::scan;
/// let scan = scan("WITH recent AS (SELECT * FROM hits) SELECT count() FROM recent JOIN users USING id").unwrap();
/// let tables: Vec<_> = scan.tables.iter().map(|table| table.name.as_str()).collect();
/// assert_eq!(tables, ["hits", "users"]);
/// ```
pub fn scan(sql: &str) -> Result<Scan, SqlError> {
    let tokens = lexer::tokenize(sql)?;
    let (statement, trailing_semicolon) = one_statement(&tokens.list)?;
    complete_comparisons(sql, statement)?;
    let mut scan = walk::walk(sql, statement)?;
    scan.trailing_semicolon = trailing_semicolon;
    scan.ends_in_line_comment = tokens.ends_in_line_comment;
    scan.lambdas = given::lambdas(sql, statement);
    Ok(scan)
}

/// Fails where a comparison has nothing on its right, which is so whatever else a statement says: behind it stands another comparison, a closing bracket, a comma
/// or nothing at all.
fn complete_comparisons(sql: &str, tokens: &[Token]) -> Result<(), SqlError> {
    let is_comparison = |token: &Token| {
        token.kind == Kind::Equals
            || (token.kind == Kind::Operator
                && matches!(
                    token.text(sql),
                    "<" | ">" | "<=" | ">=" | "!=" | "<>" | "<=>"
                ))
    };
    for (at, token) in tokens.iter().enumerate() {
        if !is_comparison(token) {
            continue;
        }
        let next = tokens.get(at + 1);
        let is_operand = next.is_some_and(|next| {
            !is_comparison(next)
                && !matches!(
                    next.kind,
                    Kind::CloseRound | Kind::CloseSquare | Kind::Comma
                )
        });
        // An operator can be an argument of its own in a call that is not SQL's, such as a format; that it stands alone is seen on its left.
        let is_lone = at == 0
            || matches!(
                tokens[at - 1].kind,
                Kind::OpenRound | Kind::OpenSquare | Kind::Comma
            );
        if !is_operand && !is_lone {
            let message = format!(
                "`{}` has nothing to compare with on its right",
                token.text(sql)
            );
            return Err(SqlError::new(message, token.range()));
        }
    }
    Ok(())
}

/// The tokens before the semicolons at the end; anything after a semicolon is a second statement.
fn one_statement(tokens: &[Token]) -> Result<(&[Token], Option<Range<usize>>), SqlError> {
    let Some(first) = tokens
        .iter()
        .position(|token| token.kind == Kind::Semicolon)
    else {
        return Ok((tokens, None));
    };
    if let Some(next) = tokens[first..]
        .iter()
        .find(|token| token.kind != Kind::Semicolon)
    {
        return Err(SqlError::new(
            "there is more than one statement: only one can stand here",
            next.range(),
        ));
    }
    let end = tokens.last().map_or(0, |token| token.end as usize);
    Ok((&tokens[..first], Some(tokens[first].start as usize..end)))
}
