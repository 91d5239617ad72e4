//! Projects made from a tape of numbers. Every table has the columns `k Int64, v Int64, s String`, so that any node can read any other.

mod writer;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::tape::Tape;
use writer::Writer;

/// Names that mean something else somewhere in SQL, and some that do not. A name that the author has to quote is always quoted in the generated SQL.
const NAMES: &[&str] = &[
    "hits", "users", "x", "day", "final", "left", "values", "table", "offset", "select", "from",
    "interval", "first", "key", "with", "as", "format", "window", "total", "date", "sample",
    "array", "join", "set", "end", "default", "top", "exists", "in", "cast", "if", "only", "asof",
];

/// The workspace that shares data sources.
const SHARED: &str = "shared";

/// What a name means.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Meaning {
    Datasource(String),
    /// A data source that another workspace shares.
    Shared(String),
    /// A node by pipe and name.
    Node(String, String),
}

impl Meaning {
    /// As the graph shows it.
    fn vertex(&self) -> String {
        match self {
            Self::Datasource(name) => name.clone(),
            Self::Shared(name) => format!("{SHARED}.{name}"),
            Self::Node(pipe, node) => format!("{pipe}.{node}"),
        }
    }

    /// The name that the engine knows it by beside an alias.
    fn own_name(&self) -> Option<&str> {
        match self {
            Self::Datasource(name) | Self::Shared(name) => Some(name),
            Self::Node(..) => None,
        }
    }

    /// The name as an author writes it, quoted.
    fn written(&self, name: &str) -> String {
        match self {
            Self::Shared(own) => format!("{SHARED}.{}", quoted(own)),
            _ => quoted(name),
        }
    }

    /// The table that holds it.
    fn table(&self) -> String {
        match self {
            Self::Datasource(name) => format!("pipewright.{}", quoted(name)),
            Self::Shared(name) => format!("{SHARED}.{}", quoted(name)),
            Self::Node(pipe, node) => format!("{}.{}", database(pipe), quoted(node)),
        }
    }
}

fn quoted(name: &str) -> String {
    format!("`{name}`")
}

fn database(pipe: &str) -> String {
    quoted(&format!("stored {pipe}"))
}

/// A node with its statement both ways.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) pipe: String,
    pub(crate) name: String,
    /// With bare names.
    bare: String,
    /// With qualified names.
    pub(crate) qualified: String,
    ending: String,
    endpoint: bool,
    reads: BTreeSet<Meaning>,
}

/// A project.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    datasources: Vec<String>,
    /// Data sources of another workspace, under any names.
    shared: Vec<String>,
    pipes: Vec<String>,
    /// In an order in which each comes after what it reads.
    pub(crate) nodes: Vec<Node>,
    /// Whether a pipe's nodes stand in its file from the last to the first.
    reversed: bool,
}

impl Model {
    pub(crate) fn new(tape: &mut Tape) -> Self {
        let mut names: Vec<&str> = NAMES.to_vec();
        let mut take = |tape: &mut Tape| names.remove(tape.below(names.len())).to_owned();
        let datasources: Vec<String> = (0..2 + tape.below(2)).map(|_| take(tape)).collect();
        let pipes: Vec<String> = (0..=tape.below(3)).map(|_| take(tape)).collect();
        let mut shared: Vec<String> = (0..tape.below(3))
            .map(|_| tape.one(NAMES).to_string())
            .collect();
        shared.sort();
        shared.dedup();
        let mut model = Self {
            datasources,
            shared,
            pipes: pipes.clone(),
            nodes: Vec::new(),
            reversed: tape.below(2) == 1,
        };
        for pipe in pipes {
            let mut node_names: Vec<String> = Vec::new();
            for _ in 0..=tape.below(4) {
                // A node may have the name of a data source or of a pipe.
                let name = match tape.below(3) {
                    0 => tape.one(NAMES).to_string(),
                    1 => tape.one(&model.datasources).clone(),
                    _ => tape.one(&model.pipes).clone(),
                };
                if !node_names.contains(&name) {
                    node_names.push(name);
                }
            }
            for at in 0..node_names.len() {
                let endpoint = at + 1 == node_names.len();
                let node = Writer::node(&model, &pipe, &node_names, at, endpoint, tape);
                model.nodes.push(node);
            }
        }
        model
    }

    /// What each name means in a node, as far as it is already there.
    fn scope(&self, pipe: &str, nodes: &[String], own: &str) -> Vec<(String, Meaning)> {
        let mut scope = Vec::new();
        for name in NAMES.iter().map(ToString::to_string) {
            let in_pipe = name != own && nodes.contains(&name);
            let meaning = if in_pipe {
                Some((pipe.to_owned(), name.clone()))
            } else if self.datasources.contains(&name) {
                scope.push((name.clone(), Meaning::Datasource(name)));
                continue;
            } else {
                let output = self
                    .nodes
                    .iter()
                    .find(|node| node.pipe == name && node.endpoint);
                output.map(|node| (node.pipe.clone(), node.name.clone()))
            };
            let Some((pipe, node)) = meaning else {
                continue;
            };
            let there = self
                .nodes
                .iter()
                .any(|other| other.pipe == pipe && other.name == node);
            if there {
                scope.push((name, Meaning::Node(pipe, node)));
            }
        }
        for name in &self.shared {
            scope.push((name.clone(), Meaning::Shared(name.clone())));
        }
        scope
    }

    /// The project's files.
    pub(crate) fn files(&self) -> Vec<(String, String)> {
        let mut files = Vec::new();
        let shared = self
            .shared
            .iter()
            .map(|name| format!("vendor/{SHARED}/{name}"));
        for name in self.datasources.iter().cloned().chain(shared) {
            let text = "SCHEMA >\n    `k` Int64,\n    `v` Int64,\n    `s` String\n\nENGINE \"ReplacingMergeTree\"\nENGINE_SORTING_KEY \"k\"\n";
            files.push((format!("{name}.datasource"), text.to_owned()));
        }
        for pipe in &self.pipes {
            let mut nodes: Vec<&Node> = self
                .nodes
                .iter()
                .filter(|node| node.pipe == *pipe)
                .collect();
            if self.reversed {
                nodes.reverse();
            }
            let mut text = String::new();
            for node in nodes {
                let kind = if node.endpoint {
                    "TYPE endpoint\n\n"
                } else {
                    ""
                };
                _ = write!(
                    text,
                    "NODE {}\nSQL >\n    {}{}\n\n{kind}",
                    node.name, node.bare, node.ending
                );
            }
            files.push((format!("{pipe}.pipe"), text));
        }
        files
    }

    /// Who is read by whom, sorted.
    pub(crate) fn edges(&self) -> Vec<(String, String)> {
        let mut edges: Vec<(String, String)> = self
            .nodes
            .iter()
            .flat_map(|node| {
                let reader = format!("{}.{}", node.pipe, node.name);
                node.reads
                    .iter()
                    .map(move |read| (read.vertex(), reader.clone()))
            })
            .collect();
        edges.sort();
        edges
    }

    /// The databases, and the data sources with rows that `FINAL` makes fewer.
    pub(crate) fn set_up(&self) -> Vec<String> {
        let mut statements = self.tear_down();
        statements.push("CREATE DATABASE IF NOT EXISTS pipewright".to_owned());
        for pipe in &self.pipes {
            statements.push(format!("CREATE DATABASE {}", database(pipe)));
        }
        for (at, table) in self.tables().into_iter().enumerate() {
            statements.push(format!(
                "CREATE TABLE {table} (k Int64, v Int64, s String) ENGINE = ReplacingMergeTree ORDER BY k"
            ));
            statements.push(format!("SYSTEM STOP MERGES {table}"));
            for round in 0..2 {
                statements.push(format!(
                    "INSERT INTO {table} SELECT number + {at}, number * {} + {round}, concat('{at}', toString(number + {round})) FROM numbers(3)",
                    at + 2
                ));
            }
        }
        statements
    }

    /// The tables of the data sources.
    fn tables(&self) -> Vec<String> {
        let own = self.datasources.iter().cloned().map(Meaning::Datasource);
        let shared = self.shared.iter().cloned().map(Meaning::Shared);
        own.chain(shared).map(|meaning| meaning.table()).collect()
    }

    /// Leaves the engine as it was.
    pub(crate) fn tear_down(&self) -> Vec<String> {
        let tables = self.tables();
        let tables = tables
            .iter()
            .map(|table| format!("DROP TABLE IF EXISTS {table} SYNC"));
        let databases = self
            .pipes
            .iter()
            .map(|pipe| format!("DROP DATABASE IF EXISTS {}", database(pipe)));
        let mut statements = vec![
            "CREATE DATABASE IF NOT EXISTS pipewright".to_owned(),
            format!("CREATE DATABASE IF NOT EXISTS {SHARED}"),
        ];
        statements.extend(tables.chain(databases));
        statements
    }

    /// The table that a node is stored in.
    pub(crate) fn stored(node: &Node) -> String {
        Meaning::Node(node.pipe.clone(), node.name.clone()).table()
    }

    /// Stores a node.
    pub(crate) fn store(node: &Node) -> String {
        format!(
            "CREATE TABLE {} ENGINE = Memory AS {}",
            Self::stored(node),
            node.qualified
        )
    }
}
