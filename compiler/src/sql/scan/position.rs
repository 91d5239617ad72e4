//! What a word can be, from what stands around it.

use super::StatementKind;
use super::frame::{Call, Clause, Mode, TableState};
use super::keyword::Keyword;
use super::walk::Walk;
use crate::sql::lexer::Kind;

impl Walk<'_> {
    /// A `JOIN` where the scan did not think to be among tables: it is followed all the same, rather one table too many.
    pub(super) fn starts_hidden_join(&self, at: usize, keyword: Keyword) -> bool {
        let frame = self.top();
        keyword == Keyword::Join
            && frame.mode == Mode::Query
            && frame.clause != Clause::Start
            && frame.in_tables() == self.operand
            && self.keyword_before(at) != Keyword::Array
            && self.starts_table(at + 1)
    }

    /// The bare word after a place.
    pub(super) fn next_word(&self, at: usize) -> &str {
        match self.kind(at + 1) {
            Some(Kind::Word) => self.text(at + 1),
            _ => "",
        }
    }

    /// Whether a place is the first in its bracket or statement.
    pub(super) fn is_first(&self, at: usize) -> bool {
        match self.top().opener {
            Some(opener) => at == opener + 1,
            None => at == 0,
        }
    }

    fn is_round_or_statement(&self) -> bool {
        matches!(self.top().closer, None | Some(Kind::CloseRound))
    }

    /// Whether what stands at a place can begin an operand or a table, so that the word before it is not itself one.
    pub(super) fn starts_operand(&self, at: usize) -> bool {
        match self.kind(at) {
            None
            | Some(
                Kind::Comma
                | Kind::CloseRound
                | Kind::CloseSquare
                | Kind::CloseCurly
                | Kind::Dot
                | Kind::Equals
                | Kind::DoubleColon
                | Kind::Arrow
                | Kind::Colon
                | Kind::Semicolon,
            ) => false,
            Some(Kind::Operator) => matches!(self.text(at), "-" | "+" | "\u{2212}"),
            Some(Kind::Word) => !matches!(
                self.keyword(at),
                Keyword::As
                    | Keyword::Is
                    | Keyword::In
                    | Keyword::Like
                    | Keyword::Ilike
                    | Keyword::And
                    | Keyword::Or
                    | Keyword::Between
                    | Keyword::Regexp
                    | Keyword::From
                    | Keyword::Then
                    | Keyword::Else
                    | Keyword::End
                    | Keyword::Asc
                    | Keyword::Desc
            ),
            Some(_) => true,
        }
    }

    pub(super) fn starts_select(&self, at: usize) -> bool {
        if !self.is_round_or_statement() {
            return false;
        }
        let frame = self.top();
        let certain = match (frame.mode, frame.clause) {
            // A table may be called `select`, and so may its alias.
            (Mode::Query, Clause::Tables) if frame.table == TableState::Expected => {
                return self.is_describe() && !frame.has_from;
            }
            (Mode::Query, Clause::Tables) if frame.has_select => return false,
            (Mode::Tables, _) => return self.is_first(at),
            (Mode::Expressions, _) if self.is_first(at) => return self.starts_bracket(at + 1),
            (Mode::Query, Clause::Start) => true,
            (Mode::Query, Clause::Tables | Clause::With) => !self.operand,
            _ => false,
        };
        certain || (self.starts_operand(at + 1) && !self.is_alias(at))
    }

    /// Whether a query can go on like this after the `SELECT` that opens a bracket; else that is a column: `(select, b)`.
    fn starts_bracket(&self, at: usize) -> bool {
        match self.kind(at) {
            Some(Kind::Word) => true,
            _ => self.starts_operand(at),
        }
    }

    /// The statement is `DESCRIBE`, and the place is not inside of brackets.
    pub(super) fn is_describe(&self) -> bool {
        self.scan.kind == StatementKind::Describe && self.stack.len() == 1
    }

    /// After `AS`, every word is a name.
    fn is_alias(&self, at: usize) -> bool {
        self.keyword_before(at) == Keyword::As && !self.is_first(at)
    }

    pub(super) fn starts_with(&self, at: usize) -> bool {
        let frame = self.top();
        if frame.mode == Mode::Query && frame.clause == Clause::Start {
            return true;
        }
        self.is_round_or_statement() && self.is_first(at) && self.starts_operand(at + 1)
    }

    /// Whether what stands at a place can only follow an operand, and begins no table.
    pub(super) fn goes_on_as_operand(&self, at: usize) -> bool {
        matches!(
            self.kind(at),
            Some(
                Kind::Operator
                    | Kind::Comma
                    | Kind::Arrow
                    | Kind::Equals
                    | Kind::DoubleColon
                    | Kind::CloseRound
                    | Kind::CloseSquare
            )
        )
    }

    /// The last word of `IS [NOT] DISTINCT FROM`.
    pub(super) fn compares(&self, at: usize) -> bool {
        if self.keyword_before(at) != Keyword::Distinct {
            return false;
        }
        let negated = usize::from(self.keyword_before(at - 1) == Keyword::Not);
        let Some(is) = (at - 1).checked_sub(1 + negated) else {
            return false;
        };
        // Without something to compare, the words are names.
        let compared = is.checked_sub(1).is_some_and(|before| {
            let is_value = self.kind(before).is_some_and(Kind::ends_value);
            let is_name = self.kind(before) == Some(Kind::Word)
                && matches!(
                    self.keyword(before),
                    Keyword::None | Keyword::End | Keyword::Null
                );
            is_value || is_name
        });
        self.keyword(is) == Keyword::Is && compared
    }

    pub(super) fn starts_from(&self, at: usize) -> bool {
        let frame = self.top();
        if frame.mode != Mode::Query {
            return frame.closer == Some(Kind::CloseRound)
                && self.is_first(at)
                && self.starts_table(at + 1);
        }
        match frame.clause {
            Clause::Start => true,
            Clause::With | Clause::Select => {
                !self.operand || (!frame.has_from && self.starts_table(at + 1))
            }
            // `WITH FILL FROM 1` is no clause; but where no table was read yet, rather one too many.
            Clause::Settings | Clause::Other => {
                !frame.has_from
                    && !self.operand
                    && !at
                        .checked_sub(1)
                        .is_some_and(|before| self.text(before).eq_ignore_ascii_case("fill"))
            }
            // Where the `FROM` before it was a column after all: `SELECT a * from b FROM t`.
            Clause::Tables => !self.operand,
        }
    }

    /// Whether a table can begin at a place.
    fn starts_table(&self, at: usize) -> bool {
        matches!(
            self.kind(at),
            Some(Kind::Word | Kind::QuotedName | Kind::Text | Kind::OpenRound | Kind::OpenCurly)
        ) && self.starts_operand(at)
    }

    pub(super) fn unites(&self, at: usize) -> bool {
        if self.operand || !self.is_round_or_statement() {
            return false;
        }
        let next = at
            + 1
            + usize::from(matches!(
                self.keyword(at + 1),
                Keyword::All | Keyword::Distinct
            ));
        match self.keyword(next) {
            Keyword::Select | Keyword::With | Keyword::From => true,
            _ if self.keyword(at) != Keyword::Except => true,
            // `* EXCEPT (column)` against `… EXCEPT (SELECT …)`.
            _ => {
                let mut inner = next;
                while self.kind(inner) == Some(Kind::OpenRound) {
                    inner += 1;
                }
                inner > next
                    && matches!(
                        self.keyword(inner),
                        Keyword::Select | Keyword::With | Keyword::From
                    )
            }
        }
    }

    pub(super) fn starts_settings(&self, at: usize) -> bool {
        if self.is_alias(at) || !self.is_name(at + 1) {
            return false;
        }
        let mut after = at + 2;
        while self.kind(after) == Some(Kind::Dot) && self.is_name(after + 1) {
            after += 2;
        }
        let assigns = self.kind(after) == Some(Kind::Equals);
        assigns || (!self.operand && self.top().mode == Mode::Query)
    }

    /// The number that a token is, if it is a whole one.
    pub(super) fn whole(&self, at: usize) -> Option<u64> {
        (self.kind(at) == Some(Kind::Number)).then(|| self.text(at).parse().ok())?
    }

    pub(super) fn starts_format(&self, at: usize) -> bool {
        self.stack.len() == 1
            && !self.operand
            && self.top().mode == Mode::Query
            && self.is_name(at + 1)
            && (self.kind(at + 2).is_none()
                || matches!(
                    self.keyword(at + 2),
                    Keyword::Settings | Keyword::Into | Keyword::Format
                ))
    }

    /// `NOT in(x, set)`: nothing stands before the `NOT` that the operator could be about.
    pub(super) fn is_negated_call(&self, at: usize) -> bool {
        self.keyword_before(at) == Keyword::Not
            && self.kind(at + 1) == Some(Kind::OpenRound)
            && !at
                .checked_sub(2)
                .is_some_and(|before| self.ends_value(before))
    }

    /// Whether what stands at a place ends a value, which an operator behind it is about.
    pub(super) fn ends_value(&self, at: usize) -> bool {
        self.kind(at).is_some_and(Kind::ends_value)
            || (self.kind(at) == Some(Kind::Word)
                && matches!(
                    self.keyword(at),
                    Keyword::None | Keyword::End | Keyword::Null
                ))
    }

    /// A name alone as the first of several arguments of a function like `arrayMap`, perhaps with an alias: the engine takes a function's name there.
    pub(super) fn is_passed_function(&self, at: usize) -> bool {
        let frame = self.top();
        if frame.call != Call::HigherOrder || frame.commas > 0 || !self.is_first(at) {
            return false;
        }
        if self.is_name(at + 1) {
            return true;
        }
        // Parentheses around the name alone come between it and the comma.
        let groups = self
            .stack
            .iter()
            .rev()
            .take_while(|frame| {
                let opener = frame.opener.unwrap_or(0);
                frame.call == Call::HigherOrder && !self.is_name(opener.saturating_sub(1))
            })
            .count();
        let after = at + 1 + groups;
        (at + 1..after).all(|close| self.kind(close) == Some(Kind::CloseRound))
            && (self.kind(after) == Some(Kind::Comma) || self.is_name(after))
    }
}
