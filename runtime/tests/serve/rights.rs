//! What a token may not reach by what it may do.

use serde_json::json;

use crate::guarded::{started, token};
use crate::harness::{ADMIN, Server};

fn admin(server: &Server, method: &str, path: &str, body: &str) {
    let answer = server.ask(ADMIN, method, path, body);
    assert!(answer.status < 300, "{path}: {}", answer.text());
}

fn count(server: &Server, table: &str) -> u64 {
    let query = format!("/v0/sql?q=SELECT+count()+AS+c+FROM+{table}+FORMAT+JSON");
    server.get(&query).json()["data"][0]["c"]
        .as_u64()
        .expect("a count")
}

#[test]
fn who_may_create_pipes_empties_and_fills_no_data_source_of_others() {
    let (_project, server) = started();
    admin(
        &server,
        "POST",
        "/v0/pipes",
        "name=spare&sql=select org from other",
    );
    let makes = token(&server, "makes", &["PIPES:CREATE"]);
    let (fill, path) = (
        "/v0/pipes/spare/nodes/spare_0/materialization?datasource=events",
        "/v0/pipes/spare/nodes/spare_0/population?truncate=true",
    );
    let as_json = r#"{"name": "evil", "nodes": [{"name": "ev", "sql": "SELECT org FROM other WHERE 0", "type": "materialized", "datasource": "events"}]}"#;
    let appended = "/v0/pipes/spare/nodes?type=materialized&datasource=events&name=two";
    for (path, body) in [
        (fill, ""),
        ("/v0/pipes", as_json),
        (appended, "select org from other"),
    ] {
        let refused = server.ask(&makes, "POST", path, body);
        assert_eq!(refused.status, 403, "{path}: {}", refused.text());
        let needed = "DATASOURCES:APPEND:events";
        assert!(refused.text().contains(needed), "{}", refused.text());
    }
    // A data source of its own it may fill, and once somebody has let it fill another, change how.
    let own = fill.replace("events", "own");
    let made = server.ask(&makes, "POST", &own, "");
    assert_eq!(made.status, 200, "{}", made.text());
    let removed = fill.split('?').next().expect("a path");
    admin(&server, "DELETE", removed, "");
    let both = token(
        &server,
        "both",
        &["PIPES:CREATE", "DATASOURCES:APPEND:events"],
    );
    let columns = "select org, org as value from other";
    let made = server.ask(&both, "POST", fill, columns);
    assert_eq!(made.status, 200, "{}", made.text());
    let edited = server.ask(&makes, "PUT", "/v0/pipes/spare/nodes/spare_0", columns);
    assert_eq!(edited.status, 200, "{}", edited.text());
    let renamed = server.ask(&makes, "PUT", "/v0/pipes/spare?name=spared", "");
    assert_eq!(renamed.status, 200, "{}", renamed.text());
    admin(&server, "PUT", "/v0/pipes/spared?name=spare", "");

    for secret in [&makes, &both] {
        let refused = server.ask(secret, "POST", path, "");
        assert_eq!(refused.status, 403, "{}", refused.text());
        let needed = "DATASOURCES:DROP:events";
        assert!(refused.text().contains(needed), "{}", refused.text());
    }
    assert_eq!(count(&server, "events"), 40);
    let drops = token(
        &server,
        "drops",
        &["PIPES:CREATE", "DATASOURCES:DROP:events"],
    );
    let taken = server.ask(&drops, "POST", path, "");
    assert_eq!(taken.status, 200, "{}", taken.text());
}

#[test]
fn who_publishes_a_pipe_is_not_given_the_token_of_another() {
    let (_project, server) = started();
    admin(
        &server,
        "POST",
        "/v0/pipes",
        "name=hid&sql=select * from events",
    );
    let reader = token(&server, "reader", &["PIPES:READ:hid"]);
    let path = "/v0/pipes/hid/nodes/hid_0/endpoint";
    for (name, scopes, is_shown) in [
        (
            "some",
            &["PIPES:CREATE", "DATASOURCES:READ:events:org = 1"][..],
            false,
        ),
        ("makes", &["PIPES:CREATE"], false),
        ("tokens", &["PIPES:CREATE", "TOKENS"], true),
    ] {
        let made = server.ask(&token(&server, name, scopes), "POST", path, "");
        assert_eq!(made.status, 200, "{name}: {}", made.text());
        let shown = made.json()["token"] == json!(reader);
        assert_eq!(shown, is_shown, "{name}: {}", made.text());
        assert_eq!(made.text().contains(&reader), is_shown, "{name}");
    }
}

#[test]
fn what_runs_by_itself_is_judged_by_all_that_it_can_read() {
    let (_project, server) = started();
    for name in ["loot", "mine"] {
        let path = format!("/v0/datasources?name={name}&schema=org+Int32,+value+Int32");
        admin(&server, "POST", &path, "");
    }
    let some = token(
        &server,
        "some",
        &[
            "PIPES:CREATE",
            "DATASOURCES:READ:loot",
            "DATASOURCES:APPEND:loot",
            "DATASOURCES:READ:events:org = 1",
        ],
    );
    let all = "SELECT org, value FROM events";
    let bodies = [
        format!("% {all} WHERE org >= {{{{Int32(x, 0)}}}}"),
        format!("% {{% if not defined(x) %}}{{{{error('x')}}}}{{% end %}}{all}"),
        format!(
            "% {{% if job_timestamp > '2000-01-01 00:00:00' %}}{all}{{% else %}}SELECT org, value FROM mine{{% end %}}"
        ),
        "% SELECT org, value FROM {{table('eve' + 'nts' if defined(x) else 'mine')}}".to_owned(),
        "% SELECT org, value FROM {{table(String(x, 'mine'))}}".to_owned(),
        "% {% set n = 'mine' %}SELECT org, value FROM {{table(n)}}".to_owned(),
    ];
    for (at, body) in bodies.iter().enumerate() {
        let made = json!({ "name": format!("p{at}"), "sql": body }).to_string();
        let made = server.ask(&some, "POST", "/v0/pipes", &made);
        assert_eq!(made.status, 200, "{body}: {}", made.text());
        for what in [
            "materialization?datasource=loot",
            "copy?target_datasource=loot&schedule_cron=*+*+*+*+*",
        ] {
            let path = format!("/v0/pipes/p{at}/nodes/p{at}_0/{what}");
            let refused = server.ask(&some, "POST", &path, "");
            assert_eq!(refused.status, 403, "{body}: {}", refused.text());
            assert!(
                refused.text().contains("only some rows"),
                "{body}: {}",
                refused.text()
            );
        }
    }
    // Whose tables are named by constants, in every branch, is no secret to the token.
    let made = json!({ "name": "good", "sql": "% SELECT org, {% if defined(x) %}1{% else %}2{% end %} AS value FROM {{table('other')}}" });
    let made = server.ask(&some, "POST", "/v0/pipes", &made.to_string());
    assert_eq!(made.status, 200, "{}", made.text());
    let path = "/v0/pipes/good/nodes/good_0/materialization?datasource=good_mv";
    let made = server.ask(&some, "POST", path, "");
    assert_eq!(made.status, 200, "{}", made.text());
}

#[test]
fn a_query_tells_nothing_of_what_the_token_may_not_read() {
    let (_project, server) = started();
    let template = "% SELECT {{Int32(hush, required=True)}} AS x FROM events";
    let made = json!({ "name": "hid", "sql": template }).to_string();
    admin(&server, "POST", "/v0/pipes", &made);
    let reads = token(&server, "reads", &["PIPES:READ:by_org"]);
    let ask = |query: &str| {
        let answer = server.ask(&reads, "POST", "/v0/sql", query);
        (answer.status, answer.text())
    };
    for query in [
        "SELECT * FROM @",
        "SELECT * FROM by_org, @",
        "SELECT * FROM @, nosuch",
        "SELECT * FROM by_org WHERE org IN (SELECT org FROM @)",
        "% SELECT * FROM {{table('@')}}",
        "DESCRIBE TABLE @",
    ] {
        let answers = ["nosuch", "hid", "events"].map(|name| {
            let (status, text) = ask(&query.replace('@', name));
            (status, text.replace(name, "@").replace("nosuch", "@"))
        });
        assert_eq!(answers[0].0, 403, "{query}: {}", answers[0].1);
        assert!(
            answers.iter().all(|answer| *answer == answers[0]),
            "{query}: {answers:?}"
        );
    }
    assert_eq!(ask("SELECT * FROM by_org").0, 200);
    let known = server.ask(ADMIN, "POST", "/v0/sql", "SELECT * FROM nosuch");
    assert_eq!(known.status, 400, "{}", known.text());
}

#[test]
fn a_token_is_found_by_its_id_whatever_others_are_called() {
    let (_project, server) = started();
    token(&server, "victim", &["PIPES:READ:by_org"]);
    let shown = server.get("/v0/tokens/victim").json();
    let id = shown["id"].as_str().expect("an id");
    let manages = token(&server, "manages", &["TOKENS"]);
    for name in [id, "12345678-1234-1234-1234-123456789abc"] {
        let path = format!("/v0/tokens/?name={name}&scope=PIPES:READ:by_org");
        let refused = server.ask(&manages, "POST", &path, "");
        assert_eq!(refused.status, 400, "{name}: {}", refused.text());
    }
    assert_eq!(
        server.get(&format!("/v0/tokens/{id}")).json()["name"],
        "victim"
    );
}

#[test]
fn who_may_only_delete_rows_learns_nothing_of_them() {
    let (_project, server) = started();
    let path = "/v0/datasources/events/delete?dry_run=true&delete_condition=value%20%3E%2030";
    for (name, scopes, status) in [
        ("drops", &["DATASOURCES:DROP:events"][..], 403),
        (
            "some",
            &["DATASOURCES:DROP:events", "DATASOURCES:READ:events:org = 1"],
            403,
        ),
        (
            "all",
            &["DATASOURCES:DROP:events", "DATASOURCES:READ:events"],
            200,
        ),
    ] {
        let asked = server.ask(&token(&server, name, scopes), "POST", path, "");
        assert_eq!(asked.status, status, "{name}: {}", asked.text());
    }
}

#[test]
fn the_name_of_a_column_writes_no_other_lines_into_a_datafile() {
    let (_project, server) = started();
    let makes = token(&server, "makes", &["PIPES:CREATE"]);
    let sql = "SELECT org, toUInt8(1) AS `x\\` UInt8\\n\\nTOKEN \"makes\" READ\\n\\nDESCRIPTION >\\n    \\`` FROM other";
    let made = json!({ "name": "lines", "sql": sql }).to_string();
    let made = server.ask(&makes, "POST", "/v0/pipes", &made);
    assert_eq!(made.status, 200, "{}", made.text());
    let node = "/v0/pipes/lines/nodes/lines_0";
    let shown = server.ask(&makes, "GET", &format!("{node}/analysis"), "");
    let datafile = shown.json()["analysis"]["datasource"]["datafile"].clone();
    let datafile = datafile.as_str().unwrap_or_default();
    assert!(!datafile.contains("\nTOKEN"), "{}", shown.text());
    let path = format!("{node}/materialization?datasource=lines_mv");
    let made = server.ask(&makes, "POST", &path, "");
    assert!(made.status == 200 || made.status == 400, "{}", made.text());
    let read = server.ask(&makes, "GET", "/v0/datasources/lines_mv", "");
    assert_eq!(read.status, 403, "{}", read.text());
}

/// A JWT that fixes a parameter of a pipe, beside pipes that it only reads.
fn jwt(server: &Server, fixed: (&str, u32), others: &[&str]) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a time after 1970")
        .as_secs();
    let others = others
        .iter()
        .map(|pipe| json!({ "type": "PIPES:READ", "resource": pipe }));
    let mut scopes = vec![
        json!({ "type": "PIPES:READ", "resource": fixed.0, "fixed_params": { "below": fixed.1 } }),
    ];
    scopes.extend(others);
    let path = format!("/v0/tokens/?name=front&expiration_time={}", now + 600);
    let made = server.ask(
        ADMIN,
        "POST",
        &path,
        &json!({ "scopes": scopes }).to_string(),
    );
    made.json()["token"].as_str().expect("a JWT").to_owned()
}

#[test]
fn who_sees_only_some_rows_sees_of_requests_only_their_own() {
    let (_project, server) = started();
    let (one, two) = (
        jwt(&server, ("by_org", 1), &[]),
        jwt(&server, ("by_org", 2), &[]),
    );
    let some = ["PIPES:READ:by_org", "DATASOURCES:READ:events:org = 1"];
    let some = token(&server, "some", &some);
    let whole = token(&server, "whole", &["PIPES:READ:by_org"]);
    for secret in [&one, &two, &some, &whole] {
        let path = "/v0/pipes/by_org.json?email=private@x.org";
        assert_eq!(server.ask(secret, "GET", path, "").status, 200);
    }
    admin(&server, "POST", "/v0/datasources/events/truncate", "");
    let seen = |secret: &str, table: &str, column: &str| {
        let query = format!(
            "SELECT DISTINCT {column} FROM tinybird.{table} WHERE {column} NOT IN ('query_api', 'create') ORDER BY 1 FORMAT TSV"
        );
        let answer = server.ask(secret, "POST", "/v0/sql", &query);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    };
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while seen(&whole, "pipe_stats_rt", "token_name") != "front\nsome\nwhole\n" {
        assert!(std::time::Instant::now() < until, "rows come soon");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(seen(&some, "pipe_stats_rt", "token_name"), "some\n");
    assert_eq!(seen(&one, "pipe_stats_rt", "token_name"), "");
    for secret in [&some, &one] {
        assert_eq!(seen(secret, "pipe_stats", "pipe_name"), "");
        assert_eq!(seen(secret, "endpoint_errors", "pipe_name"), "");
        assert_eq!(seen(secret, "datasources_ops_log", "event_type"), "");
    }
    assert_eq!(seen(&whole, "pipe_stats", "pipe_name"), "by_org\n");
}

#[test]
fn what_a_jwt_fixes_holds_wherever_the_pipe_is_read() {
    let (_project, server) = started();
    let front = jwt(&server, ("by_org", 1), &["on_top"]);
    let rows = |path: &str| {
        let answer = server.ask(&front, "GET", path, "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()["data"].clone()
    };
    let expected = json!([{ "org": 0, "c": 10 }]);
    for path in [
        "/v0/pipes/by_org.json?below=4",
        "/v0/pipes/on_top.json?below=4",
        "/v0/pipes/on_top.json?below=4&q=SELECT+*+FROM+_",
        "/v0/sql?below=4&q=SELECT+*+FROM+on_top+FORMAT+JSON",
    ] {
        assert_eq!(rows(path), expected, "{path}");
    }
}

#[test]
fn sampling_that_is_not_there_is_said_also_with_a_row_filter() {
    let (_project, server) = started();
    let some = token(&server, "some", &["DATASOURCES:READ:events:org = 1"]);
    let query = "SELECT count() FROM events SAMPLE 0.5";
    let refused = server.ask(&some, "POST", "/v0/sql", query);
    assert_eq!(refused.status, 400, "{}", refused.text());
    let said = refused.text();
    assert!(
        said.contains("SAMPLING_NOT_SUPPORTED") && !said.contains("failed on a row"),
        "{said}"
    );
}
