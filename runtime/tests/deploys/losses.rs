//! What a change takes away is refused, or said before: no value is cut, rounded or made NULL, and no row merged away, without a word.

use super::{Bench, KEYS, checked, datasource};
use pipewright_compiler::deploy::Effect;

/// Deploys a column `v` of one type, puts a value in, and deploys another type: the value as it reads then, or why nothing has changed.
async fn retyped(bench: &Bench, old: &str, value: &str, new: &str) -> String {
    bench.execute("DROP TABLE IF EXISTS l_type SYNC").await;
    let with = |data_type: &str| datasource(&format!("`id` UInt64,\n`v` {data_type}"), KEYS);
    let (plan, _) = bench
        .deploy(&[("l_type.datasource", &with(old))], None)
        .await;
    bench
        .execute(&format!("INSERT INTO l_type SELECT 1, {value}"))
        .await;
    let before = bench.tsv("SELECT v FROM l_type").await;
    let wanted = checked(&[("l_type.datasource", &with(new))]);
    let planned = bench.plan(&wanted, Some(&plan)).await;
    let shown = match bench.run(&wanted, Some(&plan), &planned).await {
        Ok(_) => bench
            .tsv("SELECT v FROM l_type")
            .await
            .trim_end()
            .to_owned(),
        Err(error) => {
            assert_eq!(bench.tsv("SELECT v FROM l_type").await, before);
            let error = error.to_string();
            let misfit = error.contains("does not fit")
                || error.contains("annot")
                || error.contains("nknown element");
            assert!(misfit, "{error}");
            "stays".to_owned()
        }
    };
    format!("{old} {value} -> {new}: {shown}")
}

#[tokio::test]
async fn a_value_that_another_type_cannot_hold_stops_the_change() {
    let bench = Bench::new().await;
    let mut shown = Vec::new();
    for (old, new, values) in [
        (
            "Nullable(String)",
            "Nullable(UInt8)",
            &["'300'", "'x'", "'30'", "NULL"][..],
        ),
        ("String", "Nullable(UUID)", &["'x'"]),
        (
            "Array(Nullable(String))",
            "Array(Nullable(Int8))",
            &["['x']", "['1', NULL]"],
        ),
        ("Date32", "Date", &["'1950-01-01'", "'2020-01-01'"]),
        ("Int64", "Bool", &["7", "1"]),
        ("Enum8('a' = 1, 'b' = 2)", "Enum8('a' = 1)", &["'b'", "'a'"]),
        ("Enum8('a' = 1)", "Enum8('a' = 2, 'b' = 1)", &["'a'"]),
        ("Tuple(a Int64, b String)", "Tuple(a Int64)", &["(1, 'x')"]),
        (
            "DateTime64(3, 'UTC')",
            "DateTime('UTC')",
            &["'2020-01-01 00:00:00.500'", "'2020-01-01 00:00:00.000'"],
        ),
        (
            "DateTime('UTC')",
            "Date",
            &["'2020-01-01 00:00:01'", "'2020-01-01 00:00:00'"],
        ),
        ("Decimal(18, 4)", "Decimal(18, 2)", &["1.234", "1.23"]),
        ("Float64", "Decimal(9, 2)", &["1.234", "1.23"]),
        ("Float64", "Float32", &["nan", "0.5", "0.1"]),
        ("Nullable(Int64)", "Int64", &["NULL", "5"]),
        ("UInt64", "String", &["18446744073709551615"]),
        ("String", "Int32", &["'007'", "'7x'"]),
    ] {
        for value in values {
            shown.push(retyped(&bench, old, value, new).await);
        }
    }
    insta::assert_snapshot!(shown.join("\n"));
}

/// What the plan says that a change does to rows.
async fn effect(bench: &Bench, before: &str, after: &str) -> Effect {
    bench.execute("DROP TABLE IF EXISTS l_rows SYNC").await;
    let columns = "`id` Int32,\n`v` Int32,\n`t` DateTime";
    let with = |rest: &str| datasource(columns, rest);
    let (plan, _) = bench
        .deploy(&[("l_rows.datasource", &with(before))], None)
        .await;
    let wanted = checked(&[("l_rows.datasource", &with(after))]);
    let planned = bench.plan(&wanted, Some(&plan)).await;
    let effects = planned.steps.iter().map(|step| step.effect);
    effects.max().unwrap_or(Effect::Nothing)
}

#[tokio::test]
async fn an_engine_that_lets_rows_go_is_a_step_that_takes_rows_away() {
    let bench = Bench::new().await;
    let engine =
        |name: &str, key: &str| format!("ENGINE \"{name}\"\nENGINE_SORTING_KEY \"{key}\"\n");
    let plain = engine("MergeTree", "id");
    for after in [
        "ENGINE \"Null\"\n".to_owned(),
        engine("SummingMergeTree", "id"),
        engine("ReplacingMergeTree", "id"),
        engine("MergeTree", "v") + "ENGINE_TTL \"t + INTERVAL 1 DAY\"\n",
    ] {
        assert_eq!(
            effect(&bench, &plain, &after).await,
            Effect::Destroys,
            "{after}"
        );
    }
    let replacing = engine("ReplacingMergeTree", "id, v");
    let coarser = engine("ReplacingMergeTree", "id");
    assert_eq!(effect(&bench, &replacing, &coarser).await, Effect::Destroys);
    // Rows with one key that lay in partitions of their own become one where these are one.
    let parted = |key: &str| replacing.clone() + &format!("ENGINE_PARTITION_KEY \"{key}\"\n");
    for after in [replacing.clone(), parted("toYYYYMM(t)")] {
        assert_eq!(
            effect(&bench, &parted("t"), &after).await,
            Effect::Destroys,
            "{after}"
        );
    }
    assert_eq!(
        effect(&bench, &parted("t"), &parted("t, v")).await,
        Effect::Rewrites
    );
    for after in [engine("ReplacingMergeTree", "id, v, t"), plain.clone()] {
        assert_eq!(
            effect(&bench, &replacing, &after).await,
            Effect::Rewrites,
            "{after}"
        );
    }
}

#[tokio::test]
async fn a_column_that_is_kept_no_more_takes_its_values_away() {
    let bench = Bench::new().await;
    for (old, new, key, expected) in [
        ("", " ALIAS id", "id", Effect::Destroys),
        ("", " EPHEMERAL 1", "id", Effect::Destroys),
        (" DEFAULT 1", " ALIAS id", "id", Effect::Destroys),
        ("", " DEFAULT 1", "id", Effect::Nothing),
        ("", " MATERIALIZED id", "id", Effect::Nothing),
        // In a new table it is computed anew.
        ("", " MATERIALIZED id", "id % 7, id", Effect::Destroys),
        ("", " ALIAS id", "id % 7, id", Effect::Destroys),
        (
            " ALIAS id",
            " MATERIALIZED id",
            "id % 7, id",
            Effect::Rewrites,
        ),
    ] {
        bench.execute("DROP TABLE IF EXISTS l_kept SYNC").await;
        let with = |default: &str, key: &str| {
            let keys = KEYS.replace("\"id\"", &format!("\"{key}\""));
            datasource(&format!("`id` Int64,\n`v` Int64{default}"), &keys)
        };
        let (plan, _) = bench
            .deploy(&[("l_kept.datasource", &with(old, "id"))], None)
            .await;
        let wanted = checked(&[("l_kept.datasource", &with(new, key))]);
        let planned = bench.plan(&wanted, Some(&plan)).await;
        let effects = planned.steps.iter().map(|step| step.effect);
        assert_eq!(effects.max(), Some(expected), "{old} -> {new} {key}");
    }
}
