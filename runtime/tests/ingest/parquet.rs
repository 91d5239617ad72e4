//! Values of Parquet files: what does not fit is set aside, also inside of containers, and what the engine writes is read again.

use super::{append, engine, project, reasons, tsv};
use pipewright::engine::Query;
use pipewright::ingest::{Counts, Format};

/// The rows of a query as a Parquet file.
async fn parquet(sql: &str) -> Vec<u8> {
    let answer = engine().query(Query::new(sql, "Parquet")).await.unwrap();
    answer.bytes().await.unwrap().to_vec()
}

/// Rows `0`, `1`, … with one value each go into a column of the type: the value in the table, or the reason in the quarantine.
async fn typed(name: &str, data_type: &str, values: &[&str]) -> String {
    let schema = format!("SCHEMA >\n    `n` UInt32,\n    `v` {data_type}\n");
    let plan = project(&[(&format!("{name}.datasource"), &schema)]).await;
    let rows: Vec<String> = values
        .iter()
        .enumerate()
        .map(|(n, value)| format!("SELECT {n} AS n, {value} AS v"))
        .collect();
    let file = parquet(&rows.join(" UNION ALL ")).await;
    let appended = append(&plan, name, Format::Parquet, file).await.unwrap();
    let total = appended.counts.successful + appended.counts.quarantined;
    assert_eq!(total, values.len() as u64);
    let mut shown = Vec::new();
    for (n, value) in values.iter().enumerate() {
        let good = tsv(&format!("SELECT v FROM {name} WHERE n = {n}")).await;
        let found = if good.is_empty() {
            let bad = format!("SELECT c__error[1] FROM {name}_quarantine WHERE n = '{n}'");
            format!("✗ {}", tsv(&bad).await.trim_end())
        } else {
            good.trim_end().to_owned()
        };
        shown.push(format!("{value} -> {found}"));
    }
    shown.join("\n")
}

#[tokio::test]
async fn values_in_containers_do_not_wrap() {
    insta::assert_snapshot!(typed("pq_u8", "Array(UInt8)", &["[toInt32(300)]", "[toInt32(-1), 2]", "[toInt32(7)]", "[]::Array(Int32)"]).await, @r"
    [toInt32(300)] -> ✗ cannot read as Array(UInt8): [300]
    [toInt32(-1), 2] -> ✗ cannot read as Array(UInt8): [-1,2]
    [toInt32(7)] -> [7]
    []::Array(Int32) -> []
    ");
    insta::assert_snapshot!(typed("pq_half", "Array(UInt8)", &["[1.7]", "[2.0]"]).await, @r"
    [1.7] -> ✗ cannot read as Array(UInt8): [1.7]
    [2.0] -> [2]
    ");
    insta::assert_snapshot!(typed("pq_null", "Array(UInt8)", &["[1, NULL]", "[2, 3]"]).await, @r"
    [1, NULL] -> ✗ cannot read as Array(UInt8): [1,NULL]
    [2, 3] -> [2,3]
    ");
    insta::assert_snapshot!(typed("pq_nulls", "Array(Nullable(UInt8))", &["[1, NULL]", "[300, NULL]"]).await, @r"
    [1, NULL] -> [1,NULL]
    [300, NULL] -> ✗ cannot read as Array(Nullable(UInt8)): [300,NULL]
    ");
    insta::assert_snapshot!(typed("pq_inner", "Array(Tuple(a Nullable(UInt8), b Map(String, Nullable(Date))))", &["[CAST((300, map()), 'Tuple(a Nullable(Int32), b Map(String, Nullable(Date32)))')]", "[CAST((NULL, map('x', NULL, 'y', toDate32('2020-01-01'))), 'Tuple(a Nullable(Int32), b Map(String, Nullable(Date32)))')]", "[CAST((3, map('y', toDate32('1920-01-01'))), 'Tuple(a Nullable(Int32), b Map(String, Nullable(Date32)))')]"]).await, @r"
    [CAST((300, map()), 'Tuple(a Nullable(Int32), b Map(String, Nullable(Date32)))')] -> ✗ cannot read as Array(Tuple(a Nullable(UInt8), b Map(String, Nullable(Date)))): [(300,{})]
    [CAST((NULL, map('x', NULL, 'y', toDate32('2020-01-01'))), 'Tuple(a Nullable(Int32), b Map(String, Nullable(Date32)))')] -> [(NULL,{'x':NULL,'y':'2020-01-01'})]
    [CAST((3, map('y', toDate32('1920-01-01'))), 'Tuple(a Nullable(Int32), b Map(String, Nullable(Date32)))')] -> ✗ cannot read as Array(Tuple(a Nullable(UInt8), b Map(String, Nullable(Date)))): [(3,{\'y\':\'1920-01-01\'})]
    ");
    insta::assert_snapshot!(typed("pq_map", "Map(String, UInt8)", &["map('a', 300)", "map('a', 30)"]).await, @r"
    map('a', 300) -> ✗ cannot read as Map(String, UInt8): {\'a\':300}
    map('a', 30) -> {'a':30}
    ");
    insta::assert_snapshot!(typed("pq_keys", "Map(UInt8, String)", &["map(300, 'a')", "map(30, 'a')"]).await, @r"
    map(300, 'a') -> ✗ cannot read as Map(UInt8, String): {300:\'a\'}
    map(30, 'a') -> {30:'a'}
    ");
    insta::assert_snapshot!(typed("pq_tuple", "Tuple(b UInt8, a Array(Date))", &["CAST(([toDate32('2200-01-01')], 1), 'Tuple(a Array(Date32), b Int32)')", "CAST(([toDate32('2020-01-01')], 300), 'Tuple(a Array(Date32), b Int32)')", "CAST(([toDate32('2020-01-01')], 3), 'Tuple(a Array(Date32), b Int32)')"]).await, @r"
    CAST(([toDate32('2200-01-01')], 1), 'Tuple(a Array(Date32), b Int32)') -> ✗ cannot read as Tuple(b UInt8, a Array(Date)): ([\'2200-01-01\'],1)
    CAST(([toDate32('2020-01-01')], 300), 'Tuple(a Array(Date32), b Int32)') -> ✗ cannot read as Tuple(b UInt8, a Array(Date)): ([\'2020-01-01\'],300)
    CAST(([toDate32('2020-01-01')], 3), 'Tuple(a Array(Date32), b Int32)') -> (3,['2020-01-01'])
    ");
    insta::assert_snapshot!(typed("pq_times", "Array(DateTime('UTC'))", &["[toDateTime64('2200-01-01 00:00:00', 3, 'UTC')]", "[toDateTime64('2020-01-01 00:00:00', 3, 'UTC')]"]).await, @r"
    [toDateTime64('2200-01-01 00:00:00', 3, 'UTC')] -> ✗ cannot read as Array(DateTime(\'UTC\')): [\'2200-01-01 00:00:00.000\']
    [toDateTime64('2020-01-01 00:00:00', 3, 'UTC')] -> ['2020-01-01 00:00:00']
    ");
    insta::assert_snapshot!(typed("pq_texts", "Array(Array(Int16))", &["[['1', 'x']]", "[['1'], ['2']]"]).await, @r"
    [['1', 'x']] -> ✗ cannot read as Array(Array(Int16)): [[\'1\',\'x\']]
    [['1'], ['2']] -> [[1],[2]]
    ");
    insta::assert_snapshot!(typed("pq_enum", "Array(Enum8('a' = 1))", &["['a']", "['b']"]).await, @r"
    ['a'] -> ['a']
    ['b'] -> ✗ cannot read as Array(Enum8(\'a\' = 1)): [\'b\']
    ");
}

#[tokio::test]
async fn what_the_engine_writes_is_read_again() {
    let schema = "SCHEMA >\n    `ip4` IPv4,\n    `ip6` IPv6,\n    `ips` Array(IPv4),\n    `long` Array(IPv6),\n    `wide` Int128,\n    `wider` UInt256,\n    `id` UUID,\n    `day` Date,\n    `days` Array(Date),\n    `at` DateTime('UTC'),\n    `fine` DateTime64(6, 'UTC'),\n    `kind` Enum8('a' = 1),\n    `price` Decimal(38, 3),\n    `code` FixedString(2),\n    `flag` Bool,\n    `pair` Tuple(x UInt8, y String),\n    `doc` JSON,\n    `none` Nullable(IPv4)\n";
    let plan = project(&[("pq_all.datasource", schema)]).await;
    let query = "SELECT toIPv4('1.2.3.4') AS ip4, toIPv6('2001:db8::1') AS ip6, [toIPv4('4.3.2.1')] AS ips, [toIPv6('::1')] AS long, toInt128('-170141183460469231731687303715884105728') AS wide, toUInt256('115792089237316195423570985008687907853269984665640564039457584007913129639935') AS wider, toUUID('60e426b7-b57a-417c-a4b9-1c3779051eda') AS id, toDate('2020-01-02') AS day, [day] AS days, toDateTime('2020-01-02 03:04:05', 'UTC') AS at, toDateTime64('2020-01-02 03:04:05.678901', 6, 'UTC') AS fine, CAST('a', 'Enum8(\\'a\\' = 1)') AS kind, toDecimal128('-12.345', 3) AS price, toFixedString('xy', 2) AS code, true AS flag, CAST((1, 'z'), 'Tuple(x UInt8, y String)') AS pair, CAST('{\"a\":1}', 'JSON') AS doc, CAST(NULL, 'Nullable(IPv4)') AS none";
    let rows = parquet(query).await;
    let appended = append(&plan, "pq_all", Format::Parquet, rows)
        .await
        .unwrap();
    let all = Counts {
        successful: 1,
        quarantined: 0,
    };
    assert_eq!(appended.counts, all);
    assert_eq!(tsv("SELECT * FROM pq_all").await, tsv(query).await);
    // Again from the table itself.
    let rows = parquet("SELECT * FROM pq_all").await;
    let appended = append(&plan, "pq_all", Format::Parquet, rows)
        .await
        .unwrap();
    assert_eq!(appended.counts, all);
    assert_eq!(tsv("SELECT DISTINCT * FROM pq_all").await, tsv(query).await);
}

#[tokio::test]
async fn a_file_without_a_column_that_must_have_values_is_set_aside() {
    let schema = "SCHEMA >\n    `id` UInt8,\n    `at` DateTime,\n    `tags` Array(String),\n    `note` String DEFAULT '-'\n";
    let plan = project(&[("pq_short.datasource", schema)]).await;
    let rows = parquet("SELECT 1 AS id").await;
    let appended = append(&plan, "pq_short", Format::Parquet, rows)
        .await
        .unwrap();
    assert_eq!(appended.counts.quarantined, 1);
    assert_eq!(
        reasons("pq_short").await,
        "at: no value, and the column has neither a default nor is it Nullable\n"
    );
    let rows = parquet("SELECT 1 AS id, toDateTime(0) AS at").await;
    append(&plan, "pq_short", Format::Parquet, rows)
        .await
        .unwrap();
    assert_eq!(
        tsv("SELECT id, toUnixTimestamp(at), tags, note FROM pq_short").await,
        "1\t0\t[]\t-\n"
    );
}
