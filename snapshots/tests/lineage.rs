//! Column lineage against the engine: the names that it gives to a node's columns are those that the engine describes, and the nodes that it says a column
//! would break are those that the engine refuses once the column is gone.

#[expect(
    dead_code,
    reason = "the generator also writes each statement for the tests of inlining"
)]
#[path = "inlining/generate.rs"]
mod generate;
mod opened;
#[path = "random/tape.rs"]
mod tape;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use generate::Model;
use opened::Opened;
use pipewright::engine::{Engine, Query};
use pipewright_compiler::emit;
use pipewright_compiler::graph::{NodeId, Vertex};
use pipewright_compiler::lineage::{self, ColumnId};
use pipewright_compiler::plan::{Plan, RequestContext, RowFilters, TablePlan};
use pipewright_compiler::project::SourceTree;
use pipewright_compiler::sql::quote_identifier;
use pipewright_compiler::template::{RenderContext, Values};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use tape::Tape;

/// The names of a statement's columns; `None` if the engine refuses it.
async fn describe(engine: &dyn Engine, sql: &str) -> Option<Vec<String>> {
    let query = Query::new(format!("DESCRIBE TABLE (\n{sql}\n)"), "JSONEachRow");
    let answer = engine.query(query).await.ok()?.bytes().await.ok()?;
    let text = String::from_utf8_lossy(&answer);
    let rows = text.lines().map(|line| {
        let row: serde_json::Value = serde_json::from_str(line).expect("a row");
        row["name"].as_str().expect("a name").to_owned()
    });
    Some(rows.collect())
}

async fn make(engine: &dyn Engine, table: &TablePlan) {
    let name = emit::table_name(&table.name);
    let shared = table.name.workspace.as_ref();
    let database =
        shared.map(|name| format!("CREATE DATABASE IF NOT EXISTS {}", quote_identifier(name)));
    for sql in database.into_iter().chain([
        format!("DROP TABLE IF EXISTS {name} SYNC"),
        emit::create_table(table),
    ]) {
        engine
            .execute(&sql)
            .await
            .unwrap_or_else(|error| panic!("{error}\nin\n{sql}"));
    }
}

fn compiled(plan: &Plan, id: &NodeId) -> String {
    let values = Values::new();
    let request = RequestContext {
        values: &values,
        render: RenderContext::default(),
    };
    let compiled = plan
        .compile_node_as_written(id, request, RowFilters::NONE)
        .expect("a node that compiles");
    compiled.sql.into_text()
}

/// What was compared.
#[derive(Debug, Default, PartialEq, Eq)]
struct Compared {
    names: usize,
    refused: usize,
    unharmed: usize,
    changed: usize,
}

/// Compares every node with the engine: as it is, and without each of the columns of each table.
async fn compare(engine: &dyn Engine, files: Vec<(String, String)>, compared: &mut Compared) {
    let (plan, diagnostics) = pipewright_compiler::compile(SourceTree::new(files));
    assert!(diagnostics.is_empty(), "{diagnostics:#?}");
    engine
        .execute("CREATE DATABASE IF NOT EXISTS pipewright")
        .await
        .expect("a database");
    for table in plan.tables.values() {
        make(engine, table).await;
    }
    let found = lineage::lineage(&plan);
    let mut nodes = Vec::new();
    for (id, columns) in &found.nodes {
        let sql = compiled(&plan, id);
        let names = describe(engine, &sql).await;
        let names = names.unwrap_or_else(|| panic!("the engine refuses {id}:\n{sql}"));
        assert_eq!(columns.unresolved, BTreeSet::new(), "{id}:\n{sql}");
        if !columns.more && columns.columns.iter().all(|column| column.certain) {
            let said: Vec<&str> = columns
                .columns
                .iter()
                .map(|column| column.name.as_str())
                .collect();
            assert_eq!(said, names, "{id}:\n{sql}");
            compared.names += 1;
        }
        nodes.push((id, sql, names));
    }
    for (name, table) in &plan.tables {
        // The first is the sorting key.
        for dropped in &table.columns[1..] {
            let mut without = table.clone();
            without.columns.retain(|column| column.name != dropped.name);
            make(engine, &without).await;
            let id = ColumnId::new(Vertex::Datasource(name.clone()), &dropped.name);
            let impact = lineage::impact(&plan, &found, &id);
            let mut afters = BTreeMap::new();
            for (node, sql, _) in &nodes {
                let after = describe(engine, sql).await;
                afters.insert(Vertex::Node((*node).clone()), after);
            }
            for (node, sql, names) in &nodes {
                let vertex = Vertex::Node((*node).clone());
                let after = &afters[&vertex];
                let node = node.to_string();
                if impact.unknown.contains_key(&node) {
                    continue;
                }
                let said = format!("{node} without {id}: {impact:#?}\n{sql}");
                let refused = impact.refused.contains_key(&node);
                // A node that is refused by itself may pass inside of a query that happens to have a column of the name.
                let reads_refused =
                    plan.graph.closure(&vertex).into_iter().any(|source| {
                        *source != vertex && matches!(afters.get(source), Some(None))
                    });
                if !(refused && after.is_some() && reads_refused) {
                    assert_eq!(refused, after.is_none(), "{said}");
                }
                let Some(after) = after else {
                    compared.refused += 1;
                    continue;
                };
                let lost: Vec<&String> =
                    names.iter().filter(|name| !after.contains(name)).collect();
                if lost.is_empty() {
                    compared.unharmed += 1;
                } else {
                    compared.changed += 1;
                }
                let is_endpoint = plan.pipes.values().any(|pipe| {
                    pipe.endpoint_node()
                        .is_some_and(|endpoint| endpoint.id.to_string() == node)
                });
                if is_endpoint && !refused {
                    let said_lost: Vec<&String> =
                        impact.changed.get(&node).into_iter().flatten().collect();
                    let lost: BTreeSet<&String> = lost.into_iter().collect();
                    assert_eq!(
                        said_lost.into_iter().collect::<BTreeSet<_>>(),
                        lost,
                        "{said}"
                    );
                }
            }
            make(engine, table).await;
        }
    }
    // What is said to be unused and named nowhere breaks nothing; that nothing breaks then was compared above.
    for unused in lineage::unused(&plan, &found) {
        if unused.named_in.is_empty() {
            let impact = lineage::impact(&plan, &found, &unused.column);
            assert_eq!(impact.breaks().next(), None, "{unused:?}");
        }
    }
    for table in plan.tables.values() {
        let name = emit::table_name(&table.name);
        engine
            .execute(&format!("DROP TABLE IF EXISTS {name} SYNC"))
            .await
            .expect("a table goes");
    }
}

/// Runs something with an engine of its own.
fn with_engine<F: Future<Output = ()>>(work: impl FnOnce(Arc<dyn Engine>) -> F) {
    // A process opens one engine at a time.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let opened = Opened::new();
    opened.runtime.block_on(work(Arc::clone(&opened.engine)));
    opened.close();
}

/// Statements of every shape that lineage reads, over `t (k, a, b, s, tags, day)` and `u (k, a, d)`.
const SHAPES: &[&str] = &[
    "SELECT * FROM t",
    "SELECT k, a FROM t",
    "SELECT t.k, x.a FROM t AS x",
    "SELECT k, count() AS n, sum(a) FROM t GROUP BY k",
    "SELECT k, a + b AS c, c * 2 AS d FROM t",
    "SELECT k, sum(a) AS a FROM t GROUP BY k",
    "SELECT k FROM t WHERE a > 1",
    "SELECT k FROM t PREWHERE a > 1 ORDER BY b, s",
    "SELECT * EXCEPT (a) FROM t",
    "SELECT * EXCEPT a FROM t WHERE b = 1",
    "SELECT * REPLACE (b + 1 AS a) FROM t",
    "SELECT COLUMNS('^a|b$') FROM t",
    "SELECT COLUMNS(k, a) FROM t",
    "SELECT x.* FROM t AS x",
    "SELECT * FROM t JOIN u ON t.k = u.k",
    "SELECT * FROM t JOIN u USING k",
    "SELECT * FROM t AS x LEFT JOIN u AS y USING (k)",
    "SELECT x.k, y.k, x.a, y.a, d FROM t AS x JOIN u AS y ON x.k = y.k",
    "SELECT k, b, d FROM t ANY LEFT JOIN u USING k, a",
    "SELECT u.* FROM t JOIN u USING k",
    "SELECT b, d FROM t, u WHERE t.k = u.k",
    "SELECT k FROM t WHERE k IN (SELECT k FROM u WHERE a = 1)",
    "SELECT k FROM t WHERE k IN (SELECT d FROM u)",
    "SELECT k FROM (SELECT k, a FROM t)",
    "SELECT k FROM (SELECT * FROM t)",
    "SELECT k, a FROM (SELECT * FROM t) WHERE b = 1",
    "SELECT x FROM (SELECT k AS x, * FROM t)",
    "WITH m AS (SELECT k, a FROM t) SELECT k FROM m",
    "WITH m AS (SELECT nothing FROM t) SELECT k FROM t",
    "WITH m AS (SELECT * FROM t), n AS (SELECT k, b FROM m) SELECT * FROM n",
    "WITH a + 1 AS x SELECT k, x FROM t",
    "WITH a + 1 AS x SELECT k FROM t",
    "WITH (SELECT max(a) FROM u) AS top SELECT k, top FROM t",
    "WITH 3 AS three SELECT x FROM (SELECT k + three AS x FROM t)",
    "WITH k AS (SELECT * FROM u) SELECT k FROM t WHERE a IN (SELECT d FROM k)",
    "SELECT k, (SELECT max(d) FROM u) AS m FROM t",
    "SELECT k, a FROM t UNION ALL SELECT k, d FROM u",
    "SELECT k FROM t UNION DISTINCT SELECT d FROM u",
    "SELECT k, a FROM t EXCEPT SELECT k, a FROM u",
    "SELECT * FROM u UNION ALL SELECT * FROM u",
    "SELECT k, a, d FROM u UNION ALL SELECT * FROM u",
    "SELECT k, tag FROM t ARRAY JOIN tags AS tag",
    "SELECT k FROM t LEFT ARRAY JOIN tags AS tag WHERE tag != ''",
    "SELECT tags FROM t ARRAY JOIN tags",
    "SELECT * FROM t ARRAY JOIN tags AS tag",
    "SELECT arrayMap(x -> x || s, tags) AS y FROM t",
    "SELECT arrayMap((a, i) -> (a, i, b), tags, arrayEnumerate(tags)) AS y FROM t",
    "SELECT k, row_number() OVER (PARTITION BY a ORDER BY b) AS r FROM t",
    "SELECT k, sum(b) OVER w AS r FROM t WINDOW w AS (ORDER BY a)",
    "SELECT f.k, f.x FROM (SELECT k, a + 1 AS x FROM t) AS f JOIN u AS g ON f.k = g.k AND f.x = g.a",
    "SELECT k, (a + 1 AS p) * 2 AS q, p FROM t",
    "SELECT k FROM t ORDER BY a, b LIMIT 1 BY s LIMIT 2",
    "SELECT k FROM t GROUP BY k HAVING max(a) > 1",
    "SELECT k, a FROM t GROUP BY 1, 2",
    "SELECT DISTINCT k, a FROM t",
    "SELECT a, count() FROM t GROUP BY ALL",
    "SELECT multiIf(a > 1, 'x', b > 1, 'y', s) AS y FROM t",
    "SELECT CASE WHEN a > 1 THEN b ELSE k END AS y FROM t",
    "SELECT a > 1 ? b : k AS y FROM t",
    "SELECT k FROM t FINAL",
    "SELECT uniqMerge(y) AS y FROM (SELECT uniqState(a) AS y FROM t)",
    "SELECT sumIf(a, b > 1) AS y, quantile(0.5)(k) AS z FROM t",
    "SELECT toDate('2026-01-01') + INTERVAL a DAY AS y, k::String AS z, tuple(k, b).2 AS w FROM t",
    "SELECT date_add(DAY, a, toDate('2026-01-01')) AS y FROM t",
    "SELECT dateDiff(day, day, today()) AS y FROM t",
    "SELECT day, count() AS n FROM t GROUP BY day",
    "FROM t SELECT k, b",
    "SELECT x FROM view(SELECT a AS x FROM t)",
    "SELECT number AS n FROM numbers(3)",
    "SELECT count(*) AS n FROM t",
    "SELECT cityHash64(*) AS h FROM u",
    "SELECT * FROM t JOIN u ON t.k = u.k JOIN u AS w ON w.k = t.k",
    "SELECT * FROM t JOIN u USING k JOIN u AS w USING k",
    "SELECT *, a AS a FROM u",
    "SELECT a AS x, x + k AS y FROM u WHERE x > 1",
    "SELECT x.* EXCEPT (a) FROM t AS x",
    "SELECT k FROM t WHERE (k, a) IN (SELECT k, d FROM u)",
    "SELECT k FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k AND u.a = 1)",
    "SELECT k, (SELECT max(u.d) FROM u WHERE u.k = t.k) AS m FROM t",
    "SELECT untuple((k, a)) FROM t",
    "SELECT k, b AS `x.y` FROM t",
    "SELECT `u.k` FROM (SELECT * FROM t JOIN u ON t.k = u.k)",
    "SELECT q.d FROM (SELECT * FROM t JOIN u ON t.k = u.k) AS q",
    "SELECT k FROM t SETTINGS max_threads = 1",
    "WITH x AS (SELECT k, a FROM t), y AS (SELECT k, d FROM u) SELECT x.k, y.d FROM x JOIN y ON x.k = y.k",
    "SELECT sum(c) FROM (SELECT a + b AS c, s FROM t) GROUP BY s ORDER BY s",
    "SELECT k, tag, i FROM t ARRAY JOIN tags AS tag, arrayEnumerate(tags) AS i",
    "SELECT k FROM (SELECT k, tags FROM t) AS q ARRAY JOIN tags",
    "SELECT k AS a FROM u",
    "SELECT k AS a FROM u ORDER BY a",
    "SELECT k, a FROM u WHERE a > (SELECT min(a) FROM t)",
    "SELECT * APPLY(toString) FROM u",
    "SELECT argMax(a, b), max(k) FROM t",
    "SELECT count(), countIf(a > 1), COUNT(DISTINCT b) FROM t",
    "SELECT k, a FROM t ORDER BY k WITH FILL FROM 1 TO 3 INTERPOLATE (a AS a + 1)",
    "SELECT concat(s, 'x'), lower(s), length(tags) FROM t",
    "SELECT -a AS m, NOT b AS n, a BETWEEN b AND k AS o, s LIKE 'x%' AS p, s IS NULL AS q FROM t",
    "SELECT k FROM t WHERE k GLOBAL IN (SELECT k FROM u) AND s NOT IN ('a', 'b')",
    "SELECT l.k FROM t AS l JOIN (SELECT k, max(d) AS d FROM u GROUP BY k) AS r ON l.k = r.k AND l.a > r.d",
    "SELECT l.k FROM t AS l ASOF JOIN u AS r ON l.k = r.k AND l.a >= r.d",
    "SELECT groupArray((a, b)) AS x, topK(3)(s) AS y FROM t",
    "SELECT k, x FROM (SELECT k, a AS x FROM t UNION ALL SELECT k, d AS x FROM u) WHERE x > 1",
    "SELECT k, any(x) AS x FROM (SELECT * FROM (SELECT k, s AS x FROM t WHERE b = 1)) GROUP BY k",
    "SELECT toStartOfHour(toDateTime(a)) AS hour, count() AS n FROM t GROUP BY hour ORDER BY hour DESC",
    "WITH (k, a) AS pair SELECT pair.1 AS x FROM u",
    "WITH x -> x + b AS f SELECT f(a) AS y FROM t",
    "SELECT 1 AS one, 'x' AS two",
    "SELECT k FROM t WHERE a = 1 UNION ALL (SELECT k FROM u ORDER BY d LIMIT 1)",
    "SELECT k, a AS d FROM t UNION ALL SELECT k, d FROM u ORDER BY d",
    "SELECT d.k FROM u AS d",
    "SELECT a.k FROM t AS a",
    "SELECT a FROM t AS a",
    "SELECT k FROM t QUALIFY row_number() OVER (PARTITION BY a ORDER BY b) = 1",
    "SELECT k, grouping(k) AS g FROM u GROUP BY GROUPING SETS ((k), (a))",
    "SELECT k, sum(d) AS n FROM u GROUP BY k WITH ROLLUP",
];

#[test]
fn every_shape_of_a_statement_gives_and_needs_the_columns_that_it_does_on_the_engine() {
    let mut pipe = String::new();
    for (at, shape) in SHAPES.iter().enumerate() {
        _ = write!(pipe, "NODE n{at}\nSQL >\n    {shape}\n\nTYPE standard\n\n");
    }
    let table = |columns: &str| {
        format!(
            "SCHEMA >\n    `k` Int64{columns}\n\nENGINE \"ReplacingMergeTree\"\nENGINE_SORTING_KEY \"k\"\n"
        )
    };
    let files = vec![
        (
            "t.datasource".to_owned(),
            table(
                ",\n    `a` Int64,\n    `b` Int64,\n    `s` String,\n    `tags` Array(String),\n    `day` Date",
            ),
        ),
        (
            "u.datasource".to_owned(),
            table(",\n    `a` Int64,\n    `d` Int64"),
        ),
        ("shapes.pipe".to_owned(), pipe),
    ];
    with_engine(|engine| async move {
        let mut compared = Compared::default();
        compare(engine.as_ref(), files, &mut compared).await;
        assert!(compared.names >= 60, "{compared:?}");
        assert!(compared.refused >= 90, "{compared:?}");
        assert!(compared.unharmed >= 200, "{compared:?}");
        assert!(compared.changed >= 20, "{compared:?}");
    });
}

#[test]
fn random_projects_lose_what_they_are_said_to_lose() {
    let cases = std::env::var("PROPTEST_CASES");
    let cases: usize = cases.ok().and_then(|text| text.parse().ok()).unwrap_or(30);
    with_engine(|engine| async move {
        let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), random);
        let tapes = proptest::collection::vec(any::<u16>(), 40..160);
        let mut compared = Compared::default();
        for _ in 0..cases {
            let tape = tapes.new_tree(&mut runner).expect("a tape").current();
            let model = Model::new(&mut Tape::new(tape));
            compare(engine.as_ref(), model.files(), &mut compared).await;
        }
        assert!(
            compared.refused > cases && compared.unharmed > cases,
            "{compared:?}"
        );
    });
}
