//! The npm packages that draw charts and make up events.

use std::path::Path;
use std::process::Command;

use super::harness::{ADMIN, Project, Server};
use super::tools;

const PROJECT: &[(&str, &str)] = &[
    (
        "visits.datasource",
        "SCHEMA >\n    `kind` String `json:$.kind`,\n    `visits` Int64 `json:$.visits`\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"kind\"\n",
    ),
    (
        "visits_by_kind.pipe",
        "TOKEN \"dashboard\" READ\nNODE result\nSQL >\n    %\n    SELECT kind, sum(visits) AS visits FROM visits WHERE kind != {{ String(without, '') }} GROUP BY kind ORDER BY kind\nTYPE endpoint\n",
    ),
];

/// Runs a script among the packages and gives back the JSON that it prints.
fn script(packages: &Path, name: &str, text: &str, arguments: &[&str]) -> serde_json::Value {
    let path = packages.join(name);
    std::fs::write(&path, text).expect("a file");
    let done = Command::new("node")
        .arg(&path)
        .args(arguments)
        .current_dir(packages)
        .output()
        .expect("node runs");
    assert!(done.status.success(), "{}", tools::said(&done));
    serde_json::from_slice(&done.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", tools::said(&done)))
}

fn secret(server: &Server, name: &str) -> String {
    server.get(&format!("/v0/tokens/{name}")).json()["token"]
        .as_str()
        .expect("a secret")
        .to_owned()
}

#[test]
fn charts_get_their_data() {
    let packages = tools::node();
    let project = Project::new(PROJECT);
    let server = Server::start(&project);
    let rows = b"{\"kind\":\"a\",\"visits\":3}\n{\"kind\":\"b\",\"visits\":4}\n";
    let bearer = format!("Bearer {ADMIN}");
    let headers = [("Authorization", bearer.as_str())];
    let written = server.send("POST", "/v0/events?name=visits&wait=true", &headers, rows);
    assert_eq!(written.status, 200, "{}", written.text());
    let endpoint = format!("http://{}/v0/pipes/visits_by_kind.json", server.address());
    let drawn = script(
        &packages,
        "charts.cjs",
        include_str!("charts.cjs"),
        &[&endpoint, &secret(&server, "dashboard")],
    );
    insta::assert_json_snapshot!(drawn, @r#"
    {
      "short": [
        {
          "kind": "a",
          "visits": 3
        },
        {
          "kind": "b",
          "visits": 4
        }
      ],
      "long": [
        {
          "kind": "a",
          "visits": 3
        },
        {
          "kind": "b",
          "visits": 4
        }
      ],
      "meta": [
        "kind String",
        "visits Int64"
      ],
      "refused": 403
    }
    "#);
}

#[test]
fn a_page_of_another_origin_may_ask() {
    let project = Project::new(PROJECT);
    let server = Server::start(&project);
    let asked = server.send(
        "OPTIONS",
        "/v0/pipes/visits_by_kind.json",
        &[
            ("Origin", "https://dashboard.example"),
            ("Access-Control-Request-Method", "POST"),
            (
                "Access-Control-Request-Headers",
                "authorization,content-type",
            ),
        ],
        b"",
    );
    assert_eq!(asked.status, 200);
    for header in [
        "access-control-allow-origin: *",
        "access-control-allow-methods: *",
        // A star would not stand for `Authorization`.
        "access-control-allow-headers: authorization,content-type",
        "access-control-max-age: 3600",
    ] {
        assert!(
            asked.headers.contains(header),
            "{header}: {}",
            asked.headers
        );
    }
    let token = secret(&server, "dashboard");
    let path = format!("/v0/pipes/visits_by_kind.json?token={token}");
    for path in [path.as_str(), "/v0/pipes/visits_by_kind.json"] {
        let answer = server.send("GET", path, &[("Origin", "https://dashboard.example")], b"");
        assert!(
            answer.headers.contains("access-control-allow-origin: *")
                && answer.headers.contains("access-control-expose-headers: *"),
            "{}: {}",
            answer.status,
            answer.headers
        );
    }
}

#[test]
fn made_up_events_arrive() {
    let packages = tools::node();
    let project = Project::new(PROJECT);
    let server = Server::start(&project);
    let made = server.send(
        "POST",
        "/v0/tokens?name=appender&scope=DATASOURCES:APPEND:visits",
        &[("Authorization", &format!("Bearer {ADMIN}"))],
        b"",
    );
    assert_eq!(made.status, 200, "{}", made.text());
    let sent = script(
        &packages,
        "mockingbird.mjs",
        include_str!("mockingbird.mjs"),
        &[
            &format!("http://{}", server.address()),
            &secret(&server, "appender"),
        ],
    );
    assert_eq!(sent["rows"], 200);
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let count =
            server.get("/v0/sql?q=SELECT%20count(),%20sum(visits)%20FROM%20visits%20FORMAT%20CSV");
        if count.text() == format!("200,{}\n", sent["visits"]) {
            break;
        }
        assert!(std::time::Instant::now() < until, "{}", count.text());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}
