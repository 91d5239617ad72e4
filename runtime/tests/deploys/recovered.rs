//! Processes that end in the middle of a change, and what the next one makes of it.

use serde_json::json;

use super::server::{Server, request};
use super::{KEYS, datasource};

#[test]
fn a_deploy_that_removes_a_default_and_a_codec_may_die_after_any_statement() {
    let with = "`id` UInt64 `json:$.id`,\n`x` UInt8 `json:$.x` DEFAULT 1 CODEC(ZSTD(3)),\n`y` UInt8 `json:$.y`";
    let without = "`id` UInt64 `json:$.id`,\n`x` UInt8 `json:$.x`,\n`y` UInt8 `json:$.y` DEFAULT 7 CODEC(ZSTD(1))";
    let folder = tempfile::tempdir().unwrap();
    let (with, without) = (datasource(with, KEYS), datasource(without, KEYS));
    std::fs::write(folder.path().join("d.datasource"), &with).unwrap();
    let die_at = folder.path().join("die-at");
    let server = Server::start(folder.path());
    let events = "/v0/events?name=d&wait=true";
    let (status, text) = server
        .request("POST", events, b"{\"id\":1,\"x\":1,\"y\":0}\n")
        .unwrap();
    assert_eq!(status, 200, "{text}");
    server.kill();
    let deploy = |address: &str, text: &str| {
        let body = json!({ "files": { "d.datasource": text } }).to_string();
        let path = "/v1/deploy?wait=true&allow_destructive_operations=true";
        request(address, "POST", path, body.as_bytes())
    };
    let (mut steps, mut deaths) = (vec![(&with, &without), (&without, &with)], 0);
    let mut number = 1;
    while let Some((before, after)) = steps.last() {
        let server = Server::start_mortal(folder.path(), &die_at);
        assert_eq!(deploy(server.address(), before).unwrap().0, 200);
        let ignored =
            "CREATE|DROP|INSERT|ALTER TABLE pw_|ALTER TABLE tinybird|ALTER TABLE pipewright";
        std::fs::write(&die_at, format!("{number} after {ignored}")).unwrap();
        let died = deploy(server.address(), after).is_none();
        _ = std::fs::remove_file(&die_at);
        server.kill();
        let server = Server::start(folder.path());
        let sql = b"SELECT id, x, y FROM d FORMAT TSV";
        let rows = server.request("POST", "/v0/sql", sql).unwrap();
        let there = (200, "1\t1\t0\n".to_owned());
        assert_eq!(rows, there, "after statement {number}");
        server.kill();
        if died {
            (number, deaths) = (number + 1, deaths + 1);
        } else {
            _ = steps.pop();
            number = 1;
        }
    }
    assert!(deaths > 8, "{deaths}");
}
