//! From a name in an expression to the table columns that it stands for.

use super::fragment::{Fragment, expression, is_inside};
use super::relation::{Relation, leading_parts, longest, qualifier};
use super::scope::{Known, Link, Scope};
use super::{Analysis, Input, Inputs};
use crate::sql::SetMeaning;
use crate::sql::parse::FormKind;
use crate::sql::reference::Position;

impl Analysis<'_> {
    /// What a name comes from, written as its parts, at a byte of the statement.
    pub(super) fn name(&self, parts: &[&str], place: Option<usize>, scope: &Scope<'_>) -> Inputs {
        if let Some(inputs) = self.set(place) {
            return inputs;
        }
        if let [name] = parts
            && self.is_aliased_set(place)
            && names_relation(scope, name)
        {
            return self.star(Some(name), scope).all_inputs();
        }
        let mut at = Some(scope);
        // A query in the place of a table sees the names of `WITH` around it, and what its surroundings see.
        let mut sees_columns = true;
        while let Some(level) = at {
            if let Some(inputs) = self.in_scope(parts, level, sees_columns) {
                self.mention(&inputs);
                return inputs;
            }
            at = level.parent.map(|(parent, link)| {
                sees_columns = link == Link::Expression;
                parent
            });
        }
        // `x IN name` of a common table
        if let [name] = parts
            && let Some((defined, cte)) = scope.common_table(name)
        {
            return self.common(cte, defined).all_inputs();
        }
        let reads_table = scope
            .relations
            .borrow()
            .iter()
            .any(|relation| relation.table.is_some());
        let is_virtual = reads_table && parts.last().is_some_and(|name| name.starts_with('_'));
        if !is_virtual {
            self.unresolved(parts.join("."));
        }
        Inputs::new()
    }

    /// Whether a name right of `IN` is the alias of what the same query reads.
    fn is_aliased_set(&self, place: Option<usize>) -> bool {
        let mut sets = self.scan.named_sets.iter();
        sets.any(|set| {
            Some(set.span.start) == place && !matches!(set.meaning, SetMeaning::CommonTable)
        })
    }

    /// The columns of a table whose name stands right of `IN`.
    fn set(&self, place: Option<usize>) -> Option<Inputs> {
        let table = *self.places.get(&place?)?;
        let known = self.tables.get(table)?.as_ref()?;
        if self.scan.tables[table].position != Position::In {
            return None;
        }
        let stars = known.columns.iter().filter(|(_, in_star)| *in_star);
        let mut inputs: Inputs = stars
            .map(|(name, _)| Input {
                table,
                column: Some(name.clone()),
            })
            .collect();
        if !known.complete {
            inputs.insert(Input {
                table,
                column: None,
            });
        }
        Some(inputs)
    }

    fn in_scope(&self, parts: &[&str], scope: &Scope<'_>, sees_columns: bool) -> Option<Inputs> {
        let joined = parts.join(".");
        if sees_columns
            && let Some(inputs) = scope
                .arrays
                .borrow()
                .get(&joined)
                .or(scope.arrays.borrow().get(parts[0]))
        {
            return Some(inputs.clone());
        }
        let is_qualified = parts.len() > 1 && {
            let relations = scope.relations.borrow();
            relations
                .iter()
                .any(|relation| relation.names.iter().any(|name| name == parts[0]))
        };
        if !is_qualified && let Some(inputs) = self.alias(parts[0], scope, sees_columns) {
            return Some(inputs);
        }
        if !sees_columns {
            return None;
        }
        in_relations(self, parts, scope)
    }

    /// What an alias comes from, unless its own definition asks.
    pub(super) fn alias(&self, name: &str, scope: &Scope<'_>, all: bool) -> Option<Inputs> {
        match scope.known_aliases.borrow().get(name) {
            Some(Known::UnderWay) => return None,
            Some(Known::As(inputs)) => return Some(inputs.clone()),
            None => {}
        }
        let alias = scope.aliases.get(name).filter(|alias| all || alias.in_with);
        let inner = || {
            let mut fragments = self.inner_aliases(scope);
            fragments.find(|fragment| fragment.alias.as_deref() == Some(name))
        };
        let expr = match alias {
            Some(alias) => Some(alias.expr),
            None => match inner().filter(|_| all) {
                Some(fragment) => {
                    let items = fragment.items();
                    let Some((expr, _)) = items.and_then(|items| expression(items.first()?)) else {
                        self.partial();
                        return Some(Inputs::new());
                    };
                    Some(expr)
                }
                None => None,
            },
        }?;
        let mut known = scope.known_aliases.borrow_mut();
        known.insert(name.to_owned(), Known::UnderWay);
        drop(known);
        let inputs = self.deeper(|| self.expression(expr, scope));
        let mut known = scope.known_aliases.borrow_mut();
        known.insert(name.to_owned(), Known::As(inputs.clone()));
        Some(inputs)
    }

    /// The aliases inside of expressions of a scope's `SELECT`.
    fn inner_aliases(&self, scope: &Scope<'_>) -> impl Iterator<Item = &Fragment> {
        let select = scope.select;
        self.fragments.iter().filter(move |fragment| {
            // Those inside of an `ARRAY JOIN` list belong to it as well.
            fragment.form == FormKind::InnerAlias
                && select.is_some()
                && (fragment.select == select
                    || self
                        .fragments
                        .iter()
                        .any(|outer| outer.select == select && is_inside(fragment, outer)))
        })
    }
}

/// A column of one of the tables of a `FROM`: `column`, `table.column`, `database.table.column`, each with parts of the column behind it.
fn in_relations(analysis: &Analysis<'_>, parts: &[&str], scope: &Scope<'_>) -> Option<Inputs> {
    let relations = scope.relations.borrow();
    if let Some((at, length)) = qualifier(&relations, parts) {
        let (relation, rest) = (&relations[at], &parts[length..]);
        return of_relation(relation, rest).or_else(|| {
            let inputs = relation.other(rest[0]);
            if relation.table.is_none() && inputs.is_some() {
                analysis.partial();
            }
            inputs
        });
    }
    let joined = parts.join(".");
    if let Some(inputs) = scope
        .using
        .borrow()
        .get(&joined)
        .or(scope.using.borrow().get(parts[0]))
    {
        return Some(inputs.clone());
    }
    if let Some(inputs) = relations
        .iter()
        .find_map(|relation| of_relation(relation, parts))
    {
        return Some(inputs);
    }
    let others: Vec<Inputs> = relations
        .iter()
        .filter_map(|relation| relation.other(parts[0]))
        .collect();
    let is_certain = others.len() == 1
        && relations
            .iter()
            .any(|relation| relation.more && relation.table.is_some());
    if !others.is_empty() && !is_certain {
        analysis.partial();
    }
    others.into_iter().reduce(|mut all, inputs| {
        all.extend(inputs);
        all
    })
}

/// The column that the longest beginning of a name is, or all columns of a `Nested` of that name.
fn of_relation(relation: &Relation, parts: &[&str]) -> Option<Inputs> {
    let columns = relation.columns.iter();
    let named = columns.filter_map(|column| Some((column, leading_parts(&column.name, parts)?)));
    if let Some((column, _)) = longest(named) {
        return Some(column.inputs.clone());
    }
    let nested = relation.columns.iter().filter(|column| {
        let rest = column.name.strip_prefix(parts[0]);
        rest.is_some_and(|rest| rest.starts_with('.'))
    });
    let inputs: Inputs = nested.flat_map(|column| column.inputs.clone()).collect();
    (!inputs.is_empty()).then_some(inputs)
}

fn names_relation(scope: &Scope<'_>, name: &str) -> bool {
    let relations = scope.relations.borrow();
    let mut names = relations.iter().flat_map(|relation| &relation.names);
    names.any(|known| known == name)
}
