//! The walk over the tokens: brackets, clauses of queries, and what a word means where it stands.

use std::collections::HashMap;
use std::ops::Range;

use super::frame::{Call, Clause, Element, Frame, Mode, TableState};
use super::keyword::Keyword;
use super::queries::Queries;
use super::scope::{ScopeId, Scopes};
use super::{CommonTable, Scan, SqlError, StatementKind};
use crate::sql::identifier::unquote;
use crate::sql::lexer::{Kind, Token};
use crate::sql::reference::{Called, Parameter, TableReference};

/// Brackets nested deeper than this are refused, as the engine does: its parser goes no deeper, whatever the brackets are.
const DEPTH_LIMIT: usize = 1_000;

/// A reference whose name is still to be looked up.
pub(super) struct Found {
    pub(super) reference: TableReference,
    pub(super) query: u32,
}

/// What a table's alias names.
pub(super) struct NamedRelation {
    /// Its tokens, without the alias.
    pub(super) relation: Range<usize>,
    /// The reference, where it is a table's name.
    pub(super) table: Option<usize>,
}

pub(super) struct Walk<'a> {
    pub(super) sql: &'a str,
    pub(super) tokens: &'a [Token],
    pub(super) stack: Vec<Frame>,
    pub(super) scopes: Scopes,
    /// An operand comes next: here a word is a name even if it is also a keyword.
    pub(super) operand: bool,
    /// What the next opening bracket belongs to.
    pub(super) call: Call,
    pub(super) queries: Queries,
    pub(super) found: Vec<Found>,
    /// Aliases by the query they belong to; needed only for names after `IN`.
    pub(super) aliases: Vec<(u32, usize)>,
    /// Aliases of tables, by the query that they belong to.
    pub(super) relation_aliases: HashMap<(u32, String), NamedRelation>,
    pub(super) lambda_parameters: HashMap<String, u32>,
    /// Names that are tables if the `in` before their bracket is a function.
    pub(super) doubtful: Vec<TableReference>,
    pub(super) scan: Scan,
    /// A place that cannot be read with certainty.
    pub(super) doubt: Option<SqlError>,
}

/// Walks over the tokens of one statement.
pub(super) fn walk(sql: &str, tokens: &[Token]) -> Result<Scan, SqlError> {
    let mut walk = Walk {
        sql,
        tokens,
        stack: vec![Frame::statement()],
        scopes: Scopes::new(),
        operand: true,
        call: Call::None,
        queries: Queries::default(),
        found: Vec::new(),
        aliases: Vec::new(),
        relation_aliases: HashMap::new(),
        lambda_parameters: HashMap::new(),
        doubtful: Vec::new(),
        scan: empty_scan(),
        doubt: None,
    };
    let mut at = walk.statement_kind();
    while at < tokens.len() {
        let next = walk.step(at)?;
        debug_assert!(next > at, "invariant: every step reads a token");
        at = next.max(at + 1);
    }
    if let Some(opener) = walk.top().opener {
        return Err(SqlError::new(
            format!("`{}` is not closed", tokens[opener].text(sql)),
            tokens[opener].range(),
        ));
    }
    walk.end_branch();
    walk.note_openers();
    match walk.doubt.take() {
        // An explained query has words of its own; it is refused in any case.
        Some(doubt) if walk.scan.explained.is_none() => Err(doubt),
        _ => Ok(walk.finish()),
    }
}

fn empty_scan() -> Scan {
    Scan {
        kind: StatementKind::Empty,
        kind_span: 0..0,
        tables: Vec::new(),
        functions: Vec::new(),
        openers: Vec::new(),
        table_functions: Vec::new(),
        settings: Vec::new(),
        format: None,
        earlier_format: None,
        into_outfile: None,
        trailing_semicolon: None,
        common_tables: Vec::new(),
        named_sets: Vec::new(),
        doubtful_sets: Vec::new(),
        lambdas: Vec::new(),
        parameters: Vec::new(),
        explained: None,
        dynamic_dictionaries: Vec::new(),
        ends_in_line_comment: false,
        captors: super::Captors::default(),
        queries: Queries::default(),
    }
}

impl Walk<'_> {
    pub(super) fn top(&self) -> &Frame {
        self.stack
            .last()
            .expect("invariant: the statement's frame stays")
    }

    pub(super) fn top_mut(&mut self) -> &mut Frame {
        self.stack
            .last_mut()
            .expect("invariant: the statement's frame stays")
    }

    pub(super) fn kind(&self, at: usize) -> Option<Kind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    pub(super) fn text(&self, at: usize) -> &str {
        self.tokens[at].text(self.sql)
    }

    /// The keyword at a place; [`Keyword::None`] for quoted names, other tokens and the end.
    pub(super) fn keyword(&self, at: usize) -> Keyword {
        match self.tokens.get(at) {
            Some(token) if token.kind == Kind::Word => Keyword::of(token.text(self.sql)),
            _ => Keyword::None,
        }
    }

    pub(super) fn is_name(&self, at: usize) -> bool {
        matches!(self.kind(at), Some(Kind::Word | Kind::QuotedName))
    }

    /// The keyword before a place.
    pub(super) fn keyword_before(&self, at: usize) -> Keyword {
        at.checked_sub(1)
            .map_or(Keyword::None, |before| self.keyword(before))
    }

    /// Decides the statement's kind and returns the first token to walk over.
    fn statement_kind(&mut self) -> usize {
        let Some(first) = self
            .tokens
            .iter()
            .position(|token| token.kind != Kind::OpenRound)
        else {
            if let Some(token) = self.tokens.first() {
                self.scan.kind = StatementKind::Other("(".to_owned());
                self.scan.kind_span = token.range();
            }
            return 0;
        };
        self.scan.kind_span = self.tokens[first].range();
        let other = StatementKind::Other(self.text(first).to_ascii_uppercase());
        let (kind, start) = match self.keyword(first) {
            Keyword::Select | Keyword::With | Keyword::From => (StatementKind::Select, 0),
            Keyword::Describe | Keyword::Desc if first == 0 => {
                let frame = self.top_mut();
                frame.clause = Clause::Tables;
                let skip = usize::from(self.keyword(1) == Keyword::Table && self.is_described(2));
                (StatementKind::Describe, 1 + skip)
            }
            _ => (other, 0),
        };
        self.scan.kind = kind;
        start
    }

    /// Whether something to describe follows `DESCRIBE TABLE`, so that `TABLE` is not itself a table's name.
    fn is_described(&self, at: usize) -> bool {
        matches!(
            self.kind(at),
            Some(Kind::QuotedName | Kind::OpenRound | Kind::OpenCurly | Kind::Text)
        ) || (self.kind(at) == Some(Kind::Word)
            && !matches!(
                self.keyword(at),
                Keyword::Settings | Keyword::Format | Keyword::Into
            ))
    }

    /// Reads the token at a place, with those that belong to it, and returns the place after them.
    fn step(&mut self, at: usize) -> Result<usize, SqlError> {
        let token = self.tokens[at];
        match token.kind {
            Kind::OpenRound => self.open(at, Kind::CloseRound),
            Kind::OpenSquare => self.open(at, Kind::CloseSquare),
            Kind::OpenCurly => match self.parameter(at) {
                Some(next) => {
                    if self.top().in_tables() && self.top().table == TableState::Expected {
                        return Ok(self.table_name(at));
                    }
                    self.operand = false;
                    Ok(next)
                }
                None => self.open(at, Kind::CloseCurly),
            },
            Kind::CloseRound | Kind::CloseSquare | Kind::CloseCurly => self.close(at),
            Kind::Comma => Ok(self.comma(at)),
            Kind::Word => Ok(self.word(at)),
            Kind::QuotedName => Ok(self.name(at)),
            Kind::Text if self.top().in_tables() && self.top().table == TableState::Expected => {
                Ok(self.table_name(at))
            }
            Kind::Text | Kind::Number => {
                self.element_is_expression();
                self.operand = false;
                Ok(at + 1)
            }
            Kind::Asterisk => {
                // A star is the other factor of a product, or all columns.
                self.operand = !self.operand;
                Ok(at + 1)
            }
            Kind::Arrow => {
                self.lambda(at);
                self.operand = true;
                Ok(at + 1)
            }
            Kind::DoubleColon => Ok(self.cast(at)),
            Kind::Dot => Ok(self.after_dot(at)),
            Kind::Semicolon | Kind::Colon | Kind::Equals | Kind::Operator => {
                self.element_is_expression();
                self.operand = true;
                Ok(at + 1)
            }
        }
    }

    /// `::Type`: the type's name is no function.
    fn cast(&mut self, at: usize) -> usize {
        self.operand = false;
        at + 1 + usize::from(self.is_name(at + 1))
    }

    /// `.name`, `.1`, `.*`, `.^name`, `.:Type` after an operand.
    fn after_dot(&mut self, at: usize) -> usize {
        self.operand = false;
        let mut next = at + 1;
        while matches!(self.kind(next), Some(Kind::Operator | Kind::Colon)) {
            next += 1;
        }
        next + usize::from(matches!(
            self.kind(next),
            Some(Kind::Word | Kind::QuotedName | Kind::Number | Kind::Asterisk)
        ))
    }

    pub(super) fn element_is_expression(&mut self) {
        let frame = self.top_mut();
        frame.element = Element::Expression;
    }

    fn open(&mut self, at: usize, closer: Kind) -> Result<usize, SqlError> {
        if self.stack.len() >= DEPTH_LIMIT {
            return Err(SqlError::new(
                "the brackets are nested too deeply",
                self.tokens[at].range(),
            ));
        }
        let mut call = std::mem::replace(&mut self.call, Call::None);
        let around = self.top();
        if call == Call::None && closer == Kind::CloseRound {
            call = self.grouped(at);
        }
        let mode = if closer == Kind::CloseRound
            && around.in_tables()
            && around.table == TableState::Expected
            && call != Call::View
            && call != Call::Function
        {
            Mode::Tables
        } else {
            Mode::Expressions
        };
        let element = around.element;
        let mut frame = Frame::bracket(at, closer, mode, call, around);
        if matches!(mode, Mode::Expressions) {
            frame.table = TableState::After;
        }
        if let Element::Name(name) = element {
            self.top_mut().element = Element::NameAndList(name);
        } else {
            self.top_mut().element = Element::Expression;
        }
        self.stack.push(frame);
        self.operand = true;
        Ok(if call == Call::InList {
            self.in_list(at + 1)
        } else {
            at + 1
        })
    }

    /// Parentheses that only group an operand pass on what they stand in: `IN ((table))`, `arrayMap((upper), …)`.
    fn grouped(&self, at: usize) -> Call {
        let around = self.top();
        if around.commas > 0 || around.opener != at.checked_sub(1) || !self.operand {
            return Call::None;
        }
        match around.call {
            Call::InList | Call::HigherOrder => around.call,
            _ => Call::None,
        }
    }

    fn close(&mut self, at: usize) -> Result<usize, SqlError> {
        let token = self.tokens[at];
        if self.top().closer != Some(token.kind) {
            let shown = token.text(self.sql);
            return Err(match self.top().opener {
                Some(opener) => SqlError::new(
                    format!(
                        "`{}` is not closed before this `{shown}`",
                        self.tokens[opener].text(self.sql)
                    ),
                    token.range(),
                ),
                None => SqlError::new(format!("this `{shown}` closes nothing"), token.range()),
            });
        }
        self.end_branch();
        self.forget_lambda();
        let closed = self.stack.pop().expect("invariant: it was just looked at");
        let leads = self.leads(closed.opener);
        let frame = self.top_mut();
        if leads && !closed.united && closed.leading.is_some() && !frame.united {
            frame.leading = closed.leading;
        }
        if frame.mode == Mode::Query && frame.clause == Clause::Start {
            frame.clause = Clause::Other;
        }
        if frame.in_tables() && frame.table == TableState::Expected {
            frame.table = TableState::After;
            frame.last_table = None;
            // The name of a table function stands before the bracket.
            let named = frame.last_relation.take();
            let start = named.filter(|name| Some(name.end) == closed.opener);
            let start = start.map(|name| name.start).or(closed.opener);
            frame.last_relation = start.map(|start| start..at + 1);
        }
        self.operand = false;
        Ok(at + 1)
    }

    /// At the end of a query or a branch of it: a `from` that was taken for a column must have been one.
    pub(super) fn end_branch(&mut self) {
        let frame = self.top();
        if let Some(at) = frame.doubtful_from
            && frame.mode == Mode::Query
            && !frame.has_from
        {
            self.doubt_name(at);
        }
    }

    /// Notes a word that means one thing or another, and we cannot tell which.
    pub(super) fn doubt_name(&mut self, at: usize) {
        let word = self.text(at);
        let error = SqlError::new(
            format!(
                "`{word}` can be read as a keyword or as a name here: a name needs back quotes"
            ),
            self.tokens[at].range(),
        );
        self.doubt.get_or_insert(error);
    }

    /// Whether a bracket is the first thing in the bracket around it.
    fn leads(&self, opener: Option<usize>) -> bool {
        match (opener, self.top().opener) {
            (Some(opener), Some(around)) => opener == around + 1,
            (Some(opener), None) => opener == 0,
            (None, _) => false,
        }
    }

    fn comma(&mut self, at: usize) -> usize {
        self.forget_lambda();
        let frame = self.top_mut();
        frame.commas = frame.commas.saturating_add(1);
        frame.element = Element::Start;
        if frame.in_tables() && matches!(frame.table, TableState::After | TableState::Condition) {
            frame.table = TableState::Expected;
        }
        let (call, commas, clause, mode) = (frame.call, frame.commas, frame.clause, frame.mode);
        self.operand = true;
        if call == Call::InFunction && commas == 1 {
            return self.in_argument(at + 1);
        }
        if call == Call::InList && commas == 1 {
            self.doubt_last(at + 1);
        }
        if clause == Clause::Settings && mode != Mode::Tables {
            return self.setting(at + 1);
        }
        at + 1
    }

    /// Remembers the parameters of a lambda whose arrow this is.
    fn lambda(&mut self, arrow: usize) {
        let mut names = Vec::new();
        match arrow.checked_sub(1).and_then(|before| self.kind(before)) {
            Some(Kind::Word | Kind::QuotedName) => names.push(unquote(self.text(arrow - 1))),
            Some(Kind::CloseRound) => {
                let mut at = arrow - 1;
                while at > 0 && self.kind(at - 1) != Some(Kind::OpenRound) {
                    at -= 1;
                    if self.is_name(at) {
                        names.push(unquote(self.text(at)));
                    } else if self.kind(at) != Some(Kind::Comma) {
                        break;
                    }
                }
            }
            _ => {}
        }
        for name in &names {
            *self.lambda_parameters.entry(name.clone()).or_default() += 1;
        }
        self.top_mut().lambda_parameters.extend(names);
    }

    /// Lambdas reach to the next comma or the end of the bracket, and in a `WITH` clause to the name that they are given.
    pub(super) fn forget_lambda(&mut self) {
        for name in std::mem::take(&mut self.top_mut().lambda_parameters) {
            if let Some(count) = self.lambda_parameters.get_mut(&name) {
                *count = count.saturating_sub(1);
            }
        }
    }

    /// Reads `{name:Type}`; `None` if the brace opens something else. Returns the place after it.
    pub(super) fn parameter(&mut self, at: usize) -> Option<usize> {
        let (end, name) = self.parameter_end(at)?;
        let start = self.tokens[at].start as usize;
        let span = start..self.tokens[end].end as usize;
        let type_start = self.tokens[at + 2].end as usize;
        let type_end = self.tokens[end].start as usize;
        self.scan.parameters.push(Parameter {
            name,
            type_text: self.sql[type_start..type_end].trim().to_owned(),
            span,
        });
        Some(end + 1)
    }

    /// The closing brace of the parameter that opens at a place, and its name.
    pub(super) fn parameter_end(&self, at: usize) -> Option<(usize, String)> {
        if self.kind(at) != Some(Kind::OpenCurly)
            || !self.is_name(at + 1)
            || self.kind(at + 2) != Some(Kind::Colon)
        {
            return None;
        }
        let mut end = at + 3;
        while !matches!(self.kind(end)?, Kind::CloseCurly | Kind::OpenCurly) {
            end += 1;
        }
        (self.kind(end) == Some(Kind::CloseCurly)).then(|| (end, unquote(self.text(at + 1))))
    }

    pub(super) fn record_function(&mut self, at: usize) {
        let called = Called {
            name: unquote(self.text(at)),
            span: self.tokens[at].range(),
        };
        self.scan.functions.push(called);
    }

    /// Opens a `WITH` clause in the query at the top.
    pub(super) fn with_clause(&mut self, at: usize) -> usize {
        let frame = self.top();
        let (merges, parent) = match frame.leading {
            Some(leading) if frame.united || frame.is_branch => (true, leading),
            _ => (false, frame.outer),
        };
        let scope = self.scopes.with_clause(parent, merges);
        let recursive = self.keyword(at + 1) == Keyword::Recursive;
        let frame = self.top_mut();
        frame.clause = Clause::With;
        frame.scope = scope;
        if !frame.united && !frame.is_branch {
            frame.leading = Some(scope);
        }
        frame.recursive = recursive;
        frame.element = Element::Start;
        self.operand = true;
        at + 1 + usize::from(recursive)
    }

    /// Defines the name of a common table expression and opens its body. `at` is the token before the bracket.
    pub(super) fn common_table(&mut self, name: usize, bracket: usize) -> Result<usize, SqlError> {
        let unquoted = unquote(self.text(name));
        let scope = self.top().scope;
        self.scopes.define(scope, &unquoted, true);
        let recursive = self.top().recursive;
        self.scan.common_tables.push(CommonTable {
            name: unquoted.clone(),
            span: self.tokens[name].range(),
            is_table: true,
            bracket: self.tokens.get(bracket).map(|token| token.start as usize),
            recursive,
        });
        let body: ScopeId = self.scopes.body(scope, Some(unquoted));
        // The name of a recursive one means itself in the branches after the first, and nowhere else.
        let later = recursive.then(|| self.scopes.body(scope, None));
        let next = self.open(bracket, Kind::CloseRound)?;
        let frame = self.top_mut();
        frame.scope = body;
        frame.outer = body;
        frame.later = later;
        Ok(next)
    }
}
