//! What a materialized view runs for: the way down to the leftmost table of its statement, through subqueries, common tables and nodes, and what it reads beside that.
//!
//! Wherever a view names the table whose inserts it runs for, it sees the rows of the insert alone. Every other table it reads whole, each time, and runs for none of
//! their inserts.

use std::ops::Range;

use super::views::View;
use crate::graph::{Branch, NodeId, Target, Vertex};
use crate::plan::{NodePlan, Plan};
use crate::project::ResourceName;
use crate::sql::blocks::{Query, Relation, Run, Select, Statement};
use crate::sql::lexer::Kind;
use crate::sql::{Position, TableReference};

/// No way is followed through more queries.
const DEPTH: usize = 64;

/// What a view reads beside the table that it runs for.
#[derive(Default)]
pub(super) struct Beside<'a> {
    /// The table that it runs for, where the text says it.
    pub(super) trigger: Option<&'a ResourceName>,
    /// Data sources right of a `JOIN`.
    pub(super) joined: Vec<Other<'a>>,
    /// Data sources in the other queries of a `UNION` that stands in brackets or in a node, by the place of the operator.
    pub(super) united: Vec<Other<'a>>,
}

/// A data source that a view reads whole.
pub(super) struct Other<'a> {
    pub(super) name: &'a ResourceName,
    /// The node in whose text that stands.
    pub(super) node: &'a NodePlan,
    pub(super) branch: &'a Branch,
    pub(super) place: Range<usize>,
}

/// What a view reads beside the table that it runs for.
pub(super) fn beside<'a>(plan: &'a Plan, view: &View<'a>) -> Beside<'a> {
    let mut found = Beside::default();
    if let Some(statement) = Statement::read(view.branch.rendered.sql.text()) {
        let text = Text {
            plan,
            node: view.node,
            branch: view.branch,
            statement: &statement,
        };
        // Of the outermost queries, the engine runs the first alone.
        let first = statement.query.branches.first();
        found.trigger = first.and_then(|select| text.of_select(select, DEPTH, &mut found));
    }
    let trigger = found.trigger;
    for others in [&mut found.joined, &mut found.united] {
        others.retain(|other| Some(other.name) != trigger);
        let mut seen = Vec::new();
        others.retain(|other| {
            let place = (&other.node.id, other.place.clone(), other.name);
            let is_new = !seen.contains(&place);
            seen.push(place);
            is_new
        });
    }
    found
}

/// The text of a node on the way.
struct Text<'a, 's> {
    plan: &'a Plan,
    node: &'a NodePlan,
    branch: &'a Branch,
    statement: &'s Statement<'a>,
}

impl<'a> Text<'a, '_> {
    fn of_query(
        &self,
        query: &Query,
        depth: usize,
        found: &mut Beside<'a>,
    ) -> Option<&'a ResourceName> {
        let depth = depth.checked_sub(1)?;
        let (first, others) = query.branches.split_first()?;
        for (before, select) in query.branches.iter().zip(others) {
            let operator = self.statement.bytes(&(before.run.end..select.run.start));
            let read = self.read_in(&self.statement.bytes(&select.run));
            let united = read.into_iter().map(|(_, name)| Other {
                name,
                node: self.node,
                branch: self.branch,
                place: operator.clone(),
            });
            found.united.extend(united);
        }
        self.of_select(first, depth, found)
    }

    /// The table that a query's rows come from, with what stands beside it on the way.
    fn of_select(
        &self,
        select: &Select,
        depth: usize,
        found: &mut Beside<'a>,
    ) -> Option<&'a ResourceName> {
        let depth = depth.checked_sub(1)?;
        let from = select.from.as_ref().filter(|_| select.understood)?;
        let (relation, end) = self.statement.read_relation(from)?;
        self.joins(&(end..from.end), found);
        match relation {
            Relation::Query { open } => {
                let mut nested = select.nested.iter();
                let nested = nested.find(|nested| nested.open == open)?;
                self.of_query(&nested.query, depth, found)
            }
            Relation::Table { database, name } => {
                let own = || self.common_table(&name);
                if let Some(query) = database.is_none().then(own).flatten() {
                    return self.of_query(query, depth, found);
                }
                let start = self.statement.bytes(from).start;
                let mut tables = self.branch.scan.tables.iter();
                let table = tables.find(|table| is_read(table) && table.span.start == start)?;
                self.of_table(table, depth, found)
            }
        }
    }

    fn of_table(
        &self,
        table: &TableReference,
        depth: usize,
        found: &mut Beside<'a>,
    ) -> Option<&'a ResourceName> {
        match self.plan.target(&self.node.id, table)? {
            Target::Datasource(datasource) => {
                let known = self.plan.tables.get_key_value(&datasource.name)?;
                Some(known.0)
            }
            Target::Node(pipe, node) => {
                let id = NodeId::of(pipe, node);
                let branch = self.plan.graph.branches(&id).first()?;
                let statement = Statement::read(branch.rendered.sql.text())?;
                let text = Text {
                    plan: self.plan,
                    node: self.plan.pipes.get(&id.pipe)?.node(&id.node)?,
                    branch,
                    statement: &statement,
                };
                text.of_query(&statement.query, depth, found)
            }
            Target::Service => None,
        }
    }

    /// What is joined to the first table.
    fn joins(&self, rest: &Run, found: &mut Beside<'a>) {
        let statement = self.statement;
        let begins: Vec<usize> = statement
            .outermost(rest)
            .filter(|at| {
                let joins = statement.is(*at, "JOIN") && !statement.is(at - 1, "ARRAY");
                joins || statement.kind(*at) == Some(Kind::Comma)
            })
            .map(|at| at + 1)
            .collect();
        for begin in begins {
            let Some((relation, end)) = statement.read_relation(&(begin..rest.end)) else {
                continue;
            };
            let named = statement.bytes(&(begin..end));
            let common = match &relation {
                Relation::Table {
                    database: None,
                    name,
                } => self.common_table(name),
                _ => None,
            };
            let read = match common {
                Some(query) => self.read_in(&statement.bytes(&query.run)),
                None => self.read_in(&named),
            };
            found
                .joined
                .extend(read.into_iter().map(|(place, name)| Other {
                    name,
                    node: self.node,
                    branch: self.branch,
                    place: if common.is_some() {
                        named.clone()
                    } else {
                        place
                    },
                }));
        }
    }

    /// The query of a common table.
    fn common_table(&self, name: &str) -> Option<&Query> {
        let mut tables = self.branch.scan.common_tables.iter();
        let bracket = tables
            .find(|table| table.is_table && table.name == name)?
            .bracket?;
        let mut waiting = vec![&self.statement.query];
        while let Some(query) = waiting.pop() {
            for nested in query.branches.iter().flat_map(|select| &select.nested) {
                if self.statement.bytes(&(nested.open..nested.open + 1)).start == bracket {
                    return Some(&nested.query);
                }
                waiting.push(&nested.query);
            }
        }
        None
    }

    /// The data sources that are read in a part of the text, also through nodes, each with the place of the name that stands there.
    fn read_in(&self, bytes: &Range<usize>) -> Vec<(Range<usize>, &'a ResourceName)> {
        let inside = |table: &&TableReference| {
            bytes.start <= table.span.start && table.span.end <= bytes.end
        };
        let tables = self.branch.scan.tables.iter().filter(inside);
        let mut read = Vec::new();
        for table in tables.filter(|table| is_read(table)) {
            let place = || table.span.clone();
            match self.plan.target(&self.node.id, table) {
                Some(Target::Datasource(datasource)) => {
                    let known = self.plan.tables.get_key_value(&datasource.name);
                    read.extend(known.map(|(name, _)| (place(), name)));
                }
                Some(Target::Node(pipe, node)) => {
                    let vertex = Vertex::Node(NodeId::of(pipe, node));
                    let closure = self.plan.graph.closure(&vertex).into_iter();
                    read.extend(closure.filter_map(|vertex| match vertex {
                        Vertex::Datasource(name) => {
                            let known = self.plan.tables.get_key_value(name)?;
                            Some((place(), known.0))
                        }
                        _ => None,
                    }));
                }
                _ => {}
            }
        }
        read
    }
}

fn is_read(table: &TableReference) -> bool {
    table.position == Position::From
}
