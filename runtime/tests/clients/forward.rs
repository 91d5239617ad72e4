//! The command line for Forward: a project is deployed, staged, promoted, discarded, filled and asked.

use std::path::Path;
use std::process::{Command, Output};

use super::harness::{ADMIN, Project, Server};
use super::tools;

const EVENTS: &str = "SCHEMA >\n    `id` Int64 `json:$.id`,\n    `kind` Nullable(String) `json:$.kind`\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";

fn top(order: &str) -> String {
    format!(
        "TOKEN \"dashboard\" READ\n\nNODE counted\nSQL >\n    %\n    SELECT kind, count() AS hits FROM events WHERE kind != {{{{ String(without, 'none') }}}} GROUP BY kind ORDER BY kind {order}\n\nTYPE endpoint\n"
    )
}

/// The command line in the folder of a project.
struct Forward<'a> {
    server: &'a Server,
    folder: &'a Path,
    program: std::path::PathBuf,
}

impl Forward<'_> {
    fn try_run(&self, arguments: &[&str]) -> Output {
        let command = Command::new(&self.program)
            .args(["--cloud", "--host", &self.address("")])
            .args(["--token", ADMIN])
            .args(arguments)
            .current_dir(self.folder)
            // Nothing but the server is spoken to, and nothing of the user's own is read or written.
            .env("TB_CLI_TELEMETRY_OPTOUT", "1")
            .env("TB_VERSION_WARNING", "0")
            .env("HOME", self.folder)
            .env("COLUMNS", "200")
            .env_remove("TB_TOKEN")
            .env_remove("TB_HOST")
            .output();
        command.expect("the command line runs")
    }

    /// Runs a command that has to succeed; what it said.
    fn run(&self, arguments: &[&str]) -> String {
        let done = self.try_run(arguments);
        let said = tools::said(&done);
        assert!(done.status.success(), "tb {arguments:?}: {said}");
        assert!(!said.contains("Traceback"), "tb {arguments:?}: {said}");
        said
    }

    /// Runs a command that has to fail; what it said.
    fn refused(&self, arguments: &[&str]) -> String {
        let done = self.try_run(arguments);
        let said = tools::said(&done);
        assert!(!done.status.success(), "tb {arguments:?}: {said}");
        assert!(!said.contains("Traceback"), "tb {arguments:?}: {said}");
        said
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.join(name), text).expect("a file");
    }

    fn address(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }

    fn count(&self) -> String {
        let query = "/v0/sql?q=SELECT%20count()%20FROM%20events%20FORMAT%20CSV";
        self.server.get(query).text()
    }
}

#[test]
fn the_command_line_for_forward_deploys() {
    let program = tools::python_of_forward().join("tb");
    let served = Project::new(&[("pipewright.toml", "[limits]\nrequests_per_second = 500\n")]);
    let server = Server::start(&served);
    let sent = Project::new(&[
        ("datasources/events.datasource", EVENTS),
        ("endpoints/top.pipe", &top("")),
    ]);
    let tb = Forward {
        server: &server,
        folder: sent.path(),
        program,
    };
    deployed(&tb);
    filled(&tb);
    staged(&tb);
    discarded(&tb);
    refused(&tb);
    failed(&tb);
}

fn deployed(tb: &Forward<'_>) {
    let said = tb.run(&["deploy", "--check"]);
    assert!(said.contains("Deployment is valid"), "{said}");
    for word in [
        "datasources/events.datasource",
        "endpoints/top.pipe",
        "dashboard",
    ] {
        assert!(said.contains(word), "{said}");
    }
    assert_eq!(tb.server.get("/v0/pipes/top.json").status, 404);
    let said = tb.run(&["deploy"]);
    assert!(said.contains("Deployment #2 is live!"), "{said}");
    assert!(said.contains("endpoints/top.pipe"), "{said}");
    assert_eq!(tb.server.get("/v0/pipes/top.json").status, 200);
    let said = tb.run(&["deploy"]);
    assert!(said.contains("No changes"), "{said}");
    let said = tb.run(&["workspace", "current"]);
    assert!(said.contains("pipewright"), "{said}");
    let said = tb.run(&["deployment", "ls"]);
    assert!(said.contains("Live") && !said.contains("Deleted"), "{said}");
    let said = tb.run(&["deployment", "ls", "--include-deleted"]);
    assert!(said.contains("Live") && said.contains("Deleted"), "{said}");
}

fn filled(tb: &Forward<'_>) {
    tb.write(
        "rows.ndjson",
        "{\"id\":1,\"kind\":\"a\"}\n{\"id\":2,\"kind\":\"b\"}\n",
    );
    tb.write("rows.csv", "id,kind\n3,b\n");
    for file in ["rows.ndjson", "rows.csv"] {
        let said = tb.run(&["datasource", "append", "events", "--file", file]);
        assert!(!said.contains('✗'), "{said}");
    }
    assert_eq!(tb.count(), "3\n");
    let said = tb.run(&["endpoint", "url", "top"]);
    let address = tb.address("/v0/pipes/top.json?without=none&token=");
    assert!(said.contains(&address), "{said}");
    let path = said
        .trim()
        .strip_prefix(&tb.address(""))
        .expect("an address");
    let answer = tb.server.send("GET", path, &[], b"");
    assert_eq!(answer.json()["rows"], 2, "{}", answer.text());
    let said = tb.run(&["endpoint", "ls"]);
    assert!(said.contains(&address), "{said}");
    let said = tb.run(&["endpoint", "data", "top", "--without", "a"]);
    assert!(said.contains('b') && !said.contains("| a "), "{said}");
}

fn first_kind(tb: &Forward<'_>) -> String {
    let answer = tb.server.get("/v0/pipes/top.json").json();
    answer["data"][0]["kind"]
        .as_str()
        .expect("a kind")
        .to_owned()
}

/// A version that is to wait does, and answers only when it is told to.
fn staged(tb: &Forward<'_>) {
    tb.write("endpoints/top.pipe", &top("DESC"));
    let fresh = "NODE n\nSQL >\n    SELECT 'made with it' AS said\n\nTYPE endpoint\n";
    tb.write("endpoints/fresh.pipe", fresh);
    let said = tb.run(&["deployment", "create", "--wait"]);
    assert!(said.contains("won't be auto-promoted"), "{said}");
    assert!(said.contains("Deployment is ready"), "{said}");
    assert_eq!(first_kind(tb), "a");
    let said = tb.run(&["deployment", "ls"]);
    assert!(said.contains("Live") && said.contains("Staging"), "{said}");
    // What the client adds to its requests for a version that waits.
    let path = "/v0/pipes/top.json?__tb__deployment=staging";
    let answer = tb.server.get(path);
    assert_eq!(answer.json()["data"][0]["kind"], "b", "{}", answer.text());
    asked_by_the_client(tb);
    let said = tb.run(&["deployment", "promote", "--wait"]);
    assert!(said.contains("is live!"), "{said}");
    assert_eq!(first_kind(tb), "b");
}

/// With `--staging`, the client asks the version that waits; rows and changes go to the one in force, and not by way of the other.
fn asked_by_the_client(tb: &Forward<'_>) {
    let place = |said: &str, kind: &str| said.find(&format!("\"kind\": \"{kind}\""));
    for (waits, flags) in [(false, &[][..]), (true, &["--staging"])] {
        let asked = |arguments: &[&str]| tb.run(&[flags, arguments].concat());
        let said = asked(&["endpoint", "data", "top", "--format", "json"]);
        let is_turned = place(&said, "b") < place(&said, "a");
        assert_eq!(is_turned, waits, "{said}");
        assert!(place(&said, "a").is_some(), "{said}");
        let said = asked(&["sql", "SELECT kind AS first FROM top LIMIT 1"]);
        let first = if waits { 'b' } else { 'a' };
        assert!(
            said.lines()
                .any(|line| line.trim_matches(['|', ' ']).trim() == first.to_string()),
            "{said}"
        );
        let said = asked(&["endpoint", "url", "top"]);
        let start = said.find("/v0/pipes/top.json").expect("an address");
        let path = said[start..].lines().next().expect("an address").trim();
        let answer = tb.server.send("GET", path, &[], b"").json();
        assert_eq!(answer["data"][0]["kind"], first.to_string(), "{path}");
    }
    let said = tb.run(&["--staging", "endpoint", "data", "fresh"]);
    assert!(said.contains("made with it"), "{said}");
    let said = tb.refused(&["endpoint", "data", "fresh"]);
    assert!(said.contains("fresh"), "{said}");
    let (before, rows) = (tb.count(), ["events", "--file", "rows.csv"]);
    let said = tb.refused(&[&["--staging", "datasource", "append"][..], &rows].concat());
    assert!(said.contains("version in force"), "{said}");
    let said = tb.refused(&["--staging", "datasource", "truncate", "events", "--yes"]);
    assert!(said.contains("version in force"), "{said}");
    assert_eq!(tb.count(), before);
}

fn discarded(tb: &Forward<'_>) {
    tb.write("endpoints/top.pipe", &top("ASC"));
    tb.run(&["deployment", "create", "--wait"]);
    let said = tb.run(&["deployment", "discard", "--wait"]);
    assert!(said.contains("successfully completed"), "{said}");
    let said = tb.run(&["deployment", "ls"]);
    assert!(!said.contains("Staging"), "{said}");
    let said = tb.refused(&["deployment", "promote"]);
    assert!(said.contains("Only one deployment"), "{said}");
    assert_eq!(first_kind(tb), "b");
    // The settings of the server are none of this client's.
    let files = tb.server.get("/v1/deployments?include_deleted=true").json();
    assert_eq!(files["deployments"].as_array().map(Vec::len), Some(4));
    assert!(tb.run(&["deploy"]).contains("is live!"));
    assert_eq!(first_kind(tb), "a");
}

fn refused(tb: &Forward<'_>) {
    let moved = tb.folder.join("endpoints/other.pipe");
    std::fs::rename(tb.folder.join("endpoints/top.pipe"), &moved).expect("a file");
    let said = tb.refused(&["deploy"]);
    assert!(said.contains("endpoint top goes"), "{said}");
    assert_eq!(tb.server.get("/v0/pipes/top.json").status, 200);
    let said = tb.run(&["deploy", "--allow-destructive-operations"]);
    assert!(said.contains("is live!"), "{said}");
    assert_eq!(tb.server.get("/v0/pipes/top.json").status, 404);
    assert_eq!(tb.server.get("/v0/pipes/other.json").status, 200);
    let broken = top("").replace("FROM events", "FROM evnts");
    tb.write("endpoints/other.pipe", &broken);
    for arguments in [&["deploy"][..], &["deploy", "--check"]] {
        let said = tb.refused(arguments);
        assert!(said.contains("endpoints/other.pipe:6:"), "{said}");
        assert!(said.contains("evnts"), "{said}");
    }
    tb.write("endpoints/other.pipe", &top(""));
}

/// What fails while it is under way ends the command, with why.
fn failed(tb: &Forward<'_>) {
    tb.write("rows.ndjson", "{\"id\":4}\n");
    tb.run(&["datasource", "append", "events", "--file", "rows.ndjson"]);
    let plain = EVENTS.replace("Nullable(String)", "String");
    tb.write("datasources/events.datasource", &plain);
    let said = tb.refused(&["deploy"]);
    assert!(said.contains("Deployment failed"), "{said}");
    assert!(said.contains("column `kind` has NULLs"), "{said}");
    assert_eq!(tb.count(), "4\n");
}
