//! What tokens may not do, each request with the whole of what it is answered: who has no token, a wrong one, one for another thing, one that is over.

use serde_json::json;

use crate::guarded::{started, token};
use crate::harness::ADMIN;
use crate::story::Story;

#[test]
fn what_a_token_may_not_do_is_refused_with_a_reason() {
    let (_project, server) = started();
    let reader = token(&server, "reader", &["PIPES:READ:by_org"]);
    let creator = token(&server, "creator", &["PIPES:CREATE"]);
    let appender = token(&server, "appender", &["DATASOURCES:APPEND:events"]);
    let manager = token(&server, "manager", &["TOKENS"]);
    let made = server.ask(
        ADMIN,
        "POST",
        "/v0/pipes",
        "name=copier&sql=select org, value from events",
    );
    assert_eq!(made.status, 200);
    let set = "target_datasource=events";
    let copies = server.ask(ADMIN, "POST", "/v0/pipes/copier/nodes/copier_0/copy", set);
    assert_eq!(copies.status, 200, "{}", copies.text());
    let mut story = Story::new(&server);

    story.say("No token, and one that is none");
    for secret in ["", "p.unknown", "eyJhbGciOiJub25lIn0.e30."] {
        story.ask_as(secret, "GET", "/v0/pipes", "");
    }

    story.say("A token that reads a pipe");
    for (method, path, body) in [
        ("GET", "/v0/pipes/on_top", ""),
        ("GET", "/v0/pipes/nowhere", ""),
        ("GET", "/v0/pipes/on_top.json", ""),
        ("GET", "/v0/pipes/nowhere.json", ""),
        (
            "GET",
            "/v0/pipes/by_org.json?q=SELECT%20*%20FROM%20events",
            "",
        ),
        ("POST", "/v0/sql", "SELECT * FROM by_org, on_top"),
        ("POST", "/v0/sql", "SELECT * FROM events"),
        ("GET", "/v0/pipes/by_org/explain", ""),
        ("POST", "/v0/pipes", "name=x&sql=select 1"),
        ("POST", "/v0/pipes?name=x&from=by_org", ""),
        ("PUT", "/v0/pipes/by_org?name=y", ""),
        ("DELETE", "/v0/pipes/by_org", ""),
        ("POST", "/v0/pipes/by_org/nodes", "select 1"),
        ("PUT", "/v0/pipes/by_org/nodes/n", "select 1"),
        ("DELETE", "/v0/pipes/by_org/nodes/n", ""),
        ("POST", "/v0/pipes/by_org/nodes/n/endpoint", ""),
        ("DELETE", "/v0/pipes/by_org/nodes/n/endpoint", ""),
        ("PUT", "/v0/pipes/by_org/endpoint", "n"),
        (
            "POST",
            "/v0/pipes/by_org/nodes/n/materialization",
            "datasource=m",
        ),
        ("DELETE", "/v0/pipes/by_org/nodes/n/materialization", ""),
        ("POST", "/v0/pipes/by_org/nodes/n/population", ""),
        ("POST", "/v0/pipes/copier/copy", ""),
        ("POST", "/v0/pipes/copier/copy/pause", ""),
        ("GET", "/v0/tokens", ""),
        ("GET", "/v0/jobs/nothing", ""),
        ("GET", "/v0/datasources/events", ""),
        (
            "POST",
            "/v0/events?name=events",
            "{\"org\": 1, \"value\": 1}",
        ),
    ] {
        story.ask_as(&reader, method, path, body);
    }

    story.say("A token that creates pipes");
    for (method, path, body) in [
        ("DELETE", "/v0/pipes/by_org", ""),
        ("POST", "/v0/pipes?name=x&from=by_org", ""),
        ("GET", "/v0/pipes", ""),
        (
            "POST",
            "/v0/pipes/copier/nodes/copier_0/copy",
            "target_datasource=events",
        ),
        (
            "PUT",
            "/v0/pipes/copier/nodes/copier_0/copy",
            "target_datasource=other",
        ),
        ("POST", "/v0/pipes/copier/copy", ""),
    ] {
        story.ask_as(&creator, method, path, body);
    }

    story.say("A token that appends");
    for (method, path, body) in [
        ("POST", "/v0/events?name=other", "{\"org\": 1}"),
        ("POST", "/v0/datasources?name=events&mode=replace", "1,2"),
        ("POST", "/v0/datasources/events/truncate", ""),
        ("POST", "/v0/datasources?name=made&schema=a%20Int32", ""),
    ] {
        story.ask_as(&appender, method, path, body);
    }

    story.say("A token that manages tokens, but not those of the admin");
    for (method, path, body) in [
        ("POST", "/v0/tokens/?name=y&scope=ADMIN", ""),
        ("POST", "/v0/tokens/admin%20token/refresh", ""),
        ("DELETE", "/v0/tokens/admin%20token", ""),
        ("GET", "/v0/tokens/admin%20token", ""),
    ] {
        story.ask_as(&manager, method, path, body);
    }

    story.say("A JWT that is changed, over, or for more than reading");
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a time after 1970")
        .as_secs();
    let sign = |seconds: u64, scope: &str| {
        let scopes = json!({ "scopes": [{ "type": scope, "resource": "by_org" }] });
        let path = format!("/v0/tokens/?name=front&expiration_time={}", now + seconds);
        server.ask(ADMIN, "POST", &path, &scopes.to_string())
    };
    let jwt = sign(2, "PIPES:READ").json()["token"]
        .as_str()
        .expect("a JWT")
        .to_owned();
    let (head, signature) = jwt.rsplit_once('.').expect("three parts");
    // The first of its letters is another.
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    let changed = format!("{other}{}", &signature[1..]);
    story.ask_as(
        &format!("{head}.{changed}"),
        "GET",
        "/v0/pipes/by_org.json",
        "",
    );
    story.ask_as(&jwt, "GET", "/v0/pipes/on_top.json", "");
    story.ask_as(&jwt, "POST", "/v0/pipes", "name=x&sql=select 1");
    std::thread::sleep(std::time::Duration::from_secs(3));
    story.ask_as(&jwt, "GET", "/v0/pipes/by_org.json", "");
    let refused = sign(100, "PIPES:CREATE");
    assert_eq!(refused.status, 400, "{}", refused.text());
    insta::assert_snapshot!("refusals", story.text());
}
