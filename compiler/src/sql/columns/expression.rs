//! What an expression is made from: every name in it, wherever the tree has it.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, OneOrManyWithParens, Query,
    Visit, Visitor, WindowType,
};

use super::relation::words;
use super::scope::{Link, Scope};
use super::{Analysis, Inputs, start};

/// Functions whose first argument may be the word for a unit of time, without `_` and in lower case.
const OF_UNITS: &[&str] = &[
    "age",
    "dateadd",
    "datediff",
    "datesub",
    "timestampadd",
    "timestampdiff",
    "timestampsub",
];

/// The words for units of time.
const UNITS: &[&str] = &[
    "nanosecond",
    "microsecond",
    "millisecond",
    "second",
    "minute",
    "hour",
    "day",
    "week",
    "month",
    "quarter",
    "year",
];

/// A walk through one expression.
struct Walk<'w> {
    analysis: &'w Analysis<'w>,
    scope: &'w Scope<'w>,
    inputs: Inputs,
    /// The names that lambdas around the place bind.
    bound: Vec<String>,
    /// How many queries are around the place: they were looked at as a whole.
    queries: usize,
    /// The queries right of an `IN`, which see no columns around them.
    sets: Vec<*const Query>,
    /// Where words stand that are no names.
    words: Vec<usize>,
}

impl Analysis<'_> {
    /// What an expression is made from.
    pub(super) fn expression(&self, expr: &Expr, scope: &Scope<'_>) -> Inputs {
        let mut walk = Walk {
            analysis: self,
            scope,
            inputs: Inputs::new(),
            bound: Vec::new(),
            queries: 0,
            sets: Vec::new(),
            words: Vec::new(),
        };
        _ = expr.visit(&mut walk);
        walk.inputs
    }

    /// Notes that an expression decides about rows.
    pub(super) fn filter_by(&self, expr: &Expr, scope: &Scope<'_>) {
        let inputs = self.expression(expr, scope);
        self.filter(inputs);
    }
}

impl Walk<'_> {
    fn name(&mut self, parts: &[&str], place: Option<usize>) {
        let is_word = place.is_some_and(|place| self.words.contains(&place));
        if is_word || self.bound.iter().any(|bound| bound == parts[0]) {
            return;
        }
        let found = self.analysis.name(parts, place, self.scope);
        self.inputs.extend(found);
    }

    fn function(&mut self, function: &Function) {
        let name = words(&function.name);
        let own = name.last().copied().unwrap_or_default();
        if own.eq_ignore_ascii_case("columns") {
            let qualifier = (name.len() > 1).then(|| name[..name.len() - 1].join("."));
            let columns = self
                .analysis
                .matched(function, qualifier.as_deref(), self.scope);
            self.inputs.extend(columns.all_inputs());
        }
        // `WITH x -> x + 1 AS f SELECT f(a)`
        if let [name] = name[..] {
            let mut scope = Some(self.scope);
            while let Some(level) = scope {
                let is_lambda = level
                    .aliases
                    .get(name)
                    .is_some_and(|alias| matches!(alias.expr, Expr::Lambda(_)));
                if is_lambda {
                    let inputs = self.analysis.alias(name, level, true);
                    self.inputs.extend(inputs.into_iter().flatten());
                    break;
                }
                scope = level.parent.map(|(parent, _)| parent);
            }
        }
        let lower = own.to_ascii_lowercase();
        let counts = lower.starts_with("count");
        if let FunctionArguments::List(list) = &function.args {
            if OF_UNITS.contains(&lower.replace('_', "").as_str())
                && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(unit)))) =
                    list.args.first()
                && UNITS.contains(&unit.value.to_ascii_lowercase().as_str())
            {
                self.words.extend(start(unit.span));
            }
            let stars = list.args.iter().filter_map(|argument| match argument {
                FunctionArg::Unnamed(star) => Some(star),
                _ => None,
            });
            for star in stars {
                match star {
                    FunctionArgExpr::Wildcard | FunctionArgExpr::WildcardWithOptions(_)
                        if !counts =>
                    {
                        self.star(None);
                    }
                    FunctionArgExpr::QualifiedWildcard(table) => {
                        self.star(Some(&words(table).join(".")));
                    }
                    _ => {}
                }
            }
        }
        if let Some(WindowType::NamedWindow(_)) = &function.over {
            self.inputs
                .extend(self.scope.windows.borrow().iter().cloned());
        }
    }

    fn star(&mut self, table: Option<&str>) {
        let columns = self.analysis.star(table, self.scope);
        self.inputs.extend(columns.all_inputs());
    }
}

impl Visitor for Walk<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if self.queries == 0 {
            let is_set = self.sets.contains(&std::ptr::from_ref(query));
            let link = if is_set {
                Link::Table
            } else {
                Link::Expression
            };
            let outputs = self.analysis.subquery(query, self.scope, link);
            self.inputs.extend(outputs.all_inputs());
        }
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if self.queries > 0 {
            return ControlFlow::Continue(());
        }
        match expr {
            Expr::Identifier(name) => self.name(&[&name.value], start(name.span)),
            Expr::CompoundIdentifier(names) => {
                let parts: Vec<&str> = names.iter().map(|name| name.value.as_str()).collect();
                if let Some(first) = names.first() {
                    self.name(&parts, start(first.span));
                }
            }
            Expr::Function(function) => self.function(function),
            Expr::Lambda(lambda) => match &lambda.params {
                OneOrManyWithParens::One(one) => self.bound.push(one.name.value.clone()),
                OneOrManyWithParens::Many(many) => {
                    self.bound
                        .extend(many.iter().map(|one| one.name.value.clone()));
                }
            },
            Expr::InSubquery { subquery, .. } => self.sets.push(std::ptr::from_ref(subquery)),
            Expr::Wildcard(_) => self.star(None),
            Expr::QualifiedWildcard(table, _) => self.star(Some(&words(table).join("."))),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if self.queries == 0
            && let Expr::Lambda(lambda) = expr
        {
            let count = match &lambda.params {
                OneOrManyWithParens::One(_) => 1,
                OneOrManyWithParens::Many(many) => many.len(),
            };
            let left = self.bound.len().saturating_sub(count);
            self.bound.truncate(left);
        }
        ControlFlow::Continue(())
    }
}
