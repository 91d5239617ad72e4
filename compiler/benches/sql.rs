//! The scan against sqlparser's tokenizer and parser on one typical node.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pipewright_compiler::sql::{Policy, Use, guard, parse, scan};
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

criterion_group!(benches, sql);
criterion_main!(benches);
