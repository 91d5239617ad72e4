//! Tables on a ClickHouse server that are larger than it lets go without being told that it may.

use crate::clickhouse::ClickHouse;
use crate::copies::admin;
use crate::harness::{Project, Server};

const LARGE: &str = "SCHEMA >\n    `id` UInt64,\n    `blob` String CODEC(NONE)\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\nENGINE_SETTINGS \"max_bytes_to_merge_at_max_space_in_pool = 1, max_bytes_to_merge_at_min_space_in_pool = 1\"\n";

#[test]
fn large_tables_are_emptied_and_dropped_on_a_clickhouse_server() {
    let clickhouse = ClickHouse::start();
    let settings = format!(
        "[server]\nclickhouse_url = \"http://{}\"\n",
        clickhouse.address
    );
    let project = Project::new(&[
        ("pipewright.toml", &settings),
        ("one.datasource", LARGE),
        ("other.datasource", LARGE),
    ]);
    let server = Server::start(&project);
    clickhouse.ask("INSERT INTO one SELECT number, randomString(1048576) FROM numbers(100) SETTINGS max_block_size = 200, min_insert_block_size_bytes = 0");
    // Links to one part, each as large as it.
    let link = |to: &str, from: &str| {
        clickhouse.ask(&format!(
            "ALTER TABLE {to} ATTACH PARTITION ALL FROM {from}"
        ));
    };
    for _ in 0..7 {
        link("other", "one");
        link("one", "other");
    }
    link("other", "one");
    let small = "SELECT table FROM system.parts WHERE active AND database = 'pipewright' AND table IN ('one', 'other') GROUP BY table HAVING sum(bytes_on_disk) <= 50000000000";
    assert_eq!(clickhouse.ask(small), "");
    let emptied = admin(&server, "POST", "/v0/datasources/one/truncate", "");
    assert!(emptied.status < 300, "{}", emptied.text());
    assert_eq!(clickhouse.ask("SELECT count() FROM one"), "0");
    let dropped = admin(&server, "DELETE", "/v0/datasources/other", "");
    assert!(dropped.status < 300, "{}", dropped.text());
    assert_eq!(
        clickhouse.ask("SELECT count() FROM system.tables WHERE name = 'other'"),
        "0"
    );
}
