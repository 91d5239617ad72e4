//! Tables that are larger than the engine drops without being told that it may, and tables that it does not drop at all.

use pipewright::deploy;

use super::{Bench, Silent, checked, datasource};

/// Two tables of more than 50 GB as the engine counts: parts of them are links to one.
async fn grow(bench: &Bench, one: &str, other: &str) {
    bench
        .execute(&format!("CREATE TABLE {one} (id UInt64, blob String CODEC(NONE)) ENGINE = MergeTree ORDER BY id SETTINGS max_bytes_to_merge_at_max_space_in_pool = 1, max_bytes_to_merge_at_min_space_in_pool = 1"))
        .await;
    bench
        .execute(&format!("CREATE TABLE {other} AS {one}"))
        .await;
    bench
        .execute(&format!("INSERT INTO {one} SELECT number, randomString(1048576) FROM numbers(100) SETTINGS max_block_size = 200, min_insert_block_size_bytes = 0"))
        .await;
    for _ in 0..7 {
        for (to, from) in [(other, one), (one, other)] {
            bench
                .execute(&format!(
                    "ALTER TABLE {to} ATTACH PARTITION ALL FROM {from}"
                ))
                .await;
        }
    }
    bench
        .execute(&format!(
            "ALTER TABLE {other} ATTACH PARTITION ALL FROM {one}"
        ))
        .await;
    let small = bench
        .tsv("SELECT table FROM system.parts WHERE active AND database = currentDatabase() GROUP BY table HAVING sum(bytes_on_disk) < 50000000001")
        .await;
    assert_eq!(small, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_larger_than_the_engine_likes_goes_all_the_same() {
    let bench = Bench::new().await;
    let text = datasource(
        "`id` UInt64,\n`blob` String CODEC(NONE)",
        "ENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n",
    );
    let plan = checked(&[("big.datasource", &text)]);
    grow(&bench, "big", "pw_from_0").await;
    let (name, table) = plan.tables.iter().next().unwrap();
    assert_eq!(name.to_string(), "big");
    bench.ingest.truncate(table).await.unwrap();
    assert_eq!(bench.tsv("SELECT count() FROM big").await, "0\n");
    bench.execute("RENAME TABLE big TO pw_next_big").await;
    bench
        .execute("ALTER TABLE pw_next_big ATTACH PARTITION ALL FROM pw_from_0")
        .await;
    deploy::sweep(&bench.state, bench.engine.as_ref(), &Silent)
        .await
        .unwrap();
    assert_eq!(bench.passing().await, "pw_from_0\n");
    bench.ingest.sweep_jobs(&[]).await.unwrap();
    assert_eq!(bench.passing().await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_engine_does_not_drop_ends_no_process() {
    let bench = Bench::new().await;
    for name in [
        "pw_next_a",
        "pw_next_b",
        "pw_replace_a",
        "pw_replace_b",
        "pw_from_a",
        "pw_from_b",
    ] {
        bench
            .execute(&format!(
                "CREATE TABLE {name} (id UInt64, v UInt64) ENGINE = MergeTree ORDER BY id"
            ))
            .await;
        if name.ends_with("_a") {
            bench
                .execute(&format!("CREATE DICTIONARY holds_{name} (id UInt64, v UInt64) PRIMARY KEY id SOURCE(CLICKHOUSE(TABLE '{name}' DB 'pipewright')) LAYOUT(FLAT()) LIFETIME(0)"))
                .await;
        }
    }
    deploy::sweep(&bench.state, bench.engine.as_ref(), &Silent)
        .await
        .unwrap();
    bench.ingest.sweep_jobs(&[]).await.unwrap();
    assert_eq!(
        bench.passing().await,
        "pw_from_a\npw_next_a\npw_replace_a\n"
    );
    for name in ["pw_next_a", "pw_replace_a", "pw_from_a"] {
        bench
            .execute(&format!("DROP DICTIONARY holds_{name} SYNC"))
            .await;
    }
    deploy::sweep(&bench.state, bench.engine.as_ref(), &Silent)
        .await
        .unwrap();
    bench.ingest.sweep_jobs(&[]).await.unwrap();
    assert_eq!(bench.passing().await, "");
}
