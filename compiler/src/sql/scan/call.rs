//! Names that are called, and functions whose arguments name tables or dictionaries.

use std::collections::HashSet;

use super::frame::Call;
use super::keyword::Keyword;
use super::walk::{Found, Walk};
use crate::sql::identifier::unquote;
use crate::sql::lexer::Kind;
use crate::sql::reference::{Called, Position, TableReference};

/// A possibly qualified name: where it ends, and what it says.
pub(super) struct Chain {
    /// The place after it.
    pub(super) next: usize,
    pub(super) parts: Vec<String>,
    pub(super) parameter: bool,
}

/// Most names are shorter, and need not be looked at.
const SHORTEST_WITHOUT_BRACKETS: usize = "currentuser".len();

/// Functions that name the engine's user and database, and need no brackets.
const WITHOUT_BRACKETS: &[&str] = &[
    "current_database",
    "current_user",
    "currentdatabase",
    "currentuser",
    "session_user",
];

/// Words that no value ends with, beside the keywords.
const OPERATORS: &[&str] = &[
    "ALL", "ANY", "BOTH", "CASE", "DISTINCT", "DIV", "ELSE", "ESCAPE", "ILIKE", "INTERVAL",
    "LEADING", "LIKE", "LIMIT", "MOD", "OFFSET", "ON", "OR", "REGEXP", "THEN", "TIES", "TOP",
    "TRAILING", "WHEN", "XOR",
];

impl Walk<'_> {
    /// A call: `first..=last` are the tokens of the (possibly qualified) name; an opening bracket follows.
    pub(super) fn function(&mut self, first: usize, last: usize) -> usize {
        let name = unquote(self.text(last)).to_ascii_lowercase();
        let is_operator = first == last
            && matches!(
                self.keyword(first),
                Keyword::And | Keyword::Or | Keyword::Not | Keyword::In
            )
            && name != "in";
        if !is_operator {
            self.record_function(last);
        }
        self.call = match name.as_str() {
            "position" | "locate" => Call::Position,
            "in"
            | "notin"
            | "globalin"
            | "globalnotin"
            | "nullin"
            | "notnullin"
            | "globalnullin"
            | "globalnotnullin"
            | "inignoreset"
            | "notinignoreset"
            | "globalinignoreset"
            | "globalnotinignoreset"
            | "nullinignoreset"
            | "notnullinignoreset"
            | "globalnullinignoreset"
            | "globalnotnullinignoreset" => Call::InFunction,
            _ if name.starts_with("dictget") || name == "dicthas" || name == "dictisin" => {
                self.named_argument(last + 2, Position::Dictionary);
                Call::Function
            }
            _ if name.starts_with("joinget") => {
                self.named_argument(last + 2, Position::JoinGet);
                Call::Function
            }
            "replace" | "interpolate" => Call::Defining,
            _ if name.ends_with("cast") => Call::Defining,
            _ if name.starts_with("array") || name.starts_with("map") => Call::HigherOrder,
            _ => Call::Function,
        };
        last + 1
    }

    /// The first argument of `dictGet` or `joinGet`.
    fn named_argument(&mut self, at: usize, position: Position) {
        let single_text = self.kind(at) == Some(Kind::Text);
        let (next, parts, parameter) = if single_text {
            let value = unquote(self.text(at));
            let parts = match value.split_once('.') {
                Some((database, name)) => vec![database.to_owned(), name.to_owned()],
                None => vec![value],
            };
            (at + 1, parts, false)
        } else if let Some(chain) = self.chain(at) {
            (chain.next, chain.parts, chain.parameter)
        } else {
            (at, Vec::new(), false)
        };
        let ends = matches!(self.kind(next), Some(Kind::Comma | Kind::CloseRound));
        if parts.is_empty() || parts.len() > 2 || !ends {
            if let Some(token) = self.tokens.get(at) {
                self.scan.dynamic_dictionaries.push(token.range());
            }
            return;
        }
        self.push_reference(at, next, parts, parameter, position);
    }

    /// A name with its dots, parts of which may be `{…:Identifier}` parameters. Does not record the parameters.
    pub(super) fn chain(&self, at: usize) -> Option<Chain> {
        let mut parts = Vec::new();
        let mut parameter = false;
        let mut next = at;
        loop {
            if self.is_name(next) {
                parts.push(unquote(self.text(next)));
                next += 1;
            } else if let Some((end, _)) = self.parameter_end(next) {
                let start = self.tokens[next].start as usize;
                parts.push(self.sql[start..self.tokens[end].end as usize].to_owned());
                parameter = true;
                next = end + 1;
            } else {
                return None;
            }
            if self.kind(next) == Some(Kind::Dot)
                && (self.is_name(next + 1) || self.kind(next + 1) == Some(Kind::OpenCurly))
            {
                next += 1;
            } else {
                return Some(Chain {
                    next,
                    parts,
                    parameter,
                });
            }
        }
    }

    /// Records a reference to the tokens `first..next` and returns its index among the references found so far.
    pub(super) fn push_reference(
        &mut self,
        first: usize,
        next: usize,
        mut parts: Vec<String>,
        parameter: bool,
        position: Position,
    ) -> usize {
        let span = self.tokens[first].start as usize..self.tokens[next - 1].end as usize;
        let name = parts.pop().unwrap_or_default();
        let database = (!parts.is_empty()).then(|| parts.join("."));
        let (scope, query) = (self.top().scope, self.top().query);
        self.found.push(Found {
            reference: TableReference {
                span,
                database,
                name,
                position,
                alias: None,
                is_final: None,
                sample: None,
                prewhere: None,
                parameter,
                is_literal: self.kind(first) == Some(Kind::Text),
                scope,
                query,
            },
            query,
        });
        self.found.len() - 1
    }

    /// The right side of the operator `IN`. Returns the place to read on at.
    pub(super) fn after_in(&mut self, at: usize) -> usize {
        self.operand = true;
        let at = self.past_signs(at);
        if self.kind(at) == Some(Kind::OpenRound) {
            self.call = Call::InList;
            return at;
        }
        if self.keyword(at) == Keyword::Select {
            return at;
        }
        let Some(chain) = self.chain(at) else {
            return at;
        };
        let is_value = matches!(
            self.kind(chain.next),
            Some(
                Kind::OpenRound
                    | Kind::OpenSquare
                    | Kind::Dot
                    | Kind::DoubleColon
                    | Kind::Arrow
                    | Kind::Text
            )
        );
        if is_value || chain.parts.len() > 2 {
            return at;
        }
        // `POSITION(x IN y)` looks for x in the column y.
        if self.top().call == Call::Position && self.kind(chain.next) == Some(Kind::CloseRound) {
            return at;
        }
        self.in_name(at, chain)
    }

    fn in_name(&mut self, at: usize, chain: Chain) -> usize {
        let next = chain.next;
        let bare = chain.parts.len() == 1 && !chain.parameter;
        let is_word = bare && matches!(self.keyword(at), Keyword::Null | Keyword::Case);
        let is_lambda = !chain.parameter
            && self
                .lambda_parameters
                .get(&chain.parts[0])
                .is_some_and(|count| *count > 0);
        if is_word || is_lambda {
            return at;
        }
        if chain.parameter {
            self.record_parameters(at, next);
        }
        self.push_reference(at, next, chain.parts, chain.parameter, Position::In);
        self.operand = false;
        next
    }

    /// Records the parameters among some tokens.
    pub(super) fn record_parameters(&mut self, from: usize, to: usize) {
        for at in from..to {
            if self.kind(at) == Some(Kind::OpenCurly) {
                self.parameter(at);
            }
        }
    }

    /// Inside the bracket after `IN`: one name alone is a table, as without the bracket.
    pub(super) fn in_list(&mut self, at: usize) -> usize {
        self.only_name(at)
    }

    /// The second argument of `in(x, table)`.
    pub(super) fn in_argument(&mut self, at: usize) -> usize {
        self.only_name(at)
    }

    /// The last of two elements of a list right of an `in`. Behind some words the engine takes that for a function, and the element for a table: `DISTINCT in(x, set)`.
    pub(super) fn doubt_last(&mut self, at: usize) {
        if self
            .top()
            .opener
            .is_some_and(|opener| self.is_about_name(opener))
        {
            return;
        }
        let mut first = self.past_signs(at);
        while self.kind(first) == Some(Kind::OpenRound) {
            first = self.past_signs(first + 1);
        }
        let Some(chain) = self.chain(first) else {
            return;
        };
        let ends = self.kind(self.past_alias(chain.next)) == Some(Kind::CloseRound);
        if !ends || chain.parts.len() > 2 || chain.parameter {
            return;
        }
        let found = self.push_reference(first, chain.next, chain.parts, false, Position::In);
        let found = self.found.remove(found);
        self.doubtful.push(found.reference);
    }

    /// Whether a name stands before the `IN` of a list, so that it is the operator for sure.
    fn is_about_name(&self, opener: usize) -> bool {
        let Some(mut at) = opener.checked_sub(2) else {
            return false;
        };
        while matches!(self.keyword(at), Keyword::Not | Keyword::Global) && at > 0 {
            at -= 1;
        }
        match self.kind(at) {
            Some(Kind::QuotedName) => true,
            Some(Kind::Word) => {
                let mut operators = OPERATORS.iter();
                self.keyword(at) == Keyword::None
                    && !operators.any(|word| self.text(at).eq_ignore_ascii_case(word))
                    && self.begins_operand(at)
            }
            _ => false,
        }
    }

    /// Whether what stands before a place asks for an operand there, so that a word is a name. Behind a value it may be a word of the engine's: `* REPLACE in(…)`,
    /// `substring(a FROM 1 FOR in(…))`.
    fn begins_operand(&self, at: usize) -> bool {
        let Some(before) = at.checked_sub(1) else {
            return false;
        };
        match self.kind(before) {
            // What a star stands behind tells a product from all columns.
            Some(Kind::Operator | Kind::Asterisk) if self.text(before) == "*" => before
                .checked_sub(1)
                .is_some_and(|left| self.ends_value(left)),
            Some(
                Kind::Comma
                | Kind::OpenRound
                | Kind::OpenSquare
                | Kind::Dot
                | Kind::Equals
                | Kind::Operator,
            ) => true,
            Some(Kind::Word) => matches!(
                self.keyword(before),
                Keyword::And
                    | Keyword::By
                    | Keyword::Case
                    | Keyword::Distinct
                    | Keyword::Else
                    | Keyword::Having
                    | Keyword::Not
                    | Keyword::On
                    | Keyword::Or
                    | Keyword::Prewhere
                    | Keyword::Select
                    | Keyword::Then
                    | Keyword::When
                    | Keyword::Where
            ),
            _ => false,
        }
    }

    /// The place behind signs that change nothing, and that the engine leaves out: `IN + (+set)`.
    fn past_signs(&self, mut at: usize) -> usize {
        while self.kind(at) == Some(Kind::Operator) && self.text(at) == "+" {
            at += 1;
        }
        at
    }

    fn only_name(&mut self, at: usize) -> usize {
        let at = self.past_signs(at);
        if self.kind(at) == Some(Kind::OpenRound) {
            self.call = Call::InList;
            return at;
        }
        match self.chain(at) {
            Some(chain)
                if self.kind(self.past_alias(chain.next)) == Some(Kind::CloseRound)
                    && chain.parts.len() <= 2 =>
            {
                self.in_name(at, chain)
            }
            _ => at,
        }
    }

    /// The place behind an alias, where one stands at a place.
    fn past_alias(&self, at: usize) -> usize {
        let named = at + usize::from(self.keyword(at) == Keyword::As);
        if self.is_name(named) { named + 1 } else { at }
    }

    /// Whether a token is a function that the engine calls without brackets, where nothing else has the name. `user`, `database` and `schema` are such, too, but more
    /// often names of columns.
    fn calls_without_brackets(&self, at: usize) -> bool {
        let is_part = |at: usize| matches!(self.kind(at), Some(Kind::Dot | Kind::OpenRound));
        self.is_name(at)
            && !is_part(at + 1)
            && (at == 0 || !is_part(at - 1) || self.kind(at - 1) == Some(Kind::OpenRound))
            && (at == 0 || self.keyword(at - 1) != Keyword::As)
            && self.text(at).len() >= SHORTEST_WITHOUT_BRACKETS
            && {
                let written = unquote(self.text(at));
                let mut names = WITHOUT_BRACKETS.iter();
                names.any(|name| written.eq_ignore_ascii_case(name))
            }
    }

    /// Notes names before brackets that the walk took for something else than calls, and calls without brackets.
    pub(super) fn note_openers(&mut self) {
        let known = self.scan.functions.iter().chain(&self.scan.table_functions);
        let known: HashSet<usize> = known.map(|called| called.span.start).collect();
        let opens = |at: &usize| {
            self.is_name(*at)
                && self.kind(at + 1) == Some(Kind::OpenRound)
                && !known.contains(&(self.tokens[*at].start as usize))
        };
        let calls = |at: &usize| opens(at) || self.calls_without_brackets(*at);
        let openers = (0..self.tokens.len()).filter(calls).map(|at| Called {
            name: unquote(self.text(at)),
            span: self.tokens[at].range(),
        });
        self.scan.openers = openers.collect();
    }

    /// What `APPLY` applies: a function by its name, or a lambda.
    pub(super) fn apply(&mut self, at: usize) -> usize {
        let inside = usize::from(self.kind(at) == Some(Kind::OpenRound));
        let name = at + inside;
        let is_lambda = self.kind(name + 1) == Some(Kind::Arrow);
        if self.is_name(name) && !is_lambda && self.keyword(name) != Keyword::From {
            self.record_function(name);
        }
        self.operand = true;
        at
    }
}
