//! Tables and views that become others, with their rows.

use super::{Bench, KEYS, checked, datasource, view};

/// Deploys one definition, puts rows in, deploys another; the plan between them.
async fn changed(bench: &Bench, name: &str, before: &str, insert: &str, after: &str) -> String {
    let file = format!("{name}.datasource");
    let (old, _) = bench.deploy(&[(&file, before)], None).await;
    bench.execute(&format!("INSERT INTO {name} {insert}")).await;
    bench.deploy(&[(&file, after)], Some(&old)).await.1
}

#[tokio::test]
async fn columns_come_move_and_get_defaults_in_place() {
    let bench = Bench::new().await;
    let before = datasource("`id` UInt64,\n`name` String", KEYS);
    let after = datasource(
        "`id` UInt64,\n`kind` LowCardinality(String) DEFAULT 'none',\n`name` String DEFAULT 'x' CODEC(ZSTD(3)),\n`at` Nullable(DateTime64(3))",
        KEYS,
    );
    insta::assert_snapshot!(changed(&bench, "d_add", &before, "VALUES (1, 'a')", &after).await);
    assert_eq!(bench.tsv("SELECT * FROM d_add").await, "1\tnone\ta\t\\N\n");
    let moved = datasource(
        "`id` UInt64,\n`name` String,\n`kind` LowCardinality(String) DEFAULT 'none',\n`at` Nullable(DateTime64(3))",
        KEYS,
    );
    insta::assert_snapshot!(changed(&bench, "d_add", &after, "(id) VALUES (2)", &moved).await);
    assert_eq!(
        bench.tsv("SELECT * FROM d_add ORDER BY id").await,
        "1\ta\tnone\t\\N\n2\tx\tnone\t\\N\n"
    );
}

#[tokio::test]
async fn what_a_new_column_makes_up_for_rows_that_are_there_stays() {
    let bench = Bench::new().await;
    let before = datasource("`id` UInt64", KEYS);
    let after = datasource(
        "`id` UInt64,\n`u` UUID DEFAULT generateUUIDv4(),\n`at` DateTime64(9) DEFAULT now64(9),\n`r` UInt32 MATERIALIZED rand(),\n`text` String DEFAULT toString(u),\n`plain` UInt8 DEFAULT 7",
        KEYS,
    );
    let rows = "SELECT number FROM numbers(1000)";
    insta::assert_snapshot!(changed(&bench, "d_made_up", &before, rows, &after).await);
    let ask = "SELECT sipHash64(groupArray((id, u, at, r, text, plain))), uniqExact(u), uniqExact(text), countIf(text = toString(u)) FROM (SELECT id, u, at, r, text, plain FROM d_made_up ORDER BY id)";
    let first = bench.tsv(ask).await;
    assert!(first.ends_with("\t1000\t1000\t1000\n"), "{first}");
    assert_eq!(bench.tsv(ask).await, first);
}

#[tokio::test]
async fn rows_older_than_a_column_keep_what_its_default_gave_them() {
    let bench = Bench::new().await;
    let before = datasource("`id` UInt64", KEYS);
    let with = |default: &str| datasource(&format!("`id` UInt64,\n`n` UInt8{default}"), KEYS);
    changed(
        &bench,
        "d_default",
        &before,
        "VALUES (1)",
        &with(" DEFAULT 7"),
    )
    .await;
    changed(
        &bench,
        "d_default",
        &with(" DEFAULT 7"),
        "(id) VALUES (2)",
        &with(" DEFAULT 8"),
    )
    .await;
    insta::assert_snapshot!(
        changed(
            &bench,
            "d_default",
            &with(" DEFAULT 8"),
            "(id) VALUES (3)",
            &with("")
        )
        .await
    );
    assert_eq!(
        bench.tsv("SELECT * FROM d_default ORDER BY id").await,
        "1\t7\n2\t7\n3\t8\n"
    );
}

#[tokio::test]
async fn another_text_for_the_same_table_is_no_change() {
    let bench = Bench::new().await;
    let columns = "`id` UInt64,\n`d` Decimal(10,2) DEFAULT 1.5,\n`e` Enum8('a' = 1, 'b' = 2),\n`m` Map(String, Array(Int32)),\n`t` DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),\n`s` SimpleAggregateFunction(sum, UInt64),\n`j` Nullable(String) DEFAULT NULL";
    let rest = "ENGINE \"MergeTree\"\nENGINE_PARTITION_KEY \"toYYYYMM(t)\"\nENGINE_SORTING_KEY \"id, t\"\nENGINE_TTL \"toDateTime(t) + INTERVAL 90 DAY\"\nENGINE_SETTINGS \"ttl_only_drop_parts=1\"\nINDEXES >\n    by_d d TYPE minmax GRANULARITY 4\n";
    let other = rest
        .replace("\"id, t\"", "\"id,t\"")
        .replace("+ INTERVAL 90 DAY", "+ toIntervalDay(90)")
        .replace("parts=1", "parts = 1");
    let written = columns
        .replace("Decimal(10,2)", "Decimal(10, 2)")
        .replace("Array(Int32)", "Array( Int32 )");
    assert_eq!(
        changed(
            &bench,
            "d_same",
            &datasource(columns, rest),
            "(id, t) VALUES (1, now64())",
            &datasource(&written, &other)
        )
        .await,
        ""
    );
    assert_eq!(bench.tsv("SELECT count() FROM d_same").await, "1\n");
}

#[tokio::test]
async fn types_and_keys_change_by_a_new_table_in_the_old_ones_place() {
    let bench = Bench::new().await;
    let before = datasource("`id` UInt64,\n`n` Int64,\n`gone` String", KEYS);
    let after = datasource(
        "`id` UInt64,\n`n` Nullable(Int8),\n`day` Date DEFAULT '2026-01-01'",
        "ENGINE \"MergeTree\"\nENGINE_PARTITION_KEY \"id % 4\"\nENGINE_SORTING_KEY \"n, id\"\nENGINE_SETTINGS \"allow_nullable_key = 1\"\n",
    );
    insta::assert_snapshot!(
        changed(
            &bench,
            "d_new",
            &before,
            "SELECT number, number % 100, 'x' FROM numbers(1000)",
            &after
        )
        .await
    );
    assert_eq!(
        bench.tsv("SELECT count(), sum(id), sum(n), uniqExact(day), uniqExact(_partition_id) FROM d_new")
            .await,
        "1000\t499500\t49500\t1\t4\n"
    );
}

#[tokio::test]
async fn a_value_that_does_not_fit_stops_the_change_and_nothing_is_lost() {
    let bench = Bench::new().await;
    let before = datasource("`id` UInt64,\n`n` Int64", KEYS);
    bench.deploy(&[("d_stop.datasource", &before)], None).await;
    bench
        .execute("INSERT INTO d_stop SELECT number, number FROM numbers(1000)")
        .await;
    let narrow = datasource("`id` UInt64,\n`n` Int8", KEYS);
    let other = datasource("`id` UInt64", KEYS);
    let plan = checked(&[("d_stop.datasource", &narrow), ("d_new.datasource", &other)]);
    let planned = bench.plan(&plan, None).await;
    let error = bench.run(&plan, None, &planned).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "`d_stop` cannot be filled, and nothing has changed"
    );
    assert_eq!(
        bench.tsv("SELECT count(), sum(n) FROM d_stop").await,
        "1000\t499500\n"
    );
    let there = "SELECT name FROM system.tables WHERE database = currentDatabase()";
    assert_eq!(bench.tsv(there).await, "d_stop\n");
}

#[tokio::test]
async fn a_forward_query_makes_the_new_rows() {
    let bench = Bench::new().await;
    let before = datasource("`id` UInt64,\n`name` String", KEYS);
    let after = format!(
        "{}\nFORWARD_QUERY >\n    SELECT id, upper(name) AS name, length(name) AS size FROM d_forward\n",
        datasource("`id` UInt64,\n`name` String,\n`size` UInt64", KEYS)
    );
    insta::assert_snapshot!(
        changed(&bench, "d_forward", &before, "VALUES (1, 'abc')", &after).await
    );
    assert_eq!(bench.tsv("SELECT * FROM d_forward").await, "1\tABC\t3\n");
}

#[tokio::test]
async fn a_view_with_another_query_fills_its_table_anew() {
    let bench = Bench::new().await;
    let source = datasource("`id` UInt64,\n`name` String", KEYS);
    let pipe = |function: &str| {
        view(
            &format!("SELECT id, {function}(name) AS name FROM d_src"),
            "d_target",
        )
    };
    let project = async |function: &str, before| {
        let pipe = pipe(function);
        let files = [
            ("d_src.datasource", source.as_str()),
            ("d_target.datasource", source.as_str()),
            ("d_view.pipe", pipe.as_str()),
        ];
        bench.deploy(&files, before).await
    };
    let (old, _) = project("upper", None).await;
    bench.execute("INSERT INTO d_src VALUES (1, 'aB')").await;
    let (_, planned) = project("lower", Some(&old)).await;
    insta::assert_snapshot!(planned);
    bench.execute("INSERT INTO d_src VALUES (2, 'aB')").await;
    assert_eq!(
        bench.tsv("SELECT * FROM d_target ORDER BY id").await,
        "1\tab\n2\tab\n"
    );
}

#[tokio::test]
async fn what_takes_rows_away_says_so() {
    let bench = Bench::new().await;
    let before = datasource("`id` UInt64,\n`at` DateTime,\n`gone` String", KEYS);
    let after = datasource(
        "`id` UInt64,\n`at` DateTime",
        &format!("{KEYS}ENGINE_TTL \"at + INTERVAL 1 DAY\"\n"),
    );
    insta::assert_snapshot!(
        changed(
            &bench,
            "d_ttl",
            &before,
            "VALUES (1, now(), 'a'), (2, '2020-01-01 00:00:00', 'b')",
            &after
        )
        .await
    );
    assert_eq!(bench.tsv("SELECT id FROM d_ttl").await, "1\n");
}

#[tokio::test]
async fn types_that_hold_more_change_in_place() {
    let bench = Bench::new().await;
    let columns = |n: &str, word: &str, kind: &str, day: &str, key: &str| {
        datasource(
            &format!(
                "`id` UInt64,\n`n` {n},\n`word` {word},\n`kind` {kind},\n`day` {day},\n`key` {key}"
            ),
            "ENGINE MergeTree\nENGINE_SORTING_KEY \"key, id\"\n",
        )
    };
    let before = columns("UInt8", "String", "Enum8('a' = 1)", "Date", "UInt8");
    let after = columns(
        "Nullable(UInt32)",
        "LowCardinality(String)",
        "Enum8('a' = 1, 'b' = 2)",
        "Date32",
        "UInt8",
    );
    let id = "SELECT uuid FROM system.tables WHERE name = 'd_wide'";
    let (old, _) = bench.deploy(&[("d_wide.datasource", &before)], None).await;
    bench
        .execute("INSERT INTO d_wide VALUES (1, 255, 'x', 'a', '2026-01-02', 3)")
        .await;
    let (same, row) = (bench.tsv(id).await, "SELECT * FROM d_wide ORDER BY id");
    let (old, planned) = bench
        .deploy(&[("d_wide.datasource", &after)], Some(&old))
        .await;
    insta::assert_snapshot!(planned);
    assert_eq!(bench.tsv(id).await, same);
    bench
        .execute("INSERT INTO d_wide VALUES (2, 70000, 'y', 'b', '1950-01-01', 4)")
        .await;
    let rows = "1\t255\tx\ta\t2026-01-02\t3\n2\t70000\ty\tb\t1950-01-01\t4\n";
    assert_eq!(bench.tsv(row).await, rows);
    // A column of the key, and a type that holds less: a table anew.
    let rebuilt = after.replace("`key` UInt8", "`key` UInt16");
    let (_, planned) = bench
        .deploy(&[("d_wide.datasource", &rebuilt)], Some(&old))
        .await;
    assert!(planned.starts_with("rebuild table d_wide"), "{planned}");
    assert_ne!(bench.tsv(id).await, same);
    assert_eq!(bench.tsv(row).await, rows);
}

#[tokio::test]
async fn the_ttl_of_a_column_is_no_less_than_its_type() {
    let bench = Bench::new().await;
    let with = |ttl: &str| {
        datasource(
            &format!("`id` UInt64,\n`at` DateTime,\n`word` String DEFAULT 'a TTL b'{ttl}"),
            KEYS,
        )
    };
    let insert = "VALUES (1, '2020-01-01 00:00:00', 'old'), (2, now(), 'new')";
    let (plain, expiring, later) = (
        with(""),
        with(" TTL at + INTERVAL 1 DAY"),
        with(" TTL at + INTERVAL 90 YEAR"),
    );
    let planned = changed(&bench, "d_ttl", &plain, insert, &expiring).await;
    assert!(planned.contains("Destroys"), "{planned}");
    bench.execute("OPTIMIZE TABLE d_ttl FINAL").await;
    assert_eq!(
        bench.tsv("SELECT id, word FROM d_ttl ORDER BY id").await,
        "1\ta TTL b\n2\tnew\n"
    );
    let planned = changed(&bench, "d_ttl", &expiring, insert, &later).await;
    assert!(planned.contains("toIntervalYear(90)"), "{planned}");
    let planned = changed(&bench, "d_ttl", &later, insert, &plain).await;
    assert!(planned.contains("REMOVE TTL"), "{planned}");
}

#[tokio::test]
async fn a_new_column_has_its_ttl_from_the_beginning() {
    let bench = Bench::new().await;
    let before = datasource("`id` UInt64,\n`at` DateTime", KEYS);
    let after = datasource(
        "`id` UInt64,\n`at` DateTime,\n`text` String TTL at + INTERVAL 1 DAY",
        KEYS,
    );
    let planned = changed(&bench, "d_new_ttl", &before, "VALUES (1, now())", &after).await;
    assert!(
        planned.starts_with("alter table d_new_ttl Nothing"),
        "{planned}"
    );
    let sql = "SELECT countSubstrings(create_table_query, ' TTL ') FROM system.tables WHERE database = currentDatabase() AND name = 'd_new_ttl'";
    assert_eq!(bench.tsv(sql).await, "1\n");
}

#[tokio::test]
async fn a_setting_that_the_engine_cannot_change_makes_the_table_anew() {
    let bench = Bench::new().await;
    let with = |settings: &str| {
        datasource(
            "`id` UInt64",
            &format!("{KEYS}ENGINE_SETTINGS {settings}\n"),
        )
    };
    let granularity = async || {
        let sql = "SELECT extract(engine_full, 'index_granularity = ([0-9]+)'), (SELECT count() FROM d_settings) FROM system.tables WHERE database = currentDatabase() AND name = 'd_settings'";
        bench.tsv(sql).await
    };
    let plain = datasource("`id` UInt64", KEYS);
    let wide = with("index_granularity = 81920");
    let planned = changed(&bench, "d_settings", &plain, "VALUES (1)", &wide).await;
    assert!(
        planned.starts_with("rebuild table d_settings Rewrites"),
        "{planned}"
    );
    assert_eq!(granularity().await, "81920\t1\n");
    let narrow = with("index_granularity = 1024, ttl_only_drop_parts = 1");
    changed(&bench, "d_settings", &wide, "VALUES (2)", &narrow).await;
    assert_eq!(granularity().await, "1024\t2\n");
    let planned = changed(&bench, "d_settings", &narrow, "VALUES (3)", &plain).await;
    assert!(planned.contains("index_granularity"), "{planned}");
    assert_eq!(granularity().await, "8192\t3\n");
}
