//! Descriptions in Markdown, as they are given and as they come back.

use serde_json::json;

use crate::harness::{ADMIN, Project, Server};

#[test]
fn a_description_comes_back_as_it_was_given() {
    let project = Project::new(&[(
        "one.pipe",
        "NODE n\nSQL >\n    SELECT 1 AS x\nTYPE endpoint\n",
    )]);
    let server = Server::start(&project);
    for text in [
        "plain",
        "text\n# Title\nmore",
        "# Title\n\n## What\n- a # b\n\n    code",
        "# Title only",
        "## h\ntext",
        "a\n\n# b",
        "a\n  # indented\nb",
        "it's\n# a \"quote\"",
    ] {
        let body = json!({ "description": text }).to_string();
        for path in ["/v0/pipes/one", "/v0/pipes/one/nodes/n"] {
            let changed = server.ask(ADMIN, "PUT", path, &body);
            assert_eq!(changed.status, 200, "{path} {text:?}: {}", changed.text());
        }
        let shown = server.get("/v0/pipes/one").json();
        assert_eq!(
            (&shown["description"], &shown["nodes"][0]["description"]),
            (&json!(text), &json!(text))
        );
        let made = json!({ "name": "two", "description": text, "nodes": [{ "name": "m", "sql": "SELECT 1 AS x", "description": text }] });
        let made = server.ask(ADMIN, "POST", "/v0/pipes", &made.to_string());
        assert_eq!(made.status, 200, "{text:?}: {}", made.text());
        let shown = server.get("/v0/pipes/two").json();
        assert_eq!(
            (&shown["description"], &shown["nodes"][0]["description"]),
            (&json!(text), &json!(text))
        );
    }
}
