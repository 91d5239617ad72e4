//! Targets that no file declares: what follows from their nodes, that it is what the nodes say over all inserts, and how it is written down.

use std::fmt::Write as _;

use insta::assert_snapshot;
use pipewright_compiler::emit;
use pipewright_compiler::plan::{Compiled, QueryError};

use super::command_line::run;
use super::opened::checked;
use super::served::written;
use super::{Bench, datasource, shown, view};

const SALES: &str =
    "`shop` LowCardinality(String),\n`ts` DateTime,\n`qty` Int32,\n`buyer` Nullable(String)";
const SALES_KEYS: &str = "ENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"shop\"\n";

/// Inserts of 300 rows each, of which all have groups in common.
async fn insert(bench: &Bench, blocks: u32) {
    for block in 0..blocks {
        let sql = format!(
            "INSERT INTO sales SELECT concat('s', toString(number % 4)), toDateTime('2026-01-01 00:00:00') + toIntervalHour(number), toInt32(number % 13) - {block}, if(number % 5 = 0, NULL, concat('b', toString(number % (7 + {block})))) FROM numbers(300)"
        );
        bench.execute(&sql).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_no_file_declares_holds_states_of_all_inserts() {
    let bench = Bench::new().await;
    let sales = datasource(SALES, SALES_KEYS);
    let query = "SELECT shop, toDate(ts) AS day, sum(qty) AS total, count(), uniqIf(buyer, qty > 0) AS buyers FROM sales GROUP BY shop, day";
    let to = view(query, "per_day");
    let files = [
        ("sales.datasource", sales.as_str()),
        ("to.pipe", to.as_str()),
    ];
    let (_, planned) = bench.deploy(&files, None).await;
    let planned: Vec<&str> = planned
        .lines()
        .filter(|line| !line.contains("sales Nothing"))
        .skip(1)
        .collect();
    assert_snapshot!(planned.join("\n"), @r"
    create table per_day Nothing, reads 0, destroys 0: no file declares it: it follows from `to.n` that it is AggregatingMergeTree sorted by shop, day; `pipewright pull` writes per_day.datasource, columns: `shop` LowCardinality(String), `day` Date, `total` AggregateFunction(sum, Int32), `count()` AggregateFunction(count), `buyers` AggregateFunction(uniqIf, Nullable(String), UInt8), its states are read with sumMerge(total), countMerge(`count()`), uniqIfMerge(buyers)
      CREATE TABLE IF NOT EXISTS per_day ENGINE = AggregatingMergeTree ORDER BY (shop, day) SETTINGS allow_nullable_key = 1 EMPTY AS SELECT shop, toDate(ts) AS day, sumState(qty) AS total, countState() AS `count()`, uniqIfState(buyer, qty > 0) AS buyers FROM sales GROUP BY shop, day
    create view mv__to__n Nothing, reads 0, destroys 0: 
      CREATE MATERIALIZED VIEW IF NOT EXISTS mv__to__n TO per_day AS SELECT shop, toDate(ts) AS day, sumState(qty) AS total, countState() AS `count()`, uniqIfState(buyer, qty > 0) AS buyers FROM sales GROUP BY shop, day
    ");
    insert(&bench, 4).await;
    let direct = bench
        .tsv(&format!("SELECT * FROM ({query}) ORDER BY ALL"))
        .await;
    let merged = "SELECT shop, day, sumMerge(total), countMerge(`count()`), uniqIfMerge(buyers) FROM per_day GROUP BY shop, day ORDER BY ALL";
    assert_eq!(bench.tsv(merged).await, direct);
    assert!(direct.lines().count() > 20, "{direct}");
}

/// A small generator, the same for each seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % bound as u64).unwrap()
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }

    fn query(&mut self) -> String {
        const KEYS: &[(&str, &str)] = &[
            ("shop", "shop"),
            ("toDate(ts) AS day", "day"),
            ("toStartOfMonth(ts)", "toStartOfMonth(ts)"),
            ("qty % 3 AS rest", "rest"),
            ("buyer", "buyer"),
            (
                "(SELECT max(number) FROM numbers(3)) + length(shop) AS long",
                "long",
            ),
        ];
        // What gives the same whatever the order of rows.
        const AGGREGATES: &[&str] = &[
            "sum(qty)",
            "SUM(qty)",
            "count()",
            "COUNT(*)",
            "count(buyer)",
            "min(ts)",
            "max(qty)",
            "avg(qty)",
            "uniq(buyer)",
            "uniqExact(buyer, qty)",
            "count(DISTINCT buyer)",
            "sum(DISTINCT qty)",
            "countIf(qty > 2)",
            "sumIf(qty, buyer IS NULL)",
            "countIf(DISTINCT buyer, qty > 1)",
            "sum(qty) FILTER (WHERE qty > 3)",
            "quantileExact(0.5)(qty)",
            "quantilesExact(0.1, 0.9)(qty)",
            "groupBitXor(qty)",
            "sumOrNull(qty)",
            "maxIfOrNull(qty, qty > 100)",
            "argMin(qty, (qty, ts, shop))",
            "sumMap(map(shop, qty))",
            "uniqCombined(12)(buyer)",
            "sumArray([qty, 1])",
            "groupBitmap(toUInt32(abs(qty)))",
        ];
        let mut columns = Vec::new();
        let mut keys = Vec::new();
        for at in 0..=self.below(3) {
            let (column, key) = KEYS[(self.below(2) + 2 * at) % KEYS.len()];
            columns.push(column.to_owned());
            keys.push(key.to_owned());
        }
        let places = self.below(4) == 0;
        for at in 0..=self.below(5) {
            let aggregate = self.of(AGGREGATES);
            let name = match self.below(3) {
                0 => format!(" AS a{at}"),
                1 => format!(" a{at}"),
                _ if columns.iter().any(|column| column == aggregate) => format!(" AS a{at}"),
                _ => String::new(),
            };
            columns.push(format!("{aggregate}{name}"));
        }
        let condition = self.of(&["", " WHERE qty > 1", " WHERE shop != 's1'"]);
        let keys = if places {
            (1..=keys.len()).map(|place| place.to_string()).collect()
        } else {
            keys
        };
        let group = match self.below(6) {
            0 => "ALL".to_owned(),
            _ => keys.join(", "),
        };
        format!(
            "SELECT {} FROM sales{condition} GROUP BY {group}",
            columns.join(", ")
        )
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_random_nodes_fill_is_what_they_say_over_all_inserts() {
    let bench = Bench::new().await;
    let mut dice = Dice(20_261_123);
    let queries: Vec<String> = (0..60).map(|_| dice.query()).collect();
    let mut files = vec![("sales.datasource".to_owned(), datasource(SALES, SALES_KEYS))];
    for (at, query) in queries.iter().enumerate() {
        files.push((format!("p{at}.pipe"), view(query, &format!("t{at}"))));
    }
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let (plan, _) = bench.deploy(&files, None).await;
    insert(&bench, 3).await;
    for (at, query) in queries.iter().enumerate() {
        let table = plan.table(&format!("t{at}")).unwrap();
        let inferred = table.inferred.as_ref().unwrap_or_else(|| panic!("{query}"));
        let (mut columns, mut keys) = (Vec::new(), String::new());
        for key in &inferred.keys {
            write!(keys, "{}`{key}`", if keys.is_empty() { "" } else { ", " }).unwrap();
        }
        columns.push(keys.clone());
        columns.extend(inferred.readings());
        let merged = format!(
            "SELECT {} FROM t{at} GROUP BY {keys} ORDER BY ALL",
            columns.join(", ")
        );
        let direct = format!("SELECT * FROM ({query}) ORDER BY ALL");
        let (merged_rows, direct_rows) = (bench.tsv(&merged).await, bench.tsv(&direct).await);
        assert_eq!(merged_rows, direct_rows, "{query}\n{merged}");
        assert_ne!(direct_rows, "", "{query}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_an_earlier_version_are_made_anew_as_states_when_that_is_allowed() {
    let bench = Bench::new().await;
    let sales = datasource(SALES, SALES_KEYS);
    let query = "SELECT shop, sum(qty) AS total FROM sales GROUP BY shop";
    // What an earlier version made of such a node.
    let values = view(query, "per_shop") + "ENGINE MergeTree\nENGINE_SORTING_KEY tuple()\n";
    let files = [
        ("sales.datasource", sales.as_str()),
        ("to.pipe", values.as_str()),
    ];
    let (before, _) = bench.deploy(&files, None).await;
    insert(&bench, 2).await;
    assert_eq!(bench.tsv("SELECT count() FROM per_shop").await, "8\n");
    let to = view(query, "per_shop");
    let plan = checked(&[("sales.datasource", &sales), ("to.pipe", &to)]);
    let planned = bench.plan(&plan, Some(&before)).await;
    assert_eq!(planned.destructive().len(), 1, "{}", shown(&planned));
    bench.run(&plan, Some(&before), &planned).await.unwrap();
    insert(&bench, 1).await;
    let merged = "SELECT shop, sumMerge(total) FROM per_shop GROUP BY shop ORDER BY shop";
    let direct = bench
        .tsv(&format!("SELECT * FROM ({query}) ORDER BY shop"))
        .await;
    assert_eq!(bench.tsv(merged).await, direct);
}

#[test]
fn what_follows_from_nodes_is_written_down_and_is_the_same_then() {
    let files = [
        ("sources/sales.datasource", datasource(SALES, SALES_KEYS)),
        (
            "pipes/to.pipe",
            "NODE first\nSQL >\n    SELECT buyer, -- who\n        count(DISTINCT shop) shops\n    FROM sales\n    GROUP BY buyer\n\nTYPE materialized\nDATASOURCE per_buyer\n".to_owned(),
        ),
        (
            "pipes/others.pipe",
            "NODE a\nSQL >\n    %\n    SELECT shop, sum(qty) FROM sales WHERE qty > {{Int32(least, 0)}} GROUP BY shop\n\nTYPE materialized\nDATASOURCE per_shop\n\nNODE b\nSQL >\n    SELECT shop, qty * 2 AS twice FROM sales\n\nTYPE materialized\nDATASOURCE flat\n\nNODE c\nSQL >\n    SELECT shop, countMerge(`count()`) AS days FROM per_day GROUP BY shop\n\nTYPE materialized\nDATASOURCE of_days\n".to_owned(),
        ),
        (
            "pipes/day.pipe",
            "NODE n\nSQL >\n    SELECT shop, toDate(ts) AS day, count() FROM sales GROUP BY 1, 2\n\nTYPE materialized\nDATASOURCE per_day\n".to_owned(),
        ),
    ];
    let files = files
        .into_iter()
        .map(|(name, text)| (name.to_owned(), text));
    let folder = written(&files.collect());
    let ok = |arguments: &[&str]| {
        let (code, out, said) = run(None, folder.path(), arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {out}{said}");
        out
    };
    ok(&["deploy"]);
    assert_snapshot!(ok(&["pull"]), @r"
    wrote sources/flat.datasource
    wrote sources/of_days.datasource
    wrote sources/per_buyer.datasource
    wrote sources/per_day.datasource
    wrote sources/per_shop.datasource
    wrote pipes/day.pipe
    wrote pipes/others.pipe
    wrote pipes/to.pipe
    ");
    let read = |path: &str| std::fs::read_to_string(folder.path().join(path)).unwrap();
    let all = [
        "pipes/to.pipe",
        "pipes/others.pipe",
        "sources/per_buyer.datasource",
        "sources/per_shop.datasource",
        "sources/flat.datasource",
        "sources/of_days.datasource",
    ];
    let all: Vec<String> = all
        .iter()
        .map(|path| format!("-- {path}\n{}", read(path)))
        .collect();
    assert_snapshot!(all.join("\n"), @r#"
    -- pipes/to.pipe
    NODE first
    SQL >
        SELECT buyer, -- who
            uniqExactState(shop) shops
        FROM sales
        GROUP BY buyer

    TYPE materialized
    DATASOURCE per_buyer

    -- pipes/others.pipe
    NODE a
    SQL >
        %
        SELECT shop, sumState(qty) AS `sum(qty)` FROM sales WHERE qty > {{Int32(least, 0)}} GROUP BY shop

    TYPE materialized
    DATASOURCE per_shop

    NODE b
    SQL >
        SELECT shop, qty * 2 AS twice FROM sales

    TYPE materialized
    DATASOURCE flat

    NODE c
    SQL >
        SELECT shop, countMergeState(`count()`) AS days FROM per_day GROUP BY shop

    TYPE materialized
    DATASOURCE of_days

    -- sources/per_buyer.datasource
    SCHEMA >
        `buyer` Nullable(String),
        `shops` AggregateFunction(uniqExact, String)

    ENGINE "AggregatingMergeTree"
    ENGINE_SORTING_KEY "buyer"
    ENGINE_SETTINGS "allow_nullable_key = 1"

    -- sources/per_shop.datasource
    SCHEMA >
        `shop` LowCardinality(String),
        `sum(qty)` AggregateFunction(sum, Int32)

    ENGINE "AggregatingMergeTree"
    ENGINE_SORTING_KEY "shop"
    ENGINE_SETTINGS "allow_nullable_key = 1"

    -- sources/flat.datasource
    SCHEMA >
        `shop` LowCardinality(String),
        `twice` Int64

    ENGINE "MergeTree"
    ENGINE_SORTING_KEY "tuple()"

    -- sources/of_days.datasource
    SCHEMA >
        `shop` LowCardinality(String),
        `days` AggregateFunction(count)

    ENGINE "AggregatingMergeTree"
    ENGINE_SORTING_KEY "shop"
    ENGINE_SETTINGS "allow_nullable_key = 1"
    "#);
    let planned: serde_json::Value =
        serde_json::from_str(&ok(&["plan", "--format", "json"])).unwrap();
    assert_eq!(planned["steps"], serde_json::json!([]), "{planned:#}");
    let (_, checked, said) = run(None, folder.path(), &["check"]);
    assert!(
        !said.contains("bad-target") && !checked.contains("bad-target"),
        "{checked}{said}"
    );
    assert_eq!(ok(&["pull"]), "");
}

#[test]
fn the_view_of_an_inferred_target_is_not_what_its_node_gives_readers() {
    let to = view(
        "SELECT shop, sum(qty) AS total FROM sales GROUP BY shop",
        "per_shop",
    );
    let sales = datasource(SALES, SALES_KEYS);
    let plan = checked(&[("sales.datasource", &sales), ("to.pipe", &to)]);
    let id = plan.table("per_shop").unwrap().made_by.clone().unwrap();
    let text = |compiled: Result<Compiled, QueryError>| compiled.unwrap().sql.into_text();
    assert!(text(emit::view_sql(&plan, &id)).contains("sumState(qty)"));
    assert!(text(emit::default_sql(&plan, &id)).contains("sum(qty)"));
}
