//! Pipes made from a tape of numbers: each node reads the nodes before it or a table.

use std::fmt::Write as _;

use crate::tape::Tape;

/// Names of columns, nodes and aliases.
const NAMES: &[&str] = &["a", "b", "c", "k", "v", "s", "t", "u", "x"];

/// What a node gives, each column with whether it is a number.
type Columns = Vec<(String, bool)>;

/// A pipe.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    nodes: Vec<(String, String)>,
}

struct Source {
    name: String,
    columns: Columns,
}

impl Chain {
    pub(crate) fn new(tape: &mut Tape) -> Self {
        let column = |name: &str, number: bool| (name.to_owned(), number);
        let mut sources = vec![
            Source {
                name: "t".to_owned(),
                columns: vec![column("k", true), column("v", true), column("s", false)],
            },
            Source {
                name: "u".to_owned(),
                columns: vec![column("k", true), column("a", true), column("b", false)],
            },
        ];
        let mut nodes = Vec::new();
        let length = 2 + tape.below(5);
        for at in 0..length {
            // Mostly the node before, so that chains come about.
            let from = if tape.below(5) > 0 && at > 0 {
                sources.len() - 1
            } else {
                tape.below(sources.len())
            };
            let name = match tape.below(3) {
                0 => format!("n{at}"),
                1 => format!("{}_{at}", tape.one(NAMES)),
                _ => {
                    let name = (*tape.one(&["a", "b", "c", "v", "x"])).to_owned();
                    if sources.iter().any(|source| source.name == name) {
                        format!("n{at}")
                    } else {
                        name
                    }
                }
            };
            let mut writer = Writer {
                tape,
                sources: &sources,
                source: &sources[from],
            };
            let (sql, columns) = writer.node();
            nodes.push((name.clone(), sql));
            sources.push(Source { name, columns });
        }
        Self { nodes }
    }

    pub(crate) fn files(&self) -> Vec<(String, String)> {
        let mut pipe = String::new();
        for (at, (name, sql)) in self.nodes.iter().enumerate() {
            let kind = if at + 1 == self.nodes.len() {
                "TYPE endpoint\n\n"
            } else {
                "\n"
            };
            _ = write!(pipe, "NODE {name}\nSQL >\n    {sql}\n\n{kind}");
        }
        let table = |columns: &str| {
            format!("SCHEMA >\n    {columns}\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"k\"\n")
        };
        vec![
            ("p.pipe".to_owned(), pipe),
            (
                "t.datasource".to_owned(),
                table("`k` Int64, `v` Int64, `s` String"),
            ),
            (
                "u.datasource".to_owned(),
                table("`k` Int64, `a` Int64, `b` String"),
            ),
        ]
    }

    pub(crate) fn set_up() -> Vec<String> {
        let mut statements = Vec::new();
        for (table, columns, factor) in [
            ("t", "k Int64, v Int64, s String", 3),
            ("u", "k Int64, a Int64, b String", 5),
        ] {
            statements.push(format!(
                "CREATE TABLE {table} ({columns}) ENGINE = MergeTree ORDER BY k"
            ));
            for part in 0..2 {
                statements.push(format!(
                    "INSERT INTO {table} SELECT number % 7, number * {factor} % 11 + {part}, toString(number % 4) FROM numbers(20)"
                ));
            }
        }
        statements
    }
}

struct Writer<'a, 'b> {
    tape: &'a mut Tape,
    sources: &'b [Source],
    source: &'b Source,
}

fn names(columns: &Columns) -> String {
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    names.join(", ")
}

impl Writer<'_, '_> {
    fn column(&mut self) -> (String, bool) {
        self.tape.one(&self.source.columns).clone()
    }

    /// A column as it may be written.
    fn written(&mut self, column: &str) -> String {
        if self.tape.below(4) == 1 {
            format!("{}.{column}", self.source.name)
        } else {
            column.to_owned()
        }
    }

    /// An expression over the columns, and whether it is a number.
    fn expression(&mut self) -> (String, bool) {
        let (name, number) = self.column();
        let (other, other_number) = self.column();
        let written = self.written(&name);
        let text = match (number, self.tape.below(6)) {
            (true, 0) if other_number => format!("{written} + {other}"),
            (true, 1) => format!("{written} * 2"),
            (true, 2) => format!("intDiv({written}, 3)"),
            (true, 3) => format!("arraySum(arrayMap(x -> x + {written}, [1, 2]))"),
            (true, 4) => format!("if({written} > 4, toInt64(1), {written})"),
            (true, _) => format!("({written} AS q) + 1"),
            (false, 0) => return (format!("toInt64(length({written}))"), true),
            (false, 1) => format!("upper({written})"),
            (false, 2) => format!("concat({written}, 'z')"),
            (false, 3) => "'w'".to_owned(),
            (false, _) => format!("reverse({written})"),
        };
        (text, number)
    }

    fn condition(&mut self, columns: &Columns) -> String {
        let (name, number) = self.tape.one(columns).clone();
        let number_of = self.tape.below(6);
        let condition = if number {
            format!("{name} > {number_of}")
        } else {
            format!("{name} != '{number_of}'")
        };
        match self.tape.below(8) {
            1 => format!("1 = 1 AND {condition}"),
            2 => format!("{condition} AND true"),
            3 => format!("{condition} OR {name} = {name}"),
            4 => "1".to_owned(),
            _ => condition,
        }
    }

    fn ending(&mut self, columns: &Columns) -> String {
        let all = names(columns);
        match self.tape.below(7) {
            0 => format!(" ORDER BY {all}"),
            1 => format!(" ORDER BY {all} LIMIT 4"),
            2 => {
                let condition = self.condition(columns);
                format!(" WHERE {condition}")
            }
            3 => {
                let condition = self.condition(columns);
                format!(" WHERE {condition} ORDER BY {all} LIMIT 3")
            }
            _ => String::new(),
        }
    }

    /// Some of the columns, each once.
    fn some(&mut self) -> Columns {
        let mut picked: Columns = Vec::new();
        for _ in 0..=self.tape.below(3) {
            let column = self.column();
            if !picked.contains(&column) {
                picked.push(column);
            }
        }
        picked
    }

    fn free_name(&mut self, taken: &Columns) -> String {
        let name = (*self.tape.one(NAMES)).to_owned();
        if taken.iter().any(|(known, _)| *known == name) {
            format!("{name}{}", taken.len())
        } else {
            name
        }
    }

    fn node(&mut self) -> (String, Columns) {
        let source = self.source.name.clone();
        let own = self.source.columns.clone();
        match self.tape.below(15) {
            0 => {
                let ending = self.ending(&own);
                (format!("SELECT * FROM {source}{ending}"), own)
            }
            1 | 2 => {
                let mut columns = self.some();
                let list: Vec<String> =
                    columns.iter().map(|(name, _)| self.written(name)).collect();
                let mut list = list.join(", ");
                if self.tape.below(2) == 1 {
                    let (expression, number) = self.expression();
                    let name = self.free_name(&columns);
                    _ = write!(list, ", {expression} AS {name}");
                    columns.push((name, number));
                }
                let ending = self.ending(&columns);
                (format!("SELECT {list} FROM {source}{ending}"), columns)
            }
            3 | 4 => {
                let (expression, number) = self.expression();
                let name = self.free_name(&own);
                let mut columns = own;
                columns.push((name.clone(), number));
                let ending = self.ending(&columns);
                (
                    format!("SELECT *, {expression} AS {name} FROM {source}{ending}"),
                    columns,
                )
            }
            5 => {
                let mut columns: Columns = Vec::new();
                let mut list = Vec::new();
                for (column, number) in self.some() {
                    let name = self.free_name(&columns);
                    let written = self.written(&column);
                    list.push(format!("{written} AS {name}"));
                    columns.push((name, number));
                }
                let ending = self.ending(&columns);
                (
                    format!("SELECT {} FROM {source}{ending}", list.join(", ")),
                    columns,
                )
            }
            6 | 7 => self.grouped(&source, ""),
            8 => {
                let columns = self.some();
                let ending = self.ending(&columns);
                (
                    format!("SELECT DISTINCT {} FROM {source}{ending}", names(&columns)),
                    columns,
                )
            }
            9 | 10 => self.diamond(&source),
            11 => {
                let other = self.tape.one(self.sources);
                let (name, columns) = (&other.name, &other.columns);
                let (left, number) = own[0].clone();
                let Some((right, _)) = columns.iter().find(|(_, other)| *other == number) else {
                    return (format!("SELECT * FROM {source}"), own);
                };
                let distinct = if self.tape.below(2) == 1 {
                    "DISTINCT "
                } else {
                    ""
                };
                let order = if self.tape.below(2) == 1 {
                    format!(" ORDER BY {right}")
                } else {
                    String::new()
                };
                (
                    format!(
                        "SELECT * FROM {source} WHERE {left} IN (SELECT {distinct}{right} FROM {name}{order})"
                    ),
                    own,
                )
            }
            12 => {
                let (expression, number) = self.expression();
                let name = self.free_name(&own);
                let picked = self.some();
                let mut columns = picked.clone();
                columns.retain(|(known, _)| *known != name);
                let list = names(&columns);
                let comma = if columns.is_empty() { "" } else { ", " };
                columns.push((name.clone(), number));
                (
                    format!("WITH {expression} AS {name} SELECT {list}{comma}{name} FROM {source}"),
                    columns,
                )
            }
            13 => {
                let (column, number) = self.column();
                let odd = *self.tape.one(&[
                    "arrayJoin([1, 2])",
                    "row_number() OVER (ORDER BY @)",
                    "1",
                    "count() OVER ()",
                ]);
                let name = self.free_name(&own);
                let odd = odd.replace('@', &names(&own));
                (
                    format!("SELECT {column}, {odd} AS {name} FROM {source}"),
                    if column == name {
                        vec![(column, number)]
                    } else {
                        vec![(column, number), (name, true)]
                    },
                )
            }
            _ => self.nested(&source),
        }
    }

    fn grouped(&mut self, source: &str, filter: &str) -> (String, Columns) {
        let (key, key_number) = self.column();
        let (value, _) = self.column();
        let aggregate = *self.tape.one(&[
            "toInt64(count())",
            "min(@)",
            "max(@)",
            "toInt64(uniqExact(@))",
            "max(@)",
        ]);
        let written = self.written(&value);
        let aggregate_text = aggregate.replace('@', &written);
        let number = aggregate.starts_with("toInt64")
            || self
                .source
                .columns
                .iter()
                .any(|(name, number)| *name == value && *number);
        let mut columns = vec![(key.clone(), key_number)];
        let name = self.free_name(&columns);
        columns.push((name.clone(), number));
        (
            format!(
                "SELECT {key}, {aggregate_text} AS {name} FROM {source}{filter} GROUP BY {key}"
            ),
            columns,
        )
    }

    fn diamond(&mut self, source: &str) -> (String, Columns) {
        let (key, key_number) = self.column();
        let (other, _) = self.column();
        match self.tape.below(8) {
            0 => (
                format!(
                    "SELECT 'one' AS s, toInt64(count()) AS v FROM {source} UNION ALL SELECT 'two' AS s, toInt64(uniqExact({other})) AS v FROM {source} UNION ALL SELECT toString(max({key})) AS s, toInt64(0) AS v FROM {source}"
                ),
                vec![("s".to_owned(), false), ("v".to_owned(), true)],
            ),
            1 => (
                format!(
                    "SELECT l.{key} AS x, toInt64(count()) AS c FROM {source} AS l JOIN {source} AS r ON l.{key} = r.{key} GROUP BY l.{key}"
                ),
                vec![("x".to_owned(), key_number), ("c".to_owned(), true)],
            ),
            2 => {
                let list = names(&self.source.columns);
                let condition = self.condition(&self.source.columns.clone());
                (
                    format!(
                        "SELECT {list} FROM {source} UNION ALL SELECT * FROM {source} WHERE {condition}"
                    ),
                    self.source.columns.clone(),
                )
            }
            3 => {
                // A common table with the name of a table, for the branches without a `WITH`.
                let table = *self.tape.one(&["t", "u"]);
                (
                    format!(
                        "WITH {table} AS (SELECT toInt64(1) AS k) SELECT k AS x FROM {table} UNION ALL SELECT toInt64(length(toString({other}))) AS x FROM {source} WHERE toInt64(length(toString({key}))) IN {table}"
                    ),
                    vec![("x".to_owned(), true)],
                )
            }
            4 => {
                let name = *self.tape.one(NAMES);
                (
                    format!(
                        "WITH toInt64(5) AS {name} SELECT {name} AS x UNION ALL SELECT toInt64(length(toString({other}))) AS x FROM {source}"
                    ),
                    vec![("x".to_owned(), true)],
                )
            }
            5 => {
                let (open, close) = *self.tape.one(&[("", ""), ("(", ")")]);
                (
                    format!(
                        "SELECT toInt64(count()) AS x FROM {source} UNION ALL {open}WITH 2 AS q SELECT toInt64(uniqExact({other}) * q) AS x FROM {source}{close}"
                    ),
                    vec![("x".to_owned(), true)],
                )
            }
            6 => {
                // Brackets that the engine leaves out.
                let own = *self.tape.one(&["", "WITH toInt64(3) AS k "]);
                let name = *self.tape.one(NAMES);
                (
                    format!(
                        "({own}SELECT toInt64(length(toString({key}))) AS {name} FROM {source}) UNION ALL (SELECT {name} FROM (SELECT toInt64(length(toString({other}))) AS {name} FROM {source}))"
                    ),
                    vec![(name.to_owned(), true)],
                )
            }
            _ => (
                format!(
                    "SELECT {key}, toInt64((SELECT count() FROM {source})) AS c0 FROM {source}"
                ),
                vec![(key, key_number), ("c0".to_owned(), true)],
            ),
        }
    }

    /// Queries in one another that the author wrote, with and without aliases.
    fn nested(&mut self, source: &str) -> (String, Columns) {
        let (expression, number) = self.expression();
        let own = self.source.columns.clone();
        let name = self.free_name(&own);
        let columns = vec![own[0].clone(), (name.clone(), number)];
        let condition = self.condition(&columns);
        let alias = *self.tape.one(&["", " AS x", " AS s", " inner_one"]);
        (
            format!(
                "SELECT * FROM (SELECT {}, {expression} AS {name} FROM {source}){alias} WHERE {condition}",
                own[0].0
            ),
            columns,
        )
    }
}
