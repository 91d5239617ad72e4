//! Queries: `WITH`, the sides of set operators, and the clauses of a `SELECT`.

use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Join, JoinConstraint, JoinOperator, LimitClause, NamedWindowExpr,
    OrderByKind, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, SetOperator,
    SetQuantifier, TableFactor, TableWithJoins, Value, WindowSpec,
};

use super::fragment::{expression, of_select, projection};
use super::relation::words;
use super::scope::{Alias, Known, Link, Scope};
use super::{Analysis, Inputs, Output, Outputs, name, start};
use crate::sql::parse::FormKind;

impl Analysis<'_> {
    /// What a query gives, in the scope around it.
    pub(super) fn query<'s>(
        &self,
        query: &'s Query,
        parent: Option<(&'s Scope<'s>, Link)>,
    ) -> Outputs {
        let mut scope = Scope {
            parent,
            ..Scope::default()
        };
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let place = start(cte.alias.name.span);
            let is_scalar = place.is_some_and(|place| self.scalars.contains(&place));
            let expr = projection(&cte.query).and_then(|items| expression(items.first()?));
            match expr.filter(|_| is_scalar) {
                Some((expr, _)) => {
                    let alias = Alias {
                        expr,
                        in_with: true,
                    };
                    scope.aliases.insert(&cte.alias.name.value, alias);
                }
                None => scope.common.push(cte),
            }
        }
        self.body(&query.body, &scope, Some(query))
    }

    /// A side of a set operator, or all of a query, whose `WITH` is in `outer`.
    fn body(&self, body: &SetExpr, outer: &Scope<'_>, query: Option<&Query>) -> Outputs {
        match body {
            SetExpr::Select(select) => {
                // What `WITH` names may read the columns of each `SELECT`.
                let scope = Scope {
                    aliases: outer.aliases.clone(),
                    ..Scope::inside(outer, Link::Expression)
                };
                self.select(select, scope, query)
            }
            SetExpr::Query(inner) => self.subquery(inner, outer, Link::Table),
            SetExpr::SetOperation {
                left,
                op,
                set_quantifier,
                right,
            } => {
                let left = self.body(left, outer, None);
                let right = self.body(right, outer, None);
                self.united(left, right, *op, *set_quantifier)
            }
            _ => {
                self.partial();
                Outputs {
                    more: true,
                    ..Outputs::default()
                }
            }
        }
    }

    /// Columns of set operators are matched by their places; their names are those of the first side.
    fn united(
        &self,
        mut left: Outputs,
        right: Outputs,
        operator: SetOperator,
        quantifier: SetQuantifier,
    ) -> Outputs {
        if operator != SetOperator::Union || quantifier != SetQuantifier::All {
            self.filter(left.all_inputs());
            self.filter(right.all_inputs());
        }
        if operator != SetOperator::Union {
            return left;
        }
        if left.more || right.more {
            let mut open = left.all_inputs();
            open.extend(right.all_inputs());
            // Which place is which is open; the names of the first side are not.
            for output in &mut left.columns {
                output.inputs.clone_from(&open);
            }
            left.open = open;
            left.more |= left.columns.is_empty();
            self.partial();
            return left;
        }
        if left.columns.len() != right.columns.len() {
            self.unresolved("UNION of different numbers of columns".to_owned());
        }
        for (output, other) in left.columns.iter_mut().zip(right.columns) {
            output.inputs.extend(other.inputs);
        }
        left
    }

    fn select<'s>(
        &self,
        select: &'s Select,
        mut scope: Scope<'s>,
        query: Option<&Query>,
    ) -> Outputs {
        scope.select = start(select.select_token.0.span);
        for item in &select.projection {
            if let SelectItem::ExprWithAlias { expr, alias } = item {
                // Of two equal aliases the engine takes the first, and refuses them if they differ.
                scope.aliases.entry(&alias.value).or_insert(Alias {
                    expr,
                    in_with: false,
                });
            }
        }
        let scope = &scope;
        for table in &select.from {
            self.from(table, scope);
        }
        self.array_joins(scope);
        for window in &select.named_window {
            if let NamedWindowExpr::WindowSpec(spec) = &window.1 {
                self.window(spec, scope);
            }
        }
        let mut outputs = Outputs::default();
        for item in &select.projection {
            let given = self.item(item, scope);
            outputs.columns.extend(given.columns);
            outputs.more |= given.more;
            outputs.open.extend(given.open);
        }
        self.clauses(select, scope, &outputs);
        if let Some(query) = query {
            self.endings(query, scope, &outputs);
        }
        for fragment in of_select(self.fragments, FormKind::LimitBy, scope.select) {
            match fragment.items() {
                Some(items) => {
                    let exprs = items.iter().filter_map(expression);
                    exprs.for_each(|(expr, _)| self.filter_by(expr, scope));
                }
                None => self.partial(),
            }
        }
        outputs
    }

    fn from(&self, table: &TableWithJoins, scope: &Scope<'_>) {
        self.factor(&table.relation, scope);
        for join in &table.joins {
            self.factor(&join.relation, scope);
            self.join(join, scope);
        }
    }

    fn factor(&self, factor: &TableFactor, scope: &Scope<'_>) {
        if let TableFactor::NestedJoin {
            table_with_joins, ..
        } = factor
        {
            self.from(table_with_joins, scope);
            return;
        }
        let relation = self.relation(factor, scope);
        scope.relations.borrow_mut().push(relation);
    }

    fn join(&self, join: &Join, scope: &Scope<'_>) {
        use JoinOperator as Op;
        let (Op::Join(constraint)
        | Op::Inner(constraint)
        | Op::Left(constraint)
        | Op::LeftOuter(constraint)
        | Op::Right(constraint)
        | Op::RightOuter(constraint)
        | Op::FullOuter(constraint)
        | Op::CrossJoin(constraint)
        | Op::Semi(constraint)
        | Op::LeftSemi(constraint)
        | Op::RightSemi(constraint)
        | Op::Anti(constraint)
        | Op::LeftAnti(constraint)
        | Op::RightAnti(constraint)
        | Op::StraightJoin(constraint)) = &join.join_operator
        else {
            return self.partial();
        };
        match constraint {
            JoinConstraint::On(expr) => self.filter_by(expr, scope),
            JoinConstraint::Using(names) => {
                for name in names {
                    let parts = words(name);
                    let Some(name) = parts.last() else { continue };
                    self.using(name, scope);
                }
            }
            JoinConstraint::Natural => self.partial(),
            JoinConstraint::None => {}
        }
    }

    /// A key of `USING`: a column of the table right of the `JOIN` and of one before it.
    fn using(&self, key: &str, scope: &Scope<'_>) {
        let relations = scope.relations.borrow();
        let Some((right, left)) = relations.split_last() else {
            return;
        };
        let of = |relation: &super::relation::Relation| {
            let column = relation.columns.iter().find(|column| column.name == key);
            column.map_or_else(|| relation.other(key), |column| Some(column.inputs.clone()))
        };
        let before = scope.using.borrow().get(key).cloned();
        let alias = || self.alias(key, scope, true);
        let left = before.or_else(|| left.iter().find_map(of)).or_else(alias);
        let mut inputs = Inputs::new();
        for side in [left, of(right)] {
            match side {
                Some(side) => inputs.extend(side),
                None => self.unresolved(format!("USING {key}")),
            }
        }
        self.mention(&inputs);
        self.filter(inputs.iter().cloned());
        scope.using.borrow_mut().insert(key.to_owned(), inputs);
    }

    fn array_joins(&self, scope: &Scope<'_>) {
        for fragment in of_select(self.fragments, FormKind::ArrayJoin, scope.select) {
            let Some(items) = fragment.items() else {
                self.partial();
                continue;
            };
            for item in items {
                let Some((expr, alias)) = expression(item) else {
                    self.partial();
                    continue;
                };
                let inputs = self.expression(expr, scope);
                self.filter(inputs.iter().cloned());
                if let Some(alias) = alias {
                    let mut arrays = scope.arrays.borrow_mut();
                    arrays.insert(alias.to_owned(), inputs);
                }
            }
        }
    }

    fn window(&self, spec: &WindowSpec, scope: &Scope<'_>) {
        let keys = spec.order_by.iter().map(|order| &order.expr);
        for expr in spec.partition_by.iter().chain(keys) {
            let inputs = self.expression(expr, scope);
            scope.windows.borrow_mut().extend(inputs);
        }
    }

    /// What one element of the list gives.
    fn item(&self, item: &SelectItem, scope: &Scope<'_>) -> Outputs {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                if let Expr::Function(function) = expr {
                    let name = words(&function.name);
                    let own = name.last().copied().unwrap_or_default();
                    if own.eq_ignore_ascii_case("columns") {
                        let table = (name.len() > 1).then(|| name[..name.len() - 1].join("."));
                        return self.matched(function, table.as_deref(), scope);
                    }
                    if own.eq_ignore_ascii_case("untuple") {
                        return Outputs {
                            columns: Vec::new(),
                            more: true,
                            open: self.expression(expr, scope),
                        };
                    }
                }
                let (name, certain) = name::of_expression(expr, scope);
                one(name, certain, self.expression(expr, scope))
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                let name = alias.value.clone();
                // A second column of the same alias has an expression of its own.
                let is_first = scope
                    .aliases
                    .get(name.as_str())
                    .is_some_and(|known| std::ptr::eq(known.expr, expr));
                let under_way = matches!(
                    scope.known_aliases.borrow().get(&name),
                    Some(Known::UnderWay)
                );
                let inputs = if is_first && !under_way {
                    self.alias(&name, scope, true).unwrap_or_default()
                } else {
                    self.expression(expr, scope)
                };
                one(name, true, inputs)
            }
            SelectItem::Wildcard(options) => {
                self.transformed(self.star(None, scope), options, scope)
            }
            SelectItem::QualifiedWildcard(
                SelectItemQualifiedWildcardKind::ObjectName(table),
                options,
            ) => {
                let table = words(table).join(".");
                self.transformed(self.star(Some(&table), scope), options, scope)
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::Expr(expr), _)
            | SelectItem::ExprWithAliases { expr, .. } => Outputs {
                columns: Vec::new(),
                more: true,
                open: self.expression(expr, scope),
            },
        }
    }

    /// The clauses that decide about rows.
    fn clauses(&self, select: &Select, scope: &Scope<'_>, outputs: &Outputs) {
        let conditions = [
            &select.prewhere,
            &select.selection,
            &select.having,
            &select.qualify,
        ];
        for expr in conditions.into_iter().flatten() {
            self.filter_by(expr, scope);
        }
        match &select.group_by {
            GroupByExpr::All(_) => self.filter(outputs.all_inputs()),
            GroupByExpr::Expressions(exprs, _) => {
                for expr in exprs {
                    self.key(expr, scope, outputs);
                }
            }
        }
        match &select.distinct {
            Some(Distinct::Distinct) => self.filter(outputs.all_inputs()),
            Some(Distinct::On(exprs)) => {
                for expr in exprs {
                    self.filter_by(expr, scope);
                }
            }
            _ => {}
        }
    }

    /// The clauses behind a query.
    fn endings(&self, query: &Query, scope: &Scope<'_>, outputs: &Outputs) {
        if let Some(order) = &query.order_by {
            match &order.kind {
                OrderByKind::All(_) => self.filter(outputs.all_inputs()),
                OrderByKind::Expressions(exprs) => {
                    for order in exprs {
                        self.key(&order.expr, scope, outputs);
                    }
                }
            }
            let filled = order
                .interpolate
                .iter()
                .flat_map(|all| &all.exprs)
                .flatten();
            filled
                .filter_map(|one| one.expr.as_ref())
                .for_each(|expr| self.filter_by(expr, scope));
        }
        if let Some(LimitClause::LimitOffset { limit_by, .. }) = &query.limit_clause {
            for expr in limit_by {
                self.key(expr, scope, outputs);
            }
        }
    }

    /// A key of `GROUP BY` or `ORDER BY`: an expression, the place of a column that the query gives, or `ALL` of them.
    fn key(&self, expr: &Expr, scope: &Scope<'_>, outputs: &Outputs) {
        if let Expr::Value(value) = expr
            && let Value::Number(number, _) = &value.value
            && let Ok(place) = number.parse::<usize>()
        {
            let output = place.checked_sub(1).and_then(|at| outputs.columns.get(at));
            if let Some(output) = output {
                self.filter(output.inputs.iter().cloned());
            }
            return;
        }
        if let Expr::Identifier(name) = expr
            && name.value.eq_ignore_ascii_case("all")
        {
            self.filter(outputs.all_inputs());
            return;
        }
        self.filter_by(expr, scope);
    }
}

fn one(name: String, certain: bool, inputs: Inputs) -> Outputs {
    Outputs {
        columns: vec![Output {
            name,
            certain,
            inputs,
        }],
        ..Outputs::default()
    }
}
