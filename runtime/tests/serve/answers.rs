//! What requests get.

use std::fmt::Write as _;
use std::sync::LazyLock;

use super::harness::{ADMIN, Answer, Project, Server, serve};

const FILES: &[(&str, &str)] = &[
    (
        "datasources/events.datasource",
        "TOKEN \"events_reader\" READ\nTOKEN \"tracker\" APPEND\n\nSCHEMA >\n    `time` DateTime `json:$.time`,\n    `user` String `json:$.user.id`,\n    `amount` UInt64 `json:$.amount` DEFAULT 7\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"time\"\n",
    ),
    (
        "fixtures/events.ndjson",
        "{\"time\": \"2026-01-01 00:00:00\", \"user\": {\"id\": \"ada\"}, \"amount\": 10}\n{\"time\": \"2026-01-02T00:00:00Z\", \"user\": {\"id\": \"it's\"}}\n{\"time\": 1767398400, \"user\": {\"id\": \"50%\"}, \"amount\": 18446744073709551615}\n",
    ),
    (
        "per_user.pipe",
        "TOKEN \"dashboard\" READ\n\nNODE filtered\nSQL >\n    %\n    SELECT * FROM events\n    WHERE 1\n    {% if defined(user) %} AND user = {{ String(user, description='Only this user') }} {% end %}\n\nNODE result\nSQL >\n    %\n    SELECT user, sum(amount) AS total FROM filtered GROUP BY user ORDER BY user LIMIT {{ Int32(limit, 10) }}\n\nTYPE endpoint\n",
    ),
    (
        "required.pipe",
        "NODE result\nSQL >\n    %\n    SELECT {{ String(name) }} AS name, {{ Int32(number, 1) }} AS number\n\nTYPE endpoint\n",
    ),
    (
        "broken.pipe",
        "NODE result\nSQL >\n    SELECT user,\n        amonut\n    FROM events\n\nTYPE endpoint\n",
    ),
    (
        "slow.pipe",
        "NODE result\nSQL >\n    SELECT count() FROM numbers(100000000000) WHERE cityHash64(number) = 1\n\nTYPE endpoint\n",
    ),
    (
        "custom.pipe",
        "NODE result\nSQL >\n    %\n    SELECT 1 AS one {% if defined(teapot) %} {{ custom_error({'error': 'short and stout'}, 418) }} {% end %}\n\nTYPE endpoint\n",
    ),
    (
        "unpublished.pipe",
        "NODE only\nSQL >\n    SELECT count() AS events FROM events\n",
    ),
    ("pipewright.toml", "[limits]\nquery_timeout_ms = 1500\n"),
];

/// One server for the tests of this file: starting the engine is the slow part.
static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let project = Project::new(FILES);
    let server = Server::start(&project);
    // The folder has to outlive the process.
    std::mem::forget(project);
    server
});

fn show(requests: &[(&str, Answer)]) -> String {
    let mut text = String::new();
    for (request, answer) in requests {
        let kind = answer
            .headers
            .lines()
            .find_map(|line| line.strip_prefix("content-type: "))
            .unwrap_or("");
        _ = writeln!(
            text,
            "{request}\n{} {kind}\n{}\n",
            answer.status,
            answer.text().trim_end()
        );
    }
    text
}

fn gets(paths: &[&'static str]) -> String {
    show(
        &paths
            .iter()
            .map(|path| (*path, SERVER.get(path)))
            .collect::<Vec<_>>(),
    )
}

#[test]
fn formats_pass_through_from_the_engine() {
    let shown = gets(&[
        "/v0/pipes/per_user.csv",
        "/v0/pipes/per_user.ndjson",
        "/v0/pipes/per_user.csv?user=it%27s",
        "/v0/pipes/per_user.csv?user=50%25&limit=1",
    ]);
    insta::assert_snapshot!("formats", shown);
    let parquet = SERVER.get("/v0/pipes/per_user.parquet");
    assert_eq!((parquet.status, &parquet.body[..4]), (200, &b"PAR1"[..]));
    // Texts are bytes there unless they are asked for as texts.
    let parquet_with = |flag: &str| {
        let path = "/v0/pipes/per_user.parquet?output_format_parquet_string_as_string";
        SERVER.get(&format!("{path}={flag}")).body
    };
    assert_eq!(parquet.body.len(), parquet_with("0").len());
    assert_ne!(parquet.body.len(), parquet_with("1").len());
    let json = SERVER.get("/v0/pipes/per_user.json").json();
    assert_eq!(json["rows"], 3);
    assert_eq!(json["meta"][1]["type"], "UInt64");
    assert_eq!(json["data"][0]["total"], 18_446_744_073_709_551_615_u64);
    assert!(
        json["statistics"]["rows_read"]
            .as_u64()
            .is_some_and(|rows| rows >= 3)
    );
    let quoted = SERVER
        .get("/v0/pipes/per_user.json?output_format_json_quote_64bit_integers=1")
        .json();
    assert_eq!(quoted["data"][0]["total"], "18446744073709551615");
}

#[test]
fn post_takes_parameters_from_a_form_or_json() {
    let bearer = format!("Bearer {ADMIN}");
    let form = SERVER.send(
        "POST",
        "/v0/pipes/per_user.csv",
        &[
            ("Authorization", &bearer),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ],
        b"user=ada",
    );
    let json = SERVER.send(
        "POST",
        "/v0/pipes/per_user.csv",
        &[
            ("Authorization", &bearer),
            ("Content-Type", "application/json"),
        ],
        br#"{"user": "ada", "limit": 1}"#,
    );
    assert_eq!(
        (form.status, form.text()),
        (200, "\"user\",\"total\"\n\"ada\",10\n".to_owned())
    );
    assert_eq!((json.status, json.text()), (200, form.text()));
}

#[test]
fn queries_see_pipes_and_data_sources() {
    insta::assert_snapshot!(
        "queries",
        gets(&[
            "/v0/sql?q=SELECT%20count()%20FROM%20events%20FORMAT%20CSV",
            "/v0/sql?q=SELECT%20user%20FROM%20per_user%20ORDER%20BY%20total%20LIMIT%201%20FORMAT%20TSV",
            "/v0/pipes/per_user.csv?q=SELECT%20sum(total)%20%3D%2016%20AS%20s%20FROM%20_",
            "/v0/sql?q=SELECT%20*%20FROM%20unpublished%20FORMAT%20JSONEachRow",
            "/v0/sql?q=SELECT%201%20FORMAT%20Nope",
            "/v0/sql?q=WITH%20events%20AS%20(SELECT%201%20AS%20one)%20SELECT%20one%2C%20events%20FROM%20events%2C%20unpublished%20FORMAT%20CSVWithNames",
        ])
    );
    let bearer = format!("Bearer {ADMIN}");
    let posted = SERVER.send(
        "POST",
        "/v0/sql",
        &[
            ("Authorization", &bearer),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ],
        b"SELECT * FROM unpublished where events > 1 FORMAT CSV",
    );
    assert_eq!((posted.status, posted.text()), (200, "3\n".to_owned()));
}

#[test]
fn mistakes_get_a_status_and_a_message() {
    insta::assert_snapshot!(
        "mistakes",
        gets(&[
            "/v0/pipes/nothing.json",
            "/v0/pipes/unpublished.json",
            "/v0/pipes/per_user.xml",
            "/v0/pipes/required.json",
            "/v0/pipes/required.json?name=a&number=abc",
            "/v0/pipes/broken.json",
            "/v0/pipes/custom.json?teapot=1",
            "/v0/sql",
            "/v0/sql?q=SELECT%20%27open",
            "/v0/sql?q=SELECT%20*%20FROM%20evnets",
            "/v0/nothing",
        ])
    );
}

#[test]
fn what_reaches_outside_is_refused() {
    insta::assert_snapshot!(
        "refused",
        gets(&[
            "/v0/sql?q=SELECT%20*%20FROM%20file(%27%2Fetc%2Fpasswd%27)",
            "/v0/sql?q=SELECT%20*%20FROM%20url(%27http%3A%2F%2F127.0.0.1%27)",
            "/v0/sql?q=DROP%20TABLE%20events",
            "/v0/sql?q=SELECT%201%3B%20SELECT%202",
            "/v0/sql?q=SELECT%201%20INTO%20OUTFILE%20%27x%27",
            "/v0/sql?q=SELECT%201%20SETTINGS%20readonly%3D0",
            "/v0/sql?q=SELECT%20*%20FROM%20system.tables",
            "/v0/sql?q=SET%20readonly%3D1",
        ])
    );
}

#[test]
fn a_slow_query_is_stopped_with_408() {
    let answer = SERVER.get("/v0/pipes/slow.json");
    assert_eq!(answer.status, 408, "{}", answer.text());
    assert_eq!(SERVER.get("/v0/pipes/per_user.csv").status, 200);
}

#[test]
fn tokens_open_what_they_are_for() {
    let messages = SERVER.messages();
    let secret = |name: &str| {
        assert!(messages.contains(&format!("token `{name}` is new")));
        let shown = SERVER.get(&format!("/v0/tokens/{name}")).json();
        let secret = shown["token"].as_str().expect("a secret").to_owned();
        assert!(!messages.contains(&secret), "it is not printed");
        secret
    };
    assert!(
        !messages.contains(ADMIN),
        "a given admin token is not printed"
    );
    let (dashboard, reader) = (secret("dashboard"), secret("events_reader"));
    let status = |path: &str, token: &str| {
        SERVER
            .send(
                "GET",
                path,
                &[("Authorization", &format!("Bearer {token}"))],
                b"",
            )
            .status
    };
    assert_eq!(
        SERVER
            .send("GET", "/v0/pipes/per_user.json", &[], b"")
            .status,
        403
    );
    assert_eq!(status("/v0/pipes/per_user.json", "wrong"), 403);
    assert_eq!(status("/v0/pipes/per_user.json", &dashboard), 200);
    assert_eq!(
        SERVER
            .send(
                "GET",
                &format!("/v0/pipes/per_user.json?token={dashboard}"),
                &[],
                b""
            )
            .status,
        200
    );
    assert_eq!(status("/v0/pipes/required.json?name=a", &dashboard), 403);
    assert_eq!(status("/v0/pipes/nothing.json", &dashboard), 403);
    assert_eq!(
        status("/v0/sql?q=SELECT%20*%20FROM%20per_user", &dashboard),
        200
    );
    assert_eq!(
        status("/v0/sql?q=SELECT%20*%20FROM%20events", &dashboard),
        403
    );
    assert_eq!(
        status(
            "/v0/pipes/per_user.json?q=SELECT%20*%20FROM%20_%2C%20events",
            &dashboard
        ),
        403
    );
    assert_eq!(
        status(
            "/v0/sql?q=SELECT%20*%20FROM%20per_user%20WHERE%20user%20IN%20(SELECT%20user%20FROM%20events)",
            &dashboard
        ),
        403
    );
    assert_eq!(status("/v0/sql?q=SELECT%20*%20FROM%20events", &reader), 200);
    assert_eq!(
        status("/v0/sql?q=SELECT%20*%20FROM%20per_user", &reader),
        403
    );
    // A token that appends: no row is sent, as other tests count those that are there.
    let tracker = secret("tracker");
    let append = |token: &str| {
        SERVER
            .ask(token, "POST", "/v0/events?name=events", "")
            .status
    };
    assert_eq!((append(&tracker), append(&reader)), (202, 403));
    assert_eq!(status("/v0/sql?q=SELECT+1+FROM+events", &tracker), 403);
}

#[test]
fn health_and_metrics_need_no_token() {
    assert_eq!(
        SERVER.send("GET", "/health", &[], b"").json()["status"],
        "ok"
    );
    SERVER.get("/v0/pipes/nothing.json");
    let metrics = SERVER.send("GET", "/metrics", &[], b"").text();
    assert!(
        metrics.contains("pipewright_requests_total{route=\"/v0/pipes\",status=\"404\"}"),
        "{metrics}"
    );
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    assert!(SERVER.get("/metrics").text().ends_with("# EOF\n"));
    let wrong = SERVER.send("GET", "/metrics?token=wrong", &[], b"");
    assert_eq!(wrong.status, 403, "{}", wrong.text());
}

#[test]
fn the_time_zone_is_utc_wherever_the_process_runs() {
    let project = Project::new(&[(
        "e.pipe",
        "NODE result\nSQL >\n    SELECT timezone() AS zone, toUnixTimestamp(toDateTime('2024-01-01 00:00:00')) AS seconds\n\nTYPE endpoint\n",
    )]);
    let mut command = serve(project.path(), &["--admin-token", ADMIN]);
    command.env("TZ", "America/New_York");
    let server = Server::run(command);
    let row = &server.get("/v0/pipes/e.json").json()["data"][0];
    assert_eq!(
        (&row["zone"], &row["seconds"]),
        (&"UTC".into(), &1_704_067_200.into())
    );
}

#[test]
fn what_the_author_says_to_callers_is_all_that_they_are_told() {
    let project = Project::new(&[(
        "e.pipe",
        "NODE result\nSQL >\n    %\n    {% if not defined(id) %}{{ error('id is required') }}{% end %}\n    SELECT {{ Int32(id, 1) }} AS id\n\nTYPE endpoint\n",
    )]);
    let server = Server::run(serve(project.path(), &["--admin-token", ADMIN]));
    let answer = server.get("/v0/pipes/e.json");
    assert_eq!(
        (answer.status, &answer.json()["error"]),
        (400, &"id is required".into())
    );
}

#[test]
fn addresses_are_those_that_clients_behind_a_proxy_reach() {
    let project = Project::new(&[(
        "one.pipe",
        "NODE n\nSQL >\n    SELECT 1 AS x\nTYPE endpoint\n",
    )]);
    let server = Server::start(&project);
    let ask = |path: &str, scheme: &str| {
        let bearer = format!("Bearer {ADMIN}");
        let headers = [
            ("Authorization", bearer.as_str()),
            ("X-Forwarded-Proto", scheme),
        ];
        server.send("GET", path, &headers, b"").json()
    };
    for (said, scheme) in [
        ("https", "https"),
        ("HTTPS, http", "https"),
        ("http", "http"),
        ("javascript", "http"),
    ] {
        let host = &ask("/v0/regions", said)["regions"][0]["api_host"];
        assert_eq!(*host, format!("{scheme}://localhost"), "{said}");
        let pipe = ask("/v0/pipes/one", said);
        assert_eq!(
            pipe["url"],
            format!("{scheme}://localhost/v0/pipes/one.json"),
            "{said}"
        );
    }
}

#[test]
fn parameters_that_cannot_be_read_are_not_left_out() {
    let project = Project::new(&[(
        "e.pipe",
        "NODE result\nSQL >\n    %\n    SELECT number FROM numbers(4) WHERE 1 {% if defined(n) %}AND number = {{ Int32(n) }}{% end %}\n\nTYPE endpoint\n",
    )]);
    let server = Server::run(serve(project.path(), &["--admin-token", ADMIN]));
    let post = |kind: &str, body: &str| {
        let bearer = format!("Bearer {ADMIN}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", kind)];
        let answer = server.send("POST", "/v0/pipes/e.json", &headers, body.as_bytes());
        (answer.status, answer.json()["rows"].as_u64())
    };
    let part = |head: &str, value: &str| {
        format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n--b--\r\n")
    };
    let parts = |body: &str| post("multipart/form-data; boundary=b", body);
    assert_eq!(
        post("application/x-www-form-urlencoded", "n=2"),
        (200, Some(1))
    );
    assert_eq!(post("application/json", "{\"n\": 2}"), (200, Some(1)));
    assert_eq!(post("text/plain", "{\"n\": 2}"), (200, Some(1)));
    assert_eq!(parts(&part("name=\"n\"", "2")), (200, Some(1)));
    assert_eq!(parts(&part("name=\"m\"", "2")), (200, Some(4)));
    assert_eq!(parts(&part("name=\"n\"", "two")), (400, None));
    // What cannot be read as a field is no reason to show more rows.
    let file = part("name=\"n\"; filename=\"n.txt\"", "2");
    for unreadable in [
        file.as_str(),
        &part("name=\"\"", "2"),
        "--b\r\nContent",
        "n=2",
    ] {
        assert_eq!(parts(unreadable), (400, None), "{unreadable}");
    }
    let whole = part("name=\"n\"", "2");
    assert_eq!(post("multipart/form-data", &whole), (400, None));
    assert_eq!(post("text/plain", "n=2"), (415, None));
    assert_eq!(post("text/plain", ""), (200, Some(4)));
}

#[test]
fn every_route_takes_its_parameters_from_a_form_in_parts() {
    let project = Project::new(&[(
        "e.pipe",
        "NODE result\nSQL >\n    SELECT number FROM numbers(4)\n\nTYPE endpoint\n",
    )]);
    let server = Server::run(serve(project.path(), &["--admin-token", ADMIN]));
    let post = |path: &str, fields: &[(&str, &str)]| {
        let mut body = String::new();
        for (name, value) in fields {
            _ = write!(
                body,
                "--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            );
        }
        let headers = [("Content-Type", "multipart/form-data; boundary=b")];
        server.send(
            "POST",
            path,
            &headers,
            format!("{body}--b--\r\n").as_bytes(),
        )
    };
    let token = ("token", ADMIN);
    let template = "% SELECT sum(number) FROM _ WHERE number < {{Int32(n)}} FORMAT CSV";
    let fields = [token, ("q", template), ("pipeline", "e"), ("n", "3")];
    assert_eq!(post("/v0/sql", &fields).text(), "3\n");
    let long = "x".repeat(3 << 20);
    let template = "% SELECT {% if defined(s) %}1{% else %}0{% end %} FORMAT CSV";
    let query = [("q", template), ("s", &long)];
    let path = format!("/v0/sql?token={ADMIN}");
    assert_eq!(post(&path, &query).text(), "1\n");

    let made = post(
        "/v0/pipes",
        &[token, ("name", "made"), ("sql", "SELECT 7 AS x")],
    );
    assert_eq!(made.status, 200, "{}", made.text());
    assert_eq!(made.json()["nodes"][0]["sql"], "SELECT 7 AS x");
    let appended = post(
        "/v0/pipes/made/nodes?name=two",
        &[token, ("sql", "SELECT * FROM made_0")],
    );
    assert_eq!(appended.status, 200, "{}", appended.text());
}
