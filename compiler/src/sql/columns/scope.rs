//! What names mean at a place of a statement: a chain of queries, from the innermost out.

use std::cell::RefCell;
use std::collections::BTreeMap;

use sqlparser::ast::{Cte, Expr};

use super::relation::Relation;
use super::{Inputs, Outputs};

/// How a query stands in the one around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// In an expression: it sees the columns around it.
    Expression,
    /// In the place of a table, or as a common table: it sees only what `WITH` names.
    Table,
}

/// What an alias stands for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Alias<'s> {
    pub(super) expr: &'s Expr,
    /// Whether `WITH` gives the name, so that queries in the place of tables see it too.
    pub(super) in_with: bool,
}

/// How far an alias or a common table is known.
#[derive(Debug, Clone)]
pub(super) enum Known<T> {
    /// It is being looked at: what reads its name there means something else.
    UnderWay,
    /// This.
    As(T),
}

/// A query while it is being looked at.
#[derive(Default)]
pub(super) struct Scope<'s> {
    pub(super) parent: Option<(&'s Scope<'s>, Link)>,
    /// Where its `SELECT` starts.
    pub(super) select: Option<usize>,
    pub(super) common: Vec<&'s Cte>,
    pub(super) aliases: BTreeMap<&'s str, Alias<'s>>,
    pub(super) known_aliases: RefCell<BTreeMap<String, Known<Inputs>>>,
    pub(super) known_common: RefCell<BTreeMap<String, Known<Outputs>>>,
    pub(super) relations: RefCell<Vec<Relation>>,
    /// The columns of `USING`, with what they come from on both sides.
    pub(super) using: RefCell<BTreeMap<String, Inputs>>,
    /// The names that `ARRAY JOIN` makes, with the arrays that they come from.
    pub(super) arrays: RefCell<BTreeMap<String, Inputs>>,
    /// What named windows are made from.
    pub(super) windows: RefCell<Inputs>,
}

impl<'s> Scope<'s> {
    /// A query in another.
    pub(super) fn inside(parent: &'s Scope<'s>, link: Link) -> Self {
        Self {
            parent: Some((parent, link)),
            ..Self::default()
        }
    }

    /// The common table of a name, with the scope that defines it.
    pub(super) fn common_table(&self, name: &str) -> Option<(&Scope<'s>, &'s Cte)> {
        let mut scope = self;
        loop {
            let found = scope.common.iter().find(|cte| cte.alias.name.value == name);
            // Inside of its own definition the name means something else, unless the table is recursive; then what it adds to itself is already known.
            if let Some(cte) = found {
                let under_way =
                    matches!(scope.known_common.borrow().get(name), Some(Known::UnderWay));
                if !under_way {
                    return Some((scope, cte));
                }
            }
            scope = scope.parent?.0;
        }
    }
}
