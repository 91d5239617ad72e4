//! The same request as different clients spell it.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::guarded::{started, token};
use crate::harness::{ADMIN, Project, Server};

fn id_of(server: &Server, path: &str) -> String {
    let id = server.get(path).json()["id"].clone();
    id.as_str().expect("an id").to_owned()
}

fn data(server: &Server, sql: &str) -> Value {
    let answer = server.ask(ADMIN, "POST", "/v0/sql", sql);
    assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
    answer.json()["data"].clone()
}

#[test]
fn a_slash_at_the_end_of_a_path_means_nothing() {
    let (_project, server) = started();
    for path in [
        "/v0/pipes/",
        "/v0/pipes/?attrs=name",
        "/v0/pipes/by_org/",
        "/v0/pipes/by_org.json/?below=1",
        "/v0/pipes/by_org/explain/",
        "/v0/pipes/by_org/nodes/n/explain/",
        "/v0/sql/?q=select+1",
        "/v0/datasources/",
        "/v0/datasources/events/",
        "/v0/tokens/",
        "/v0/jobs/",
        "/v0/variables/",
        "/v0/user/workspaces/",
    ] {
        let answer = server.ask(ADMIN, "GET", path, "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let cors = answer.headers.matches("access-control-allow-origin");
        assert_eq!(cors.count(), 1, "{path}");
    }
    let row = "{\"org\": 9, \"value\": 1}";
    let taken = server.ask(ADMIN, "POST", "/v0/events/?name=events&wait=true", row);
    assert_eq!(taken.status, 200, "{}", taken.text());
    for path in ["/", "/v0/nothing/", "//"] {
        let expected = if path == "/" { 200 } else { 404 };
        assert_eq!(server.get(path).status, expected, "{path}");
    }
    // Nothing is opened by it.
    let refused = server.ask("p.unknown", "GET", "/v0/pipes/by_org.json/", "");
    assert_eq!(refused.status, 403);
    let unknown = server.ask(ADMIN, "PATCH", "/v0/pipes/", "");
    assert_eq!(unknown.status, 405);
}

#[test]
fn an_id_stands_for_its_name_in_sql_and_in_addresses() {
    let (_project, server) = started();
    let (pipe, events) = (
        id_of(&server, "/v0/pipes/by_org"),
        id_of(&server, "/v0/datasources/events"),
    );
    let digits = pipe.trim_start_matches("t_");
    let one = json!([{ "c": 4 }]);
    for table in [
        pipe.clone(),
        format!("`{pipe}`"),
        format!("t_by_org.{digits}"),
        format!("`t_by_org.{digits}`"),
    ] {
        assert_eq!(
            data(
                &server,
                &format!("SELECT count() AS c FROM {table} FORMAT JSON")
            ),
            one,
            "{table}"
        );
        let query = format!("/v0/pipes/by_org.json?q=SELECT%20count()%20AS%20c%20FROM%20{table}");
        assert_eq!(server.get(&query).json()["data"], one, "{table}");
    }
    // Its columns are told by the id, too, and a text that is an id stays one.
    let sql = format!(
        "SELECT {events}.org, '{events}' AS text FROM {events} WHERE {events}.org IN (SELECT org FROM {pipe} WHERE c > 100) FORMAT JSON"
    );
    assert_eq!(data(&server, &sql), json!([]));
    let sql = format!("SELECT DISTINCT '{events}' AS text FROM {events}");
    assert_eq!(data(&server, &sql), json!([{ "text": events }]));
    // What the token may read is judged by what is meant.
    let reader = token(&server, "reader", &["PIPES:READ:by_org"]);
    for (table, status) in [(&pipe, 200), (&events, 403)] {
        let answer = server.ask(
            &reader,
            "POST",
            "/v0/sql",
            &format!("SELECT * FROM {table}"),
        );
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    // A node that reads an id reads its name: the file that is pulled compiles without this server.
    let made = server.ask(
        ADMIN,
        "POST",
        "/v0/pipes",
        &format!("name=by_id&sql=SELECT org FROM {pipe}"),
    );
    assert_eq!(made.status, 200, "{}", made.text());
    let appended = server.ask(
        ADMIN,
        "POST",
        "/v0/pipes/by_id/nodes?name=more",
        &format!("%\nSELECT value, {{{{Int32(x, 1)}}}} AS x FROM {events} WHERE org IN (SELECT org FROM by_id_0)"),
    );
    assert_eq!(appended.status, 200, "{}", appended.text());
    assert_eq!(
        appended.json()["dependencies"],
        json!(["by_id_0", "events"])
    );
    let text = server.get("/v1/pipes/by_id.pipe").text();
    insta::assert_snapshot!(text, @r"
    NODE by_id_0
    SQL >
        SELECT org FROM by_org

    NODE more
    SQL >
        %
        SELECT value, {{Int32(x, 1)}} AS x FROM events WHERE org IN (SELECT org FROM by_id_0)
    ");
    let unknown = format!("SELECT 1 FROM t_{}", "0".repeat(32));
    assert_eq!(server.ask(ADMIN, "POST", "/v0/sql", &unknown).status, 400);
    let row = "{\"org\": 9, \"value\": 1}";
    let taken = server.ask(
        ADMIN,
        "POST",
        &format!("/v0/events?name={events}&wait=true"),
        row,
    );
    assert_eq!(taken.status, 200, "{}", taken.text());
}

#[test]
fn a_pipe_with_its_ending_is_the_pipe_and_its_text_for_who_wants_text() {
    let (_project, server) = started();
    let plain = server.get("/v0/pipes/by_org").json();
    assert_eq!(server.get("/v0/pipes/by_org.pipe").json(), plain);
    let id = id_of(&server, "/v0/pipes/by_org");
    assert_eq!(server.get(&format!("/v0/pipes/{id}.pipe")).json(), plain);
    let bearer = format!("Bearer {ADMIN}");
    let headers = [("Authorization", bearer.as_str()), ("Accept", "text/plain")];
    let text = server.send("GET", "/v0/pipes/by_org.pipe", &headers, b"");
    assert!(text.text().starts_with("NODE n\n"), "{}", text.text());
    assert_eq!(server.get("/v1/pipes/by_org.pipe").text(), text.text());
}

#[test]
fn what_is_empty_or_the_same_is_no_mistake() {
    let (_project, server) = started();
    assert_eq!(server.get("/v0/pipes/by_org.json?q=").json()["rows"], 4);
    let same = server.ask(ADMIN, "PUT", "/v0/pipes/by_org?name=by_org", "");
    assert_eq!(same.status, 200, "{}", same.text());
    assert_eq!(server.ask(ADMIN, "PUT", "/v0/pipes/by_org", "").status, 400);
    let some = server.get("/v0/datasources?attrs=name,engine").json();
    let first = some["datasources"][0].as_object().expect("a data source");
    assert_eq!(first.keys().collect::<Vec<_>>(), ["name", "engine"]);
    let all = server.get("/v0/datasources/events?attrs=").json();
    assert_eq!(all["name"], "events");
    let (set, unset) = (
        "target_datasource=events&schedule_cron=0 0 1 1 *",
        "schedule_cron='None'",
    );
    let copied = "name=copier&sql=select org, value from events";
    assert_eq!(server.ask(ADMIN, "POST", "/v0/pipes", copied).status, 200);
    let path = "/v0/pipes/copier/nodes/copier_0/copy";
    let scheduled = server.ask(ADMIN, "POST", path, set).json();
    assert_eq!(scheduled["schedule"]["cron"], "0 0 1 1 *");
    let answer = server.ask(ADMIN, "PUT", path, unset);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.json().get("schedule").is_none());
}

#[test]
fn a_view_is_made_with_the_query_of_the_request() {
    let (_project, server) = started();
    let sql = "SELECT org, sum(value) AS total FROM events GROUP BY org";
    let made = server.ask(ADMIN, "POST", "/v0/pipes", "name=sums&sql=select 1 as one");
    assert_eq!(made.status, 200, "{}", made.text());
    let path = "/v0/pipes/sums/nodes/sums_0/materialization?datasource=totals&engine=SummingMergeTree&engine_sorting_key=org";
    let view = server.ask(ADMIN, "POST", path, sql).json();
    assert_eq!(view["nodes"][0]["sql"], sql);
    let table = server.get("/v0/datasources/totals").json();
    assert_eq!(table["schema"]["sql_schema"], "`org` Int32, `total` Int64");
    assert_eq!(table["engine"]["engine"], "SummingMergeTree");
}

#[test]
fn a_data_source_that_nothing_uses_is_overridden() {
    let (_project, server) = started();
    let made = server.ask(
        ADMIN,
        "POST",
        "/v0/pipes",
        "name=sums&sql=select org, count() as c from events group by org",
    );
    assert_eq!(made.status, 200, "{}", made.text());
    let (node, other) = (
        "/v0/pipes/sums/nodes/sums_0/materialization",
        id_of(&server, "/v0/datasources/other"),
    );
    // By who may delete it alone.
    let creator = token(&server, "creator", &["PIPES:CREATE"]);
    let wish = "datasource=other&override_datasource=true&populate=true";
    assert_eq!(server.ask(&creator, "POST", node, wish).status, 403);
    let view = server.ask(ADMIN, "POST", node, wish);
    assert_eq!(view.status, 200, "{}", view.text());
    let table = server.get("/v0/datasources/other").json();
    assert_eq!(
        table["schema"]["sql_schema"],
        "`org` Int32, `c` AggregateFunction(count)"
    );
    assert_eq!(table["id"], other);
    let job = view.json()["job"]["id"].as_str().expect("a job").to_owned();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while server.get(&format!("/v0/jobs/{job}")).json()["status"] != "done" {
        assert!(std::time::Instant::now() < until, "the job does not end");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(
        data(
            &server,
            "SELECT countMerge(c) AS c, uniqExact(org) AS orgs FROM other FORMAT JSON"
        ),
        json!([{ "c": 40, "orgs": 4 }])
    );
    // What is used is not put at risk.
    assert_eq!(server.ask(ADMIN, "DELETE", node, "").status, 204);
    let reads = server.ask(
        ADMIN,
        "POST",
        "/v0/pipes",
        "name=reads&sql=select c from other",
    );
    assert_eq!(reads.status, 200);
    let refused = server.ask(ADMIN, "POST", node, wish);
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(refused.text().contains("reads"), "{}", refused.text());
    assert_eq!(
        data(&server, "SELECT countMerge(c) AS c FROM other FORMAT JSON"),
        json!([{ "c": 40 }])
    );
}

#[test]
fn pages_of_other_origins_may_ask_and_heads_have_no_bodies() {
    let (_project, server) = started();
    let headers = [
        ("Origin", "https://shop.example"),
        ("Access-Control-Request-Method", "POST"),
        (
            "Access-Control-Request-Headers",
            "authorization,content-type",
        ),
    ];
    for path in [
        "/v0/pipes/by_org.json",
        "/v0/sql",
        "/v0/events?name=events",
        "/v0/pipes/",
    ] {
        let answer = server.send("OPTIONS", path, &headers, b"");
        assert_eq!(answer.status, 200, "{path}");
        assert!(
            answer.headers.contains("access-control-allow-origin: *")
                && answer
                    .headers
                    .contains("access-control-allow-headers: authorization,content-type")
                && answer.headers.contains("access-control-allow-methods: *"),
            "{path}: {}",
            answer.headers
        );
        assert_eq!(answer.text(), "");
    }
    for path in ["/v0/pipes", "/v0/pipes/by_org", "/v0/pipes/by_org.json"] {
        let answer = server.ask(ADMIN, "HEAD", path, "");
        assert_eq!((answer.status, answer.text().as_str()), (200, ""), "{path}");
    }
}

#[test]
fn a_few_bytes_do_not_become_many() {
    let (_project, server) = started();
    let zeros = vec![0; 1 << 20];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let mut zstd = zstd::stream::Encoder::new(Vec::new(), 1).expect("an encoder");
    for at in 0..256 {
        if at < 64 {
            gzip.write_all(&zeros).expect("memory");
        }
        zstd.write_all(&zeros).expect("memory");
    }
    let gzip = gzip.finish().expect("memory");
    let zstd = zstd.finish().expect("memory");
    assert!(gzip.len() < 100_000 && zstd.len() < 100_000);
    let bearer = format!("Bearer {ADMIN}");
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "application/octet-stream"),
    ];
    let send = |path: &str, body: &[u8]| server.send("POST", path, &headers, body);
    let refused = send("/v0/events?name=events", &gzip);
    assert_eq!(refused.status, 413, "{}", refused.text());
    let refused = send("/v0/datasources?name=events&mode=append&format=csv", &zstd);
    assert_eq!(refused.status, 413, "{}", refused.text());
    assert_eq!(
        data(&server, "SELECT count() AS c FROM events FORMAT JSON"),
        json!([{ "c": 40 }])
    );
    // Rows that are packed well are rows.
    let mut rows = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..50_000 {
        rows.write_all(b"{\"org\": 7, \"value\": 1}\n")
            .expect("memory");
    }
    let taken = send(
        "/v0/events?name=events&wait=true",
        &rows.finish().expect("memory"),
    );
    assert_eq!(
        (taken.status, taken.json()["successful_rows"].clone()),
        (200, json!(50_000))
    );
}

#[test]
fn what_is_unpacked_counts_among_the_bodies() {
    let project = Project::new(&[
        (
            "pipewright.toml",
            "[limits]\nbody_bytes = 100000\nbodies_bytes = 200000\n",
        ),
        (
            "events.datasource",
            "SCHEMA >\n    `org` Int32\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"org\"\n",
        ),
    ]);
    let server = Server::start(&project);
    let mut rows = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..40_000 {
        rows.write_all(b"{\"org\": 7}\n").expect("memory");
    }
    let rows = rows.finish().expect("memory");
    let bearer = format!("Bearer {ADMIN}");
    let headers = [("Authorization", bearer.as_str())];
    // 440,000 bytes would be allowed to one request, but are not there.
    let refused = server.send("POST", "/v0/events?name=events", &headers, &rows);
    assert!(
        matches!(refused.status, 413 | 429),
        "{} {}",
        refused.status,
        refused.text()
    );
    assert_eq!(server.get("/v0/sql?q=select+1").status, 200);
}

#[test]
fn media_types_are_the_same_in_any_letter_case() {
    let (_project, server) = started();
    let bearer = format!("Bearer {ADMIN}");
    let send = |path: &str, kind: &str, body: &str| {
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", kind)];
        server.send("POST", path, &headers, body.as_bytes())
    };
    let form = "Application/X-WWW-Form-Urlencoded";
    let parts = "Multipart/Form-Data; boundary=b";
    let rows = "--b\r\nContent-Disposition: form-data; name=\"csv\"; filename=\"a.csv\"\r\n\r\n1,2\r\n--b--\r\n";
    let files = "--b\r\nContent-Disposition: form-data; name=\"one.pipe\"; filename=\"one.pipe\"\r\n\r\nNODE n\nSQL >\n    SELECT 1\r\n--b--\r\n";
    for (path, kind, body) in [
        ("/v0/pipes", form, "name=cased&sql=select 1"),
        ("/v0/pipes/by_org.json", form, "below=2"),
        ("/v0/datasources", form, "name=cased_rows&schema=a Int32"),
        ("/v0/datasources?name=events&mode=append", parts, rows),
        ("/v1/deploy?check=true", parts, files),
    ] {
        let answer = send(path, kind, body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
}

#[test]
fn no_file_of_a_deploy_is_left_out_in_silence() {
    let (_project, server) = started();
    let bearer = format!("Bearer {ADMIN}");
    let kind = "multipart/form-data; boundary=b";
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", kind)];
    let part = |place: &str, name: &str| {
        format!(
            "--b\r\nContent-Disposition: form-data; name=\"{place}\"{name}\r\n\r\nNODE n\nSQL >\n    SELECT 1\r\n"
        )
    };
    let deploy = |parts: &[String]| {
        let body = format!("{}--b--\r\n", parts.concat());
        let path = "/v1/deploy?check=true";
        let answer = server.send("POST", path, &headers, body.as_bytes());
        (answer.status, answer.text())
    };
    let one = part("data_project://", "; filename=\"one.pipe\"");
    let told = part("context://", "");
    let (status, text) = deploy(&[told, one.clone()]);
    assert_eq!(status, 200, "{text}");
    let (status, text) = deploy(&[one.clone(), part("data_project://", "")]);
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("has no file name"), "{text}");
    let (status, text) = deploy(&[one.clone(), one]);
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("`one.pipe` is sent twice"), "{text}");
}

#[test]
fn what_is_not_allowed_says_what_is() {
    let (_project, server) = started();
    let refused = server.ask(ADMIN, "POST", "/v0/pipes/by_org", "");
    assert_eq!(refused.status, 405, "{}", refused.text());
    assert!(
        refused.headers.contains("\nallow: get, head, put, delete"),
        "{}",
        refused.headers
    );
}
