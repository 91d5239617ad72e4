//! The server describes itself, to each what they may read.

use crate::harness::{ADMIN, Project, Server};

fn started() -> (Project, Server) {
    let project = Project::new(&[
        (
            "seen.pipe",
            "DESCRIPTION Told\nTOKEN \"one\" READ\nNODE n\nSQL >\n    %\n    SELECT {{Int32(x, 1, description='A number', example='3')}} AS x, {{String(kind, 'a', enum=['a', 'b'])}} AS k\nTYPE endpoint\n",
        ),
        (
            "hidden.pipe",
            "NODE n\nSQL >\n    SELECT 1 AS a\nTYPE endpoint\n",
        ),
    ]);
    let server = Server::start(&project);
    (project, server)
}

#[test]
fn the_description_has_what_the_token_may_read_and_the_routes() {
    let (_project, server) = started();
    let one = server.get("/v0/tokens/one").json()["token"]
        .as_str()
        .expect("a secret")
        .to_owned();
    let paths = |path: &str| {
        let answer = server.send("GET", path, &[], b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["paths"]
            .as_object()
            .expect("paths")
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    let endpoints = |path: &str| {
        let is_data = |path: &String| {
            path.starts_with("/v0/pipes/") && path.contains('.') && !path.contains('{')
        };
        paths(path).into_iter().filter(is_data).collect::<Vec<_>>()
    };
    let formats = ["json", "csv", "ndjson", "parquet"];
    assert_eq!(
        endpoints(&format!("/openapi.json?token={one}")),
        formats.map(|format| format!("/v0/pipes/seen.{format}"))
    );
    assert_eq!(endpoints("/openapi.json"), [] as [String; 0]);
    assert_eq!(endpoints("/openapi.json?token=test-admin-token").len(), 8);
    assert!(paths("/openapi.json").contains(&"/v0/pipes/{pipe}/nodes/{node}/endpoint".to_owned()));
    assert_eq!(
        server
            .send("GET", "/openapi.json?token=wrong", &[], b"")
            .status,
        403
    );
    let described = server.get("/openapi.json").json();
    let parameters = &described["paths"]["/v0/pipes/seen.json"]["get"]["parameters"];
    insta::assert_snapshot!(
        "endpoint_parameters",
        serde_json::to_string_pretty(parameters).expect("JSON")
    );
}

#[test]
fn every_described_route_is_there_and_wants_a_token() {
    let (_project, server) = started();
    let described = server.get("/openapi.json").json();
    let mut seen = 0;
    for (path, item) in described["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            let path = path
                .replace("{pipe}", "nothing")
                .replace("{node}", "nothing")
                .replace("{token}", "nothing")
                .replace("{datasource}", "nothing")
                .replace("{job}", "nothing")
                .replace("{variable}", "nothing")
                .replace("{workspace}", "nothing")
                .replace("{tag}", "nothing");
            let refused = server.send(&method.to_uppercase(), &path, &[], b"").status;
            assert_eq!(refused, 403, "{method} {path}");
            let answer = server.send(
                &method.to_uppercase(),
                &path,
                &[("Authorization", "Bearer test-admin-token")],
                b"",
            );
            assert!(
                operation["responses"]
                    .get(answer.status.to_string())
                    .is_some(),
                "{method} {path}: {} {}",
                answer.status,
                answer.text()
            );
            seen += 1;
        }
    }
    assert!(seen > 60, "{seen}");
}

#[test]
fn what_a_route_takes_is_described_in_the_address_and_in_a_form() {
    let (_project, server) = started();
    let described = server.get("/openapi.json").json();
    let paths = &described["paths"];
    let names = |path: &str, method: &str| {
        let parameters = paths[path][method]["parameters"]
            .as_array()
            .unwrap_or_else(|| panic!("{method} {path}"));
        parameters
            .iter()
            .filter_map(|parameter| parameter["name"].as_str().map(ToOwned::to_owned))
            .collect::<Vec<_>>()
    };
    let nodes = names("/v0/pipes/{pipe}/nodes", "post");
    for name in [
        "override_datasource",
        "populate",
        "populate_condition",
        "populate_subset",
        "unlink_on_populate_error",
        "engine_partition_key",
        "engine_version",
        "target_datasource",
    ] {
        let count = nodes.iter().filter(|given| *given == name).count();
        assert_eq!(count, 1, "{name}: {nodes:?}");
    }
    let form = |path: &str| {
        let body = &paths[path]["post"]["requestBody"]["content"];
        let fields = &body["application/x-www-form-urlencoded"]["schema"]["properties"];
        let fields = fields.as_object().unwrap_or_else(|| panic!("{path}"));
        fields.keys().cloned().collect::<Vec<_>>()
    };
    assert!(
        form("/v0/pipes/{pipe}/nodes/{node}/population").contains(&"populate_subset".to_owned())
    );
    assert!(form("/v0/pipes/{pipe}/nodes/{node}/copy").contains(&"target_datasource".to_owned()));
    assert!(form("/v0/pipes/{pipe}/copy").contains(&"_mode".to_owned()));
    assert!(form("/v0/pipes/seen.json").contains(&"kind".to_owned()));
    for status in ["404", "429", "500", "503"] {
        for method in ["get", "post"] {
            let answers = &paths["/v0/pipes/seen.csv"][method]["responses"];
            assert!(answers[status].is_object(), "{method} {status}");
        }
    }
}

#[test]
fn the_page_runs_its_own_script_and_no_other() {
    let (_project, server) = started();
    let page = server.send("GET", "/", &[], b"");
    assert!(
        page.text().contains("<form id=\"token-form\">")
            && page.text().contains("<html lang=\"en\">")
    );
    assert!(
        page.headers
            .contains("content-security-policy: default-src 'none'; script-src 'self'")
    );
    assert!(
        !page.text().contains("seen"),
        "the page itself names no endpoint"
    );
    for (path, kind) in [("/page.js", "text/javascript"), ("/page.css", "text/css")] {
        let asset = server.send("GET", path, &[], b"");
        assert!(
            asset.status == 200
                && asset.headers.contains(kind)
                && !asset.text().contains("innerHTML")
        );
    }
}

#[test]
fn the_page_shows_the_digits_of_an_answer_as_they_came() {
    let (_project, server) = started();
    let script = server.send("GET", "/page.js", &[], b"").text();
    // Only what describes the endpoints is read as JSON, never an answer.
    let asking = script
        .split("const call = ")
        .nth(1)
        .expect("the form's own part");
    let asking = asking.split("\n};").next().expect("its end");
    assert!(asking.contains("await answer.text()"), "{asking}");
    assert!(!asking.contains("JSON."), "{asking}");
}

#[test]
fn the_description_follows_the_project() {
    let (_project, server) = crate::guarded::started();
    let paths = || {
        let described = server.get("/openapi.json").json();
        let paths = described["paths"].as_object().expect("paths").keys();
        let of_pipes = paths.filter(|path| path.starts_with("/v0/pipes/made."));
        of_pipes.count()
    };
    assert_eq!((paths(), paths()), (0, 0));
    let made = server.ask(ADMIN, "POST", "/v0/pipes", "name=made&sql=select 1 as x");
    assert_eq!(made.status, 200, "{}", made.text());
    let publish = "/v0/pipes/made/nodes/made_0/endpoint";
    assert_eq!(server.ask(ADMIN, "POST", publish, "").status, 200);
    assert!(paths() > 0);
    assert_eq!(server.ask(ADMIN, "DELETE", publish, "").status, 200);
    assert_eq!(paths(), 0);
}
