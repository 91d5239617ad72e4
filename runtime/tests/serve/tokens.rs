//! Tokens: from their creation to their end, what is no scope, and JWTs.

use serde_json::{Value, json};

use crate::guarded::{started, token};
use crate::harness::{ADMIN, Answer, Server};

#[test]
fn a_token_lives_from_its_creation_to_its_end() {
    let (project, mut server) = started();
    let made = server.ask(
        ADMIN,
        "POST",
        "/v0/tokens/?name=events_per_day_token&scope=PIPES:READ:by_org&description=for+a+chart",
        "",
    );
    let secret = made.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(
        (&made.json()["name"], &made.json()["scopes"]),
        (
            &json!("events_per_day_token"),
            &json!([{ "type": "PIPES:READ", "resource": "by_org" }])
        )
    );
    assert_eq!(
        server
            .ask(
                ADMIN,
                "POST",
                "/v0/tokens/?name=events_per_day_token&scope=PIPES:READ:by_org",
                ""
            )
            .status,
        409
    );
    assert_eq!(
        server
            .ask(&secret, "GET", "/v0/pipes/by_org.json", "")
            .status,
        200
    );
    // The one token that reads a pipe comes with its publication; of two, neither.
    let publish = || {
        server
            .ask(ADMIN, "POST", "/v0/pipes/by_org/nodes/n/endpoint", "")
            .json()
    };
    assert_eq!(publish()["token"], json!(secret));
    token(&server, "second", &["PIPES:READ:by_org"]);
    assert!(publish().get("token").is_none());
    assert_eq!(
        server.ask(ADMIN, "DELETE", "/v0/tokens/second", "").status,
        200
    );
    drop(server);
    server = Server::start(&project);
    assert_eq!(
        server
            .ask(&secret, "GET", "/v0/pipes/by_org.json", "")
            .status,
        200
    );
    // It may look at itself and at no other.
    assert_eq!(
        server
            .ask(&secret, "GET", "/v0/tokens/events_per_day_token", "")
            .json()["token"],
        json!(secret)
    );
    assert_eq!(
        server
            .ask(&secret, "GET", "/v0/tokens/admin%20token", "")
            .status,
        403
    );
    let refreshed = server
        .ask(ADMIN, "POST", "/v0/tokens/events_per_day_token/refresh", "")
        .json()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        server
            .ask(&secret, "GET", "/v0/pipes/by_org.json", "")
            .status,
        403
    );
    assert_eq!(
        server
            .ask(&refreshed, "GET", "/v0/pipes/by_org.json", "")
            .status,
        200
    );
    let changed = server.ask(
        ADMIN,
        "PUT",
        "/v0/tokens/events_per_day_token?scope=PIPES:READ:on_top",
        "",
    );
    assert_eq!(changed.json()["description"], "for a chart");
    assert_eq!(
        server
            .ask(&refreshed, "GET", "/v0/pipes/by_org.json", "")
            .status,
        403
    );
    assert_eq!(
        server
            .ask(&refreshed, "GET", "/v0/pipes/on_top.json", "")
            .status,
        200
    );
    let listed = server.ask(ADMIN, "GET", "/v0/tokens", "").json();
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 2);
    assert_eq!(
        server
            .ask(ADMIN, "DELETE", "/v0/tokens/events_per_day_token", "")
            .json(),
        json!({ "ok": true })
    );
    assert_eq!(
        server
            .ask(&refreshed, "GET", "/v0/pipes/on_top.json", "")
            .status,
        403
    );
    assert!(!server.messages().contains(&secret) && !server.messages().contains(&refreshed));
}

#[test]
fn what_is_no_scope_is_refused() {
    let (_project, server) = started();
    for (scope, status) in [
        ("NOTHING", 400),
        ("PIPES:READ", 400),
        ("PIPES:READ:nowhere", 400),
        ("DATASOURCES:READ:by_org", 400),
        ("DATASOURCES:READ:events:nothing = 1", 400),
        ("DATASOURCES:READ:events:1) OR (1", 400),
        ("DATASOURCES:READ:events:org IN (1, 2)", 200),
        ("DATASOURCES:READ:events:org IN (SELECT 1)", 200),
        (
            "DATASOURCES:READ:events:org IN (SELECT org FROM other)",
            400,
        ),
        ("DROP:by_org", 200),
    ] {
        let scope = scope.replace(' ', "%20").replace('=', "%3D");
        let answer = server.ask(
            ADMIN,
            "POST",
            &format!("/v0/tokens/?name=x{}&scope={scope}", scope.len()),
            "",
        );
        assert_eq!(answer.status, status, "{scope}: {}", answer.text());
    }
    let manager = token(&server, "manager", &["TOKENS"]);
    assert_eq!(
        server
            .ask(&manager, "POST", "/v0/tokens/?name=y&scope=ADMIN", "")
            .status,
        403
    );
    assert_eq!(
        server
            .ask(&manager, "POST", "/v0/tokens/admin%20token/refresh", "")
            .status,
        403
    );
    assert_eq!(
        server
            .ask(
                &manager,
                "POST",
                "/v0/tokens/?name=y&scope=PIPES:READ:by_org",
                ""
            )
            .status,
        200
    );
    let listed = server.ask(&manager, "GET", "/v0/tokens", "").json();
    let of = |name: &str| {
        listed["tokens"]
            .as_array()
            .unwrap()
            .iter()
            .find(|token| token["name"] == name)
            .unwrap()["token"]
            .clone()
    };
    assert!(of("admin token").is_null() && of("y").is_string());
}

#[test]
fn a_jwt_has_its_parameters_its_limit_and_its_end() {
    let (_project, server) = started();
    let sign = |body: &Value| {
        server.ask(
            ADMIN,
            "POST",
            "/v0/tokens/?name=front&expiration_time=4000000000",
            &body.to_string(),
        )
    };
    let scopes =
        json!([{ "type": "PIPES:READ", "resource": "by_org", "fixed_params": { "below": 2 } }]);
    // 2096 is further than ten years away.
    assert_eq!(sign(&json!({ "scopes": scopes })).status, 400);
    let soon = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
        + 3600;
    let path = format!("/v0/tokens/?name=front&expiration_time={soon}");
    let signed = server.ask(
        ADMIN,
        "POST",
        &path,
        &json!({ "scopes": scopes, "limits": { "rps": 3 } }).to_string(),
    );
    let jwt = signed.json()["token"]
        .as_str()
        .unwrap_or_else(|| panic!("{}", signed.text()))
        .to_owned();
    let answer = server
        .ask(&jwt, "GET", "/v0/pipes/by_org.json?below=10", "")
        .json();
    assert_eq!(
        answer["data"],
        json!([{ "org": 0, "c": 10 }, { "org": 1, "c": 10 }])
    );
    assert_eq!(
        server.ask(&jwt, "GET", "/v0/pipes/on_top.json", "").status,
        403
    );
    assert_eq!(
        server
            .ask(&jwt, "POST", "/v0/pipes", "name=x&sql=select 1")
            .status,
        403
    );
    let answers: Vec<Answer> = (0..8)
        .map(|_| server.ask(&jwt, "GET", "/v0/pipes/by_org.json", ""))
        .collect();
    let limited = answers
        .iter()
        .find(|answer| answer.status == 429)
        .expect("the limit");
    assert!(limited.headers.contains("retry-after: 1"));
    let body = json!({ "scopes": [{ "type": "ADMIN", "resource": "x" }] });
    assert_eq!(
        server.ask(ADMIN, "POST", &path, &body.to_string()).status,
        400
    );
    let filtered = json!({ "scopes": [{ "type": "DATASOURCES:READ", "resource": "events", "filter": "org = 2" }] });
    let jwt = server
        .ask(ADMIN, "POST", &path, &filtered.to_string())
        .json()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        server
            .ask(
                &jwt,
                "POST",
                "/v0/sql",
                "SELECT DISTINCT org FROM events FORMAT CSV"
            )
            .text()
            .trim(),
        "2"
    );
}

#[test]
fn a_publication_shows_no_token_that_may_do_more_than_read_the_pipe() {
    let (_project, server) = started();
    token(&server, "powerful", &["PIPES:READ:by_org", "ADMIN"]);
    let maker = token(&server, "maker", &["PIPES:CREATE"]);
    let published = server.ask(&maker, "POST", "/v0/pipes/by_org/nodes/n/endpoint", "");
    assert_eq!(published.status, 200);
    assert!(
        published.json().get("token").is_none(),
        "{}",
        published.text()
    );
}

#[test]
fn a_token_sees_the_jobs_that_it_has_asked_for() {
    let (_project, server) = started();
    let ask = |token: &str, method: &str, path: &str, body: &str| {
        let answer = server.ask(token, method, path, body);
        assert!(answer.status < 300, "{method} {path}: {}", answer.text());
        answer.json()
    };
    let view = "name=sums&sql=select org, count() as c from events group by org";
    ask(ADMIN, "POST", "/v0/pipes", view);
    let node = "/v0/pipes/sums/nodes/sums_0";
    let fill = format!("{node}/materialization?datasource=sums_mv");
    ask(ADMIN, "POST", &fill, "");
    let (one, other) = (
        token(&server, "one", &["PIPES:CREATE"]),
        token(&server, "other", &["PIPES:CREATE"]),
    );
    let job = ask(&one, "POST", &format!("{node}/population"), "");
    assert!(job.get("asked_by").is_none(), "{job}");
    let id = job["job_id"].as_str().expect("a job").to_owned();
    let path = format!("/v0/jobs/{id}");
    for (secret, status, seen) in [(ADMIN, 200, 1), (one.as_str(), 200, 1), (&other, 403, 0)] {
        assert_eq!(server.ask(secret, "GET", &path, "").status, status);
        let listed = ask(secret, "GET", "/v0/jobs", "");
        assert_eq!(listed["jobs"].as_array().expect("jobs").len(), seen);
    }
    let cancel = format!("{path}/cancel");
    assert_eq!(server.ask(&other, "POST", &cancel, "").status, 403);
    assert_ne!(server.ask(&one, "POST", &cancel, "").status, 403);
    assert_eq!(server.ask(&one, "GET", "/v0/jobs/nothing", "").status, 403);
    assert_eq!(server.ask(ADMIN, "GET", "/v0/jobs/nothing", "").status, 404);
}

#[test]
fn a_token_is_never_more_than_what_was_asked_for() {
    let (_project, server) = started();
    let ask =
        |body: &Value| server.ask(ADMIN, "POST", "/v0/tokens/?name=strange", &body.to_string());
    let reads = |more: Value| {
        let mut scope = json!({ "type": "DATASOURCES:READ", "resource": "events" });
        scope
            .as_object_mut()
            .unwrap()
            .append(&mut more.as_object().unwrap().clone());
        json!({ "scopes": [scope] })
    };
    for more in [
        json!({ "filter": ["org = 1"] }),
        json!({ "filter": 1 }),
        json!({ "filter": " " }),
        json!({ "fixed_params": { "below": 1 } }),
        json!({ "filters": "org = 1" }),
    ] {
        let answer = ask(&reads(more));
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
    assert_eq!(ask(&reads(json!({ "filter": "org = 1" }))).status, 200);

    // The admin token keeps what it may do, as it cannot be deleted.
    let path = "/v0/tokens/admin%20token?scope=PIPES:READ:by_org";
    assert_eq!(server.ask(ADMIN, "PUT", path, "").status, 403);
    assert_eq!(server.ask(ADMIN, "GET", "/v0/tokens", "").status, 200);
}

#[test]
fn a_jwt_names_pipes_by_id_and_keeps_all_that_is_fixed() {
    let (_project, server) = started();
    let id = server.get("/v0/pipes/by_org").json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let soon = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
        + 3600;
    let path = format!("/v0/tokens/?name=front&expiration_time={soon}");
    let scope = |resource: &str, fixed: Value| json!({ "type": "PIPES:READ", "resource": resource, "fixed_params": fixed });
    let body = json!({ "scopes": [scope(&id, json!({ "below": 2 })), scope("by_org", json!({ "other": 1 }))] });
    let signed = server.ask(ADMIN, "POST", &path, &body.to_string());
    let jwt = signed.json()["token"]
        .as_str()
        .unwrap_or_else(|| panic!("{}", signed.text()))
        .to_owned();
    let rows = server.ask(&jwt, "GET", "/v0/pipes/by_org.json?below=10", "");
    assert_eq!(rows.status, 200, "{}", rows.text());
    assert_eq!(rows.json()["rows"], 2);
}

#[test]
fn two_changes_of_a_token_at_once_both_stay() {
    let (_project, server) = started();
    token(&server, "both", &["PIPES:READ:by_org"]);
    for number in 0..15 {
        let before = "/v0/tokens/both?scope=PIPES:READ:by_org&description=before";
        assert_eq!(server.ask(ADMIN, "PUT", before, "").status, 200);
        let described = format!("/v0/tokens/both?description=after+{number}");
        let narrowed = "/v0/tokens/both?scope=DATASOURCES:READ:events:org%20%3D%201".to_owned();
        std::thread::scope(|scope| {
            for path in [&described, &narrowed] {
                scope.spawn(|| assert_eq!(server.ask(ADMIN, "PUT", path, "").status, 200));
            }
        });
        let both = server.get("/v0/tokens/both").json();
        assert_eq!(both["description"], format!("after {number}"));
        assert_eq!(both["scopes"][0]["type"], "DATASOURCES:READ");
    }
}

#[test]
fn a_token_stays_whatever_its_name_begins_with() {
    let (project, server) = started();
    token(&server, "command%20line%20tool", &["PIPES:READ:by_org"]);
    drop(server);
    let server = Server::start(&project);
    let kept = server.get("/v0/tokens/command%20line%20tool");
    assert_eq!(kept.status, 200, "{}", kept.text());
}
