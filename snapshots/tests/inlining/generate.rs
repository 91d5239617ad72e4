//! Projects made from a tape of numbers. Every table has the columns `k Int64, v Int64, s String`, so that any node can read any other.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Names that mean something else somewhere in SQL, and some that do not. A name that the author has to quote is always quoted in the generated SQL.
const NAMES: &[&str] = &[
    "hits", "users", "x", "day", "final", "left", "values", "table", "offset", "select", "from",
    "interval", "first", "key", "with", "as", "format", "window", "total", "date", "sample",
    "array", "join", "set", "end", "default", "top", "exists", "in", "cast", "if", "only", "asof",
];

/// What stands after a statement. The first ones are the plainest, since shrinking goes there.
const ENDINGS: &[&str] = &[
    "",
    ";",
    " -- done",
    "\n    -- done",
    " /* done */",
    ";\n    -- done",
    " ; ;",
    " # done",
];

/// Numbers that decide everything; zeros when they are used up.
pub(crate) struct Tape(std::vec::IntoIter<u16>);

impl Tape {
    pub(crate) fn new(choices: Vec<u16>) -> Self {
        Self(choices.into_iter())
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::from(self.0.next().unwrap_or(0)) % limit.max(1)
    }

    fn one<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[self.below(among.len())]
    }
}

/// What a name means.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Meaning {
    Datasource(String),
    /// A node by pipe and name.
    Node(String, String),
}

impl Meaning {
    /// As the graph shows it.
    fn vertex(&self) -> String {
        match self {
            Self::Datasource(name) => name.clone(),
            Self::Node(pipe, node) => format!("{pipe}.{node}"),
        }
    }

    /// The last part of the name of the table that holds it.
    fn own_name(&self) -> &str {
        match self {
            Self::Datasource(name) | Self::Node(_, name) => name,
        }
    }

    /// The table that holds it.
    fn table(&self) -> String {
        match self {
            Self::Datasource(name) => format!("pipewright.{}", quoted(name)),
            Self::Node(pipe, node) => format!("{}.{}", database(pipe), quoted(node)),
        }
    }
}

/// Whether one of two tables of the same `FROM` could be meant by the other's name: the engine takes a table's own name beside its alias, so that what is said
/// of the other would be said of both. That is not what is tried here.
fn clash(one: &Named, other: &Named) -> bool {
    one.0 == other.0 || one.1.own_name() == other.0 || other.1.own_name() == one.0
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
        let mut model = Self {
            datasources,
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
        scope
    }

    /// The project's files.
    pub(crate) fn files(&self) -> Vec<(String, String)> {
        let mut files = Vec::new();
        for name in &self.datasources {
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
                // A line after the SQL ends it: `NODE as` right behind it would read as SQL.
                let kind = if node.endpoint {
                    "TYPE endpoint\n\n"
                } else {
                    "TYPE standard\n\n"
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
        for (at, name) in self.datasources.iter().enumerate() {
            let table = Meaning::Datasource(name.clone()).table();
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

    /// Leaves the engine as it was.
    pub(crate) fn tear_down(&self) -> Vec<String> {
        let tables = self.datasources.iter().map(|name| {
            format!(
                "DROP TABLE IF EXISTS {} SYNC",
                Meaning::Datasource(name.clone()).table()
            )
        });
        let databases = self
            .pipes
            .iter()
            .map(|pipe| format!("DROP DATABASE IF EXISTS {}", database(pipe)));
        let mut statements = vec!["CREATE DATABASE IF NOT EXISTS pipewright".to_owned()];
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

/// A name in scope with what it means.
type Named = (String, Meaning);

/// One statement, written both ways at once.
#[derive(Default)]
struct Writer {
    bare: String,
    qualified: String,
    reads: BTreeSet<Meaning>,
}

impl Writer {
    fn node(
        model: &Model,
        pipe: &str,
        names: &[String],
        at: usize,
        endpoint: bool,
        tape: &mut Tape,
    ) -> Node {
        let name = names[at].clone();
        let scope = model.scope(pipe, names, &name);
        let mut writer = Self::default();
        writer.statement(&scope, model, tape);
        Node {
            pipe: pipe.to_owned(),
            name,
            bare: writer.bare,
            qualified: writer.qualified,
            ending: (*tape.one(ENDINGS)).to_owned(),
            endpoint,
            reads: writer.reads,
        }
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.bare.push_str(text);
        self.qualified.push_str(text);
        self
    }

    /// A table after `FROM` or `JOIN`; its columns can be qualified by the alias or else by the name.
    fn table(&mut self, named: &Named, alias: Option<&str>) -> &mut Self {
        let alias_text = alias.map_or(String::new(), |alias| format!(" AS {alias}"));
        _ = write!(self.bare, "{}{alias_text}", quoted(&named.0));
        let alias = alias.map_or_else(|| quoted(&named.0), str::to_owned);
        _ = write!(self.qualified, "{} AS {alias}", named.1.table());
        self.reads.insert(named.1.clone());
        self
    }

    /// A table after `IN`.
    fn set(&mut self, named: &Named) -> &mut Self {
        self.bare.push_str(&quoted(&named.0));
        self.qualified.push_str(&named.1.table());
        self.reads.insert(named.1.clone());
        self
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each shape of statement")]
    fn statement(&mut self, scope: &[Named], model: &Model, tape: &mut Tape) {
        if scope.is_empty() {
            // Every name is that of a node which is not there yet.
            self.text("SELECT toInt64(number) AS k, k + 1 AS v, 'x' AS s FROM numbers(3)");
            return;
        }
        let a = tape.one(scope).clone();
        let b = tape.one(scope).clone();
        let c = tape.one(scope).clone();
        let other: Vec<Named> = scope
            .iter()
            .filter(|named| !clash(named, &a))
            .cloned()
            .collect();
        // A name for a common table expression: of a resource, so that it hides it.
        let hidden = tape.one(scope).0.clone();
        let name = quoted(&hidden);
        let visible: Vec<Named> = scope
            .iter()
            .filter(|named| named.0 != hidden)
            .cloned()
            .collect();
        let shown = if visible.is_empty() {
            None
        } else {
            Some(tape.one(&visible).clone())
        };
        let qa = quoted(&a.0);
        let number = tape.below(5);
        match tape.below(24) {
            0 => _ = self.text("SELECT k, v, s FROM ").table(&a, None),
            1 => _ = self.text("SELECT * FROM ").table(&a, None),
            2 => {
                self.text(&format!("SELECT {qa}.k, {qa}.v, {qa}.s FROM "))
                    .table(&a, None);
                self.text(&format!(" WHERE {qa}.v > {number}"));
            }
            3 => {
                self.text(&format!(
                    "SELECT k, sum({qa}.v) AS v, max({qa}.s) AS s FROM "
                ));
                self.table(&a, None).text(" GROUP BY k");
            }
            4 if !other.is_empty() => {
                let b = tape.one(&other).clone();
                let qb = quoted(&b.0);
                let joins = [
                    " JOIN ",
                    " INNER JOIN ",
                    " LEFT JOIN ",
                    " GLOBAL ALL INNER JOIN ",
                ];
                self.text(&format!(
                    "SELECT {qa}.k AS k, sum({qa}.v + {qb}.v) AS v, max({qb}.s) AS s FROM "
                ));
                self.table(&a, None)
                    .text(joins[tape.below(joins.len())])
                    .table(&b, None);
                self.text(&format!(" ON {qa}.k = {qb}.k GROUP BY {qa}.k"));
            }
            5 => {
                let taken = [&a, &b]
                    .iter()
                    .any(|table| table.0 == hidden || table.1.own_name() == hidden);
                let alias = if taken { "y".to_owned() } else { name.clone() };
                self.text(&format!(
                    "SELECT zz.k AS k, sum(zz.v + {alias}.v) AS v, max({alias}.s) AS s FROM "
                ));
                self.table(&a, Some("zz"))
                    .text(" JOIN ")
                    .table(&b, Some(&alias));
                self.text(&format!(" ON zz.k = {alias}.k GROUP BY zz.k"));
            }
            6 => {
                self.text("SELECT k, v, s FROM ").table(&a, None);
                self.text(" UNION ALL SELECT * FROM ").table(&b, None);
            }
            7 => {
                self.text(&format!(
                    "SELECT {qa}.k AS k, {qa}.v + toInt64((SELECT count() FROM "
                ));
                self.table(&b, None)
                    .text(&format!(")) AS v, {qa}.s AS s FROM "))
                    .table(&a, None);
            }
            8 => {
                let operator = *tape.one(&["IN", "NOT IN", "GLOBAL IN"]);
                self.text("SELECT k, v, s FROM ").table(&a, None);
                self.text(&format!(" WHERE (k, v, s) {operator} ")).set(&b);
            }
            9 => {
                self.text("SELECT k, v, s FROM ").table(&a, None);
                self.text(" WHERE k IN (SELECT k FROM ")
                    .table(&b, None)
                    .text(")");
            }
            10 => {
                // Inside of its own definition, the name still means the resource.
                self.text(&format!("WITH {name} AS (SELECT k, v + 1 AS v, s FROM "));
                self.table(&a, Some("inner_one"));
                self.text(&format!(") SELECT k, v, s FROM {name}"));
                if let Some(shown) = &shown {
                    self.text(" UNION ALL SELECT k, v, s FROM ")
                        .table(shown, None);
                }
            }
            11 => {
                let clear = |shown: &&Named| shown.1.own_name() != hidden;
                let Some(shown) = shown.as_ref().filter(clear) else {
                    _ = self.text("SELECT * FROM ").table(&a, None);
                    return;
                };
                let left = quoted(&shown.0);
                self.text(&format!("WITH {name} AS (SELECT * FROM "))
                    .table(&b, None);
                self.text(&format!(
                    ") SELECT {left}.k AS k, sum({left}.v + {name}.v) AS v, max({name}.s) AS s FROM "
                ));
                self.table(shown, None);
                self.text(&format!(
                    " JOIN {name} ON {left}.k = {name}.k GROUP BY {left}.k"
                ));
            }
            12 => {
                self.text(&format!(
                    "WITH nested AS (WITH {name} AS (SELECT k, v * 2 AS v, s FROM "
                ));
                self.table(&b, Some("t"));
                self.text(&format!(
                    ") SELECT k, v, s FROM {name}) SELECT k, v, s FROM nested UNION ALL SELECT * FROM "
                ));
                self.table(&a, None);
            }
            13 => {
                // A name that the nodes it reads may give to a common table expression. One of its own tables would be hidden by it.
                let taken = [&a, &b]
                    .iter()
                    .any(|table| table.0 == hidden || table.1.own_name() == hidden);
                let scalar = if taken { "rows_of_it".to_owned() } else { name };
                self.text("WITH (SELECT count() FROM ").table(&b, None);
                self.text(&format!(
                    ") AS {scalar} SELECT {qa}.k AS k, {qa}.v + toInt64({scalar}) AS v, {qa}.s AS s FROM "
                ));
                self.table(&a, None);
            }
            14 => {
                let tables: Vec<&Named> = scope
                    .iter()
                    .filter(|named| matches!(named.1, Meaning::Datasource(_)))
                    .collect();
                match tables.first() {
                    Some(table) => {
                        let alias = tape.below(2) == 1;
                        let table = (*table).clone();
                        self.text("SELECT k, v, s FROM ");
                        self.table(&table, alias.then_some("t")).text(" FINAL");
                    }
                    None => _ = self.text("SELECT * FROM ").table(&a, None),
                }
            }
            15 => {
                let alias = *tape.one(&["", " AS q", " q"]);
                self.text("SELECT k, v, s FROM (SELECT * FROM ")
                    .table(&a, None);
                self.text(&format!("){alias} WHERE v != {number}"));
            }
            16 => {
                self.text("SELECT l.k AS k, sum(l.v * r.v) AS v, min(r.s) AS s FROM ");
                self.table(&a, Some("l")).text(", ").table(&b, Some("r"));
                self.text(" WHERE l.k = r.k GROUP BY l.k");
            }
            17 => {
                self.text("SELECT DISTINCT k, v, s FROM ").table(&a, None);
                self.text(" ORDER BY k, v, s LIMIT 4");
            }
            18 => {
                self.text(&format!(
                    "SELECT k, v, s FROM (WITH {name} AS (SELECT * FROM "
                ));
                self.table(&b, None)
                    .text(&format!(") SELECT * FROM {name}) WHERE (k, v, s) IN "));
                self.set(&c);
            }
            19 => {
                let operator = *tape.one(&["EXCEPT", "INTERSECT", "UNION DISTINCT"]);
                self.text("(SELECT k, v, s FROM ").table(&a, None);
                self.text(&format!(") {operator} (SELECT k, v, s FROM "))
                    .table(&b, None)
                    .text(")");
            }
            20 => {
                self.text("FROM ").table(&a, None);
                self.text(&format!(" SELECT k, v, s WHERE k >= {number}"));
            }
            21 => {
                self.text("SELECT k, v + q AS v, s FROM ")
                    .table(&a, Some("t"));
                self.text(" ARRAY JOIN [1, 2] AS q");
            }
            22 => {
                self.text(&format!("WITH {name} AS (SELECT * FROM "))
                    .table(&b, None);
                let from = shown.as_ref().unwrap_or(&a);
                if shown.is_some() {
                    self.text(") SELECT k, v, s FROM ").table(from, None);
                } else {
                    self.text(&format!(") SELECT k, v, s FROM {name}"));
                }
                self.text(&format!(" WHERE (k, v, s) IN {name}"));
            }
            _ if !other.is_empty() => {
                let b = tape.one(&other).clone();
                self.text(&format!(
                    "SELECT {qa}.k AS k, {qa}.v AS v, {qa}.s AS s FROM "
                ));
                self.table(&a, None)
                    .text(" LEFT SEMI JOIN ")
                    .table(&b, None)
                    .text(" USING k");
            }
            _ => {
                self.text("SELECT t.* FROM ").table(&a, Some("t"));
                self.text(&format!(
                    " WHERE t.k < {}",
                    model.datasources.len() + number
                ));
            }
        }
    }
}
