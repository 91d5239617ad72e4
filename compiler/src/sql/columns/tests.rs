use std::fmt::Write as _;

use super::{Inputs, TableColumns, columns};
use crate::sql::scan;

/// The tables of these tests; `open` has columns that are not known.
const TABLES: &[(&str, &[&str])] = &[
    ("t", &["a", "b", "c", "tags", "n.x", "n.y"]),
    ("u", &["a", "d"]),
    ("v", &["a", "b"]),
    ("open", &[]),
];

/// One line for each column, then the filters, and what is unknown.
fn read(sql: &str) -> String {
    let scanned = scan(sql).expect("a statement");
    let tables: Vec<Option<TableColumns>> = scanned
        .tables
        .iter()
        .map(|table| {
            let (_, names) = TABLES.iter().find(|(name, _)| *name == table.name)?;
            let mut columns: Vec<(String, bool)> = names
                .iter()
                .map(|name| ((*name).to_owned(), true))
                .collect();
            if table.name == "t" {
                columns.push(("hidden".to_owned(), false));
            }
            Some(TableColumns {
                columns,
                complete: table.name != "open",
            })
        })
        .collect();
    let found = match columns(sql, &scanned, &tables) {
        Ok(found) => found,
        Err(opaque) => return format!("opaque: {}", opaque.reason),
    };
    let shown = |inputs: &Inputs| {
        let mut names: Vec<String> = inputs
            .iter()
            .map(|input| {
                let table = &scanned.tables[input.table].name;
                format!("{table}.{}", input.column.as_deref().unwrap_or("*"))
            })
            .collect();
        names.sort();
        names.dedup();
        names.join(" ")
    };
    let mut text = String::new();
    for output in &found.outputs.columns {
        let mark = if output.certain { "" } else { "?" };
        _ = writeln!(text, "{}{mark}: {}", output.name, shown(&output.inputs));
    }
    if found.outputs.more {
        _ = writeln!(text, "…: {}", shown(&found.outputs.open));
    }
    if !found.filters.is_empty() {
        _ = writeln!(text, "| {}", shown(&found.filters));
    }
    if !found.unresolved.is_empty() {
        _ = writeln!(text, "! {:?}", found.unresolved);
    }
    if found.partial {
        text.push_str("partial\n");
    }
    text
}

/// One statement and what is read from it, line by line.
#[track_caller]
fn check(sql: &str, expected: &[&str]) {
    let found = read(sql);
    let found: Vec<&str> = found.lines().map(str::trim_end).collect();
    assert_eq!(found, expected, "{sql}");
}

#[test]
fn columns_aliases_and_qualifiers_are_followed() {
    check(
        "SELECT a, t.b, x.c FROM t AS x",
        &["a: t.a", "b: t.b", "c: t.c"],
    );
    check(
        "SELECT a + 1 AS x, x * b AS y FROM t",
        &["x: t.a", "y: t.a t.b"],
    );
    check(
        "SELECT sum(a) AS a, count() FROM t",
        &["a: t.a", "count():"],
    );
    check(
        "SELECT b AS x FROM t WHERE x > 1 AND c",
        &["x: t.b", "| t.b t.c"],
    );
    check("SELECT if(a, b, 'x') FROM t", &["if(a, b, 'x'): t.a t.b"]);
    check("SELECT a + 1 FROM t", &["a + 1?: t.a"]);
    check("SELECT a ? b : c AS x FROM t", &["x: t.a t.b t.c"]);
    check("SELECT pw.t.a FROM pw.t", &["a: t.a"]);
    check("SELECT hidden FROM t", &["hidden: t.hidden"]);
    check(
        "SELECT n.x, n AS m FROM t",
        &["n.x: t.n.x", "m: t.n.x t.n.y"],
    );
    check("SELECT nope FROM t", &["nope:", "! {\"nope\"}"]);
    check("SELECT _part FROM t", &["_part:"]);
}

#[test]
fn aliases_inside_of_expressions_are_followed() {
    check(
        "SELECT f(a AS x, b) AS y, x + c AS z FROM t",
        &["y: t.a t.b", "z: t.a t.c"],
    );
    check(
        "SELECT (a + b AS x) * 2 AS y FROM t WHERE (c AS z) > 1 ORDER BY z, x",
        &["y: t.a t.b", "| t.a t.b t.c"],
    );
}

#[test]
fn stars_stand_for_known_columns() {
    let all = [
        "a: t.a",
        "b: t.b",
        "c: t.c",
        "tags: t.tags",
        "n.x: t.n.x",
        "n.y: t.n.y",
    ];
    check("SELECT * FROM t", &all);
    check("SELECT t.* FROM t", &all);
    check("SELECT * EXCEPT (a) FROM v", &["b: v.b"]);
    check("SELECT * EXCEPT a FROM v", &["b: v.b"]);
    check(
        "SELECT * REPLACE (b + 1 AS a) FROM v",
        &["a: v.b", "b: v.b"],
    );
    check(
        "SELECT * APPLY(toString) FROM v",
        &["…: v.a v.b", "partial"],
    );
    check("SELECT COLUMNS('^b|c$') FROM t", &["b: t.b", "c: t.c"]);
    check("SELECT COLUMNS('[ab]') FROM v", &["…: v.a v.b", "partial"]);
    check("SELECT COLUMNS(a, b) FROM v", &["a: v.a", "b: v.b"]);
    check("SELECT sum(COLUMNS('a')) AS x FROM v", &["x: v.a"]);
    check(
        "SELECT count(*) AS x, cityHash64(*) AS y FROM v",
        &["x:", "y: v.a v.b"],
    );
    check(
        "SELECT *, a AS z FROM open",
        &["z: open.a", "…: open.*", "partial"],
    );
}

#[test]
fn joins_qualify_shared_names() {
    check(
        "SELECT * FROM v JOIN u ON v.a = u.a",
        &["a: v.a", "b: v.b", "u.a: u.a", "d: u.d", "| u.a v.a"],
    );
    check(
        "SELECT * FROM v JOIN u USING (a)",
        &["a: u.a v.a", "b: v.b", "d: u.d", "| u.a v.a"],
    );
    check(
        "SELECT a, x.a, y.a, d FROM v AS x ANY LEFT JOIN u y USING a",
        &["a: u.a v.a", "a: v.a", "y.a: u.a", "d: u.d", "| u.a v.a"],
    );
    check(
        "SELECT b, d FROM v, u WHERE v.a = u.a",
        &["b: v.b", "d: u.d", "| u.a v.a"],
    );
    check(
        "SELECT b, z FROM v JOIN open ON v.a = open.k",
        &["b: v.b", "z: open.z", "| open.k v.a"],
    );
}

#[test]
fn subqueries_and_common_tables_are_followed() {
    check(
        "SELECT x FROM (SELECT a AS x, b FROM t WHERE c) WHERE b > 1",
        &["x: t.a", "| t.b t.c"],
    );
    check(
        "WITH m AS (SELECT a AS x, b FROM t), unused AS (SELECT nope FROM u) SELECT m.x FROM m ORDER BY b",
        &["x: t.a", "| t.b"],
    );
    check(
        "WITH m(p, q) AS (SELECT a, b FROM v) SELECT q FROM m",
        &["q: v.b"],
    );
    check(
        "WITH a + 1 AS x, (SELECT max(d) FROM u) AS m SELECT x, m FROM t",
        &["x: t.a", "m: u.d"],
    );
    check(
        "WITH (p, q) -> p + q + b AS f SELECT f(a, c) AS x FROM t",
        &["x: t.a t.b t.c"],
    );
    check(
        "WITH 1 AS one SELECT x FROM (SELECT a + one AS x FROM v)",
        &["x: v.a"],
    );
    check(
        "WITH RECURSIVE r AS (SELECT a FROM v UNION ALL SELECT a + 1 FROM r) SELECT a FROM r",
        &["a: v.a", "partial"],
    );
    check(
        "SELECT a, (SELECT max(d) FROM u WHERE u.a = v.a) AS m FROM v",
        &["a: v.a", "m: u.d", "| u.a v.a"],
    );
    check(
        "SELECT a FROM v WHERE b IN (SELECT d FROM u WHERE a) AND a IN u",
        &["a: v.a", "| u.a u.d v.a v.b"],
    );
    check(
        "WITH w AS (SELECT d FROM u) SELECT a FROM v WHERE b IN w",
        &["a: v.a", "| u.d v.b"],
    );
    check("SELECT x FROM view(SELECT a AS x FROM v)", &["x: v.a"]);
    // The engine takes what the inner query lacks from the query around it.
    check(
        "WITH (SELECT count() FROM (SELECT b FROM u) AS e) AS r SELECT v.a AS a, v.b + toInt64(r) AS b FROM v",
        &["a: v.a", "b: v.b"],
    );
    check("SELECT number + 1 AS x FROM numbers(3)", &["x:"]);
    check(
        "WITH x AS (SELECT a FROM v) SELECT a FROM (SELECT * FROM x) AS y",
        &["a: v.a"],
    );
}

#[test]
fn set_operators_match_columns_by_place() {
    check(
        "SELECT a, b FROM v UNION ALL SELECT d, a FROM u",
        &["a: u.d v.a", "b: u.a v.b"],
    );
    check(
        "SELECT a FROM v UNION DISTINCT SELECT d FROM u",
        &["a: u.d v.a", "| u.d v.a"],
    );
    check(
        "SELECT a FROM v EXCEPT SELECT d FROM u",
        &["a: v.a", "| u.d v.a"],
    );
    check(
        "SELECT * FROM v UNION ALL SELECT * FROM open",
        &["a: open.* v.a v.b", "b: open.* v.a v.b", "partial"],
    );
    check(
        "SELECT * FROM v UNION ALL SELECT a FROM u",
        &[
            "a: u.a v.a",
            "b: v.b",
            "! {\"UNION of different numbers of columns\"}",
        ],
    );
    check(
        "WITH 2 AS k SELECT a * k AS x FROM v UNION ALL SELECT d * k FROM u ORDER BY d LIMIT 3",
        &["x: u.d v.a", "| u.d"],
    );
}

#[test]
fn arrays_lambdas_and_windows_are_followed() {
    check(
        "SELECT a, tag FROM t ARRAY JOIN tags AS tag WHERE tag != ''",
        &["a: t.a", "tag: t.tags", "| t.tags"],
    );
    check(
        "SELECT tags FROM t LEFT ARRAY JOIN tags",
        &["tags: t.tags", "| t.tags"],
    );
    check(
        "SELECT arrayMap((x, a) -> x + a + b, tags, c) AS y FROM t",
        &["y: t.b t.c t.tags"],
    );
    check(
        "SELECT sum(a) OVER (PARTITION BY b ORDER BY c) AS x, rank() OVER w AS r FROM t WINDOW w AS (ORDER BY c)",
        &["x: t.a t.b t.c", "r: t.c"],
    );
    check(
        "SELECT uniqMerge(a) AS u, sumStateIf(b, c > 1) AS s FROM t",
        &["u: t.a", "s: t.b t.c"],
    );
    check(
        "SELECT x FROM (SELECT a AS x, tags FROM t) ARRAY JOIN tags AS tag GROUP BY x, tag LIMIT 1 BY tag LIMIT 5",
        &["x: t.a", "| t.a t.tags"],
    );
    check(
        "FROM t ARRAY JOIN tags AS tag SELECT tag",
        &["tag: t.tags", "| t.tags"],
    );
}

#[test]
fn what_decides_about_rows_is_told_from_what_gives_values() {
    check(
        "SELECT count() AS n FROM t PREWHERE a WHERE b GROUP BY c HAVING max(tags) ORDER BY n",
        &["n:", "| t.a t.b t.c t.tags"],
    );
    check(
        "SELECT a, b FROM t GROUP BY 1, 2 ORDER BY 2",
        &["a: t.a", "b: t.b", "| t.a t.b"],
    );
    check("SELECT DISTINCT a FROM t", &["a: t.a", "| t.a"]);
    check("SELECT a FROM t GROUP BY ALL", &["a: t.a", "| t.a"]);
    check(
        "SELECT joinGet('u', 'd', a) AS x FROM t",
        &["x: t.a", "| u.*", "partial"],
    );
}

#[test]
fn long_and_deep_statements_end() {
    let sum = "a + ".repeat(20_000);
    assert_eq!(read(&format!("SELECT {sum}a AS x FROM t")), "x: t.a\n");
    let chain: Vec<String> = (0..5_000)
        .map(|at| format!("x{} + a AS x{at}", at + 1))
        .collect();
    let found = read(&format!("SELECT {} FROM t", chain.join(", ")));
    assert!(
        found.ends_with("partial\n"),
        "{}",
        &found[found.len() - 200..]
    );
    let tables: Vec<String> = (0..60)
        .map(|at| {
            format!(
                "c{} AS (SELECT * FROM c{at} UNION ALL SELECT * FROM c{at})",
                at + 1
            )
        })
        .collect();
    let found = read(&format!(
        "WITH c0 AS (SELECT a FROM v), {} SELECT a FROM c40",
        tables.join(", ")
    ));
    assert_eq!(found, "a: v.a\n");
}
