//! `FROM` and its joins: tables, their aliases, and where one ends and the next begins.

use super::frame::{Call, TableState};
use super::keyword::Keyword;
use super::walk::{NamedRelation, Walk};
use crate::sql::identifier::unquote;
use crate::sql::lexer::Kind;
use crate::sql::reference::{Called, Position};

impl Walk<'_> {
    /// A table's name, or a call of a table function, where a table is expected.
    pub(super) fn table_name(&mut self, at: usize) -> usize {
        let chain = if self.kind(at) == Some(Kind::Text) {
            super::call::Chain {
                next: at + 1,
                parts: vec![unquote(self.text(at))],
                parameter: false,
            }
        } else if let Some(chain) = self.chain(at) {
            chain
        } else {
            self.operand = false;
            return at + 1;
        };
        let next = chain.next;
        let unites = matches!(
            self.keyword(at),
            Keyword::Union | Keyword::Except | Keyword::Intersect
        );
        let goes_on_as_query = matches!(
            self.keyword(next),
            Keyword::Select | Keyword::With | Keyword::From | Keyword::All | Keyword::Distinct
        ) || self.kind(next) == Some(Kind::OpenRound);
        if unites && goes_on_as_query {
            self.doubt_name(at);
        }
        let goes_on =
            self.is_name(next) || matches!(self.kind(next), Some(Kind::Text | Kind::OpenCurly));
        if self.keyword(at) == Keyword::From && next == at + 1 && goes_on {
            // `SELECT a * from FROM t`: the first was a column. Both names are reported.
            self.push_reference(at, next, chain.parts, false, Position::From);
            return next;
        }
        if self.kind(next) == Some(Kind::Dot) {
            self.doubt_name(at);
        }
        let is_describe = self.is_describe() && !self.top().has_from;
        if self.kind(next) == Some(Kind::OpenRound) {
            return self.table_function(at, next, &chain.parts);
        }
        let position = if is_describe {
            Position::Describe
        } else {
            Position::From
        };
        let is_parameter = self.kind(at) == Some(Kind::OpenCurly);
        self.record_parameters(at + usize::from(is_parameter), next);
        let index = self.push_reference(at, next, chain.parts, chain.parameter, position);
        let reference = &self.found[index].reference;
        if reference.database.is_some() {
            // The engine knows `database.name` as `name`, too.
            let key = (self.top().query, reference.name.clone());
            let named = NamedRelation {
                relation: at..next,
                table: Some(index),
            };
            self.relation_aliases.entry(key).or_insert(named);
        }
        let frame = self.top_mut();
        frame.last_relation = Some(at..next);
        frame.last_table = Some(index);
        frame.table = TableState::After;
        self.operand = false;
        next
    }

    fn table_function(&mut self, first: usize, bracket: usize, parts: &[String]) -> usize {
        let span = self.tokens[first].start as usize..self.tokens[bracket - 1].end as usize;
        let name = parts.join(".");
        self.call = match name.to_ascii_lowercase().as_str() {
            "view" => Call::View,
            _ => Call::Function,
        };
        self.scan.table_functions.push(Called { name, span });
        self.top_mut().last_relation = Some(first..bracket);
        bracket
    }

    /// A word after a table, or in the condition of a join. `None` if it has no meaning of its own there.
    pub(super) fn join_word(&mut self, at: usize, keyword: Keyword) -> Option<usize> {
        if self.operand {
            return None;
        }
        let state = self.top().table;
        match keyword {
            Keyword::Array if self.keyword(at + 1) == Keyword::Join => {
                self.top_mut().table = TableState::List;
                self.operand = true;
                Some(at + 2)
            }
            Keyword::Join => {
                let frame = self.top_mut();
                frame.table = TableState::Expected;
                frame.last_table = None;
                frame.last_relation = None;
                self.operand = true;
                Some(at + 1)
            }
            Keyword::Global if self.keyword(at + 1) == Keyword::In => None,
            Keyword::Global if self.keyword(at + 1) == Keyword::Not => None,
            _ if keyword.starts_join() => Some(at + 1),
            Keyword::On if state != TableState::Condition => {
                self.top_mut().table = TableState::Condition;
                self.operand = true;
                Some(at + 1)
            }
            Keyword::Using if state != TableState::Condition => {
                let listed = self.kind(at + 1) == Some(Kind::OpenRound);
                self.top_mut().table = if listed {
                    TableState::After
                } else {
                    TableState::List
                };
                self.top_mut().last_table = None;
                self.operand = true;
                Some(at + 1)
            }
            Keyword::As if state == TableState::After => Some(if self.is_name(at + 1) {
                self.table_alias(at + 1)
            } else {
                at + 1
            }),
            Keyword::Final if state == TableState::After => {
                let span = self.tokens[at].range();
                if let Some(index) = self.top().last_table {
                    self.found[index].reference.is_final = Some(span);
                }
                Some(at + 1)
            }
            Keyword::Sample if state == TableState::After => Some(self.sample(at)),
            _ => None,
        }
    }

    /// `PREWHERE` behind the one table of a query.
    pub(super) fn note_prewhere(&mut self, at: usize) {
        let frame = self.top();
        if !frame.in_tables() || frame.table != TableState::After {
            return;
        }
        let (Some(index), Some(relation)) = (frame.last_table, &frame.last_relation) else {
            return;
        };
        let before = relation.start.checked_sub(1);
        if before.is_some_and(|before| self.keyword(before) == Keyword::From) {
            self.found[index].reference.prewhere = Some(self.tokens[at].range());
        }
    }

    /// A table's alias.
    pub(super) fn table_alias(&mut self, at: usize) -> usize {
        let may_end = match self.kind(at + 1) {
            None | Some(Kind::Comma | Kind::CloseRound) => true,
            Some(Kind::Word) => {
                let next = self.keyword(at + 1);
                next.starts_join()
                    || next.starts_clause()
                    || matches!(next, Keyword::On | Keyword::Using | Keyword::Final)
            }
            Some(_) => false,
        };
        let is_plain = self.keyword_before(at) != Keyword::As;
        if self.keyword(at) == Keyword::Select && !may_end && is_plain {
            self.doubt_name(at);
        }
        let query = self.top().query;
        self.aliases.push((query, at));
        let alias = unquote(self.text(at));
        if self.kind(at + 1) == Some(Kind::OpenRound) && self.keyword_before(at) != Keyword::As {
            self.record_function(at);
        }
        let frame = self.top();
        let table = frame.last_table;
        if let Some(relation) = frame.last_relation.clone() {
            self.relation_aliases
                .insert((query, alias.clone()), NamedRelation { relation, table });
        }
        if let Some(index) = table {
            self.found[index].reference.alias.get_or_insert(alias);
        }
        self.operand = false;
        at + 1
    }

    /// `SAMPLE 0.1`, `SAMPLE 1/10 OFFSET 1/2`, with parameters in place of numbers.
    fn sample(&mut self, at: usize) -> usize {
        let mut next = self.ratio(at + 1);
        if self.keyword(next) == Keyword::Offset {
            let after = self.ratio(next + 1);
            // `SAMPLE 0.1 OFFSET 5` reads as part of the sample, as in the engine.
            next = after;
        }
        let span = self.tokens[at].start as usize..self.tokens[next - 1].end as usize;
        if let Some(index) = self.top().last_table {
            self.found[index].reference.sample = Some(span);
        }
        next
    }

    fn ratio(&mut self, at: usize) -> usize {
        let mut next = at;
        loop {
            next = match self.kind(next) {
                Some(Kind::Number) => next + 1,
                Some(Kind::OpenCurly) => match self.parameter(next) {
                    Some(after) => after,
                    None => return next,
                },
                Some(Kind::Operator) if next > at && self.text(next) == "/" => next + 1,
                _ => return next,
            };
        }
    }
}
