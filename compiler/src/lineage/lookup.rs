//! From what a person writes to a column: `datasource.column`, `pipe.column`, `pipe.node.column`.

use super::{ColumnId, Lineage};
use crate::graph::{NodeId, Vertex, similar_names};
use crate::plan::Plan;

/// Why a text is no column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UnknownColumn {
    /// One lower-case line.
    pub message: String,
    /// What may have been meant, or what to write.
    pub help: String,
}

/// The column that a text names.
pub fn find(plan: &Plan, lineage: &Lineage, text: &str) -> Result<ColumnId, UnknownColumn> {
    let mut owners: Vec<(&str, Vertex)> = Vec::new();
    // A resource's name may have dots, and so may a column's.
    for (dot, _) in text.match_indices('.') {
        let (owner, column) = (&text[..dot], &text[dot + 1..]);
        for vertex in vertices(plan, owner) {
            let columns = lineage.columns(&vertex);
            if columns.is_some_and(|columns| columns.column(column).is_some()) {
                return Ok(ColumnId::new(vertex, column));
            }
            owners.push((column, vertex));
        }
    }
    if let Some((column, vertex)) = owners.pop() {
        return Err(no_column(lineage, &vertex, column));
    }
    if let Some(vertex) = vertices(plan, text).into_iter().next() {
        let columns = lineage.columns(&vertex);
        let names = columns.into_iter().flat_map(|columns| &columns.columns);
        let names: Vec<String> = names
            .map(|column| format!("{text}.{}", column.name))
            .collect();
        return Err(UnknownColumn {
            message: format!("`{text}` is no column"),
            help: if names.is_empty() {
                "its columns are not known".to_owned()
            } else {
                format!("name one of its columns: {}", names.join(", "))
            },
        });
    }
    let owner = text.split_once('.').map_or(text, |(owner, _)| owner);
    let names = plan.project.datasources.keys().map(ToString::to_string);
    let pipes = plan.project.pipes.keys().map(ToString::to_string);
    let similar = similar_names(owner, names.chain(pipes));
    let column = text.split_once('.').map_or("COLUMN", |(_, column)| column);
    Err(UnknownColumn {
        message: format!("there is no data source or pipe `{owner}`"),
        help: match similar.first() {
            Some(name) => format!("did you mean `{name}.{column}`?"),
            None => "write `datasource.column`, `pipe.column` or `pipe.node.column`".to_owned(),
        },
    })
}

/// What a text names: a data source, a pipe's output, a node.
fn vertices(plan: &Plan, text: &str) -> Vec<Vertex> {
    let mut found = Vec::new();
    let datasources = plan.project.datasources.keys();
    found.extend(
        datasources
            .filter(|name| name.to_string() == text)
            .map(|name| Vertex::Datasource(name.clone())),
    );
    for pipe in plan.pipes.values() {
        let name = pipe.name.to_string();
        if name == text
            && let Some(node) = pipe.output_node()
        {
            found.push(Vertex::Node(node.id.clone()));
        }
        let node = text
            .strip_prefix(&name)
            .and_then(|rest| rest.strip_prefix('.'));
        if let Some(node) = node.and_then(|node| pipe.node(node)) {
            let id = NodeId::clone(&node.id);
            found.push(Vertex::Node(id));
        }
    }
    found
}

fn no_column(lineage: &Lineage, vertex: &Vertex, column: &str) -> UnknownColumn {
    let what = match vertex {
        Vertex::Node(_) => "node",
        Vertex::Datasource(_) | Vertex::Service(_) => "data source",
    };
    let known = lineage.columns(vertex);
    let names: Vec<String> = known
        .into_iter()
        .flat_map(|columns| &columns.columns)
        .map(|column| column.name.clone())
        .collect();
    let more = known.is_none_or(|columns| columns.more);
    let similar = similar_names(column, names.iter().cloned());
    let help = match (similar.first(), names.is_empty()) {
        (Some(name), _) => format!("did you mean `{vertex}.{name}`?"),
        (None, false) if !more => format!("it has: {}", names.join(", ")),
        (None, false) => format!("of its columns, these are known: {}", names.join(", ")),
        (None, true) => "its columns are not known".to_owned(),
    };
    UnknownColumn {
        message: format!("{what} `{vertex}` has no column `{column}`"),
        help,
    }
}
