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
    let (status, answer) = server.request("POST", path, more).unwrap();
    assert_eq!(status, 200);
    assert!(
        answer.contains("\"quarantine_rows\":0") || answer.contains("\"quarantined_rows\":0"),
        "{answer}"
    );
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

#[test]
fn a_column_of_the_api_goes_with_the_next_deploy_of_files_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let text = datasource("`id` UInt64 `json:$.id`", KEYS);
    std::fs::write(folder.path().join("t.datasource"), &text).unwrap();
    let server = Server::start(folder.path());
    let path = "/v0/datasources?mode=append&name=t&format=ndjson";
    let row = b"{\"id\":1,\"more\":\"x\"}\n";
    assert_eq!(server.request("POST", path, row).unwrap().0, 200);
    let (status, done) = alter(
        &server,
        "id UInt64 `json:$.id`, more String DEFAULT 'm' `json:$.more`",
        "",
    );
    assert_eq!(status, 200, "{done}");
    assert_eq!(server.request("POST", path, row).unwrap().0, 200);
    assert_eq!(
        ask(&server, "SELECT more FROM t ORDER BY more FORMAT TSV"),
        "m\nx"
    );
    let body = serde_json::json!({ "files": { "t.datasource": text } }).to_string();
    let deploy = |options: &str| {
        let path = format!("/v1/deploy?wait=true{options}");
        let (status, text) = server.request("POST", &path, body.as_bytes()).unwrap();
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        (status, answer)
    };
    // The table knows which text it is of: the plan is to drop the column, and not to make the table anew.
    let (status, refused) = deploy("");
    assert_eq!(status, 400, "{refused}");
    let steps = &refused["deployment"]["steps"];
    assert_eq!(steps[0]["action"], "alter_table", "{refused}");
    let words = refused["error"].as_str().unwrap();
    assert!(
        words.contains("column more goes")
            && words.contains("data source `t` was changed through the API"),
        "{words}"
    );
    let (status, done) = deploy("&allow_destructive_operations=true");
    assert_eq!(status, 200, "{done}");
    assert_eq!(ask(&server, "SELECT * FROM t FORMAT TSV"), "1\n1");
    let (_, same) = deploy("");
    assert_eq!(same["result"], "no_changes", "{same}");
}

#[test]
fn what_the_engine_cannot_make_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let text = "SCHEMA >\n    `id` UInt64 `json:$.id`,\n    `name` String `json:$.name`\n\nINDEXES >\n    INDEX by_name name TYPE set(10) GRANULARITY 1\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";
    std::fs::write(folder.path().join("t.datasource"), text).unwrap();
    let server = Server::start(folder.path());
    let path = "/v0/datasources?mode=append&name=t&format=ndjson";
    let row = b"{\"id\":1,\"name\":\"x\"}\n";
    assert_eq!(server.request("POST", path, row).unwrap().0, 200);
    for options in ["&dry=true", "", "&allow_destructive_operations=true"] {
        let (status, refused) = alter(&server, "id UInt64 `json:$.id`", options);
        assert_eq!(status, 400, "{options}: {refused}");
        assert!(refused.contains("name"), "{options}: {refused}");
    }
    let (_, file) = server
        .request("GET", "/v0/datasources/t.datasource", b"")
        .unwrap();
    assert_eq!(file, text);
    assert_eq!(server.request("POST", path, row).unwrap().0, 200);
    assert_eq!(ask(&server, "SELECT * FROM t FORMAT TSV"), "1\tx\n1\tx");
}

#[test]
fn a_time_to_live_and_indexes_are_altered() {
    let folder = tempfile::tempdir().unwrap();
    let text = datasource(
        "`id` UInt64 `json:$.id`,\n`at` DateTime `json:$.at`,\n`name` String `json:$.name`",
        KEYS,
    );
    std::fs::write(folder.path().join("t.datasource"), text).unwrap();
    let server = Server::start(folder.path());
    let alter = |options: &str| {
        let path = format!("/v0/datasources/t/alter?{options}");
        request(server.address(), "POST", &path, b"").expect("an answer")
    };
    let made = || {
        let (_, text) = server
            .request("GET", "/v0/datasources/t.datasource", b"")
            .unwrap();
        let parts = text.lines().filter(|line| {
            let line = line.trim();
            line.starts_with("ENGINE_TTL") || line.starts_with("INDEX")
        });
        parts.collect::<Vec<_>>().join("\n")
    };
    let indexes = "INDEX%20by_name%20name%20TYPE%20set(10)%20GRANULARITY%201";
    // Rows go that are too old.
    let allowed = "allow_destructive_operations=true";
    let (status, refused) = alter("ttl=at%20%2B%20toIntervalDay(9)");
    assert_eq!((status, made().as_str()), (400, ""), "{refused}");
    let (status, done) = alter(&format!(
        "{allowed}&ttl=at%20%2B%20toIntervalDay(9)&indexes={indexes}"
    ));
    assert_eq!(status, 200, "{done}");
    let both = "INDEXES >\n    INDEX by_name name TYPE set(10) GRANULARITY 1\nENGINE_TTL \"at + toIntervalDay(9)\"";
    assert_eq!(made(), both);
    let (_, shown) = server.request("GET", "/v0/datasources/t", b"").unwrap();
    assert!(
        shown.contains("toIntervalDay(9)") && shown.contains("by_name"),
        "{shown}"
    );
    // The same once more, and what the engine does not take.
    assert_eq!(alter(&format!("indexes={indexes}")).0, 400);
    for wrong in [
        "ttl=nope%20%2B%201",
        "indexes=INDEX%20x%20nope%20TYPE%20set(10)",
        "ttl=at%0ATOKEN%20x%20READ",
        "indexes=no",
    ] {
        let (status, refused) = alter(&format!("{allowed}&{wrong}"));
        assert_eq!(status, 400, "{wrong}: {refused}");
        assert_eq!(made(), both, "{wrong}");
    }
    let (status, done) = alter(&format!("{allowed}&ttl=at%20%2B%20toIntervalDay(8)"));
    assert_eq!(status, 200, "{done}");
    assert!(made().ends_with("\"at + toIntervalDay(8)\""), "{}", made());
    let (status, done) = alter(&format!("{allowed}&ttl=false&indexes=0"));
    assert_eq!(status, 200, "{done}");
    assert_eq!(made(), "");
}
