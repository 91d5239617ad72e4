//! Pipes and nodes are changed: what follows, what is refused, and what is written back.

use insta::assert_snapshot;
use serde_json::json;

use crate::harness::Server;
use crate::pipes_api::{admin, send, shape, started};

#[test]
fn what_is_wrong_is_said_and_changes_nothing() {
    let (_project, server) = started();
    let before = server.get("/v0/pipes?dependencies=true").json();
    let wrong = [
        (
            "POST",
            "/v0/pipes",
            "name=bad&sql=select * from nowhere",
            400,
        ),
        (
            "POST",
            "/v0/pipes",
            "name=bad&sql=select * from numbers(",
            400,
        ),
        (
            "POST",
            "/v0/pipes",
            "name=bad&sql=select * from url('http://x')",
            400,
        ),
        ("POST", "/v0/pipes", "name=two words&sql=select 1", 400),
        (
            "POST",
            "/v0/pipes",
            "name=t_00000000000000000000000000000000&sql=select 1",
            400,
        ),
        ("POST", "/v0/pipes", "name=app_events&sql=select 1", 409),
        ("POST", "/v0/pipes", "sql=select 1", 400),
        ("POST", "/v0/pipes", "name=x", 400),
        ("POST", "/v0/pipes?name=x&from=nowhere", "", 404),
        ("PUT", "/v0/pipes/by_hand?name=app_events", "", 409),
        ("PUT", "/v0/pipes/nowhere?name=x", "", 404),
        ("DELETE", "/v0/pipes/nowhere", "", 404),
        ("GET", "/v0/pipes/nowhere", "", 404),
        ("POST", "/v0/pipes/by_hand/nodes", "", 400),
        ("POST", "/v0/pipes/by_hand/nodes?name=n", "select 1", 409),
        (
            "POST",
            "/v0/pipes/by_hand/nodes?name=app_events",
            "select 1",
            409,
        ),
        (
            "POST",
            "/v0/pipes/by_hand/nodes?type=nothing",
            "select 1",
            400,
        ),
        (
            "POST",
            "/v0/pipes/by_hand/nodes?type=materialized",
            "select 1",
            400,
        ),
        ("POST", "/v0/pipes/nowhere/nodes", "select 1", 404),
        (
            "PUT",
            "/v0/pipes/by_hand/nodes/n",
            "select * from nowhere",
            400,
        ),
        ("PUT", "/v0/pipes/by_hand/nodes/n", "", 400),
        ("PUT", "/v0/pipes/by_hand/nodes/other", "select 1", 404),
        ("DELETE", "/v0/pipes/by_hand/nodes/n", "", 400),
        ("DELETE", "/v0/pipes/by_hand/nodes/other", "", 404),
        ("POST", "/v0/pipes/by_hand/nodes/other/endpoint", "", 400),
        ("DELETE", "/v0/pipes/by_hand/nodes/other/endpoint", "", 400),
        (
            "PUT",
            "/v0/pipes/by_hand/endpoint",
            "t_00000000000000000000000000000000",
            400,
        ),
        ("GET", "/v0/pipes/by_hand/nodes/other/explain", "", 404),
        ("GET", "/v0/pipes/by_hand/explain?org=x", "", 400),
        ("PATCH", "/v0/pipes/by_hand", "", 405),
    ];
    for (method, path, body, status) in wrong {
        let answer = admin(&server, method, path, body);
        assert_eq!(
            answer.status,
            status,
            "{method} {path} {body}: {}",
            answer.text()
        );
        assert!(
            answer.json()["error"]
                .as_str()
                .is_some_and(|error| !error.is_empty())
        );
    }
    assert_eq!(server.get("/v0/pipes?dependencies=true").json(), before);
    assert_snapshot!(
        "wrong_sql",
        shape(&admin(
            &server,
            "POST",
            "/v0/pipes",
            "name=bad&sql=select * from app_event"
        ))
    );
}

#[test]
fn a_rename_is_followed_by_readers_tokens_and_ids() {
    let (_project, server) = started();
    assert_eq!(
        admin(
            &server,
            "POST",
            "/v0/pipes",
            "name=reader_pipe&sql=select by_hand.c from by_hand"
        )
        .status,
        200
    );
    let id = server.get("/v0/pipes/by_hand").json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let renamed = admin(
        &server,
        "PUT",
        "/v0/pipes/by_hand?name=new_name&description=told",
        "",
    );
    assert_snapshot!("rename", shape(&renamed));
    assert_eq!(renamed.json()["id"], json!(id));
    assert_eq!(server.get("/v0/pipes/by_hand").status, 404);
    for reference in [id.as_str(), &format!("t_my_pipe.{}", &id[2..]), "new_name"] {
        assert_eq!(
            server.get(&format!("/v0/pipes/{reference}")).json()["name"],
            "new_name"
        );
    }
    assert_eq!(
        server.get("/v0/pipes/reader_pipe").json()["nodes"][0]["sql"],
        "select by_hand.c from new_name AS by_hand"
    );
    let token = server.get("/v0/tokens/reader").json()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        send(&server, &token, "GET", "/v0/pipes/new_name.json", "").status,
        200
    );
    // The text that was written by hand is as it was, but for what was changed.
    let text = server.get("/v1/pipes/new_name.pipe").text();
    assert!(
        text.contains(
            "# a comment\nTOKEN \"reader\" READ\nNODE n\nSQL >\n    %\n    SELECT   org, count()"
        ),
        "{text}"
    );
    // It cannot go while it is read.
    assert_eq!(
        admin(&server, "DELETE", "/v0/pipes/new_name", "").status,
        409
    );
    assert_eq!(
        admin(&server, "DELETE", "/v0/pipes/reader_pipe", "").status,
        204
    );
    assert_eq!(
        admin(&server, "DELETE", "/v0/pipes/new_name", "").status,
        204
    );
    assert_eq!(server.get("/v0/pipes").json(), json!({ "pipes": [] }));
    // Nor does its token read another of that name.
    assert_eq!(
        admin(&server, "POST", "/v0/pipes", "name=new_name&sql=select 1").status,
        200
    );
    assert_eq!(
        send(&server, &token, "GET", "/v0/pipes/new_name", "").status,
        403
    );
}

#[test]
fn nodes_are_edited_renamed_and_deleted() {
    let (_project, server) = started();
    let appended = admin(
        &server,
        "POST",
        "/v0/pipes/by_hand/nodes?name=second&description=told",
        "select c + 1 as d from n",
    );
    assert_eq!(appended.json()["dependencies"], json!(["n"]));
    let edited = admin(
        &server,
        "PUT",
        "/v0/pipes/by_hand/nodes/n?name=first",
        "select count() as c from app_events",
    );
    assert_snapshot!("edit_node", shape(&edited));
    let nodes = server.get("/v0/pipes/by_hand?attrs=x").json()["nodes"].clone();
    assert_eq!(nodes[1]["sql"], "select c + 1 as d from first");
    assert_eq!(
        (&nodes[1]["id"], nodes[1]["description"].as_str()),
        (&appended.json()["id"], Some("told"))
    );
    assert_eq!(
        server.get("/v0/pipes/by_hand.json").json()["data"],
        json!([{ "c": 48 }])
    );
    let unpublished = admin(
        &server,
        "DELETE",
        "/v0/pipes/by_hand/nodes/first/endpoint",
        "",
    );
    assert_eq!(
        (unpublished.status, unpublished.json()["endpoint"].is_null()),
        (200, true)
    );
    assert_eq!(server.get("/v0/pipes/by_hand.json").status, 404);
    // A node goes although another reads it, and the others go on.
    assert_eq!(
        admin(&server, "DELETE", "/v0/pipes/by_hand/nodes/first", "").status,
        204
    );
    assert_eq!(
        admin(&server, "POST", "/v0/pipes", "name=another&sql=select 1").status,
        200
    );
    assert_eq!(server.get("/v0/sql?q=select+*+from+by_hand").status, 400);
}

#[test]
fn a_node_fills_a_data_source_until_it_is_told_not_to() {
    let (_project, server) = started();
    let made = admin(
        &server,
        "POST",
        "/v0/pipes",
        "name=per_org&sql=select org, sumState(value) as total from app_events group by org",
    );
    assert_eq!(made.status, 200);
    let materialized = admin(
        &server,
        "POST",
        "/v0/pipes/per_org/nodes/per_org_0/materialization",
        "datasource=totals",
    );
    assert_snapshot!("materialize", shape(&materialized));
    assert_eq!(
        admin(
            &server,
            "POST",
            "/v0/pipes/per_org/nodes/per_org_0/materialization",
            "datasource=totals"
        )
        .status,
        400
    );
    assert_eq!(
        admin(
            &server,
            "POST",
            "/v0/pipes/per_org/nodes/per_org_0/endpoint",
            ""
        )
        .status,
        400
    );
    let appended = admin(
        &server,
        "POST",
        "/v0/pipes/by_hand/nodes?type=materialized&datasource=days&engine=MergeTree&engine_sorting_key=day",
        "select toDate(timestamp) as day, value from app_events",
    );
    assert!(
        appended.json()["materialized"]
            .as_str()
            .is_some_and(|id| id.starts_with("t_")),
        "{}",
        appended.text()
    );
    assert_eq!(
        admin(&server, "PUT", "/v0/pipes/per_org?name=renamed", "").status,
        200
    );
    assert_eq!(
        admin(
            &server,
            "DELETE",
            "/v0/pipes/renamed/nodes/per_org_0/materialization",
            ""
        )
        .status,
        204
    );
    assert_eq!(server.get("/v0/pipes/renamed").json()["type"], "default");
    assert_eq!(
        server.get("/v0/sql?q=select+count()+from+totals").status,
        200
    );
}

#[test]
fn what_the_api_made_can_be_pulled_and_compiles_to_the_same() {
    let (project, server) = started();
    for (path, body) in [
        (
            "/v0/pipes",
            "name=made&sql=select org, max(value) as top from app_events group by org",
        ),
        (
            "/v0/pipes/made/nodes?name=last",
            "%\nselect * from made_0 where org = {{Int32(org, 1)}}",
        ),
        ("/v0/pipes/made/nodes/last/endpoint", ""),
        (
            "/v0/pipes/made/nodes?type=materialized&datasource=days&name=by_day",
            "select toDate(timestamp) as day, value from app_events",
        ),
    ] {
        assert_eq!(admin(&server, "POST", path, body).status, 200, "{path}");
    }
    assert_eq!(
        admin(&server, "PUT", "/v0/pipes/by_hand?name=renamed", "").status,
        200
    );
    let ids = server
        .get("/v0/pipes?attrs=id,name,nodes&node_attrs=id,name,sql,materialized")
        .json();
    let pull = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pipewright"));
        let output = command
            .arg("pull")
            .arg(project.path())
            .args(arguments)
            .env("NO_COLOR", "1")
            .output()
            .expect("the binary runs");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    let written = "wrote datasources/days.datasource\nwrote pipes/made.pipe\nwrote renamed.pipe\ndeleted by_hand.pipe\n";
    assert_eq!(pull(&[]), (Some(0), written.to_owned()));
    assert_eq!(pull(&[]), (Some(0), String::new()));
    let text = server.get("/v1/pipes/made.pipe").text();
    assert_eq!(
        std::fs::read_to_string(project.path().join("pipes/made.pipe")).expect("the file"),
        text
    );
    assert_snapshot!("pulled", text);
    // The files alone say the same: nothing of the API's is left over them, and nothing is made anew.
    let (code, messages) = server.interrupt();
    assert_eq!(code, Some(0), "{messages}");
    let server = Server::start(&project);
    assert_eq!(
        server
            .get("/v0/pipes?attrs=id,name,nodes&node_attrs=id,name,sql,materialized")
            .json(),
        ids
    );
    assert!(
        !server.messages().contains("warning"),
        "{}",
        server.messages()
    );
    // A file that both changed is told of, and left alone.
    assert_eq!(
        admin(&server, "PUT", "/v0/pipes/made?description=by+the+API", "").status,
        200
    );
    project.write("pipes/made.pipe", &format!("{text}\n# by hand\n"));
    let (code, _) = pull(&[]);
    assert_eq!(code, Some(1));
    drop(server);
    let server = Server::start(&project);
    assert!(
        server.messages().contains(
            "`pipes/made.pipe` was changed through the API and was changed on disk since"
        ),
        "{}",
        server.messages()
    );
    assert_eq!(
        server.get("/v0/pipes/made").json()["description"],
        "by the API"
    );
    assert_eq!(pull(&["--force"]).0, Some(0));
}
