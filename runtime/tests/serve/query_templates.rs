//! `/v0/sql` with templates, and with `pipeline` for `_`.

use crate::guarded::{started, token};
use crate::harness::{ADMIN, Answer, Server};

fn encoded(text: &str) -> String {
    let encode = |byte: u8| {
        if byte.is_ascii_alphanumeric() {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    text.bytes().map(encode).collect()
}

fn said(answer: &Answer) -> (u16, String) {
    (answer.status, answer.text().trim().replace('\n', " "))
}

fn good(text: &str) -> (u16, String) {
    (200, text.to_owned())
}

const TEMPLATE: &str = "% SELECT count() FROM events WHERE org = {{Int32(o, 2)}} {% if defined(v) %}AND value < {{Int32(v)}}{% end %} FORMAT CSV";

#[test]
fn a_template_takes_the_values_of_its_request() {
    let (_project, server) = started();
    let q = encoded(TEMPLATE);
    let ask = |method: &str, path: &str, body: &str| said(&server.ask(ADMIN, method, path, body));
    assert_eq!(ask("GET", &format!("/v0/sql?q={q}"), ""), good("10"));
    assert_eq!(ask("GET", &format!("/v0/sql?q={q}&v=8&o=1"), ""), good("2"));
    assert_eq!(ask("POST", "/v0/sql?o=7", TEMPLATE), good("0"));
    assert_eq!(ask("POST", "/v0/sql", &format!("q={q}&v=8")), good("2"));
    let json = serde_json::json!({ "q": TEMPLATE, "o": 3, "v": 4 }).to_string();
    assert_eq!(ask("POST", "/v0/sql", &json), good("1"));
    let bearer = format!("Bearer {ADMIN}");
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    let posted = server.send("POST", "/v0/sql", &headers, json.as_bytes());
    assert_eq!(said(&posted), good("1"), "JSON that curl -d calls a form");

    let q = encoded("% SELECT count(), min(c) FROM _ WHERE org > {{Int32(more, 0)}} FORMAT CSV");
    let path = format!("/v0/pipes/by_org.json?q={q}&below=3&more=0");
    assert_eq!(ask("GET", &path, ""), good("2,10"));

    let wrong = |query: &str| {
        let answer = server.get(&format!("/v0/sql?q={}", encoded(query)));
        let error = answer.json()["error"].as_str().map(ToOwned::to_owned);
        (answer.status, error.unwrap_or_else(|| answer.text()))
    };
    assert_eq!(
        wrong("% SELECT {{Int32(a)}}"),
        (
            400,
            "q, byte 11: parameter a: a value of type Int32 is required".to_owned()
        )
    );
    assert_eq!(
        wrong("% {{error('ask for something')}}"),
        (400, "ask for something".to_owned())
    );
    assert_eq!(
        wrong("% {{custom_error({'error': 'none left', 'code': 7}, 410)}}"),
        (410, "none left".to_owned())
    );
    assert_eq!(wrong("% SELECT {{tb_secret('key')}}").0, 400);
    assert_eq!(wrong("% SELECT * FROM {{table('users')}}").0, 400);
}

#[test]
fn a_template_shows_no_more_than_the_token_may_see() {
    let (_project, server) = started();
    let token = token(
        &server,
        "one",
        &["DATASOURCES:READ:events:org = 1", "PIPES:READ:by_org"],
    );
    let ask = |query: &str, values: &str| {
        let path = format!("/v0/sql?q={}&{values}", encoded(query));
        said(&server.ask(&token, "GET", &path, ""))
    };
    assert_eq!(ask(TEMPLATE, "o=2"), good("0"));
    assert_eq!(ask(TEMPLATE, "o=1"), good("10"));
    let named = "% SELECT count() FROM {{table(t)}} FORMAT CSV";
    assert_eq!(ask(named, "t=events"), good("10"));
    assert_eq!(ask(named, "t=by_org"), good("1"));
    assert_eq!(ask(named, "t=other").0, 403);
    assert_eq!(ask(named, "t=on_top").0, 403);
    assert_eq!(ask(named, "t=system.tables").0, 403);
    assert_eq!(
        ask("% SELECT * FROM other WHERE 1 = {{Int32(a, 1)}}", "").0,
        403
    );
    assert_eq!(
        ask(
            "% SELECT count() FROM events WHERE org = {{String(o)}} FORMAT CSV",
            "o=1%27%20OR%201%20--"
        )
        .0,
        400
    );
}

fn over_pipe(server: &Server, token: &str, pipeline: &str, query: &str) -> (u16, String) {
    let path = format!("/v0/sql?pipeline={pipeline}&below=2&q={}", encoded(query));
    said(&server.ask(token, "GET", &path, ""))
}

#[test]
fn an_underscore_is_the_pipe_that_pipeline_names() {
    let (_project, server) = started();
    let query = "SELECT count() FROM _ FORMAT CSV";
    assert_eq!(over_pipe(&server, ADMIN, "by_org", query), good("2"));
    assert_eq!(over_pipe(&server, ADMIN, "on_top", query), good("2"));
    let id = server.get("/v0/pipes/by_org").json()["id"].clone();
    let id = id.as_str().expect("an id");
    assert_eq!(over_pipe(&server, ADMIN, id, query), good("2"));
    assert_eq!(
        over_pipe(&server, ADMIN, "", "SELECT 1 FORMAT CSV"),
        good("1")
    );
    assert_eq!(over_pipe(&server, ADMIN, "", query).0, 400);
    assert_eq!(over_pipe(&server, ADMIN, "nothing", query).0, 404);
    let posted = server.ask(ADMIN, "POST", "/v0/sql?pipeline=by_org&below=3", query);
    assert_eq!(said(&posted), good("3"));

    let reader = token(&server, "reader", &["PIPES:READ:by_org"]);
    assert_eq!(over_pipe(&server, &reader, "by_org", query), good("2"));
    for pipeline in ["on_top", "nothing"] {
        let refused = over_pipe(&server, &reader, pipeline, "SELECT 1");
        assert_eq!(refused.0, 403, "{pipeline}: {}", refused.1);
    }
}
