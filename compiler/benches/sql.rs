//! The scan against sqlparser's tokenizer and parser on one typical node; the statement of a pipe of four levels for a request.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pipewright_compiler::plan::RequestContext;
use pipewright_compiler::project::SourceTree;
use pipewright_compiler::sql::{Policy, Use, guard, parse, scan};
use pipewright_compiler::template::{RenderContext, Values};
use pipewright_grammar::diagnostic::Severity;
use sqlparser::dialect::ClickHouseDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Tokenizer;

/// Forty lines, of forms that sqlparser reads without help.
const NODE: &str = "
-- Sessions of the last days with their first page and the share that bounced
WITH
  sessions AS (
    SELECT
      site,
      session_id,
      min(timestamp) AS first_hit,
      max(timestamp) AS last_hit,
      argMin(pathname, timestamp) AS entry_page,
      count() AS hits,
      uniq(pathname) AS pages
    FROM page_hits
    WHERE timestamp >= now() - INTERVAL 7 DAY
      AND site IN (SELECT site FROM active_sites WHERE plan != 'free')
      AND NOT startsWith(pathname, '/internal/')
    GROUP BY site, session_id
    HAVING hits > 0
  ),
  per_day AS (
    SELECT
      toDate(first_hit) AS day,
      site,
      entry_page,
      count() AS visits,
      sum(hits) AS total_hits,
      countIf(hits = 1) AS bounces,
      avg(dateDiff('second', first_hit, last_hit)) AS duration
    FROM sessions
    GROUP BY day, site, entry_page
  )
SELECT
  d.day AS day,
  s.name AS site_name,
  d.entry_page,
  d.visits,
  d.total_hits / d.visits AS hits_per_visit,
  round(100 * d.bounces / d.visits, 2) AS bounce_rate,
  CASE WHEN d.duration > 600 THEN 'long' WHEN d.duration > 60 THEN 'middle' ELSE 'short' END AS kind
FROM per_day AS d
LEFT JOIN site_names AS s ON s.site = d.site
WHERE d.visits >= 10
ORDER BY d.day DESC, d.visits DESC
LIMIT 100
";

fn sql(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("node of 40 lines");
    group.throughput(Throughput::Bytes(NODE.len() as u64));
    let policy = Policy::default();
    group.bench_function("scan", |bencher| bencher.iter(|| scan(black_box(NODE))));
    group.bench_function("scan and guard", |bencher| {
        bencher.iter(|| {
            let scanned = scan(black_box(NODE)).expect("the node scans");
            guard(&scanned, &policy, Use::Node)
        });
    });
    group.bench_function("sqlparser tokenizer", |bencher| {
        bencher.iter(|| Tokenizer::new(&ClickHouseDialect {}, black_box(NODE)).tokenize());
    });
    group.bench_function("sqlparser parser", |bencher| {
        bencher.iter(|| Parser::parse_sql(&ClickHouseDialect {}, black_box(NODE)));
    });
    let scanned = scan(NODE).expect("the node scans");
    group.bench_function("parse with forms taken out", |bencher| {
        bencher.iter(|| parse(black_box(NODE), &scanned));
    });
    group.finish();
}

/// A project of four pipes, each of which reads the one before it, twelve nodes in all.
fn four_levels() -> SourceTree {
    let table = "SCHEMA >\n    `site` String,\n    `day` Date,\n    `path` String,\n    `hits` UInt64\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"site, day\"\n";
    let mut files = vec![("hits.datasource".to_owned(), table.to_owned())];
    for level in 1..=4 {
        let below = if level == 1 {
            "hits".to_owned()
        } else {
            format!("level_{}", level - 1)
        };
        let pipe = format!(
            "NODE chosen_{level}\nSQL >\n    %\n    SELECT site, day, path, hits\n    FROM {below}\n    WHERE site = {{{{ String(site, 'docs') }}}}\n    {{% if defined(since) %}}AND day >= {{{{ Date(since, '2026-01-01') }}}}{{% end %}}\n\nNODE grouped_{level}\nSQL >\n    SELECT site, day, path, sum(hits) AS hits FROM chosen_{level} GROUP BY site, day, path\n\nNODE ranked_{level}\nSQL >\n    %\n    SELECT * FROM grouped_{level} ORDER BY hits DESC LIMIT {{{{ Int32(most, 100) }}}}\n\nTYPE endpoint\n"
        );
        files.push((format!("level_{level}.pipe"), pipe));
    }
    SourceTree::new(files)
}

/// What a request for the topmost pipe waits for before its statement is sent.
fn resolution(criterion: &mut Criterion) {
    let (plan, diagnostics) = pipewright_compiler::check(four_levels());
    assert!(
        diagnostics
            .iter()
            .all(|diagnostic| diagnostic.severity != Severity::Error),
        "{diagnostics:?}"
    );
    let node = &plan
        .pipe("level_4")
        .and_then(|pipe| pipe.endpoint_node())
        .expect("an endpoint")
        .id;
    let values: Values = [("site", "shop".into()), ("since", "2026-02-01".into())]
        .into_iter()
        .collect();
    criterion.bench_function("a pipe of four levels", |bencher| {
        bencher.iter(|| {
            let request = RequestContext {
                values: black_box(&values),
                render: RenderContext::default(),
            };
            plan.compile_node(node, request).expect("it compiles")
        });
    });
}

criterion_group!(benches, sql, resolution);
criterion_main!(benches);
