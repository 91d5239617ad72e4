//! One open bracket of the scan: what it holds and how far it is read.

use std::ops::Range;

use super::scope::{ROOT, ScopeId};
use crate::sql::lexer::Kind;

/// What stands between the brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// A query, or the whole statement.
    Query,
    /// Tables in parentheses: `FROM (a JOIN b USING id)`.
    Tables,
    /// Expressions: arguments, tuples, arrays, anything else.
    Expressions,
}

/// Where in a query the scan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clause {
    /// Before the first word, and after `UNION`, `EXCEPT`, `INTERSECT`.
    Start,
    With,
    Select,
    /// `FROM` and the joins after it.
    Tables,
    Settings,
    /// Clauses that hold only expressions.
    Other,
}

/// Where among tables the scan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableState {
    /// A table comes next.
    Expected,
    /// After a table: its alias, `FINAL`, the next join.
    After,
    /// In the condition of a join.
    Condition,
    /// In a list where commas separate expressions and not tables: after `ARRAY JOIN`, after `USING` without parentheses.
    List,
}

/// What the bracket is the argument list of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// Of nothing: it groups.
    None,
    /// The list after the operator `IN`, or a part of one in parentheses.
    InList,
    /// `in(x, table)` and its variants.
    InFunction,
    /// A function whose first argument may be a function, by name.
    HigherOrder,
    /// `position(x IN y)`, where `y` is no table.
    Position,
    /// `view(SELECT …)`.
    View,
    /// `CAST(x AS Type)`, `* REPLACE(x AS column)`, `INTERPOLATE (column AS x)`, where what follows `AS` is no alias.
    Defining,
    /// Any other function.
    Function,
}

/// How much of an element of a `WITH` clause is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    /// Nothing yet.
    Start,
    /// A name, by the index of its token.
    Name(usize),
    /// A name with a list in parentheses after it: column names, or a call.
    NameAndList(usize),
    /// Something that can only be an expression.
    Expression,
}

/// An open bracket, or the statement itself.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact about the query so far, independent of the others"
)]
pub(super) struct Frame {
    /// The token that opened it; `None` for the statement.
    pub(super) opener: Option<usize>,
    pub(super) closer: Option<Kind>,
    pub(super) mode: Mode,
    pub(super) clause: Clause,
    pub(super) table: TableState,
    pub(super) call: Call,
    pub(super) element: Element,
    /// The scope of names in it now.
    pub(super) scope: ScopeId,
    /// The scope around it.
    pub(super) outer: ScopeId,
    /// The scope of the leading `WITH`, of this query or of a query in parentheses that it begins with.
    pub(super) leading: Option<ScopeId>,
    /// A set operator was read.
    pub(super) united: bool,
    /// The brackets are a later branch of a union whose leading `WITH` goes to the branches in them, too: that is `leading` then.
    pub(super) is_branch: bool,
    /// `FROM` was read in this branch.
    pub(super) has_from: bool,
    /// `SELECT` was read in this branch.
    pub(super) has_select: bool,
    /// A `from` that was taken for a column although the engine might take it for the clause: right if the clause still comes.
    pub(super) doubtful_from: Option<usize>,
    pub(super) recursive: bool,
    /// In the body of a recursive common table expression: the scope of the branches after the first.
    pub(super) later: Option<ScopeId>,
    /// How many commas were read at this level.
    pub(super) commas: u32,
    /// The number of the query that names in it belong to.
    pub(super) query: u32,
    /// The last table that was read here, by its index: it takes the alias, `FINAL`, `SAMPLE`.
    pub(super) last_table: Option<usize>,
    /// The tokens of the last table, query or table function that was read here: what its alias names.
    pub(super) last_relation: Option<Range<usize>>,
    /// Parameters of a lambda that reach to the next comma.
    pub(super) lambda_parameters: Vec<String>,
}

impl Frame {
    pub(super) fn statement() -> Self {
        Self {
            opener: None,
            closer: None,
            mode: Mode::Query,
            clause: Clause::Start,
            table: TableState::Expected,
            call: Call::None,
            element: Element::Start,
            scope: ROOT,
            outer: ROOT,
            leading: None,
            united: false,
            is_branch: false,
            has_from: false,
            has_select: false,
            doubtful_from: None,
            recursive: false,
            later: None,
            commas: 0,
            query: 0,
            last_table: None,
            last_relation: None,
            lambda_parameters: Vec::new(),
        }
    }

    pub(super) fn bracket(
        opener: usize,
        closer: Kind,
        mode: Mode,
        call: Call,
        around: &Self,
    ) -> Self {
        let scope = if call == Call::View {
            ROOT
        } else {
            around.scope
        };
        let groups = around.is_branch && around.opener == opener.checked_sub(1);
        let is_branch =
            around.clause == Clause::Start && around.leading.is_some() && (around.united || groups);
        Self {
            leading: around.leading.filter(|_| is_branch),
            is_branch,
            opener: Some(opener),
            closer: Some(closer),
            mode,
            call,
            scope,
            outer: scope,
            query: around.query,
            ..Self::statement()
        }
    }

    /// Whether the scan is among tables here.
    pub(super) fn in_tables(&self) -> bool {
        match self.mode {
            Mode::Query => self.clause == Clause::Tables,
            Mode::Tables => true,
            Mode::Expressions => false,
        }
    }
}
