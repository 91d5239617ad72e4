//! Where an output column of a node comes from, followed through nodes and subqueries that only pass it on.

use std::ops::Range;

use crate::graph::{Branch, NodeId, Target};
use crate::plan::{Column, NodePlan, Plan, TablePlan};
use crate::sql::Position;
use crate::sql::blocks::{Item, ItemKind, Query, Run, Select, Statement};
use crate::sql::outline::{OutputItem, outline};

/// No column is followed through more queries.
const DEPTH: usize = 64;

/// What makes the values of a column.
pub(super) struct Origin<'a> {
    /// The node in whose text it stands.
    pub(super) id: NodeId,
    pub(super) branch: &'a Branch,
    /// The bytes of the element in that text.
    pub(super) span: Range<usize>,
    pub(super) made: Made<'a>,
}

/// How values come into being.
pub(super) enum Made<'a> {
    /// They are read from a data source as they are.
    Stored(&'a TablePlan, &'a Column),
    /// An expression, by its bytes in the text.
    Computed(Range<usize>),
}

/// The origin of an output column; `None` where the text does not say it.
pub(super) fn origin<'a>(plan: &'a Plan, id: &NodeId, column: &str) -> Option<Origin<'a>> {
    of_node(plan, id, column, DEPTH)
}

fn of_node<'a>(plan: &'a Plan, id: &NodeId, column: &str, depth: usize) -> Option<Origin<'a>> {
    let branch = plan.graph.branches(id).first()?;
    let statement = Statement::read(branch.rendered.sql.text())?;
    let text = Text {
        plan,
        id,
        branch,
        statement: &statement,
    };
    text.of_query(&statement.query, column, depth)
}

/// The text of a node in which a column is looked for.
struct Text<'a, 's> {
    plan: &'a Plan,
    id: &'s NodeId,
    branch: &'a Branch,
    statement: &'s Statement<'a>,
}

impl<'a> Text<'a, '_> {
    fn of_query(&self, query: &Query, column: &str, depth: usize) -> Option<Origin<'a>> {
        let depth = depth.checked_sub(1)?;
        let select = query.single()?;
        let item = named(select, column)?;
        let inner = match &item.kind {
            ItemKind::Star => Some(column.to_owned()),
            ItemKind::Column { name, .. } => Some(name.clone()),
            ItemKind::Named { expression, .. } => self.column(expression),
            ItemKind::Other => None,
        };
        // A name that the same list gives means what it gives there.
        let inner = inner.filter(|inner| {
            let mut others = select.items.iter();
            !others.any(|other| other != item && other.name() == Some(inner))
        });
        if let Some(inner) = inner {
            return self.of_source(select, item, &inner, depth);
        }
        let expression = match &item.kind {
            ItemKind::Named { expression, .. } => expression,
            _ => &item.run,
        };
        let computed = self.statement.bytes(expression);
        Some(self.origin(item, Made::Computed(computed)))
    }

    /// The column that an expression is, if it is one and nothing else.
    fn column(&self, expression: &Run) -> Option<String> {
        let last = expression.end.checked_sub(1)?;
        let plain = expression.clone().all(|at| {
            self.statement.plain_name(at)
                || self.statement.word(at) == "." && at > expression.start && at < last
        });
        (plain && matches!(expression.len(), 1 | 3))
            .then(|| self.statement.name(last))
            .flatten()
    }

    fn of_source(
        &self,
        select: &Select,
        item: &Item,
        column: &str,
        depth: usize,
    ) -> Option<Origin<'a>> {
        if let Some(nested) = select.source_query() {
            return self.of_query(&nested.query, column, depth);
        }
        match source(self.plan, self.id, self.branch, self.statement, select)? {
            Target::Datasource(datasource) => {
                let table = self.plan.tables.get(&datasource.name)?;
                let column = table.columns.iter().find(|found| found.name == column)?;
                Some(self.origin(item, Made::Stored(table, column)))
            }
            Target::Node(pipe, node) => of_node(self.plan, &NodeId::of(pipe, node), column, depth),
            Target::Service => None,
        }
    }

    fn origin(&self, item: &Item, made: Made<'a>) -> Origin<'a> {
        Origin {
            id: self.id.clone(),
            branch: self.branch,
            span: self.statement.bytes(&item.run),
            made,
        }
    }
}

/// An element of a node's list, where that is `*` of another node, of that one's.
pub(super) struct Element<'a> {
    pub(super) node: &'a NodePlan,
    pub(super) branch: &'a Branch,
    pub(super) item: OutputItem,
}

/// The elements that a node gives, as the text of the node says that passes them on last.
pub(super) fn elements<'a>(plan: &'a Plan, id: &NodeId) -> Vec<Element<'a>> {
    let mut id = id.clone();
    for _ in 0..DEPTH {
        match passed_on(plan, &id) {
            Some(source) => id = source,
            None => break,
        }
    }
    let node = plan
        .pipes
        .get(&id.pipe)
        .and_then(|pipe| pipe.node(&id.node));
    let (Some(node), Some(branch)) = (node, plan.graph.branches(&id).first()) else {
        return Vec::new();
    };
    let items = outline(branch.rendered.sql.text()).items.into_iter();
    let element = |item| Element { node, branch, item };
    items.map(element).collect()
}

/// The node whose columns a node gives as they are: `SELECT * FROM other`.
fn passed_on(plan: &Plan, id: &NodeId) -> Option<NodeId> {
    let branch = plan.graph.branches(id).first()?;
    let statement = Statement::read(branch.rendered.sql.text())?;
    let select = statement.query.single()?;
    let [item] = select.items.as_slice() else {
        return None;
    };
    match source(plan, id, branch, &statement, select)? {
        Target::Node(pipe, node) if item.kind == ItemKind::Star => Some(NodeId::of(pipe, node)),
        _ => None,
    }
}

/// The only table that a query reads.
pub(super) fn source<'a>(
    plan: &'a Plan,
    id: &NodeId,
    branch: &Branch,
    statement: &Statement<'_>,
    select: &Select,
) -> Option<Target<'a>> {
    let source = select.source.as_ref()?;
    let start = statement.bytes(&source.run).start;
    let mut tables = branch.scan.tables.iter();
    let table =
        tables.find(|table| table.position == Position::From && table.span.start == start)?;
    plan.target(id, table)
}

/// The element that gives a column; the only `*` where none names it.
fn named<'s>(select: &'s Select, column: &str) -> Option<&'s Item> {
    let mut items = select.items.iter();
    if let Some(item) = items.find(|item| item.name() == Some(column)) {
        return Some(item);
    }
    let mut open = select.items.iter().filter(|item| item.name().is_none());
    let item = open.next().filter(|item| item.kind == ItemKind::Star)?;
    open.next().is_none().then_some(item)
}
