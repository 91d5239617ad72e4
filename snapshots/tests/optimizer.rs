//! Random pipes, with and without each rule of the optimizer: the engine gives the same columns and the same rows.
//!
//! What inlining makes of a pipe is right by `inlining.rs`; here it is what is compared with. The names of columns, nodes and tables come from one small
//! pool, so that they meet wherever they can.

#[path = "optimizer/generate.rs"]
mod generate;
mod opened;
mod random;
#[path = "random/tape.rs"]
mod tape;

use std::collections::BTreeMap;
use std::sync::Mutex;

use generate::Chain;
use opened::Opened;
use pipewright::engine::{Engine, Query};
use pipewright_compiler::optimize::{RULES, Rules};
use pipewright_compiler::plan::{Compiled, Plan, RequestContext};
use pipewright_compiler::project::SourceTree;
use pipewright_compiler::template::{RenderContext, Values};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use random::{asked, runner, sorted_lines};
use tape::Tape;

fn chains() -> impl Strategy<Value = Chain> {
    proptest::collection::vec(any::<u16>(), 40..200)
        .prop_map(|choices| Chain::new(&mut Tape::new(choices)))
}

fn compiled(plan: &Plan) -> Result<Compiled, TestCaseError> {
    let node = plan
        .pipe("p")
        .and_then(|pipe| pipe.endpoint_node())
        .ok_or_else(|| TestCaseError::fail("no endpoint"))?;
    let values = Values::new();
    let request = RequestContext {
        values: &values,
        render: RenderContext::default(),
    };
    plan.compile_node(&node.id, request)
        .map_err(|error| TestCaseError::fail(error.to_string()))
}

async fn lines(engine: &dyn Engine, sql: &str) -> Result<Vec<String>, String> {
    sorted_lines(engine, sql, "JSONCompactEachRow").await
}

/// Names and types of the columns, in order.
async fn columns(engine: &dyn Engine, sql: &str) -> Result<String, String> {
    let answer = engine
        .query(Query::new(format!("DESCRIBE (\n{sql}\n)"), "TSVRaw"))
        .await
        .map_err(|error| error.to_string())?;
    let bytes = answer.bytes().await.map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// How often each rule changed something, so that a rule which is never tried is seen.
type Applied = Mutex<BTreeMap<&'static str, u32>>;

async fn compare(
    engine: &dyn Engine,
    chain: &Chain,
    applied: &Applied,
) -> Result<(), TestCaseError> {
    let (mut plan, _) = pipewright_compiler::compile(SourceTree::new(chain.files()));
    plan.rules = Rules::none();
    let plain = compiled(&plan)?.sql.into_text();
    let Ok(expected) = lines(engine, &plain).await else {
        // The engine does not take the pipe as it is written.
        return Ok(());
    };
    let described = columns(engine, &plain).await;
    let sets = RULES
        .iter()
        .map(|rule| (rule.name, Rules::only(rule.name)))
        .chain([("all", Rules::all())]);
    for (name, rules) in sets {
        let (mut plan, _) = pipewright_compiler::compile(SourceTree::new(chain.files()));
        plan.rules = rules;
        let optimized = compiled(&plan)?;
        if optimized.rewrites.is_empty() {
            continue;
        }
        *applied
            .lock()
            .map_err(|_| TestCaseError::fail("a lock"))?
            .entry(name)
            .or_default() += 1;
        let text = optimized.sql.text();
        let got = lines(engine, text).await;
        prop_assert_eq!(
            &got,
            &Ok(expected.clone()),
            "with {}\nplain\n{}\noptimized\n{}",
            name,
            plain,
            text
        );
        // A statement with its own settings cannot be described in brackets.
        if !text.contains("SETTINGS") {
            let got = columns(engine, text).await;
            prop_assert_eq!(&got, &described, "with {}\n{}\n{}", name, plain, text);
        }
        // The second time, by the recipe.
        let again = compiled(&plan)?;
        prop_assert_eq!(again.sql.text(), text);
    }
    Ok(())
}

#[test]
fn every_rule_keeps_columns_and_rows() {
    let opened = Opened::new();
    for statement in Chain::set_up() {
        opened
            .runtime
            .block_on(opened.engine.execute(&statement))
            .expect("the tables are filled");
    }
    let applied = Applied::default();
    let outcome = runner(150).run(&chains(), |chain| {
        let compared = compare(opened.engine.as_ref(), &chain, &applied);
        opened.runtime.block_on(compared)
    });
    opened.close();
    if let Err(error) = outcome {
        panic!("{error}");
    }
    let applied = applied.into_inner().expect("a lock");
    for rule in RULES {
        assert!(
            applied.contains_key(rule.name),
            "{} was not tried: {applied:?}",
            rule.name
        );
    }
    if asked().is_some() {
        eprintln!("{applied:?}");
    }
}
