//! The columns of a project, from its data sources on.

use std::collections::BTreeSet;

use pipewright_grammar::syntax::DefaultKind;

use super::{Column, ColumnId, Columns, Lineage};
use crate::graph::{Branch, NodeId, Vertex, vertex_of};
use crate::plan::{Plan, TablePlan};
use crate::sql::columns::{self, Inputs, TableColumns};
use crate::sql::outline;
use crate::types::{self, Argument};

/// Where the columns of a project come from.
pub fn lineage(plan: &Plan) -> Lineage {
    build(plan, None)
}

/// The same as if a column were not there: what names it then names nothing.
pub fn lineage_without(plan: &Plan, dropped: &ColumnId) -> Lineage {
    build(plan, Some(dropped))
}

fn build(plan: &Plan, dropped: Option<&ColumnId>) -> Lineage {
    let mut lineage = Lineage::default();
    for vertex in plan.graph.topological() {
        let mut columns = match vertex {
            Vertex::Node(id) => node(plan, &lineage, id),
            Vertex::Datasource(name) => match plan.tables.get(name) {
                Some(table) => datasource(plan, &lineage, table),
                None => continue,
            },
            Vertex::Service(_) => continue,
        };
        if let Some(dropped) = dropped.filter(|dropped| dropped.vertex == *vertex) {
            columns
                .columns
                .retain(|column| Some(&column.name) != dropped.column.as_ref());
        }
        match vertex {
            Vertex::Node(id) => _ = lineage.nodes.insert(id.clone(), columns),
            Vertex::Datasource(name) => _ = lineage.tables.insert(name.clone(), columns),
            Vertex::Service(_) => {}
        }
    }
    lineage
}

/// A data source: the columns of its schema, or of the node that makes it, with what fills them.
fn datasource(plan: &Plan, lineage: &Lineage, table: &TablePlan) -> Columns {
    let vertex = Vertex::Datasource(table.name.clone());
    let mut columns = declared(&vertex, table);
    columns.more = columns.columns.is_empty() || plan.gets_columns(&table.name);
    if let Some(made) = table.made_by.as_ref().and_then(|id| lineage.nodes.get(id)) {
        columns.more = made.more;
        columns.columns = made.columns.iter().map(passed).collect();
    }
    for writer in plan.graph.sources(&vertex) {
        let Vertex::Node(id) = writer else { continue };
        let Some(given) = lineage.nodes.get(id) else {
            columns.unknown = true;
            continue;
        };
        for column in &mut columns.columns {
            if given.column(&column.name).is_some() {
                let source = ColumnId::new(writer.clone(), &column.name);
                column.from.insert(source);
            } else if given.more {
                column.from.extend(given.open.iter().cloned());
            }
        }
    }
    columns
}

/// A column of a node as a column of the table that is made from it.
fn passed(column: &Column) -> Column {
    Column {
        from: BTreeSet::new(),
        in_star: true,
        ..column.clone()
    }
}

fn declared(vertex: &Vertex, table: &TablePlan) -> Columns {
    let own: BTreeSet<&str> = table
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    let mut columns = Vec::new();
    for column in &table.columns {
        let kind = column.default.as_ref().map(|(kind, _)| *kind);
        // What an expression of the schema reads is a column of the same row.
        let named = column
            .default
            .as_ref()
            .map(|(_, expression)| outline::names(expression));
        let from = named.into_iter().flatten();
        let from = from
            .filter(|name| own.contains(name.as_str()) && *name != column.name)
            .map(|name| ColumnId::new(vertex.clone(), name));
        let from: BTreeSet<ColumnId> = from.collect();
        let in_star = matches!(kind, None | Some(DefaultKind::Default));
        for name in names(&column.name, column.data_type.as_deref()) {
            columns.push(Column {
                name,
                certain: true,
                in_star,
                from: from.clone(),
            });
        }
    }
    Columns {
        columns,
        ..Columns::default()
    }
}

/// The columns that a declared one makes: a `Nested` makes one for each of its elements.
fn names(name: &str, data_type: Option<&str>) -> Vec<String> {
    let nested = data_type
        .and_then(|text| types::parse(text).ok())
        .filter(|data_type| data_type.family == "Nested");
    let Some(nested) = nested else {
        return vec![name.to_owned()];
    };
    let elements = nested
        .arguments
        .iter()
        .filter_map(|argument| match argument {
            Argument::Named(element, _) => Some(format!("{name}.{element}")),
            _ => None,
        });
    elements.collect()
}

/// A node: the union over its branches.
fn node(plan: &Plan, lineage: &Lineage, id: &NodeId) -> Columns {
    let mut all: Option<Columns> = None;
    for branch in plan.graph.branches(id) {
        let columns = of_branch(plan, lineage, id, branch);
        match &mut all {
            Some(all) => merge(all, columns),
            None => all = Some(columns),
        }
    }
    all.unwrap_or_else(|| Columns {
        more: true,
        unknown: true,
        ..Columns::default()
    })
}

/// Adds what another branch gives.
fn merge(all: &mut Columns, other: Columns) {
    for column in other.columns {
        match all
            .columns
            .iter_mut()
            .find(|known| known.name == column.name)
        {
            Some(known) => {
                known.from.extend(column.from);
                known.certain &= column.certain;
            }
            None => all.columns.push(column),
        }
    }
    all.more |= other.more;
    all.unknown |= other.unknown;
    all.open.extend(other.open);
    all.filters.extend(other.filters);
    all.mentions.extend(other.mentions);
    all.unresolved.extend(other.unresolved);
}

fn of_branch(plan: &Plan, lineage: &Lineage, id: &NodeId, branch: &Branch) -> Columns {
    let mut vertices = Vec::new();
    let mut tables = Vec::new();
    for table in &branch.scan.tables {
        let database = table.database.as_deref();
        let target = plan.target(id, table);
        let vertex = target.map(|target| vertex_of(&target, database, &table.name));
        tables.push(vertex.as_ref().map(|vertex| known(lineage, vertex)));
        vertices.push(vertex);
    }
    let sources = |inputs: &Inputs| -> BTreeSet<ColumnId> {
        let vertex = |table: usize| vertices.get(table).cloned().flatten();
        let ids = inputs.iter().filter_map(|input| {
            Some(ColumnId {
                vertex: vertex(input.table)?,
                column: input.column.clone(),
            })
        });
        ids.collect()
    };
    let sql = branch.rendered.sql.text();
    match columns::columns(sql, &branch.scan, &tables) {
        Ok(read) => Columns {
            columns: read
                .outputs
                .columns
                .iter()
                .map(|output| Column {
                    name: output.name.clone(),
                    certain: output.certain,
                    in_star: true,
                    from: sources(&output.inputs),
                })
                .collect(),
            more: read.outputs.more,
            open: sources(&read.outputs.open),
            filters: sources(&read.filters),
            mentions: sources(&read.mentions),
            unresolved: read.unresolved,
            unknown: read.partial,
        },
        Err(_) => opaque(sql, vertices.into_iter().flatten()),
    }
}

/// What is known of the columns of a table.
fn known(lineage: &Lineage, vertex: &Vertex) -> TableColumns {
    let Some(columns) = lineage.columns(vertex) else {
        return TableColumns::default();
    };
    let certain = columns.columns.iter().all(|column| column.certain);
    TableColumns {
        columns: columns
            .columns
            .iter()
            .map(|column| (column.name.clone(), column.in_star))
            .collect(),
        complete: !columns.more && certain,
    }
}

/// SQL that cannot be read as a tree: any of its columns may be made from any column of what it reads.
fn opaque(sql: &str, vertices: impl Iterator<Item = Vertex>) -> Columns {
    let any: BTreeSet<ColumnId> = vertices
        .map(|vertex| ColumnId {
            vertex,
            column: None,
        })
        .collect();
    let outline = outline::outline(sql);
    let named: Vec<String> = outline
        .items
        .iter()
        .filter_map(|item| item.name.clone())
        .collect();
    let columns = named.iter().map(|name| Column {
        name: name.clone(),
        certain: true,
        in_star: true,
        from: any.clone(),
    });
    Columns {
        columns: columns.collect(),
        more: named.len() < outline.items.len() || outline.items.is_empty(),
        open: any.clone(),
        filters: any.clone(),
        mentions: BTreeSet::new(),
        unresolved: BTreeSet::new(),
        unknown: true,
    }
}
