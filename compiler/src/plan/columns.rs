//! Which columns a statement may read, as far as texts say it: what a name in it is that may be a column or something else.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeSet, HashMap, HashSet};

use pipewright_grammar::diagnostic::Diagnostic;
use pipewright_grammar::source::Span;

use super::Plan;
use super::shape::Shape;
use crate::diagnostics::codes;
use crate::graph::{NodeId, Scope, Target, resolve};
use crate::project::ResourceName;
use crate::sql::memberships::{Element, outputs};
use crate::sql::{self, Position, Scan, TableReference};

/// The columns that one statement may read. What was asked is kept: a statement may name a node, and a column, any number of times.
pub(crate) struct Columns<'a> {
    plan: &'a Plan,
    scope: Scope<'a>,
    text: &'a str,
    scan: &'a Scan,
    /// The names that the statement gives to expressions.
    given: OnceCell<HashSet<String>>,
    /// The names that stand before a dot.
    qualifiers: OnceCell<HashSet<String>>,
    /// The tables that it reads, each name once.
    tables: OnceCell<Vec<&'a TableReference>>,
    /// Whether a table may give a column, by the place among `tables` and the column's name.
    known: RefCell<HashMap<(usize, String), bool>>,
}

impl<'a> Columns<'a> {
    pub(crate) fn new(plan: &'a Plan, scope: Scope<'a>, text: &'a str, scan: &'a Scan) -> Self {
        Self {
            plan,
            scope,
            text,
            scan,
            given: OnceCell::new(),
            qualifiers: OnceCell::new(),
            tables: OnceCell::new(),
            known: RefCell::default(),
        }
    }

    /// The names that the statement gives to expressions.
    pub(super) fn given(&self) -> &HashSet<String> {
        self.given.get_or_init(|| sql::aliases(self.text))
    }

    /// Whether a name stands before a dot.
    pub(super) fn is_qualifier(&self, name: &str) -> bool {
        let qualifiers = self.qualifiers.get_or_init(|| {
            let places = sql::qualifiers(self.text).into_iter();
            places
                .map(|place| sql::unquote(&self.text[place]))
                .collect()
        });
        qualifiers.contains(name)
    }

    /// Whether a node's name right of an `IN` may be a column of what the statement reads, for which the engine would take it if the node were a table.
    pub(crate) fn has_set(&self, set: &TableReference) -> bool {
        if set.position != Position::In || set.database.is_some() {
            return false;
        }
        // A query in the `FROM` may give a column of that name.
        if self.given().contains(&set.name) {
            return true;
        }
        let giving = self.giving(&set.name);
        let mut reads = self.scan.tables.iter().filter(|read| is_read(read));
        !giving.is_empty()
            && reads.any(|read| {
                giving.contains(&(read.database.as_deref(), read.name.as_str()))
                    && self.scan.may_feed(read, set)
            })
    }

    /// The tables that may give a column of a name.
    fn giving(&self, name: &str) -> Vec<(Option<&'a str>, &'a str)> {
        let tables = self.tables.get_or_init(|| {
            let mut seen = HashSet::new();
            let mut tables: Vec<&TableReference> = self.scan.tables.iter().collect();
            tables.retain(|table| {
                is_read(table) && seen.insert((table.database.as_deref(), table.name.as_str()))
            });
            tables
        });
        let gives = |(at, table): &(usize, &&'a TableReference)| {
            let mut known = self.known.borrow_mut();
            *known.entry((*at, name.to_owned())).or_insert_with(|| {
                let (database, policy) = (table.database.as_deref(), &self.plan.policies.common);
                let meant = resolve(
                    &self.plan.project,
                    policy,
                    self.scope,
                    database,
                    &table.name,
                );
                self.plan.table_may_give(meant, name, &mut BTreeSet::new())
            })
        };
        let giving = tables.iter().enumerate().filter(gives);
        giving
            .map(|(_, table)| (table.database.as_deref(), table.name.as_str()))
            .collect()
    }

    /// Parts the words without brackets that are the clock from those that may be columns.
    pub(super) fn tell_clock(&self, shape: &mut Shape) {
        // What these give has names that no value chooses.
        const OF_NUMBERS: [&str; 5] = ["generate_series", "numbers", "numbers_mt", "one", "zeros"];
        let words = sql::clock::bare(self.text);
        if words.is_empty() {
            return;
        }
        let mut functions = self.scan.table_functions.iter();
        let is_open = functions.any(|called| !OF_NUMBERS.contains(&called.name.as_str()));
        for (word, _) in words {
            if is_open || self.given().contains(&word) || !self.giving(&word).is_empty() {
                shape.clock_or_column.insert(word);
            } else {
                shape.clock.insert(word);
            }
        }
    }
}

fn is_read(table: &TableReference) -> bool {
    table.position == Position::From
}

impl Plan {
    fn has_column(&self, datasource: &ResourceName, name: &str) -> bool {
        let table = self.tables.get(datasource);
        table.is_some_and(|table| table.columns.iter().any(|column| column.name == name))
    }

    /// Whether a node gives a column of that name, as far as its text says: by a name in its list, or by `*` over what has one.
    pub(super) fn may_give_column(
        &self,
        node: &NodeId,
        name: &str,
        asked: &mut BTreeSet<NodeId>,
    ) -> bool {
        if !asked.insert(node.clone()) {
            return false;
        }
        let mut branches = self.graph.branches(node).iter();
        branches.any(|branch| {
            let outputs = outputs(branch.rendered.sql.text()).unwrap_or_default();
            let mut elements = outputs.iter().flatten();
            let is_open = |element: &&Element| matches!(element, Element::Star | Element::Open);
            let is_named = elements.clone().any(|element| match element {
                Element::Column { name: given, .. }
                | Element::Call { name: given, .. }
                | Element::Named(given) => given == name,
                Element::Star | Element::One | Element::Open => false,
            });
            if is_named || !elements.any(|element| is_open(&element)) {
                return is_named;
            }
            // What a query in the node gives by that name is among the names that are given in it.
            sql::aliases(branch.rendered.sql.text()).contains(name)
                || branch.scan.tables.iter().any(|table| {
                    table.position == Position::From
                        && self.table_may_give(self.target(node, table), name, asked)
                })
        })
    }

    fn table_may_give(
        &self,
        table: Option<Target<'_>>,
        name: &str,
        asked: &mut BTreeSet<NodeId>,
    ) -> bool {
        match table {
            Some(Target::Datasource(datasource)) => self.has_column(&datasource.name, name),
            Some(Target::Node(pipe, node)) => {
                self.may_give_column(&NodeId::of(pipe, node), name, asked)
            }
            Some(Target::Service) | None => false,
        }
    }
}

/// The diagnostic for a name right of an `IN` that is a node, and maybe a column.
pub(crate) fn column_or_node(name: &str, span: Option<Span>) -> Diagnostic {
    let message = format!("`{name}` right of `IN` may be the node or a column of what is read");
    let mut diagnostic = Diagnostic::error(codes::SET_NAME, message);
    if let Some(span) = span {
        diagnostic = diagnostic.label(span, "one of the two");
    }
    diagnostic.help(format!(
        "write `(SELECT * FROM {name})` for the node, and the name of its table and a point before a column"
    ))
}
