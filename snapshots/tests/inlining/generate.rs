//! Projects made from a tape of numbers. Every table has the columns `k Int64, v Int64, s String`, so that any node can read any other.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Names that mean something else somewhere in SQL, and some that do not. A name that the author has to quote is always quoted in the generated SQL.
const NAMES: &[&str] = &[
    "hits", "users", "x", "day", "final", "left", "values", "table", "offset", "select", "from",
    "interval", "first", "key", "with", "as", "format", "window", "total", "date", "sample",
    "array", "join", "set", "end", "default", "top", "exists", "in", "cast", "if", "only", "asof",
];

/// How many shapes of statements there are.
const SHAPES: usize = 33;

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

/// The workspace that shares data sources.
const SHARED: &str = "shared";

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

/// Whether one of two tables of the same `FROM` could be meant by the other's name: the engine takes a table's own name beside its alias, so that what is said
/// of the other would be said of both. That is not what is tried here.
fn clash(one: &Named, other: &Named) -> bool {
    one.0 == other.0 || answers_to(one, &other.0) || answers_to(other, &one.0)
}

/// Whether the engine takes a name for that table, whatever its alias.
fn answers_to(table: &Named, name: &str) -> bool {
    table.1.own_name() == Some(name)
}

/// A table for the right side of an `IN` beside one in the `FROM`: what the engine would take for that one is that one.
fn set_beside(from: &Named, set: &Named) -> Named {
    let bare = !matches!(set.1, Meaning::Shared(_));
    if bare && answers_to(from, &set.0) {
        from.clone()
    } else {
        set.clone()
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
        self.table_with(named, alias, "")
    }

    /// The same with `FINAL`. In the second text it is a query, so that the engine knows it by nothing but its alias.
    fn table_with(&mut self, named: &Named, alias: Option<&str>, modifier: &str) -> &mut Self {
        let alias_text = alias.map_or(String::new(), |alias| format!(" AS {alias}"));
        _ = write!(
            self.bare,
            "{}{alias_text}{modifier}",
            named.1.written(&named.0)
        );
        let alias = alias.map_or_else(|| quoted(&named.0), str::to_owned);
        _ = write!(
            self.qualified,
            "(SELECT * FROM {}{modifier}) AS {alias}",
            named.1.table()
        );
        self.reads.insert(named.1.clone());
        self
    }

    /// A table after `IN`.
    fn set(&mut self, named: &Named) -> &mut Self {
        self.bare.push_str(&named.1.written(&named.0));
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
        let set = set_beside(&a, &b);
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
        match tape.below(SHAPES) {
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
                    .any(|table| table.0 == hidden || answers_to(table, &hidden));
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
                self.text(&format!(" WHERE (k, v, s) {operator} "))
                    .set(&set);
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
                let clear = |shown: &&Named| !answers_to(shown, &hidden);
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
                    .any(|table| table.0 == hidden || answers_to(table, &hidden));
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
                    .filter(|named| named.1.own_name().is_some())
                    .collect();
                match tables.first() {
                    Some(table) => {
                        let alias = tape.below(2) == 1;
                        let table = (*table).clone();
                        self.text("SELECT k, v, s FROM ");
                        self.table_with(&table, alias.then_some("t"), " FINAL");
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
                let shown = shown.filter(|shown| !answers_to(shown, &hidden));
                let from = shown.as_ref().unwrap_or(&a);
                if shown.is_some() {
                    self.text(") SELECT k, v, s FROM ").table(from, None);
                } else {
                    self.text(&format!(") SELECT k, v, s FROM {name}"));
                }
                self.text(&format!(" WHERE (k, v, s) IN {name}"));
            }
            23 => self.set_of_the_same_from(&a, &name, tape),
            24 => {
                // The alias of a table comes before a common table expression right of an `IN`.
                let reads_it = a.0 == hidden && !matches!(a.1, Meaning::Shared(_));
                let name = if reads_it {
                    "other_one".to_owned()
                } else {
                    name
                };
                self.text(&format!(
                    "WITH {name} AS (SELECT toInt64(1) AS k, toInt64(2) AS v, 'y' AS s) "
                ));
                self.set_of_the_same_from(&a, &name, tape);
            }
            25 => {
                self.text(&format!("WITH RECURSIVE {name} AS (SELECT toInt64({number}) AS k, toInt64(1) AS v, 'r' AS s UNION ALL SELECT k + 1, v + 1, s FROM {name} WHERE v < 3) "));
                self.text(&format!("SELECT k, v, s FROM {name}"));
                if let Some(shown) = &shown {
                    self.text(" UNION ALL SELECT k, v, s FROM ")
                        .table(shown, None);
                }
            }
            26 => {
                // In the inner definition the name means the outer one.
                self.text(&format!("WITH {name} AS (SELECT * FROM "))
                    .table(&b, Some("outer_one"));
                self.text(&format!(
                    ") SELECT k, v, s FROM (WITH {name} AS (SELECT k, v + 1 AS v, s FROM {name}) SELECT * FROM {name}) UNION ALL SELECT k, v, s FROM {name}"
                ));
            }
            27 => {
                self.text(&format!("SELECT k, v + {name} AS v, s FROM "))
                    .table(&a, Some("t"));
                self.text(&format!(" ARRAY JOIN [1, 2] AS {name}"));
            }
            28 => {
                self.text(&format!(
                    "SELECT k, v + arraySum({name} -> {name} * 2, arrayFilter({name} -> {name} IN (1, {number}), [1, 2, {number}])) AS v, s FROM "
                ))
                .table(&a, None);
            }
            29 => {
                self.text("SELECT k, v, s FROM ").table(&a, None);
                let form = *tape.one(&[
                    (" WHERE (k, v, s) IN (", ")"),
                    (" WHERE in((k, v, s), ", ")"),
                    (" WHERE (k, v, s) NOT IN ((", "))"),
                ]);
                self.text(form.0).set(&set).text(form.1);
            }
            30 => {
                let taken = [&a, &b]
                    .iter()
                    .any(|table| table.0 == hidden || answers_to(table, &hidden));
                let scalar = if taken {
                    "some_number".to_owned()
                } else {
                    name
                };
                self.text(&format!(
                    "WITH toInt64({number}) AS {scalar} SELECT {qa}.k AS k, {qa}.v + {scalar} AS v, {qa}.s AS s FROM "
                ))
                .table(&a, None);
                self.text(" WHERE (k, v, s) NOT IN ").set(&set);
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

    /// `FROM a AS x WHERE … IN x`: the set is that table, which the second text says in so many words.
    fn set_of_the_same_from(&mut self, a: &Named, alias: &str, tape: &mut Tape) {
        let modifier = match a.1.own_name() {
            Some(_) if tape.below(2) == 1 => " FINAL",
            _ => "",
        };
        self.text("SELECT k, v, s FROM ");
        self.table_with(a, Some(alias), modifier);
        self.text(" WHERE (k, v, s) IN ");
        self.bare.push_str(alias);
        _ = write!(self.qualified, "(SELECT * FROM {}{modifier})", a.1.table());
        self.text(" AND v != 1");
    }
}
