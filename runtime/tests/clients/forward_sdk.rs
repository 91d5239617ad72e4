//! The npm package in which projects for Forward are written in TypeScript: its command line deploys what it makes of them.

use std::path::Path;
use std::process::{Command, Output};

use super::harness::{ADMIN, Project, Server};
use super::tools;

const SOURCE: &str = r#"
import { defineDatasource, defineEndpoint, engine, node, p, t } from "@tinybirdco/sdk";

export const visits = defineDatasource("visits", {
  schema: { kind: t.string(), visits: t.int64() },
  engine: engine.mergeTree({ sortingKey: ["kind"] }),
});

export const byKind = defineEndpoint("by_kind", {
  params: { least: p.int64().optional(0) },
  nodes: [
    node({
      name: "summed",
      sql: "SELECT kind, sum(visits) AS total FROM visits WHERE visits >= {{Int64(least, 0)}} GROUP BY kind",
    }),
  ],
  output: { kind: t.string(), total: t.int64() },
});
"#;

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let program = folder.join("node_modules/@tinybirdco/sdk/bin/tinybird.js");
    Command::new("node")
        .arg(program)
        .args(arguments)
        .current_dir(folder)
        // Nothing but the server is spoken to, and nothing of the user's own is read or written.
        .env("HOME", folder)
        .env("TINYBIRD_TOKEN", ADMIN)
        .env("NO_COLOR", "1")
        .output()
        .expect("node runs")
}

fn ran(folder: &Path, arguments: &[&str]) -> String {
    let done = run(folder, arguments);
    let said = tools::said(&done);
    assert!(done.status.success(), "{arguments:?}: {said}");
    said
}

#[test]
fn a_project_in_typescript_is_deployed() {
    let packages = tools::node();
    let served = Project::new(&[("pipewright.toml", "")]);
    let server = Server::start(&served);
    let settings = format!(
        "{{\"include\": [\"src/project.ts\"], \"token\": \"${{TINYBIRD_TOKEN}}\", \"baseUrl\": \"http://{}\", \"devMode\": \"branch\"}}",
        server.address()
    );
    let written = Project::new(&[
        ("package.json", "{\"private\": true, \"type\": \"module\"}"),
        ("tinybird.config.json", &settings),
        ("src/project.ts", SOURCE),
    ]);
    let folder = written.path();
    let modules = packages.join("node_modules");
    std::os::unix::fs::symlink(modules, folder.join("node_modules")).expect("a link");
    let said = ran(folder, &["info"]);
    assert!(said.contains("pipewright"), "{said}");
    let said = ran(folder, &["deploy", "--check"]);
    assert!(said.contains("validated"), "{said}");
    assert_eq!(server.get("/v0/pipes/by_kind.json").status, 404);
    let said = ran(folder, &["deploy"]);
    assert!(said.contains("Deployment #2 is live!"), "{said}");
    assert!(
        said.contains("visits") && said.contains("by_kind"),
        "{said}"
    );
    assert_eq!(server.get("/v0/pipes/by_kind.json").status, 200);
    let said = ran(folder, &["deploy"]);
    assert!(said.contains("No changes"), "{said}");
    // An endpoint that goes is asked about here, too.
    written.write(
        "src/project.ts",
        &SOURCE.replace("\"by_kind\"", "\"of_kinds\""),
    );
    let done = run(folder, &["deploy"]);
    let said = tools::said(&done);
    assert!(!done.status.success(), "{said}");
    assert!(said.contains("endpoint by_kind goes"), "{said}");
    let said = ran(folder, &["deploy", "--allow-destructive-operations"]);
    assert!(said.contains("is live!"), "{said}");
    assert_eq!(server.get("/v0/pipes/of_kinds.json").status, 200);
    // What is wrong is said where it is.
    written.write(
        "src/project.ts",
        &SOURCE.replace("FROM visits", "FROM vists"),
    );
    let done = run(folder, &["deploy", "--check"]);
    let said = tools::said(&done);
    assert!(!done.status.success() && said.contains("`vists`"), "{said}");
}
