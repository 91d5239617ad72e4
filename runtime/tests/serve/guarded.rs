//! A project whose tables and pipes tokens are made for.

use crate::harness::{ADMIN, Project, Server};

/// Its files.
pub(crate) fn project() -> Project {
    let table = |columns: &str| {
        format!("SCHEMA >\n    {columns}\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"org\"\n")
    };
    Project::new(&[
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
    ])
}

pub(crate) fn started() -> (Project, Server) {
    let project = project();
    let server = Server::start(&project);
    (project, server)
}

/// Makes a token; its secret.
pub(crate) fn token(server: &Server, name: &str, scopes: &[&str]) -> String {
    let escaped = |scope: &&str| scope.replace(' ', "%20").replace('=', "%3D");
    let scopes: Vec<String> = scopes.iter().map(escaped).collect();
    let scopes = scopes.join("&scope=");
    let made = server.ask(
        ADMIN,
        "POST",
        &format!("/v0/tokens/?name={name}&scope={scopes}"),
        "",
    );
    assert_eq!(made.status, 200, "{}", made.text());
    made.json()["token"].as_str().expect("a secret").to_owned()
}
