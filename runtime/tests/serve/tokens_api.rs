//! Tokens: what each may do, and that nothing gets around a row filter.

use serde_json::{Value, json};

use crate::harness::{ADMIN, Answer, Project, Server};

fn started() -> (Project, Server) {
    let table = |columns: &str| {
        format!("SCHEMA >\n    {columns}\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"org\"\n")
    };
    let project = Project::new(&[
        (
            "events.datasource",
            &table("`org` Int32,\n    `value` Int32"),
        ),
        ("other.datasource", &table("`org` Int32")),
        (
            "fixtures/events.sql",
            "SELECT number % 4 AS org, number AS value FROM numbers(40)",
        ),
        ("fixtures/other.sql", "SELECT number AS org FROM numbers(4)"),
        (
            "by_org.pipe",
            "NODE n\nSQL >\n    %\n    SELECT org, count() AS c FROM events WHERE org < {{Int32(below, 10)}} GROUP BY org ORDER BY org\nTYPE endpoint\n",
        ),
        (
            "on_top.pipe",
            "NODE n\nSQL >\n    WITH events AS (SELECT * FROM by_org) SELECT * FROM events\nTYPE endpoint\n",
        ),
    ]);
    let server = Server::start(&project);
    (project, server)
}

fn send(server: &Server, token: &str, method: &str, path: &str, body: &str) -> Answer {
    let kind = if body.starts_with('{') {
        "application/json"
    } else {
        "application/x-www-form-urlencoded"
    };
    server.send(
        method,
        path,
        &[
            ("Authorization", &format!("Bearer {token}")),
            ("Content-Type", kind),
        ],
        body.as_bytes(),
    )
}

fn token(server: &Server, name: &str, scopes: &[&str]) -> String {
    let escaped = |scope: &&str| scope.replace(' ', "%20").replace('=', "%3D");
    let scopes: Vec<String> = scopes.iter().map(escaped).collect();
    let scopes = scopes.join("&scope=");
    let made = send(
        server,
        ADMIN,
        "POST",
        &format!("/v0/tokens/?name={name}&scope={scopes}"),
        "",
    );
    assert_eq!(made.status, 200, "{}", made.text());
    made.json()["token"].as_str().expect("a secret").to_owned()
}

#[test]
fn a_token_lives_from_its_creation_to_its_end() {
    let (project, mut server) = started();
    let made = send(
        &server,
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
        send(
            &server,
            ADMIN,
            "POST",
            "/v0/tokens/?name=events_per_day_token&scope=PIPES:READ:by_org",
            ""
        )
        .status,
        409
    );
    assert_eq!(
        send(&server, &secret, "GET", "/v0/pipes/by_org.json", "").status,
        200
    );
    // The one token that reads a pipe comes with its publication; of two, neither.
    let publish = || {
        send(
            &server,
            ADMIN,
            "POST",
            "/v0/pipes/by_org/nodes/n/endpoint",
            "",
        )
        .json()
    };
    assert_eq!(publish()["token"], json!(secret));
    token(&server, "second", &["PIPES:READ:by_org"]);
    assert!(publish().get("token").is_none());
    assert_eq!(
        send(&server, ADMIN, "DELETE", "/v0/tokens/second", "").status,
        200
    );
    drop(server);
    server = Server::start(&project);
    assert_eq!(
        send(&server, &secret, "GET", "/v0/pipes/by_org.json", "").status,
        200
    );
    // It may look at itself and at no other.
    assert_eq!(
        send(
            &server,
            &secret,
            "GET",
            "/v0/tokens/events_per_day_token",
            ""
        )
        .json()["token"],
        json!(secret)
    );
    assert_eq!(
        send(&server, &secret, "GET", "/v0/tokens/admin%20token", "").status,
        403
    );
    let refreshed = send(
        &server,
        ADMIN,
        "POST",
        "/v0/tokens/events_per_day_token/refresh",
        "",
    )
    .json()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        send(&server, &secret, "GET", "/v0/pipes/by_org.json", "").status,
        403
    );
    assert_eq!(
        send(&server, &refreshed, "GET", "/v0/pipes/by_org.json", "").status,
        200
    );
    let changed = send(
        &server,
        ADMIN,
        "PUT",
        "/v0/tokens/events_per_day_token?scope=PIPES:READ:on_top",
        "",
    );
    assert_eq!(changed.json()["description"], "for a chart");
    assert_eq!(
        send(&server, &refreshed, "GET", "/v0/pipes/by_org.json", "").status,
        403
    );
    assert_eq!(
        send(&server, &refreshed, "GET", "/v0/pipes/on_top.json", "").status,
        200
    );
    let listed = send(&server, ADMIN, "GET", "/v0/tokens", "").json();
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 2);
    assert_eq!(
        send(
            &server,
            ADMIN,
            "DELETE",
            "/v0/tokens/events_per_day_token",
            ""
        )
        .json(),
        json!({ "ok": true })
    );
    assert_eq!(
        send(&server, &refreshed, "GET", "/v0/pipes/on_top.json", "").status,
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
        ("DATASOURCES:READ:events:org IN (SELECT 1)", 200),
        (
            "DATASOURCES:READ:events:org IN (SELECT org FROM other)",
            400,
        ),
        ("DROP:by_org", 200),
    ] {
        let scope = scope.replace(' ', "%20").replace('=', "%3D");
        let answer = send(
            &server,
            ADMIN,
            "POST",
            &format!("/v0/tokens/?name=x{}&scope={scope}", scope.len()),
            "",
        );
        assert_eq!(answer.status, status, "{scope}: {}", answer.text());
    }
    let manager = token(&server, "manager", &["TOKENS"]);
    assert_eq!(
        send(
            &server,
            &manager,
            "POST",
            "/v0/tokens/?name=y&scope=ADMIN",
            ""
        )
        .status,
        403
    );
    assert_eq!(
        send(
            &server,
            &manager,
            "POST",
            "/v0/tokens/admin%20token/refresh",
            ""
        )
        .status,
        403
    );
    assert_eq!(
        send(
            &server,
            &manager,
            "POST",
            "/v0/tokens/?name=y&scope=PIPES:READ:by_org",
            ""
        )
        .status,
        200
    );
    let listed = send(&server, &manager, "GET", "/v0/tokens", "").json();
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
fn nothing_gets_around_a_row_filter() {
    let (_project, server) = started();
    let one = token(
        &server,
        "one",
        &[
            "DATASOURCES:READ:events:org = 1",
            "DATASOURCES:READ:other",
            "PIPES:READ:by_org",
            "PIPES:READ:on_top",
        ],
    );
    let rows = |query: &str| {
        let answer = send(
            &server,
            &one,
            "POST",
            "/v0/sql",
            &format!("{query} FORMAT JSONCompactEachRow"),
        );
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        answer.text().trim().replace('\n', " ")
    };
    assert_eq!(rows("SELECT DISTINCT org FROM events"), "[1]");
    assert_eq!(
        rows("SELECT DISTINCT e.org FROM other AS o JOIN events AS e ON e.org = o.org"),
        "[1]"
    );
    assert_eq!(rows("SELECT DISTINCT events.org FROM other, events"), "[1]");
    assert_eq!(
        rows("SELECT org FROM other WHERE (org, 37) IN events ORDER BY org"),
        "[1]"
    );
    assert_eq!(
        rows("SELECT org FROM other WHERE org IN (SELECT org FROM events)"),
        "[1]"
    );
    assert_eq!(rows("SELECT (SELECT max(value) FROM events)"), "[37]");
    assert_eq!(
        rows("WITH events AS (SELECT * FROM events) SELECT DISTINCT org FROM events"),
        "[1]"
    );
    assert_eq!(
        rows("SELECT DISTINCT org FROM (SELECT * FROM events UNION ALL SELECT * FROM events)"),
        "[1]"
    );
    assert_eq!(rows("SELECT * FROM by_org"), "[1, 10]");
    assert_eq!(rows("SELECT * FROM on_top"), "[1, 10]");
    assert_eq!(
        rows("SELECT DISTINCT org FROM view(SELECT * FROM events)"),
        "[1]"
    );
    for query in [
        "/v0/pipes/by_org.json",
        "/v0/pipes/on_top.json",
        "/v0/pipes/by_org.json?q=SELECT+*+FROM+_",
        "/v0/pipes/by_org.json?q=SELECT+*+FROM+by_org+WHERE+c+%3E+0",
    ] {
        let answer = send(&server, &one, "GET", query, "").json();
        assert_eq!(answer["data"], json!([{ "org": 1, "c": 10 }]), "{query}");
    }
    for refused in [
        "SELECT * FROM default.events",
        "SELECT 3 IN default.events",
        "SELECT * FROM pipewright.events",
        "SELECT 3 IN pipewright.events",
        "SELECT 3 IN mv__by_org__n",
        "SELECT 3 IN events_quarantine",
        "SELECT * FROM merge('default', 'events')",
        "SELECT * FROM remote('localhost', default.events)",
        "SELECT * FROM cluster('x', default.events)",
        "SELECT joinGet('events', 'value', 1)",
        "SELECT dictGet('events', 'value', 1)",
        "SELECT * FROM system.parts",
    ] {
        let answer = send(&server, &one, "POST", "/v0/sql", refused);
        assert!(
            matches!(answer.status, 400 | 403),
            "{refused}: {}",
            answer.text()
        );
    }
}

#[test]
fn every_route_has_its_scope() {
    let (_project, server) = started();
    let admin = |method: &str, path: &str, body: &str| send(&server, ADMIN, method, path, body);
    let scopes: &[&str] = &[
        "ADMIN",
        "TOKENS",
        "PIPES:CREATE",
        "PIPES:READ:by_org",
        "PIPES:READ:on_top",
        "PIPES:DROP:by_org",
        "PIPES:DROP:spare",
        "DATASOURCES:CREATE",
        "DATASOURCES:READ:events",
        "DATASOURCES:APPEND:events",
        "DATASOURCES:DROP:events",
        "IMPORT",
    ];
    assert_eq!(
        admin("POST", "/v0/pipes", "name=spare&sql=select 1").status,
        200
    );
    let copied = "name=copier&sql=select org, value from events";
    assert_eq!(admin("POST", "/v0/pipes", copied).status, 200);
    let set = admin(
        "POST",
        "/v0/pipes/copier/nodes/copier_0/copy",
        "target_datasource=events&schedule_cron=0 0 1 1 *",
    );
    assert_eq!(set.status, 200, "{}", set.text());
    let tokens: Vec<(String, String)> = scopes
        .iter()
        .enumerate()
        .map(|(at, scope)| {
            (
                (*scope).to_owned(),
                token(&server, &format!("t{at}"), &[scope]),
            )
        })
        .collect();
    // (method, path, body, what is put right afterwards, who may)
    let create: &[&str] = &["ADMIN", "PIPES:CREATE"];
    let create_datasources: &[&str] = &["ADMIN", "DATASOURCES:CREATE", "IMPORT"];
    let routes: &[(&str, &str, &str, &[&str])] = &[
        ("GET", "/v0/pipes", "", scopes),
        ("POST", "/v0/pipes", "name=made&sql=select 1", create),
        (
            "GET",
            "/v0/pipes/by_org",
            "",
            &["ADMIN", "PIPES:READ:by_org"],
        ),
        (
            "GET",
            "/v0/pipes/by_org.pipe",
            "",
            &["ADMIN", "PIPES:READ:by_org"],
        ),
        (
            "GET",
            "/v1/pipes/by_org.pipe",
            "",
            &["ADMIN", "PIPES:READ:by_org"],
        ),
        (
            "GET",
            "/v0/pipes/by_org.json",
            "",
            &["ADMIN", "PIPES:READ:by_org"],
        ),
        (
            "POST",
            "/v0/pipes/by_org.csv",
            "",
            &["ADMIN", "PIPES:READ:by_org"],
        ),
        (
            "GET",
            "/v0/sql?q=select+*+from+by_org",
            "",
            &["ADMIN", "PIPES:READ:by_org"],
        ),
        (
            "GET",
            "/v0/sql?q=select+*+from+events",
            "",
            &["ADMIN", "DATASOURCES:READ:events"],
        ),
        (
            "GET",
            "/v0/pipes/by_org.json?q=select+*+from+events",
            "",
            &["ADMIN"],
        ),
        ("GET", "/v0/pipes/by_org/explain", "", &["ADMIN"]),
        ("GET", "/v0/pipes/by_org/nodes/n/explain", "", &["ADMIN"]),
        ("PUT", "/v0/pipes/by_org?description=x", "", create),
        ("POST", "/v0/pipes/spare/nodes", "select 2", create),
        ("PUT", "/v0/pipes/spare/nodes/spare_0", "select 3", create),
        ("POST", "/v0/pipes/spare/nodes/spare_0/endpoint", "", create),
        ("PUT", "/v0/pipes/spare/endpoint", "spare_0", create),
        (
            "DELETE",
            "/v0/pipes/spare/nodes/spare_0/endpoint",
            "",
            create,
        ),
        (
            "DELETE",
            "/v0/pipes/spare/nodes/spare_1",
            "",
            &["ADMIN", "PIPES:CREATE", "IMPORT"],
        ),
        (
            "POST",
            "/v0/pipes/spare/nodes/spare_0/materialization",
            "datasource=filled",
            create,
        ),
        (
            "DELETE",
            "/v0/pipes/spare/nodes/spare_0/materialization",
            "",
            create,
        ),
        (
            "POST",
            "/v0/pipes/spare/nodes/spare_0/population",
            "",
            create,
        ),
        (
            "POST",
            "/v0/pipes/spare/nodes/spare_0/copy",
            "target_datasource=events",
            &["ADMIN"],
        ),
        (
            "POST",
            "/v0/pipes/spare/nodes?type=copy&target_datasource=events",
            "select 1",
            &["ADMIN"],
        ),
        (
            "PUT",
            "/v0/pipes/spare/nodes/spare_0/copy",
            "schedule_cron=0 * * * *",
            create,
        ),
        ("POST", "/v0/pipes/copier/copy", "", &["ADMIN"]),
        ("POST", "/v0/pipes/copier/copy/pause", "", create),
        ("POST", "/v0/pipes/copier/copy/resume", "", create),
        ("POST", "/v0/pipes/copier/copy/cancel", "", create),
        ("DELETE", "/v0/pipes/spare/nodes/spare_0/copy", "", create),
        ("GET", "/v0/datasources", "", scopes),
        (
            "GET",
            "/v0/datasources/events",
            "",
            &["ADMIN", "DATASOURCES:READ:events"],
        ),
        (
            "POST",
            "/v0/events?name=events",
            "{}",
            &["ADMIN", "DATASOURCES:APPEND:events"],
        ),
        (
            "POST",
            "/v0/datasources?name=events&mode=append",
            "",
            &["ADMIN", "DATASOURCES:APPEND:events"],
        ),
        (
            "POST",
            "/v0/datasources?name=events&mode=replace",
            "",
            &["ADMIN"],
        ),
        (
            "POST",
            "/v0/datasources/events/delete",
            "delete_condition=0",
            &["ADMIN", "DATASOURCES:DROP:events"],
        ),
        (
            "POST",
            "/v0/datasources/events/truncate",
            "",
            &["ADMIN", "DATASOURCES:DROP:events"],
        ),
        (
            "GET",
            "/v0/datasources/events.datasource",
            "",
            &["ADMIN", "DATASOURCES:READ:events"],
        ),
        (
            "POST",
            "/v0/datasources?name=made&schema=a%20Int32",
            "",
            create_datasources,
        ),
        (
            "PUT",
            "/v0/datasources/events?description=x",
            "",
            create_datasources,
        ),
        (
            "POST",
            "/v0/datasources/events/alter",
            "description=y",
            create_datasources,
        ),
        (
            "DELETE",
            "/v0/datasources/events",
            "",
            &["ADMIN", "DATASOURCES:DROP:events"],
        ),
        ("GET", "/v0/pipes/by_org/nodes/n/analysis", "", create),
        ("GET", "/v0/workspace", "", scopes),
        ("GET", "/v0/workspaces/other", "", scopes),
        ("GET", "/v0/user/workspaces", "", scopes),
        ("GET", "/v0/auth", "", scopes),
        ("GET", "/v0/connectors", "", scopes),
        ("GET", "/v0/environments", "", scopes),
        ("GET", "/v0/tags", "", scopes),
        ("GET", "/v0/dependencies", "", scopes),
        ("POST", "/v0/sql_tables", "select 1 from events", scopes),
        ("GET", "/v0/sql_format?q=select%201", "", scopes),
        ("POST", "/v0/analyze", "{}", &["ADMIN"]),
        ("GET", "/v0/jobs", "", &["ADMIN"]),
        ("GET", "/v0/jobs/nothing", "", &["ADMIN"]),
        ("POST", "/v0/jobs/nothing/cancel", "", &["ADMIN"]),
        (
            "DELETE",
            "/v0/pipes/spare",
            "",
            &["ADMIN", "PIPES:DROP:spare"],
        ),
        (
            "DELETE",
            "/v0/pipes/by_org",
            "",
            &["ADMIN", "PIPES:DROP:by_org"],
        ),
        ("GET", "/v0/tokens", "", &["ADMIN", "TOKENS"]),
        (
            "POST",
            "/v0/tokens/?name=n&scope=PIPES:READ:on_top",
            "",
            &["ADMIN", "TOKENS"],
        ),
        ("GET", "/v0/tokens/n", "", &["ADMIN", "TOKENS"]),
        ("POST", "/v0/tokens/n/refresh", "", &["ADMIN", "TOKENS"]),
        (
            "PUT",
            "/v0/tokens/n?description=x",
            "",
            &["ADMIN", "TOKENS"],
        ),
        ("DELETE", "/v0/tokens/n", "", &["ADMIN", "TOKENS"]),
    ];
    let mut wrong = Vec::new();
    for (method, path, body, allowed) in routes {
        // The admin last: what is deleted is gone from the scopes of the others.
        for (scope, secret) in tokens.iter().rev() {
            let answer = send(&server, secret, method, path, body);
            // What is allowed may still be wrong (the thing is gone by now): only the right to it is looked at.
            if (answer.status != 403) != allowed.contains(&scope.as_str()) {
                wrong.push(format!(
                    "{scope} {method} {path}: {} {}",
                    answer.status,
                    answer.text()
                ));
            }
            if answer.status >= 500 {
                wrong.push(format!(
                    "{scope} {method} {path}: {} {}",
                    answer.status,
                    answer.text()
                ));
            }
        }
        for secret in ["", "p.unknown"] {
            assert_eq!(
                send(&server, secret, method, path, body).status,
                403,
                "{method} {path}"
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // With both scopes, a copy is set and run, rows are replaced, and rows that a copy would leave only with a third.
    let (made, all) = (
        ["PIPES:CREATE", "DATASOURCES:APPEND:events"],
        [
            "PIPES:READ:copier",
            "DATASOURCES:APPEND:events",
            "DATASOURCES:DROP:events",
        ],
    );
    let (made, two, all) = (
        token(&server, "made", &made),
        token(&server, "two", &all[..2]),
        token(&server, "all", &all),
    );
    let (set, run) = (
        "/v0/pipes/copier/nodes/copier_0/copy",
        "/v0/pipes/copier/copy",
    );
    for (secret, path, status) in [
        (&made, format!("{set}?target_datasource=events"), 200),
        (&made, run.to_owned(), 403),
        (&two, run.to_owned(), 200),
        (&two, format!("{run}?_mode=replace"), 403),
        (&all, format!("{run}?_mode=replace"), 200),
        (&all, format!("{set}?target_datasource=events"), 403),
        (
            &all,
            "/v0/datasources?name=events&mode=replace".to_owned(),
            200,
        ),
    ] {
        let answer = send(&server, secret, "POST", &path, "");
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
    // With both scopes, a statement is explained.
    let both = token(
        &server,
        "both",
        &["PIPES:READ:on_top", "DATASOURCES:READ:events"],
    );
    assert_eq!(
        send(&server, &both, "GET", "/v0/pipes/on_top/explain", "").status,
        200
    );
}

#[test]
fn a_jwt_has_its_parameters_its_limit_and_its_end() {
    let (_project, server) = started();
    let sign = |body: &Value| {
        send(
            &server,
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
    let signed = send(
        &server,
        ADMIN,
        "POST",
        &path,
        &json!({ "scopes": scopes, "limits": { "rps": 3 } }).to_string(),
    );
    let jwt = signed.json()["token"]
        .as_str()
        .unwrap_or_else(|| panic!("{}", signed.text()))
        .to_owned();
    let answer = send(&server, &jwt, "GET", "/v0/pipes/by_org.json?below=10", "").json();
    assert_eq!(
        answer["data"],
        json!([{ "org": 0, "c": 10 }, { "org": 1, "c": 10 }])
    );
    assert_eq!(
        send(&server, &jwt, "GET", "/v0/pipes/on_top.json", "").status,
        403
    );
    assert_eq!(
        send(&server, &jwt, "POST", "/v0/pipes", "name=x&sql=select 1").status,
        403
    );
    let answers: Vec<Answer> = (0..8)
        .map(|_| send(&server, &jwt, "GET", "/v0/pipes/by_org.json", ""))
        .collect();
    let limited = answers
        .iter()
        .find(|answer| answer.status == 429)
        .expect("the limit");
    assert!(limited.headers.contains("retry-after: 1"));
    let body = json!({ "scopes": [{ "type": "ADMIN", "resource": "x" }] });
    assert_eq!(
        send(&server, ADMIN, "POST", &path, &body.to_string()).status,
        400
    );
    let filtered = json!({ "scopes": [{ "type": "DATASOURCES:READ", "resource": "events", "filter": "org = 2" }] });
    let jwt = send(&server, ADMIN, "POST", &path, &filtered.to_string()).json()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        send(
            &server,
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
fn the_limits_of_the_project_hold() {
    let project = Project::new(&[
        (
            "pipewright.toml",
            "[limits]\nrows_read = 1000\nrequests_per_second = 5\n",
        ),
        (
            "some.pipe",
            "TOKEN \"reader\" READ\nNODE n\nSQL >\n    %\n    SELECT count() AS c FROM numbers({{Int32(rows, 10)}})\nTYPE endpoint\n",
        ),
    ]);
    let server = Server::start(&project);
    assert_eq!(
        send(&server, ADMIN, "GET", "/v0/pipes/some.json", "").status,
        200
    );
    let refused = send(&server, ADMIN, "GET", "/v0/pipes/some.json?rows=100000", "");
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(
        refused.text().contains("TOO_MANY_ROWS"),
        "{}",
        refused.text()
    );
    let reader = send(&server, ADMIN, "GET", "/v0/tokens/reader", "").json()["token"]
        .as_str()
        .expect("a secret")
        .to_owned();
    let statuses: Vec<u16> = (0..20)
        .map(|_| send(&server, &reader, "GET", "/v0/pipes/some.json", "").status)
        .collect();
    assert!(
        statuses[..5].iter().all(|status| *status == 200) && statuses.contains(&429),
        "{statuses:?}"
    );
    // The admin is not kept out by others, nor by the limit.
    assert!((0..20).all(|_| send(&server, ADMIN, "GET", "/v0/pipes", "").status == 200));
}
