//! The command line of the existing service: tags, what it finds out about files and pipes, and what a server of one workspace has none of.

use serde_json::{Value, json};

use super::command_line::Tinybird;
use super::harness::{Project, Server};
use super::tools;

/// The project that is sent to the server.
const SENT: &[(&str, &str)] = &[
    (
        "datasources/visits.datasource",
        "TAGS \"web, sales\"\n\nSCHEMA >\n    `at` DateTime `json:$.at`,\n    `page` String `json:$.page`\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"page\"\n",
    ),
    (
        "datasources/visits_by.datasource",
        "SCHEMA >\n    `page` String,\n    `visits` AggregateFunction(count)\n\nENGINE \"AggregatingMergeTree\"\nENGINE_SORTING_KEY \"page\"\n",
    ),
    (
        "pipes/by_page.pipe",
        "NODE counted\nSQL >\n    SELECT page, countState() AS visits FROM visits GROUP BY page\n\nTYPE materialized\nDATASOURCE visits_by\n",
    ),
    (
        "pipes/top.pipe",
        "TAGS \"web\"\n\nNODE merged\nSQL >\n    SELECT page, countMerge(visits) AS visits FROM visits_by GROUP BY page\n\nTYPE endpoint\n",
    ),
];

const VISITS: &str = "{\"at\":\"2026-01-01 10:00:00\",\"page\":\"/\"}\n{\"at\":\"2026-01-02 10:00:00\",\"page\":\"/more\"}\n";

#[test]
fn the_other_forms_of_the_command_line_work() {
    let program = tools::python().join("tb");
    let served = Project::new(&[(
        "datasources/seed.datasource",
        "SCHEMA >\n    `seed` UInt8\n",
    )]);
    let server = Server::start(&served);
    let sent = Project::new(SENT);
    let tb = Tinybird {
        server: &server,
        folder: sent.path(),
        program,
    };
    tb.run(&["auth"]);
    analyzed(&tb);
    pushed(&tb);
    tagged(&tb);
    looked_at(&tb);
    linked(&tb);
    refused(&tb);
}

fn analyzed(tb: &Tinybird<'_>) {
    std::fs::write(tb.folder.join("visits.ndjson"), VISITS).expect("a file");
    std::fs::write(
        tb.folder.join("plain.csv"),
        "at,page\n2026-01-01 10:00:00,/\n",
    )
    .expect("a file");
    let seen = tb.run(&["datasource", "analyze", "visits.ndjson"]);
    assert!(seen.contains("json:$.page"), "{seen}");
    let seen = tb.run(&["datasource", "analyze", "plain.csv"]);
    assert!(seen.contains("DateTime") && seen.contains("page"), "{seen}");
    tb.run(&["datasource", "generate", "plain.csv", "--force"]);
    let made = tb.folder.join("datasources/plain.datasource");
    let text = std::fs::read_to_string(made).expect("a file");
    assert!(text.contains("page"), "{text}");
    tb.run(&["push", "datasources/plain.datasource"]);
    tb.run(&["datasource", "append", "plain", "plain.csv"]);
    assert_eq!(tb.csv("SELECT count() FROM plain"), "1\n");
}

fn pushed(tb: &Tinybird<'_>) {
    for (file, _) in &SENT[..2] {
        let said = tb.run(&["push", file]);
        assert!(!said.contains("issue updating tags"), "{said}");
    }
    tb.run(&["datasource", "append", "visits", "visits.ndjson"]);
    // The rows of before, and the command waits until they are there.
    let said = tb.run(&[
        "push",
        "pipes/by_page.pipe",
        "pipes/top.pipe",
        "--populate",
        "--wait",
    ]);
    assert!(!said.contains("issue updating tags"), "{said}");
    assert_eq!(tb.csv("SELECT countMerge(visits) FROM visits_by"), "2\n");
}

fn tags(tb: &Tinybird<'_>) -> Value {
    let tags = tb.server.get("/v0/tags").json();
    let named = |resource: &Value| resource["name"].clone();
    tags["tags"]
        .as_array()
        .expect("tags")
        .iter()
        .map(|tag| {
            let resources = tag["resources"].as_array().expect("a list");
            (
                tag["name"].as_str().expect("a name").to_owned(),
                resources.iter().map(named).collect(),
            )
        })
        .collect::<serde_json::Map<String, Value>>()
        .into()
}

fn tagged(tb: &Tinybird<'_>) {
    assert_eq!(
        tags(tb),
        json!({ "sales": ["visits"], "web": ["top", "visits"] })
    );
    // What a file does not have any more goes.
    let path = tb.folder.join("datasources/visits.datasource");
    std::fs::write(&path, SENT[0].1.replace("web, sales", "web, shop")).expect("a file");
    let said = tb.run(&["push", "datasources/visits.datasource", "--force", "--yes"]);
    assert!(!said.contains("issue updating tags"), "{said}");
    assert_eq!(
        tags(tb),
        json!({ "sales": [], "shop": ["visits"], "web": ["top", "visits"] })
    );
    let text = tb.server.get("/v0/datasources/visits.datasource").text();
    assert!(text.starts_with("TAGS \"web, shop\"\n"), "{text}");
    tb.run(&["tag", "create", "later"]);
    let listed = tb.run(&["tag", "ls"]);
    assert!(
        listed.contains("later") && listed.contains("shop"),
        "{listed}"
    );
    let listed = tb.run(&["tag", "ls", "web"]);
    assert!(
        listed.contains("top") && listed.contains("visits"),
        "{listed}"
    );
    for tag in ["later", "sales", "shop"] {
        tb.run(&["tag", "rm", tag, "--yes"]);
    }
    assert_eq!(tags(tb), json!({ "web": ["top", "visits"] }));
    // A pipe that is written anew keeps its tags, and pulls with them.
    tb.run(&["push", "pipes/top.pipe", "--force", "--yes", "--no-check"]);
    assert_eq!(tags(tb), json!({ "web": ["top", "visits"] }));
    let folder = Project::new(&[]);
    tb.run(&["pull", "--folder", &folder.path().display().to_string()]);
    let pulled = folder.path().join("pipes/top.pipe");
    let pulled = std::fs::read_to_string(pulled).expect("a pulled file");
    assert!(pulled.starts_with("TAGS \"web\"\n"), "{pulled}");
}

fn looked_at(tb: &Tinybird<'_>) {
    let said = tb.run(&["check"]);
    assert!(said.contains("processed correctly"), "{said}");
    let said = tb.run(&["diff"]);
    assert!(!said.contains("top.pipe [remote]"), "{said}");
    assert_eq!(tb.server.get("/v0/pipes/top.json").status, 200);
    tb.run(&["pipe", "regression-test", "pipes/top.pipe"]);
    let said = tb.run(&["pipe", "stats", "top"]);
    assert!(said.contains("top"), "{said}");
    let said = tb.run(&["dependencies"]);
    assert!(said.contains("visits_by") && said.contains("top"), "{said}");
    for command in [
        ["workspace", "ls"],
        ["workspace", "current"],
        ["branch", "ls"],
    ] {
        let said = tb.run(&command);
        assert!(
            said.contains("pipewright") || said.contains("main"),
            "{said}"
        );
    }
    tb.run(&["connection", "ls"]);
    tb.run(&["release", "ls"]);
    tb.run(&["auth", "info"]);
    tb.run(&["auth", "ls"]);
}

fn linked(tb: &Tinybird<'_>) {
    tb.run(&["pipe", "unlink", "by_page"]);
    let pipe = tb.server.get("/v0/pipes/by_page").json();
    assert_eq!(pipe["type"], "default");
    tb.run(&["push", "pipes/by_page.pipe", "--force", "--yes"]);
    let pipe = tb.server.get("/v0/pipes/by_page").json();
    assert_eq!(pipe["type"], "materialized");
    tb.run(&[
        "datasource",
        "delete",
        "visits",
        "--sql-condition",
        "page = '/more'",
        "--wait",
        "--yes",
    ]);
    assert_eq!(tb.csv("SELECT page FROM visits"), "\"/\"\n");
}

/// What a server without connections cannot do is said, and changes nothing.
fn refused(tb: &Tinybird<'_>) {
    let sink = "NODE everything\nSQL >\n    SELECT * FROM visits\n\nTYPE sink\nEXPORT_SERVICE s3\nEXPORT_CONNECTION_NAME store\nEXPORT_BUCKET_URI s3://bucket\nEXPORT_FILE_TEMPLATE file\nEXPORT_SCHEDULE @on-demand\n";
    std::fs::write(tb.folder.join("pipes/out.pipe"), sink).expect("a file");
    let done = tb.try_run(&["push", "pipes/out.pipe"]);
    let said = tools::said(&done);
    assert!(
        !done.status.success() && said.contains("`sink` is no type"),
        "{said}"
    );
    assert!(!said.contains("Traceback"), "{said}");
    assert_eq!(tb.server.get("/v0/pipes/out").status, 404);
}
