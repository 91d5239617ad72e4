//! A ClickHouse server whose profile has queries broken off where they become too much.

use crate::clickhouse::ClickHouse;
use crate::copies::admin;
use crate::harness::{Project, Server};

#[test]
fn no_profile_of_a_clickhouse_server_makes_an_answer_shorter_without_a_word() {
    let clickhouse = ClickHouse::start();
    let config = format!(
        "[server]\nclickhouse_url = \"http://{}\"\n\n[limits]\nresult_bytes = 1000000\nrows_read = 350000\n",
        clickhouse.address
    );
    let project = Project::new(&[("pipewright.toml", &config)]);
    let server = Server::start(&project);
    clickhouse.give(&[
        ("result_overflow_mode", "break"),
        ("read_overflow_mode", "break"),
    ]);
    let ask = |sql: &str| admin(&server, "POST", "/v0/sql", sql);
    // Its columns are longer than an answer may be, and its text is not.
    for long in [
        "SELECT toUInt64(number % 10) AS n FROM numbers(300000) FORMAT TSV",
        "SELECT count() AS c FROM numbers(4000000) FORMAT TSV",
    ] {
        let refused = ask(long);
        assert_eq!(refused.status, 400, "{long}: {} bytes", refused.body.len());
        assert!(
            refused.text().contains("TOO_MANY_ROWS"),
            "{}",
            refused.text()
        );
    }
    let short = ask("SELECT count() AS c FROM numbers(300000) FORMAT TSV");
    assert_eq!((short.status, short.text().trim()), (200, "300000"));
}
