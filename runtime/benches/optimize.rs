//! What the optimizer gains: each of a set of query shapes as its nodes are put into one another, as the rules leave it, and as one would write it flat by
//! hand.
//!
//! `cargo bench -p pipewright --bench optimize` prints for each shape the medians and rows read, and for the groups the ratios that are promised. The three
//! take turns on one connection of the embedded engine, so that a machine that grows slower does so for all; their rows are compared first.

#[path = "optimize/shapes.rs"]
mod shapes;

use std::time::{Duration, Instant};

use pipewright::engine::chdb::ffi::{Connection, Library};
use pipewright::engine::{self, Config};
use pipewright::http;
use pipewright_compiler::plan::{Plan, RequestContext, RowFilters};
use pipewright_compiler::project::SourceTree;
use pipewright_compiler::template::{RenderContext, Values};
use shapes::{Group, SHAPES, Shape};

// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long one shape is measured.
const BUDGET: Duration = Duration::from_millis(1500);

fn main() {
    let runtime = http::threads().expect("a runtime");
    let state = tempfile::tempdir().expect("a temporary folder");
    let library =
        engine::locate().expect("the engine is installed: `cargo run --release -- engine install`");
    let engine = runtime
        .block_on(engine::open(Config::embedded(state.path())))
        .expect("the engine opens");
    for statement in shapes::SET_UP {
        runtime
            .block_on(engine.execute(statement))
            .expect("the tables are filled");
    }
    let plan = plan();
    let opened = Library::open(&library).expect("the library opens");
    let arguments = [
        "clickhouse".to_owned(),
        format!("--path={}", state.path().join("chdb").display()),
    ];
    let mut connection = opened.connect(&arguments).expect("a connection");
    run(&mut connection, &format!("USE {}", engine::DATABASE));
    // All three as they would be served.
    for (name, value) in engine::OWN_SETTINGS {
        run(&mut connection, &format!("SET {name} = '{value}'"));
    }
    report("| shape | plain | optimized | flat | gain | against flat | rows read |");
    report("|---|---|---|---|---|---|---|");
    let measured: Vec<(Group, [Duration; 3])> = SHAPES
        .iter()
        .map(|shape| (shape.group, measure(&mut connection, &plan, shape)))
        .collect();
    summary(&measured);
    drop(connection);
    runtime.block_on(engine.shutdown());
}

#[expect(clippy::print_stdout, reason = "a benchmark reports on stdout")]
fn report(line: &str) {
    println!("{line}");
}

fn plan() -> Plan {
    let pipes = SHAPES.iter().map(|shape| {
        let mut text = String::new();
        for (at, (name, sql)) in shape.nodes.iter().enumerate() {
            let kind = if at + 1 == shape.nodes.len() {
                "TYPE endpoint\n"
            } else {
                ""
            };
            text.extend(["NODE ", name, "\nSQL >\n    ", sql, "\n\n", kind]);
        }
        (format!("{}.pipe", pipe_name(shape)), text)
    });
    let tables = shapes::DATASOURCES
        .iter()
        .map(|(name, text)| (format!("{name}.datasource"), (*text).to_owned()));
    let (plan, diagnostics) = pipewright_compiler::compile(SourceTree::new(pipes.chain(tables)));
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    plan
}

fn pipe_name(shape: &Shape) -> String {
    let letters = shape.name.chars();
    let word = |letter: char| {
        if letter.is_ascii_alphanumeric() {
            letter
        } else {
            '_'
        }
    };
    format!("p_{}", letters.map(word).collect::<String>())
}

/// The statement without and with the rules.
fn compiled(plan: &Plan, shape: &Shape) -> [String; 2] {
    let node = &plan
        .pipe(&pipe_name(shape))
        .and_then(|pipe| pipe.endpoint_node())
        .expect("the endpoint")
        .id;
    let values = Values::default();
    let request = RequestContext {
        values: &values,
        render: RenderContext::default(),
    };
    let plain = plan
        .compile_node_as_written(node, request, RowFilters::NONE)
        .expect("it compiles");
    let optimized = plan.compile_node(node, request).expect("it compiles");
    [plain.sql.into_text(), optimized.sql.into_text()]
}

/// Runs a statement; its sorted lines and the rows that it read.
fn run(connection: &mut Connection, sql: &str) -> (Vec<String>, u64) {
    let result = connection.query(sql, "JSONCompactEachRow", &[]);
    assert!(result.error().is_none(), "{:?}\n{sql}", result.error());
    let text = String::from_utf8_lossy(result.as_ref()).into_owned();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    (lines, result.statistics().rows_read)
}

fn measure(connection: &mut Connection, plan: &Plan, shape: &Shape) -> [Duration; 3] {
    let [plain, optimized] = compiled(plan, shape);
    let statements = [plain, optimized, shape.flat.to_owned()];
    let answers: Vec<_> = statements.iter().map(|sql| run(connection, sql)).collect();
    for (statement, answer) in statements.iter().zip(&answers) {
        assert_eq!(answer.0, answers[0].0, "{}\n{statement}", shape.name);
    }
    let mut times: [Vec<Duration>; 3] = Default::default();
    let started = Instant::now();
    let mut round = 0;
    while round < 7 || (started.elapsed() < BUDGET && round < 400) {
        // Another begins each time.
        for turn in 0..3 {
            let at = (turn + round) % 3;
            let begun = Instant::now();
            let result = connection.query(&statements[at], "JSONCompactEachRow", &[]);
            times[at].push(begun.elapsed());
            assert!(result.error().is_none(), "{:?}", result.error());
        }
        round += 1;
    }
    let medians = times.map(median);
    let [plain, optimized, flat] = medians.map(|time| time.as_secs_f64() * 1e3);
    report(&format!(
        "| {} | {plain:.2} ms | {optimized:.2} ms | {flat:.2} ms | {:.2} | {:.2} | {} → {} |",
        shape.name,
        plain / optimized,
        optimized / flat,
        answers[0].1,
        answers[1].1,
    ));
    medians
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn summary(measured: &[(Group, [Duration; 3])]) {
    let ratios = |group: Option<Group>, above: usize, below: usize| {
        let mut ratios: Vec<f64> = measured
            .iter()
            .filter(|(of, _)| group.is_none_or(|group| group == *of))
            .map(|(_, times)| times[above].as_secs_f64() / times[below].as_secs_f64())
            .collect();
        ratios.sort_by(f64::total_cmp);
        ratios
    };
    let middle = |ratios: &[f64]| ratios[ratios.len() / 2];
    let chains = ratios(Some(Group::ChainOfSix), 0, 1);
    let against_flat = ratios(Some(Group::ChainOfSix), 1, 2);
    let unions = ratios(Some(Group::UnionDiamond), 0, 1);
    let slowest = ratios(None, 1, 0);
    report(&format!(
        "\nchains of six: {:.2} times as fast in the median (promised 1.4), {:.2} of flat (promised at most 1.1)",
        middle(&chains),
        middle(&against_flat)
    ));
    report(&format!(
        "diamonds by UNION: {:.2} times as fast in the median, {:.2} at least (promised 2.5)",
        middle(&unions),
        unions[0]
    ));
    report(&format!(
        "the shape that gains least takes {:.2} of the time without rules (promised at most 1.05)",
        slowest[slowest.len() - 1]
    ));
}
