//! Queries that read a table in ways that a text can hide: whatever their form, they show nothing that the token may not see.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::guarded::{started, token};

/// Each line counts rows that the token may not see: those of `events` that are of another org than 1, or any of `other`. 0 or nothing, or a refusal.
const HIDING: &str = include_str!("hiding.sql");

#[test]
fn no_form_of_a_query_shows_what_the_token_may_not_see() {
    let (_project, server) = started();
    let some = token(
        &server,
        "some",
        &[
            "DATASOURCES:READ:events:toString(org = 1) = 'true' OR org = 1",
            "PIPES:READ:by_org",
        ],
    );
    for query in HIDING.lines().filter(|line| !line.starts_with("--")) {
        let asked = format!("{query} FORMAT TSV");
        let answer = server.ask(&some, "POST", "/v0/sql", &asked);
        let shows = answer.status == 200 && !matches!(answer.text().trim(), "0" | "" | "\\N");
        assert!(!shows, "{query}: {} {}", answer.status, answer.text());
        // They are no nonsense: whoever sees all rows gets some.
        let whole = server.ask(crate::harness::ADMIN, "POST", "/v0/sql", &asked);
        if whole.status == 200 && !query.contains("SETTINGS") {
            assert_ne!(whole.text().trim(), "0", "{query}");
        }
    }
}

#[test]
fn the_engine_shows_no_more_than_a_query_was_found_to_read() {
    let (_project, server) = started();
    let some = token(
        &server,
        "some",
        &["DATASOURCES:READ:events:org = 1", "DATASOURCES:READ:other"],
    );
    let rows = |query: &str| {
        let answer = server.ask(&some, "POST", "/v0/sql", &format!("{query} FORMAT TSV"));
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        answer.text().trim().replace('\n', " ")
    };
    // What it may read it reads, in whatever turn: a connection keeps nothing of the query before.
    for _ in 0..20 {
        assert_eq!(rows("SELECT count() FROM other"), "4");
        assert_eq!(
            rows("SELECT count(), countIf(org = 1) FROM events"),
            "10\t10"
        );
        assert_eq!(rows("SELECT count() FROM events WHERE org IN other"), "10");
        assert_eq!(rows("SELECT 'other', count() FROM events"), "other\t10");
        let whole = server.ask(
            crate::harness::ADMIN,
            "POST",
            "/v0/sql",
            "SELECT count() FROM events FORMAT TSV",
        );
        assert_eq!(whole.text().trim(), "40");
    }
}

#[test]
fn what_a_jwt_fixes_holds_where_a_template_computes_the_pipe_that_is_read() {
    let (_project, server) = started();
    let admin = |method: &str, path: &str, body: &str| {
        let answer = server.ask(crate::harness::ADMIN, method, path, body);
        assert!(answer.status < 300, "{path}: {}", answer.text());
        answer
    };
    let sql = "%25 select * from {{table(String(which, 'by_org'))}}";
    admin("POST", "/v0/pipes", &format!("name=dyn&sql={sql}"));
    admin("POST", "/v0/pipes/dyn/nodes/dyn_0/endpoint", "");
    let scopes = json!({
        "name": "front",
        "scopes": [
            { "type": "PIPES:READ", "resource": "dyn" },
            { "type": "PIPES:READ", "resource": "by_org", "fixed_params": { "below": 1 } },
            { "type": "DATASOURCES:READ", "resource": "events" },
        ],
    });
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let path = format!(
        "/v0/tokens?name=front&expiration_time={}",
        now.as_secs() + 3600
    );
    let made = admin("POST", &path, &scopes.to_string()).json();
    let jwt = made["token"].as_str().expect("a token");
    for path in ["by_org.json?below=9", "dyn.json?which=by_org&below=9"] {
        let answer = server
            .ask(jwt, "GET", &format!("/v0/pipes/{path}"), "")
            .json();
        assert_eq!(answer["data"], json!([{ "org": 0, "c": 10 }]), "{path}");
    }
    for path in ["by_org/explain?below=9", "dyn/explain?which=by_org&below=9"] {
        let answer = server.ask(jwt, "GET", &format!("/v0/pipes/{path}"), "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let explained = answer.json()["debug_query"].to_string();
        assert!(
            explained.contains("toInt32('1')") && !explained.contains("toInt32('9')"),
            "{path}: {explained}"
        );
    }
}
