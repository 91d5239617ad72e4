//! What a word means where it stands: the start of a clause, an operator, or a name.
//!
//! ClickHouse reserves almost no word: `SELECT from FROM t`, `SELECT limit, format FROM t` are fine. The rule that follows the engine is the position: where an
//! operand is expected a keyword is a name, unless what comes after it makes that impossible.

use super::StatementKind;
use super::frame::{Call, Clause, Element, Mode, TableState};
use super::keyword::Keyword;
use super::walk::Walk;
use super::{Clause as EndClause, CommonTable};
use crate::sql::identifier::unquote;
use crate::sql::lexer::Kind;
use crate::sql::reference::Setting;

/// What follows `FETCH`; without it that is a name.
fn matches_row_word(word: &str) -> bool {
    word.eq_ignore_ascii_case("first") || word.eq_ignore_ascii_case("next")
}

impl Walk<'_> {
    /// Reads a bare word.
    pub(super) fn word(&mut self, at: usize) -> usize {
        let keyword = self.keyword(at);
        if keyword == Keyword::None {
            return self.name(at);
        }
        if let Some(next) = self.query_word(at, keyword) {
            return next;
        }
        let frame = self.top();
        if frame.in_tables() && frame.table == TableState::Expected {
            return self.name(at);
        }
        if self.starts_hidden_join(at, keyword) {
            let frame = self.top_mut();
            frame.clause = Clause::Tables;
            frame.table = TableState::After;
            self.operand = false;
        }
        if self.top().in_tables() {
            if let Some(next) = self.join_word(at, keyword) {
                return next;
            }
            if self.top().table == TableState::After && !self.operand {
                // The engine takes many a keyword for an alias: `FROM a BY JOIN b`.
                return self.name(at);
            }
        }
        if keyword == Keyword::From && self.operand && !self.goes_on_as_operand(at + 1) {
            let frame = self.top_mut();
            frame.doubtful_from.get_or_insert(at);
        }
        self.operator_word(at, keyword)
    }

    /// Words that begin a query or one of its clauses.
    fn query_word(&mut self, at: usize, keyword: Keyword) -> Option<usize> {
        match keyword {
            Keyword::Select if self.starts_select(at) => Some(self.select(at)),
            Keyword::With if self.starts_with(at) => {
                self.become_query();
                Some(self.with_clause(at))
            }
            Keyword::From if self.compares(at) => {
                self.operand = true;
                Some(at + 1)
            }
            Keyword::From if self.starts_from(at) => {
                self.become_query();
                self.forget_lambda();
                let frame = self.top_mut();
                frame.clause = Clause::Tables;
                frame.table = TableState::Expected;
                frame.has_from = true;
                self.operand = true;
                Some(at + 1)
            }
            Keyword::Explain if self.is_first(at) && self.starts_operand(at + 1) => {
                self.scan.explained.get_or_insert(self.tokens[at].range());
                self.operand = true;
                // The kind of explanation is no operand: the query comes next.
                let is_word = self.kind(at + 1) == Some(Kind::Word);
                Some(at + 1 + usize::from(is_word && self.keyword(at + 1) == Keyword::None))
            }
            Keyword::Union | Keyword::Except | Keyword::Intersect if self.unites(at) => {
                Some(self.unite(at))
            }
            Keyword::Settings if self.starts_settings(at) => {
                self.top_mut().clause = Clause::Settings;
                Some(self.setting(at + 1))
            }
            Keyword::Format if self.starts_format(at) => {
                let span = self.tokens[at].start as usize..self.tokens[at + 1].end as usize;
                let format = EndClause {
                    name: unquote(self.text(at + 1)),
                    span,
                };
                if let Some(earlier) = self.scan.format.replace(format) {
                    self.scan.earlier_format.get_or_insert(earlier.span);
                }
                self.operand = false;
                Some(at + 2)
            }
            Keyword::Into if self.keyword(at + 1) == Keyword::Outfile => {
                let span = self.tokens[at].start as usize..self.tokens[at + 1].end as usize;
                self.scan.into_outfile.get_or_insert(span);
                self.operand = true;
                Some(at + 2)
            }
            Keyword::Insert if self.keyword(at + 1) == Keyword::Into => {
                self.refuse_kind(at, "INSERT");
                Some(at + 2)
            }
            Keyword::Parallel if !self.operand && self.keyword(at + 1) == Keyword::With => {
                self.refuse_kind(at, "PARALLEL WITH");
                Some(at + 2)
            }
            Keyword::With if !self.operand && self.top().in_tables() => {
                // `FROM t WITH TOTALS`
                self.top_mut().clause = Clause::Other;
                Some(at + 1)
            }
            Keyword::Fetch if !matches_row_word(self.next_word(at)) => None,
            _ if !self.operand && keyword.starts_clause() && self.top().mode == Mode::Query => {
                if keyword == Keyword::Prewhere {
                    self.note_prewhere(at);
                }
                self.forget_lambda();
                self.top_mut().clause = Clause::Other;
                self.operand = keyword.wants_operand();
                Some(at + 1)
            }
            _ => None,
        }
    }

    fn refuse_kind(&mut self, at: usize, word: &str) {
        self.scan.kind = StatementKind::Other(word.to_owned());
        self.scan.kind_span = self.tokens[at].range();
        self.operand = true;
    }

    fn select(&mut self, at: usize) -> usize {
        self.forget_lambda();
        self.become_query();
        let frame = self.top_mut();
        frame.clause = Clause::Select;
        frame.has_select = true;
        if let Some(doubtful) = frame.doubtful_from {
            self.doubt_name(doubtful);
        }
        self.operand = true;
        // `DISTINCT ON (…)` names columns, not a call.
        if self.keyword(at + 1) == Keyword::Distinct && self.keyword(at + 2) == Keyword::On {
            return at + 3;
        }
        at + 1
    }

    /// Turns the bracket at the top into a query.
    fn become_query(&mut self) {
        if self.top().mode != Mode::Query || self.top().query == 0 {
            let around = self.top().query;
            let query = self.queries.open(around, self.is_read_by_around());
            let frame = self.top_mut();
            frame.mode = Mode::Query;
            frame.query = query;
        }
    }

    /// Whether the query in the bracket at the top stands where the one around it has its tables, or names what it may read.
    fn is_read_by_around(&self) -> bool {
        let around = self.stack.iter().rev().nth(1);
        around.is_some_and(|around| {
            let is_table = around.in_tables() && around.table != TableState::Condition;
            is_table || around.clause == Clause::With || self.top().call == Call::View
        })
    }

    fn unite(&mut self, at: usize) -> usize {
        self.end_branch();
        self.forget_lambda();
        let query = self.queries.unite(self.top().query);
        let (later, leading) = (self.top().later, self.top().leading);
        let moved = later
            .zip(leading)
            .map(|(later, leading)| self.scopes.moved(leading, later));
        let frame = self.top_mut();
        if let Some(later) = frame.later.take() {
            frame.outer = later;
            frame.leading = moved;
        }
        frame.mode = Mode::Query;
        frame.clause = Clause::Start;
        frame.united = true;
        frame.has_from = false;
        frame.has_select = false;
        frame.doubtful_from = None;
        frame.query = query;
        frame.scope = frame.leading.unwrap_or(frame.outer);
        self.operand = true;
        at + 1
            + usize::from(matches!(
                self.keyword(at + 1),
                Keyword::All | Keyword::Distinct
            ))
    }

    /// Reads the name of a setting.
    pub(super) fn setting(&mut self, at: usize) -> usize {
        if !self.is_name(at) {
            return at;
        }
        let mut last = at;
        while self.kind(last + 1) == Some(Kind::Dot) && self.is_name(last + 2) {
            last += 2;
        }
        let span = self.tokens[at].start as usize..self.tokens[last].end as usize;
        let mut name = unquote(self.text(at));
        for part in (at + 2..=last).step_by(2) {
            name.push('.');
            name.push_str(&unquote(self.text(part)));
        }
        let value = (self.kind(last + 1) == Some(Kind::Equals)).then(|| self.whole(last + 2));
        let value = value.flatten();
        self.scan.settings.push(Setting { name, value, span });
        self.operand = false;
        last + 1
    }

    /// Words inside expressions.
    fn operator_word(&mut self, at: usize, keyword: Keyword) -> usize {
        match keyword {
            Keyword::As if !self.operand => self.alias(at),
            Keyword::In
                if !self.operand
                    || matches!(self.keyword_before(at), Keyword::Not | Keyword::Global) =>
            {
                if self.is_negated_call(at) {
                    return self.function(at, at);
                }
                self.after_in(at + 1)
            }
            Keyword::Apply if !self.operand => self.apply(at + 1),
            Keyword::Not | Keyword::Case | Keyword::Interval | Keyword::Distinct
                if self.operand =>
            {
                if self.kind(at + 1) == Some(Kind::OpenRound) || self.starts_operand(at + 1) {
                    self.element_is_expression();
                    at + 1
                } else {
                    self.name(at)
                }
            }
            // `NOT IN`: the operator follows.
            Keyword::Not if self.operand => at + 1,
            _ if self.operand => self.name(at),
            _ => {
                self.element_is_expression();
                self.operand = keyword.wants_operand();
                if keyword == Keyword::Is || keyword == Keyword::Desc || keyword == Keyword::Asc {
                    self.operand = false;
                }
                at + 1
            }
        }
    }

    /// `AS name`, or the body of a common table expression. Returns the place after the name.
    fn alias(&mut self, at: usize) -> usize {
        let frame = self.top();
        if frame.mode == Mode::Query && frame.clause == Clause::With {
            if let Some(next) = self.common_table_after(at) {
                return next;
            }
            if self.is_name(at + 1) {
                let name = unquote(self.text(at + 1));
                let scope = self.top().scope;
                self.scopes.define(scope, &name, false);
                self.scan.common_tables.push(CommonTable {
                    name,
                    span: self.tokens[at + 1].range(),
                    is_table: false,
                    bracket: None,
                    recursive: false,
                });
            }
        }
        if let Some(doubtful) = self.top().doubtful_from
            && self.keyword(at + 1) == Keyword::Select
        {
            self.doubt_name(doubtful);
        }
        self.element_is_expression();
        self.forget_lambda();
        self.operand = false;
        if !self.is_name(at + 1) {
            return at + 1;
        }
        // `INTERPOLATE (x AS f(x))`: an expression. `CAST(x AS Array(String))`: a type, which does no harm as a call.
        if self.kind(at + 2) == Some(Kind::OpenRound) {
            return self.function(at + 1, at + 1);
        }
        if self.top().call != Call::Defining {
            let query = self.top().query;
            self.aliases.push((query, at + 1));
        }
        at + 2
    }

    /// `name [(columns)] AS [MATERIALIZED] (`: defines the name; the bracket is opened by the caller's next step through [`Walk::common_table`].
    fn common_table_after(&mut self, at: usize) -> Option<usize> {
        let name = match self.top().element {
            Element::Name(name) | Element::NameAndList(name) => name,
            Element::Start | Element::Expression => return None,
        };
        let mut bracket = at + 1;
        if self.keyword(bracket) == Keyword::Not {
            bracket += 1;
        }
        if self.keyword(bracket) == Keyword::Materialized {
            bracket += 1;
        }
        (self.kind(bracket) == Some(Kind::OpenRound))
            .then(|| self.common_table(name, bracket).ok())
            .flatten()
    }

    /// A name where an expression stands: a column, a function, an alias.
    pub(super) fn name(&mut self, at: usize) -> usize {
        if self.top().in_tables() && self.top().table == TableState::Expected {
            return self.table_name(at);
        }
        if self.top().in_tables() && self.top().table == TableState::After && !self.operand {
            return self.table_alias(at);
        }
        if !self.operand {
            // An alias without AS, or a word of a longer construct, as the window in `OVER w` is.
            let frame = self.top();
            let is_listed =
                frame.mode == Mode::Query && matches!(frame.clause, Clause::Select | Clause::With);
            let is_window = at
                .checked_sub(1)
                .is_some_and(|before| self.text(before).eq_ignore_ascii_case("over"));
            if is_listed && !is_window {
                self.aliases.push((frame.query, at));
            }
        }
        let mut last = at;
        while self.kind(last + 1) == Some(Kind::Dot) && self.is_name(last + 2) {
            last += 2;
        }
        let single = last == at;
        let frame = self.top_mut();
        frame.element = if frame.element == Element::Start && single {
            Element::Name(at)
        } else {
            Element::Expression
        };
        self.operand = false;
        if self.kind(last + 1) == Some(Kind::OpenRound) {
            return self.function(at, last);
        }
        if single && self.is_passed_function(at) {
            self.record_function(at);
        }
        last + 1
    }
}
