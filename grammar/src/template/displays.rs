//! What stands between brackets and braces: tuples, lists, sets, dictionaries and comprehensions.

use pest::iterators::Pair;

use super::expression::{Builder, Built, above, first};
use super::grammar::Rule;
use super::tree::{Clause, Collector, Expr, ExprKind};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;

impl Builder {
    /// What stands between round or square brackets.
    pub(super) fn contents(
        &self,
        span: Span,
        pair: Pair<'_, Rule>,
        collector: Option<Collector>,
    ) -> Built<Expr> {
        let mut items = Vec::new();
        let mut clauses = Vec::new();
        let mut comma = false;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::comma => comma = true,
                Rule::comprehension => clauses.push(self.clause(part)?),
                _ => items.push(self.expression(part)?),
            }
        }
        if !clauses.is_empty() {
            let collector = collector.unwrap_or(Collector::Generator);
            return Self::comprehension(span, collector, items.remove(0), None, clauses);
        }
        if collector.is_none() && items.len() == 1 && !comma {
            return Ok(items.remove(0));
        }
        let height = above(items.iter());
        let kind = match collector {
            Some(_) => ExprKind::List(items),
            None => ExprKind::Tuple(items),
        };
        Self::make(span, kind, height)
    }

    /// A dictionary or a set.
    pub(super) fn braces(&self, pair: Pair<'_, Rule>) -> Built<Expr> {
        let span = self.span(&pair);
        let mut entries: Vec<(Option<Expr>, Expr)> = Vec::new();
        let mut clauses = Vec::new();
        let mut is_set = false;
        for part in pair.into_inner() {
            if part.as_rule() == Rule::comprehension {
                clauses.push(self.clause(part)?);
                continue;
            }
            let mut parts = part.into_inner();
            let one = parts.next().expect("invariant: an entry has a part");
            if one.as_rule() == Rule::double_starred {
                entries.push((None, self.expression(first(one.into_inner()))?));
                continue;
            }
            let one = self.expression(one)?;
            if let Some(value) = parts.next() {
                entries.push((Some(one), self.expression(value)?));
            } else {
                is_set = true;
                entries.push((None, one));
            }
        }
        if is_set && entries.iter().any(|(key, _)| key.is_some()) {
            return Err(Box::new(
                Diagnostic::error(
                    Code::TEMPLATE_EXPRESSION,
                    "keys with and without values in one pair of braces",
                )
                .label(span, ""),
            ));
        }
        if !clauses.is_empty() && !entries.is_empty() {
            let (key, value) = entries.remove(0);
            return match key {
                Some(key) => Self::comprehension(span, Collector::Dict, key, Some(value), clauses),
                None => Self::comprehension(span, Collector::Set, value, None, clauses),
            };
        }
        let height = above(
            entries
                .iter()
                .flat_map(|(key, value)| key.iter().chain(std::iter::once(value))),
        );
        let kind = if is_set {
            ExprKind::Set(entries.into_iter().map(|(_, value)| value).collect())
        } else {
            ExprKind::Dict(entries)
        };
        Self::make(span, kind, height)
    }

    pub(super) fn comprehension(
        span: Span,
        collector: Collector,
        element: Expr,
        value: Option<Expr>,
        clauses: Vec<Clause>,
    ) -> Built<Expr> {
        let height = above(
            [&element]
                .into_iter()
                .chain(&value)
                .chain(clauses.iter().flat_map(|clause: &Clause| {
                    std::iter::once(&clause.iterable).chain(&clause.conditions)
                })),
        );
        Self::make(
            span,
            ExprKind::Comprehension(collector, Box::new(element), value.map(Box::new), clauses),
            height,
        )
    }

    pub(super) fn clause(&self, pair: Pair<'_, Rule>) -> Built<Clause> {
        let mut target = None;
        let mut iterable = None;
        let mut conditions = Vec::new();
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::target_list => target = Some(self.target_list(part)?),
                Rule::operation => iterable = Some(self.operation(part)?),
                Rule::comprehension_if => {
                    let condition = part.into_inner().nth(1).expect("invariant: a condition");
                    conditions.push(self.expression(condition)?);
                }
                _ => {}
            }
        }
        Ok(Clause {
            target: target.expect("invariant: a clause has a target"),
            iterable: iterable.expect("invariant: a clause has an iterable"),
            conditions,
        })
    }
}
