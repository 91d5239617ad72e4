//! `IN` with sides that cannot be compared.

use std::cell::Cell;

use pipewright_grammar::diagnostic::{Diagnostic, Severity};
use pipewright_grammar::syntax::DefaultKind;

use super::views::place;
use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::graph::{Branch, NodeId, Target};
use crate::plan::{Column, Columns, PipePlan, Plan, TablePlan};
use crate::project::ResourceName;
use crate::sql::memberships::{Element, Left, Right, gives_one_value, may_have_query};
use crate::sql::memberships::{memberships, outputs};
use crate::sql::{self, Position, TableReference};
use crate::types;

pub(super) const RULE: Rule = Rule {
    code: codes::SET_COLUMNS,
    severity: Severity::Error,
    by_default: true,
    summary: "IN whose two sides have different numbers of columns",
    page: PAGE,
    check: Check::OfPipe(check),
};

const PAGE: &str = "\
# set-columns

## What it does
Finds `x IN name` and `x IN (SELECT …)` whose left side has another number of columns than the right side, where both numbers are known from the text and from the
schemas. In a branch of a template that requests without parameters do not take, that is a warning.

## Why is this bad
The engine refuses the statement as soon as there are rows to compare. Over empty tables it does not, so that the first call after a deploy is well.

## Example
    SELECT * FROM hits WHERE user IN users   -- users has the columns user and country

## Use instead
    SELECT * FROM hits WHERE user IN (SELECT user FROM users)
";

/// Nodes that read nodes are looked through so far.
const DEPTH: usize = 8;

/// Texts of nodes that are looked at for one `IN`: a node with branches that reads such nodes has as many ways as they have branches, multiplied.
const LOOKS: u32 = 1_000;

/// Types whose values are no tuples.
const PLAIN: &[&str] = &[
    "Array",
    "Bool",
    "Decimal",
    "Decimal128",
    "Decimal256",
    "Decimal32",
    "Decimal64",
    "Enum",
    "Enum16",
    "Enum8",
    "FixedString",
    "IPv4",
    "IPv6",
    "Map",
    "String",
    "UUID",
];

fn check(plan: &Plan, pipe: &PipePlan) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for node in &pipe.nodes {
        let Some((of, _)) = plan.node(&node.id) else {
            continue;
        };
        for (at, branch) in plan.graph.branches(&node.id).iter().enumerate() {
            let sql = branch.rendered.sql.text();
            let mut tables = branch.scan.tables.iter();
            let is_set = |table: &TableReference| table.position == Position::In;
            if !tables.any(is_set) && !may_have_query(sql) {
                continue;
            }
            let scope = Plan::scope(of, &node.id.node);
            let read = Columns::new(plan, scope, sql, &branch.scan);
            for membership in memberships(sql) {
                let looks = Cell::new(LOOKS);
                let sides = Place {
                    plan,
                    id: &node.id,
                    branch,
                    columns: &read,
                    looks: &looks,
                };
                let Some((left, right)) = sides.counts(&membership.left, &membership.right) else {
                    continue;
                };
                let severity = if at == 0 {
                    RULE.severity
                } else {
                    Severity::Warning
                };
                let message = format!("`IN` compares {} with {}", values(left), columns(right));
                let mut finding = Diagnostic::new(severity, RULE.code, message).label(
                    place(plan, node, branch, membership.span),
                    "the engine refuses it as soon as there are rows",
                );
                if matches!(membership.right, Right::Table(_)) {
                    finding = finding
                        .help("write `IN (SELECT … FROM …)` with the columns that are meant");
                }
                found.push(finding);
            }
        }
    }
    found
}

fn values(count: usize) -> String {
    match count {
        1 => "one value".to_owned(),
        count => format!("a tuple of {count} values"),
    }
}

fn columns(count: usize) -> String {
    match count {
        1 => "one column".to_owned(),
        count => format!("{count} columns"),
    }
}

/// The text of a node in which names stand.
#[derive(Clone, Copy)]
struct Place<'a, 'c> {
    plan: &'a Plan,
    id: &'a NodeId,
    branch: &'a Branch,
    /// What the statement around the first `IN` may read.
    columns: &'a Columns<'c>,
    /// How many more texts may be looked at.
    looks: &'a Cell<u32>,
}

/// What is known of the right side.
struct Given {
    columns: usize,
    /// Whether no column can be a tuple, which is as many columns as it has elements.
    plain: bool,
}

impl<'a> Place<'a, '_> {
    /// How many columns both sides have, if that is known and they do not fit.
    fn counts(self, left: &Left, right: &Right) -> Option<(usize, usize)> {
        let given = match right {
            Right::Query(columns) => Given {
                columns: *columns,
                plain: false,
            },
            Right::Table(start) => {
                let tables = &self.branch.scan.tables;
                let is_it = |table: &&TableReference| {
                    table.position == Position::In && table.span.start == *start
                };
                let table = tables.iter().find(is_it)?;
                if self.columns.has_set(table) {
                    return None;
                }
                self.given(table, DEPTH)?
            }
        };
        let left = match left {
            Left::Values(count) => *count,
            Left::Column { qualifier, name } => {
                (self.is_plain(qualifier.as_deref(), name, DEPTH)).then_some(1)?
            }
        };
        let fits = left == given.columns || given.columns == 1 && !given.plain;
        (!fits).then_some((left, given.columns))
    }

    /// The texts of a node; `None` where that is one look too many.
    fn places(self, id: &NodeId) -> Option<Vec<Self>> {
        let (id, _) = self.plan.graph.reads.get_key_value(id)?;
        let branches = self.plan.graph.branches(id);
        let looks = u32::try_from(branches.len()).ok()?;
        self.looks.set(self.looks.get().checked_sub(looks)?);
        let place = |branch| Self { id, branch, ..self };
        Some(branches.iter().map(place).collect())
    }

    fn target(self, table: &TableReference) -> Option<Target<'a>> {
        self.plan.target(self.id, table)
    }

    /// What a table gives.
    fn given(self, table: &TableReference, depth: usize) -> Option<Given> {
        match self.target(table)? {
            Target::Datasource(datasource) => {
                let table = self.table(&datasource.name)?;
                let seen: Vec<&Column> = table
                    .columns
                    .iter()
                    .filter(|column| in_star(column))
                    .collect();
                Some(Given {
                    columns: seen.len(),
                    plain: seen.iter().all(|column| is_plain_type(column)),
                })
            }
            Target::Node(pipe, node) => {
                let id = NodeId::of(pipe, node);
                let mut known = None;
                for of_node in self.places(&id)? {
                    for elements in outputs(of_node.branch.rendered.sql.text())? {
                        let columns = of_node.width(&elements, depth)?;
                        if known.replace(columns).is_some_and(|known| known != columns) {
                            return None;
                        }
                    }
                }
                Some(Given {
                    columns: known?,
                    plain: false,
                })
            }
            Target::Service => None,
        }
    }

    /// How many columns a `SELECT` list gives.
    fn width(self, elements: &[Element], depth: usize) -> Option<usize> {
        let depth = depth.checked_sub(1)?;
        let widths = elements.iter().map(|element| match element {
            Element::Open => None,
            Element::Star => Some(self.given(self.only_table()?, depth)?.columns),
            _ => Some(1),
        });
        widths.sum()
    }

    /// The only table of a query that reads one.
    fn only_table(self) -> Option<&'a TableReference> {
        let mut tables = self.branch.scan.tables.iter();
        let mut tables = tables
            .by_ref()
            .filter(|table| table.position == Position::From);
        let table = tables.next()?;
        tables.next().is_none().then_some(table)
    }

    /// The table of a data source whose columns are all known.
    fn table(self, name: &ResourceName) -> Option<&'a TablePlan> {
        let table = self.plan.tables.get(name)?;
        let is_known = table.made_by.is_none()
            && !table.columns.is_empty()
            && !self.plan.gets_columns(name)
            // Each of its elements is a column.
            && !table.columns.iter().any(|column| {
                let data_type = column.data_type.as_deref();
                data_type.is_some_and(|text| text.starts_with("Nested"))
            });
        is_known.then_some(table)
    }

    /// Whether a name is surely a column that is no tuple, in every table that has it.
    fn is_plain(self, qualifier: Option<&str>, name: &str, depth: usize) -> bool {
        let Some(depth) = depth.checked_sub(1) else {
            return false;
        };
        // Behind `ARRAY JOIN` a column has the values of its items.
        let sql = self.branch.rendered.sql.text();
        if sql::lexer::all_names(sql)
            .iter()
            .any(|name| name == "array")
        {
            return false;
        }
        let tables = self.branch.scan.tables.iter();
        let meant = tables.filter(|table| {
            let named = table.alias.as_deref().unwrap_or(&table.name);
            table.position == Position::From
                && qualifier.is_none_or(|qualifier| qualifier == named || qualifier == table.name)
        });
        let mut found = false;
        for table in meant {
            match self.has(table, name, depth) {
                Some(has) => found |= has,
                None => return false,
            }
        }
        found
    }

    /// Whether a table has a column of that name that is no tuple; `None` where that is not known.
    fn has(self, table: &TableReference, name: &str, depth: usize) -> Option<bool> {
        match self.target(table)? {
            Target::Datasource(datasource) => {
                let mut columns = self.table(&datasource.name)?.columns.iter();
                match columns.find(|column| column.name == name) {
                    Some(column) => is_plain_type(column).then_some(true),
                    None => Some(false),
                }
            }
            Target::Node(pipe, node) => {
                let id = NodeId::of(pipe, node);
                let mut found = false;
                for of_node in self.places(&id)? {
                    for elements in outputs(of_node.branch.rendered.sql.text())? {
                        found |= of_node.gives(&elements, name, depth)?;
                    }
                }
                Some(found)
            }
            Target::Service => None,
        }
    }

    /// The same of the elements of a `SELECT` list.
    fn gives(self, elements: &[Element], name: &str, depth: usize) -> Option<bool> {
        let mut found = false;
        for element in elements {
            found |= match element {
                Element::Open | Element::One => return None,
                // Whether it is a tuple is not known.
                Element::Named(given) if given == name => return None,
                Element::Named(_) => false,
                Element::Star => self.has(self.only_table()?, name, depth.checked_sub(1)?)?,
                Element::Column {
                    name: given,
                    qualifier,
                    column,
                } => {
                    given == name
                        && (self.is_plain(qualifier.as_deref(), column, depth)).then_some(true)?
                }
                Element::Call {
                    name: given,
                    function,
                } => given == name && gives_one_value(function).then_some(true)?,
            };
        }
        Some(found)
    }
}

/// Whether `*` stands for a column.
fn in_star(column: &Column) -> bool {
    let kind = column.default.as_ref().map(|(kind, _)| *kind);
    matches!(kind, None | Some(DefaultKind::Default))
}

/// Whether values of a column are surely no tuples.
fn is_plain_type(column: &Column) -> bool {
    let data_type = column.data_type.as_deref();
    data_type.is_some_and(|text| {
        types::parse(text).is_ok_and(|parsed| {
            let bare = parsed.bare();
            PLAIN.contains(&bare.family.as_str()) || bare.is_number() || bare.is_date_or_time()
        })
    })
}
