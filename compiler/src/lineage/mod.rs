//! Stage *lineage*: `Plan` → [`Lineage`], where the columns of nodes and data sources come from, over every branch of every template.
//!
//! A column's *values* come from the columns in its expression; the *rows* of a node depend on the columns of its conditions, groups, joins and order. Data
//! sources get columns from the materialized and copy nodes that fill them. SQL that no parser of ours can read may take anything from what it
//! reads: that is said, and no column is guessed. Not a part of `check`: it reads every statement as a tree.

mod build;
mod impact;
mod lookup;
mod usage;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Serialize, Serializer};

pub use build::{lineage, lineage_without};
pub use impact::{Impact, impact};
pub use lookup::{UnknownColumn, find};
pub use usage::{Unused, unused};

use crate::graph::{NodeId, Vertex};
use crate::project::ResourceName;

/// A column of a data source or of a node; of a service data source, too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnId {
    /// What has it.
    pub vertex: Vertex,
    /// Its name; `None` where it may be any column.
    pub column: Option<String>,
}

impl ColumnId {
    /// The column of that name.
    pub fn new(vertex: Vertex, column: impl Into<String>) -> Self {
        Self {
            vertex,
            column: Some(column.into()),
        }
    }
}

impl fmt::Display for ColumnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = self.column.as_deref().unwrap_or("*");
        write!(f, "{}.{column}", self.vertex)
    }
}

impl Serialize for ColumnId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A column that a node gives or a data source has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Whether the engine surely calls it that: expressions without an alias are named by the engine.
    pub certain: bool,
    /// Whether `*` stands for it.
    pub in_star: bool,
    /// What its values are made from, one step back.
    pub from: BTreeSet<ColumnId>,
}

/// The columns of a node, or of a data source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns {
    /// Those that are known, in order.
    pub columns: Vec<Column>,
    /// Whether there may be others.
    pub more: bool,
    /// What the others may be made from.
    pub open: BTreeSet<ColumnId>,
    /// What decides about the rows, one step back.
    pub filters: BTreeSet<ColumnId>,
    /// The columns that the text needs: without one of them, the engine refuses it.
    pub mentions: BTreeSet<ColumnId>,
    /// Names that mean nothing.
    pub unresolved: BTreeSet<String>,
    /// Whether a part of the SQL could not be read.
    pub unknown: bool,
}

impl Columns {
    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// The columns of a project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lineage {
    /// Columns of each node.
    pub nodes: BTreeMap<NodeId, Columns>,
    /// Columns of each data source.
    pub tables: BTreeMap<ResourceName, Columns>,
}

impl Lineage {
    /// The columns of a node or data source; nothing is known of service data sources.
    pub fn columns(&self, vertex: &Vertex) -> Option<&Columns> {
        match vertex {
            Vertex::Node(id) => self.nodes.get(id),
            Vertex::Datasource(name) => self.tables.get(name),
            Vertex::Service(_) => None,
        }
    }

    /// Everything that has columns.
    pub fn vertices(&self) -> impl Iterator<Item = (Vertex, &Columns)> {
        let nodes = self.nodes.iter();
        let tables = self.tables.iter();
        tables
            .map(|(name, columns)| (Vertex::Datasource(name.clone()), columns))
            .chain(nodes.map(|(id, columns)| (Vertex::Node(id.clone()), columns)))
    }

    /// What a column's values are made from, one step back.
    pub fn sources(&self, id: &ColumnId) -> BTreeSet<ColumnId> {
        let Some(columns) = self.columns(&id.vertex) else {
            return BTreeSet::new();
        };
        let Some(name) = &id.column else {
            let known = columns.columns.iter().flat_map(|column| &column.from);
            return known.chain(&columns.open).cloned().collect();
        };
        let column = columns.column(name);
        column.map_or(&columns.open, |column| &column.from).clone()
    }

    /// Every data source column that a column's values are made from, directly or on the way.
    pub fn origins(&self, id: &ColumnId) -> BTreeSet<ColumnId> {
        let mut seen = BTreeSet::new();
        let mut waiting: Vec<ColumnId> = self.sources(id).into_iter().collect();
        while let Some(next) = waiting.pop() {
            if seen.insert(next.clone()) {
                waiting.extend(self.sources(&next));
            }
        }
        seen.retain(|id| !matches!(id.vertex, Vertex::Node(_)));
        seen
    }

    /// What is made from each column, one step on: columns, and nodes whose rows depend on it.
    pub fn readers(&self) -> Readers {
        let mut readers = Readers::default();
        for (vertex, columns) in self.vertices() {
            for column in &columns.columns {
                let id = ColumnId::new(vertex.clone(), &column.name);
                for source in &column.from {
                    let values = readers.values.entry(source.clone()).or_default();
                    values.insert(id.clone());
                }
            }
            let any = ColumnId {
                vertex: vertex.clone(),
                column: None,
            };
            for source in &columns.open {
                let values = readers.values.entry(source.clone()).or_default();
                values.insert(any.clone());
            }
            for source in &columns.filters {
                let rows = readers.rows.entry(source.clone()).or_default();
                rows.insert(vertex.clone());
            }
        }
        readers
    }
}

/// The edges of a [`Lineage`] the other way round.
#[derive(Debug, Clone, Default)]
pub struct Readers {
    values: BTreeMap<ColumnId, BTreeSet<ColumnId>>,
    rows: BTreeMap<ColumnId, BTreeSet<Vertex>>,
}

impl Readers {
    /// The columns that are made from a column, also those that are made from any column of what has it.
    pub fn values(&self, id: &ColumnId) -> BTreeSet<&ColumnId> {
        of_column(&self.values, id)
    }

    /// The nodes whose rows depend on a column.
    pub fn rows(&self, id: &ColumnId) -> BTreeSet<&Vertex> {
        of_column(&self.rows, id)
    }
}

/// What is noted of a column, and of any column of what has it.
fn of_column<'a, T: Ord>(
    noted: &'a BTreeMap<ColumnId, BTreeSet<T>>,
    id: &ColumnId,
) -> BTreeSet<&'a T> {
    let any = ColumnId {
        vertex: id.vertex.clone(),
        column: None,
    };
    let found = [noted.get(id), noted.get(&any)];
    found.into_iter().flatten().flatten().collect()
}
