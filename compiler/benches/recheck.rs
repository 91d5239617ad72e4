//! `check` of 1,000 pipes × 4 nodes in one process, stage by stage.

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use pipewright_compiler::project::{self, Policies, SourceTree};
use pipewright_compiler::{Session, check, graph, plan};

const PIPES: usize = 1_000;
const DATASOURCES: usize = 50;

fn datasource(at: usize) -> (String, String) {
    let text = "SCHEMA >\n    `timestamp` DateTime,\n    `user_id` UInt64,\n    `country` LowCardinality(String),\n    `action` String,\n    `amount` Float64\n\nENGINE \"MergeTree\"\nENGINE_PARTITION_KEY \"toYYYYMM(timestamp)\"\nENGINE_SORTING_KEY \"user_id, timestamp\"\n";
    (
        format!("datasources/events_{at:02}.datasource"),
        text.to_owned(),
    )
}

/// Four nodes, two of them templates; every tenth pipe reads the one before it.
fn pipe(at: usize, limit: usize) -> (String, String) {
    let source = format!("events_{:02}", at % DATASOURCES);
    let other = if at % 10 == 9 {
        format!("report_{:04}", at - 1)
    } else {
        format!("events_{:02}", (at + 1) % DATASOURCES)
    };
    let mut text = format!("DESCRIPTION >\n    Report {at}\n\nTOKEN \"dashboard\" READ\n\n");
    _ = write!(
        text,
        "NODE filtered\nSQL >\n    %\n    SELECT timestamp, user_id, country, action, amount, toStartOfHour(timestamp) AS hour\n    FROM {source}\n    \
         WHERE timestamp >= {{{{ DateTime(since, '2026-01-01 00:00:00') }}}}\n        AND amount > 0\n    {{% if defined(country) %}}\n        \
         AND country = {{{{ String(country) }}}}\n    {{% end %}}\n\n\
         NODE grouped\nSQL >\n    SELECT hour, country, count() AS events, uniq(user_id) AS users, sum(amount) AS revenue,\n        \
         round(sum(amount) / nullIf(count(), 0), 2) AS average\n    FROM filtered\n    GROUP BY hour, country\n\n\
         NODE joined\nSQL >\n    SELECT g.hour, g.country, g.events, g.users, g.revenue, d.total\n    FROM grouped AS g\n    \
         LEFT JOIN (SELECT country, count() AS total FROM {other} GROUP BY country) AS d ON g.country = d.country\n    WHERE g.events > 10\n\n\
         NODE endpoint\nSQL >\n    %\n    SELECT hour, country, events, users, revenue, total\n    FROM joined\n    ORDER BY revenue DESC\n    \
         LIMIT {{{{ Int32(limit, {limit}) }}}}\n\nTYPE endpoint\n"
    );
    (format!("pipes/report_{at:04}.pipe"), text)
}

/// The project, in which one pipe has that limit.
fn sources(limit: usize) -> SourceTree {
    let pipes = (0..PIPES).map(|at| pipe(at, if at == PIPES / 2 { limit } else { 10 }));
    SourceTree::new((0..DATASOURCES).map(datasource).chain(pipes))
}

fn stages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("1,000 pipes of 4 nodes");
    group.sample_size(20);
    let tree = sources(10);
    group.bench_function("load", |bencher| {
        bencher.iter_with_large_drop(|| project::load(black_box(tree.clone())));
    });
    let (loaded, _) = project::load(tree.clone());
    let loaded = Arc::new(loaded);
    let policies = Policies::of(&loaded.config);
    group.bench_function("resolve", |bencher| {
        bencher.iter_with_large_drop(|| graph::build(&loaded, &policies));
    });
    group.bench_function("plan", |bencher| {
        bencher.iter_batched(
            || graph::build(&loaded, &policies).0,
            |graph| plan::plan(Arc::clone(&loaded), graph, policies.clone()),
            criterion::BatchSize::PerIteration,
        );
    });
    let (whole, _) = pipewright_compiler::compile(tree.clone());
    group.bench_function("rules", |bencher| {
        bencher.iter(|| check::run(&whole));
    });
    group.bench_function("check", |bencher| {
        bencher.iter_with_large_drop(|| check(black_box(tree.clone())));
    });
    // Two states of one file, in turn: each check finds the other than the last.
    let states = [tree, sources(20)];
    let mut session = Session::default();
    session.check(states[1].clone());
    let mut turn = 0;
    group.bench_function("check again after a change of one file", |bencher| {
        bencher.iter_batched(
            || {
                turn += 1;
                states[turn % 2].clone()
            },
            |tree| session.check(black_box(tree)).1.len(),
            criterion::BatchSize::PerIteration,
        );
    });
    // The least that such a check has to do: compare the texts, and load the one file that changed.
    let one = SourceTree::new([pipe(PIPES / 2, 20)]);
    group.bench_function("compare all, load one", |bencher| {
        bencher.iter_with_large_drop(|| {
            let files = states[0].files().iter().zip(states[1].files());
            let changed = files.filter(|(old, new)| old.text() != new.text()).count();
            (changed, project::load(one.clone()))
        });
    });
    group.finish();
}

criterion_group!(benches, stages);
criterion_main!(benches);
