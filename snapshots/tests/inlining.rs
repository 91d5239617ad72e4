//! Random projects, two ways: what inlining makes of them, and what the same project gives with every node stored as a table.
//!
//! The generator knows what each name means because it decided so when it wrote the name, and writes each statement twice: with bare names, as an author
//! would, and with every table qualified by a database of its own. The second text goes to the engine as it is, so that no code under test decides
//! anything about the expected rows.

#[path = "inlining/generate.rs"]
mod generate;
mod opened;
mod random;
#[path = "random/tape.rs"]
mod tape;

use std::collections::BTreeMap;

use generate::Model;
use opened::Opened;
use pipewright::engine::Engine;
use pipewright_compiler::emit;
use pipewright_compiler::graph::{Edge, NodeId};
use pipewright_compiler::plan::{Plan, RequestContext, RowFilters};
use pipewright_compiler::project::{ResourceName, SourceTree};
use pipewright_compiler::template::{RenderContext, Values};
use pipewright_grammar::diagnostic::Severity;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use random::{configuration, runner, sorted_lines};
use tape::Tape;

fn models() -> impl Strategy<Value = Model> {
    proptest::collection::vec(any::<u16>(), 40..160)
        .prop_map(|choices| Model::new(&mut Tape::new(choices)))
}

fn planned(model: &Model) -> Result<Plan, TestCaseError> {
    let (plan, diagnostics) = pipewright_compiler::check(SourceTree::new(model.files()));
    let errors: Vec<_> = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error)
        .collect();
    prop_assert!(errors.is_empty(), "{errors:#?}");
    Ok(plan)
}

fn node_id(pipe: &str, node: &str) -> NodeId {
    NodeId {
        pipe: ResourceName::local(pipe),
        node: node.to_owned(),
    }
}

async fn run(engine: &dyn Engine, sql: &str) -> Result<(), TestCaseError> {
    engine
        .execute(sql)
        .await
        .map_err(|error| TestCaseError::fail(format!("{error}\nin\n{sql}")))
}

/// The rows of a query in an order of their own.
async fn rows(engine: &dyn Engine, sql: &str) -> Result<Vec<String>, TestCaseError> {
    sorted_lines(engine, sql, "JSONEachRow")
        .await
        .map_err(|error| TestCaseError::fail(format!("{error}\nin\n{sql}")))
}

/// Both ways on the engine.
async fn compare(engine: &dyn Engine, model: &Model) -> Result<(), TestCaseError> {
    let plan = planned(model)?;
    for statement in model.set_up() {
        run(engine, &statement).await?;
    }
    let values = Values::new();
    for node in &model.nodes {
        run(engine, &Model::store(node)).await?;
        let request = RequestContext {
            values: &values,
            render: RenderContext::default(),
        };
        let compiled = plan
            .compile_node(&node_id(&node.pipe, &node.name), request)
            .map_err(|error| {
                TestCaseError::fail(format!("{}.{}: {error}", node.pipe, node.name))
            })?;
        let expected = rows(engine, &format!("SELECT * FROM {}", Model::stored(node))).await?;
        let got = rows(engine, compiled.sql.text()).await?;
        prop_assert_eq!(
            got,
            expected,
            "{}.{}\ninlined\n{}\nexpected\n{}",
            node.pipe,
            node.name,
            compiled.sql.text(),
            node.qualified
        );
    }
    Ok(())
}

async fn cleaned(engine: &dyn Engine, model: &Model) -> Result<(), TestCaseError> {
    let outcome = compare(engine, model).await;
    for statement in model.tear_down() {
        run(engine, &statement).await?;
    }
    outcome
}

#[test]
fn inlined_nodes_give_the_rows_of_nodes_stored_as_tables() {
    let opened = Opened::new();
    let outcome = runner(60).run(&models(), |model| {
        let compared = cleaned(opened.engine.as_ref(), &model);
        opened.runtime.block_on(compared)
    });
    opened.close();
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

/// The statement of the endpoint `p`, before the optimizer.
fn inlined(pipe: &str) -> String {
    let table = "SCHEMA >\n    `k` Int64\n";
    let files = [
        ("p.pipe", pipe),
        ("t.datasource", table),
        ("vendor/other/x.datasource", table),
    ];
    let (plan, _) = pipewright_compiler::check(SourceTree::new(
        files.map(|(path, text)| (path.to_owned(), text.to_owned())),
    ));
    let values = Values::new();
    let request = RequestContext {
        values: &values,
        render: RenderContext::default(),
    };
    let id = node_id("p", "reader");
    let compiled = plan
        .compile_node_as_written(&id, request, RowFilters::NONE)
        .expect("it compiles");
    compiled.sql.into_text()
}

/// The text that stands for `node` in a reader, after the first line of its brackets.
fn node_within(node: &str, reader: &str) -> String {
    let text = inlined(&format!(
        "NODE node\nSQL >\n    {node}\n\nNODE reader\nSQL >\n    {reader}\n\nTYPE endpoint\n"
    ));
    let (_, text) = text.split_once("(\n").expect("a bracket");
    let (text, _) = text.rsplit_once("\n)").expect("its end");
    text.to_owned()
}

#[test]
fn a_named_scalar_of_a_reader_does_not_become_the_set_of_a_node() {
    let scalar = "WITH (SELECT count() FROM t) AS x SELECT k + x AS k FROM node";
    let sets = [
        (
            "WITH x AS (SELECT k FROM t) SELECT k FROM t WHERE k IN x AND k NOT IN (x)",
            "WITH x AS (SELECT k FROM t) SELECT k FROM t WHERE k IN (SELECT * FROM x) AND k NOT IN ((SELECT * FROM x))",
        ),
        // The alias of a table, the name of a table of another database, and a query.
        (
            "SELECT k FROM t AS x FINAL WHERE k IN x",
            "SELECT k FROM t AS x FINAL WHERE k IN (SELECT * FROM t FINAL)",
        ),
        (
            "SELECT k FROM other.x WHERE k IN x",
            "SELECT k FROM other.x WHERE k IN (SELECT * FROM other.x)",
        ),
        (
            "SELECT k FROM (SELECT k FROM t AS x WHERE k IN x) AS x WHERE in(k, x)",
            "SELECT k FROM (SELECT k FROM t AS x WHERE k IN (SELECT * FROM t)) AS x WHERE in(k, (SELECT * FROM (SELECT k FROM t AS x WHERE k IN (SELECT * FROM t))))",
        ),
        // The table comes before the common table expression.
        (
            "WITH x AS (SELECT 3 AS k) SELECT k FROM t AS x WHERE k IN x",
            "WITH x AS (SELECT 3 AS k) SELECT k FROM t AS x WHERE k IN (SELECT * FROM t)",
        ),
    ];
    for (node, expected) in sets {
        assert_eq!(node_within(node, scalar), expected);
    }
    // A column, a scalar of its own and the parameter of a lambda mean what they meant.
    for node in [
        "SELECT k, [k] AS x FROM t WHERE k IN x",
        "WITH 3 AS x SELECT k FROM t WHERE k IN x",
        "SELECT k, arrayFilter(x -> k IN x, [[k]]) AS y FROM t",
    ] {
        assert_eq!(node_within(node, scalar), node);
    }
}

#[test]
fn a_common_table_of_a_node_is_not_taken_for_the_readers_of_the_same_words() {
    let of = |source: &str| {
        format!(
            "WITH raw AS (SELECT k FROM {source}), more AS (SELECT k + 1 AS k FROM raw) SELECT k FROM more"
        )
    };
    let apart = "WITH raw AS (SELECT k FROM t), more AS (SELECT * FROM (\nSELECT k + 1 AS k FROM raw\n) AS pw_1) SELECT k FROM more";
    assert_eq!(node_within(&of("t"), &of("node")), apart);
    // Other words need no help, and nothing is done to a definition that reads itself.
    let other = of("node").replace("k + 1", "k * 2");
    assert_eq!(node_within(&of("t"), &other), of("t"));
    let itself = "WITH RECURSIVE raw AS (SELECT 1 AS k UNION ALL SELECT k + 1 FROM raw WHERE k < 3) SELECT k FROM raw";
    let reader = format!("{itself} WHERE k IN (SELECT k FROM node)");
    assert_eq!(node_within(itself, &reader), itself);
}

#[test]
fn a_set_that_is_a_node_by_its_alias_is_that_node() {
    let text = inlined(
        "NODE node\nSQL >\n    SELECT k FROM t\n\nNODE reader\nSQL >\n    SELECT k FROM node AS x WHERE k IN x\n\nTYPE endpoint\n",
    );
    assert_eq!(
        text,
        "SELECT k FROM (\nSELECT k FROM t\n) AS x WHERE k IN (\nSELECT k FROM t\n)"
    );
}

#[test]
fn a_common_table_of_a_reader_does_not_become_a_table_of_a_node() {
    let reader = "WITH t AS (SELECT 3 AS k) SELECT k FROM node";
    assert_eq!(
        node_within("SELECT k FROM t AS x WHERE k IN t AND k IN x", reader),
        "SELECT k FROM pipewright.t AS x WHERE k IN pipewright.t AND k IN x"
    );
}

proptest! {
    #![proptest_config(configuration(200))]

    #[test]
    fn the_topological_order_respects_every_edge(model in models()) {
        let plan = planned(&model)?;
        let order = plan.graph.topological();
        let places: BTreeMap<_, _> = order.iter().enumerate().map(|(at, vertex)| (*vertex, at)).collect();
        prop_assert_eq!(places.len(), plan.graph.vertices().count());
        let edges = plan.graph.edges();
        for (from, to, _) in &edges {
            prop_assert!(places[from] < places[to], "{} comes after {}", from, to);
        }
        // The edges are those that the generator meant.
        let mut found: Vec<(String, String)> = edges
            .iter()
            .filter(|(_, _, edge)| *edge == Edge::Read)
            .map(|(from, to, _)| (from.to_string(), to.to_string()))
            .collect();
        found.sort();
        prop_assert_eq!(found, model.edges());
    }

    #[test]
    fn a_project_is_emitted_the_same_twice(model in models()) {
        let (first, _) = emit::emit(&planned(&model)?);
        let plan = planned(&model)?;
        let (second, found) = emit::emit(&plan);
        prop_assert!(found.is_empty(), "{:?}", found);
        prop_assert!(first == second);
        prop_assert!(second == emit::emit(&plan).0);
    }
}
