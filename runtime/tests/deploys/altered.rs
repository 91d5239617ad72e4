//! `POST /v0/datasources/<name>/alter`: other columns for a data source that is served.

use super::server::{Server, request};
use super::{KEYS, datasource};

/// Asks for another schema; status and answer.
fn alter(server: &Server, schema: &str, options: &str) -> (u16, String) {
    let schema: String = form_urlencoded::byte_serialize(schema.as_bytes()).collect();
    let path = format!("/v0/datasources/t/alter?schema={schema}{options}");
    request(server.address(), "POST", &path, b"").expect("an answer")
}

fn ask(server: &Server, sql: &str) -> String {
    let (_, text) = server.request("POST", "/v0/sql", sql.as_bytes()).unwrap();
    text.trim().to_owned()
}

#[test]
fn a_schema_is_altered_in_place_where_the_engine_can() {
    let folder = tempfile::tempdir().unwrap();
    let text = datasource(
        "`id` UInt64 `json:$.id`,\n`n` UInt8 `json:$.n`,\n`gone` String `json:$.gone`",
        KEYS,
    );
    std::fs::write(folder.path().join("t.datasource"), text).unwrap();
    let server = Server::start(folder.path());
    let rows = b"{\"id\":1,\"n\":7,\"gone\":\"x\"}\n";
    let path = "/v0/datasources?mode=append&name=t&format=ndjson";
    assert_eq!(server.request("POST", path, rows).unwrap().0, 200);
    let wider = "id UInt64 `json:$.id`, first String DEFAULT 'f' `json:$.first`, n UInt32 DEFAULT 5 CODEC(ZSTD(3)) `json:$.n`, gone String `json:$.gone`";
    let (status, dry) = alter(&server, wider, "&dry=true");
    assert_eq!(status, 200, "{dry}");
    assert!(
        dry.contains("ADD COLUMN")
            && dry.contains("AFTER id")
            && dry.contains("MODIFY COLUMN n UInt32"),
        "{dry}"
    );
    let (_, still) = alter(&server, wider, "&dry=true");
    assert_eq!(still, dry);
    let (status, done) = alter(&server, wider, "");
    assert_eq!((status, done.as_str()), (200, dry.as_str()));
    assert_eq!(ask(&server, "SELECT * FROM t FORMAT TSV"), "1\tf\t7\tx");
    let more = b"{\"id\":2,\"n\":70000,\"gone\":\"y\"}\n";
    assert_eq!(server.request("POST", path, more).unwrap().0, 200);
    assert_eq!(
        ask(&server, "SELECT * FROM t ORDER BY id FORMAT TSV"),
        "1\tf\t7\tx\n2\tf\t70000\ty"
    );
    // What takes values away is asked for twice.
    let less = "n UInt32 DEFAULT 5 `json:$.n`, id UInt64 `json:$.id`, first String DEFAULT 'f' `json:$.first`";
    let (status, refused) = alter(&server, less, "");
    assert_eq!(status, 400, "{refused}");
    assert!(refused.contains("column gone goes"), "{refused}");
    let (status, done) = alter(&server, less, "&allow_destructive_operations=true");
    assert_eq!(status, 200, "{done}");
    assert!(done.contains("DROP COLUMN"), "{done}");
    assert_eq!(
        ask(&server, "SELECT * FROM t ORDER BY id FORMAT TSV"),
        "7\t1\tf\n70000\t2\tf"
    );
    let (status, same) = alter(&server, less, "");
    assert_eq!(status, 400, "{same}");
    let (status, wrong) = alter(&server, "id Strin", "");
    assert_eq!(status, 400, "{wrong}");
    // And it is so after a restart.
    server.kill();
    let server = Server::start(folder.path());
    assert_eq!(
        ask(&server, "SELECT count(), sum(n) FROM t FORMAT TSV"),
        "2\t70007"
    );
}
