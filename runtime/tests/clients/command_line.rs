//! The command line of the existing service, through the life of a project: sent, read back, filled, queried, changed and taken apart.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::harness::{ADMIN, Project, Server};
use super::tools;

/// The project that is sent to the server.
const SENT: &[(&str, &str)] = &[
    (
        "datasources/hits.datasource",
        "DESCRIPTION >\n    What was asked for\nTOKEN \"tracker\" APPEND\n\nSCHEMA >\n    `at` DateTime `json:$.at`,\n    `page` LowCardinality(String) `json:$.page`,\n    `duration` Nullable(Float32) `json:$.duration`,\n    `size` Int64 `json:$.size` DEFAULT 1\n\nENGINE \"MergeTree\"\nENGINE_PARTITION_KEY \"toYYYYMM(at)\"\nENGINE_SORTING_KEY \"page, at\"\nENGINE_TTL \"at + toIntervalYear(20)\"\n",
    ),
    (
        "datasources/pages.datasource",
        "SCHEMA >\n    `page` String,\n    `owner` String\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"page\"\n",
    ),
    (
        "datasources/hits_by_page.datasource",
        "SCHEMA >\n    `page` LowCardinality(String),\n    `hits` AggregateFunction(count)\n\nENGINE \"AggregatingMergeTree\"\nENGINE_SORTING_KEY \"page\"\n",
    ),
    (
        "datasources/archive.datasource",
        "SCHEMA >\n    `page` LowCardinality(String),\n    `hits` UInt64\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"page\"\n",
    ),
    (
        "pipes/count_by_page.pipe",
        "DESCRIPTION >\n    Hits of each page\n\nNODE by_page\nSQL >\n    SELECT page, countState() AS hits FROM hits GROUP BY page\n\nTYPE materialized\nDATASOURCE hits_by_page\n",
    ),
    (
        "pipes/top_pages.pipe",
        "TOKEN \"dashboard\" READ\n\nNODE counted\nSQL >\n    SELECT page, countMerge(hits) AS hits FROM hits_by_page GROUP BY page\n\nNODE top\nSQL >\n    %\n    SELECT page, owner, hits\n    FROM counted\n    LEFT JOIN pages USING page\n    WHERE hits >= {{ Int32(at_least, 1, description='Fewest hits') }}\n    ORDER BY hits DESC, page\n\nTYPE endpoint\n",
    ),
    (
        "pipes/keep.pipe",
        "NODE all_pages\nSQL >\n    %\n    SELECT page, count() AS hits FROM hits WHERE size >= {{ Int64(size, 0) }} GROUP BY page\n\nTYPE copy\nTARGET_DATASOURCE archive\nCOPY_SCHEDULE 0 3 * * *\nCOPY_MODE replace\n",
    ),
    (
        "pipes/plain.pipe",
        "NODE first\nSQL >\n    SELECT page FROM pages\n",
    ),
];

const HITS: &str = "{\"at\":\"2026-01-01 10:00:00\",\"page\":\"/\",\"size\":10}\n{\"at\":\"2026-01-01 10:00:01\",\"page\":\"/\",\"duration\":1.5}\n{\"at\":\"2026-01-02 10:00:00\",\"page\":\"/more\"}\n";

/// The command line in a folder of its own.
pub(crate) struct Tinybird<'a> {
    pub(crate) server: &'a Server,
    pub(crate) folder: &'a Path,
    pub(crate) program: std::path::PathBuf,
}

impl Tinybird<'_> {
    pub(crate) fn try_run(&self, arguments: &[&str]) -> Output {
        Command::new(&self.program)
            .args(["--host", &format!("http://{}", self.server.address())])
            .args(["--token", ADMIN, "--no-version-warning"])
            .args(arguments)
            .current_dir(self.folder)
            // Nothing but the server is spoken to, and nothing of the user's own is read or written.
            .env("TB_CLI_TELEMETRY_OPTOUT", "1")
            .env("TB_VERSION_WARNING", "0")
            .env("HOME", self.folder)
            .env("COLUMNS", "200")
            .env_remove("TB_TOKEN")
            .env_remove("TB_HOST")
            .output()
            .expect("the command line runs")
    }

    /// Runs a command that has to succeed; what it said.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let done = self.try_run(arguments);
        let said = tools::said(&done);
        assert!(done.status.success(), "tb {arguments:?}: {said}");
        assert!(!said.contains("Traceback"), "tb {arguments:?}: {said}");
        said
    }

    /// What a query answers, as CSV.
    pub(crate) fn csv(&self, sql: &str) -> String {
        let query: String = form_urlencoded::byte_serialize(sql.as_bytes()).collect();
        self.server
            .get(&format!("/v0/sql?q={query}%20FORMAT%20CSV"))
            .text()
    }

    /// Waits for an answer: what is done as a job or after an acknowledgement takes a while.
    fn wait_for(&self, sql: &str, wanted: &str) {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let found = self.csv(sql);
            if found == wanted {
                return;
            }
            assert!(Instant::now() < until, "{sql}: {found}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn names(answer: &Value, list: &str) -> Vec<String> {
    let entries = answer[list].as_array().expect("a list");
    let names = entries.iter().map(|entry| entry["name"].as_str());
    names.flatten().map(ToOwned::to_owned).collect()
}

/// A server that has almost nothing, and a project that it is to get.
fn beginning() -> (Project, Project, Server) {
    let served = Project::new(&[(
        "datasources/seed.datasource",
        "SCHEMA >\n    `seed` UInt8\n",
    )]);
    let server = Server::start(&served);
    (served, Project::new(SENT), server)
}

#[test]
fn a_project_lives_on_the_server() {
    let program = tools::python().join("tb");
    let (_served, sent, server) = beginning();
    let tb = Tinybird {
        server: &server,
        folder: sent.path(),
        program,
    };
    tb.run(&["auth"]);
    assert!(sent.path().join(".tinyb").exists());
    pushed(&tb);
    filled(&tb);
    pulled(&tb);
    changed(&tb);
    jobs(&tb);
    taken_apart(&tb);
}

fn pushed(tb: &Tinybird<'_>) {
    tb.run(&["push", "--push-deps"]);
    assert_eq!(
        names(&tb.server.get("/v0/datasources").json(), "datasources"),
        ["seed", "archive", "hits", "hits_by_page", "pages"]
            .iter()
            .map(ToString::to_string)
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
    );
    let pipes = tb.server.get("/v0/pipes").json();
    let kinds: Vec<String> = pipes["pipes"]
        .as_array()
        .expect("pipes")
        .iter()
        .map(|pipe| format!("{} {}", pipe["name"], pipe["type"]).replace('"', ""))
        .collect();
    // A pipe without a type gets its last node published, as the command line wants it.
    assert_eq!(
        kinds,
        [
            "count_by_page materialized",
            "keep copy",
            "plain endpoint",
            "top_pages endpoint"
        ]
    );
    let keep = tb.server.get("/v0/pipes/keep").json();
    assert_eq!(keep["schedule"]["cron"], "0 3 * * *");
    assert_eq!(keep["copy_mode"], "replace");
    let hits = tb.server.get("/v0/datasources/hits").json();
    assert_eq!(hits["description"], "What was asked for");
    assert_eq!(hits["engine"]["engine_sorting_key"], "page, at");
    let tokens = tb.server.get("/v0/tokens").json();
    for name in ["tracker", "dashboard"] {
        assert!(
            names(&tokens, "tokens").contains(&name.to_owned()),
            "{name}"
        );
    }
    // Once more over what is there: nothing is in the way, and nothing is lost.
    let before = tb.server.get("/v0/pipes/top_pages").json();
    tb.run(&["push", "--push-deps", "--force", "--yes"]);
    let after = tb.server.get("/v0/pipes/top_pages").json();
    assert_eq!(before["id"], after["id"]);
    assert_eq!(before["endpoint"], after["endpoint"]);
}

fn filled(tb: &Tinybird<'_>) {
    std::fs::write(tb.folder.join("hits.ndjson"), HITS).expect("a file");
    std::fs::write(tb.folder.join("pages.csv"), "page,owner\n/,Ada\n/more,Bo\n").expect("a file");
    tb.run(&["datasource", "append", "hits", "hits.ndjson"]);
    tb.run(&["datasource", "append", "pages", "pages.csv"]);
    assert_eq!(tb.csv("SELECT count(), sum(size) FROM hits"), "3,12\n");
    assert_eq!(
        tb.csv("SELECT * FROM pages ORDER BY page"),
        "\"/\",\"Ada\"\n\"/more\",\"Bo\"\n"
    );
    std::fs::write(tb.folder.join("pages.csv"), "page,owner\n/,Cy\n").expect("a file");
    tb.run(&["datasource", "replace", "pages", "pages.csv"]);
    assert_eq!(tb.csv("SELECT * FROM pages"), "\"/\",\"Cy\"\n");
    let listed = tb.run(&["datasource", "ls"]);
    for name in ["archive", "hits", "hits_by_page", "pages", "seed"] {
        assert!(listed.contains(name), "{listed}");
    }
    let answered = tb.run(&["sql", "SELECT count() + 39 AS answer FROM hits"]);
    assert!(
        answered.contains("answer") && answered.contains("42"),
        "{answered}"
    );
    let listed = tb.run(&["pipe", "ls"]);
    assert!(listed.contains("top_pages"), "{listed}");
    let data = tb.run(&["pipe", "data", "top_pages", "--at_least", "2"]);
    assert!(data.contains("Cy") && !data.contains("/more"), "{data}");
    let data = tb.run(&[
        "pipe",
        "data",
        "top_pages",
        "--format",
        "csv",
        "--query",
        "SELECT count() AS pages FROM _",
    ]);
    assert!(data.contains("\"pages\"\n2"), "{data}");
    let listed = tb.run(&["token", "ls"]);
    assert!(
        listed.contains("dashboard") && listed.contains("tracker"),
        "{listed}"
    );
}

/// What is read back compiles, and is what was sent.
fn pulled(tb: &Tinybird<'_>) {
    let folder = Project::new(&[]);
    tb.run(&["pull", "--folder", &folder.path().display().to_string()]);
    let check = Command::new(env!("CARGO_BIN_EXE_pipewright"))
        .arg("check")
        .arg(folder.path())
        .output()
        .expect("the binary runs");
    assert!(check.status.success(), "{}", tools::said(&check));
    for (name, sent) in SENT {
        let pulled = std::fs::read_to_string(folder.path().join(name)).expect("a pulled file");
        // In whatever order and with whatever indentation they come.
        for line in sent
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with("TOKEN"))
        {
            let written = line.replace('"', "").replace(", ", ",");
            let is_there = pulled.lines().any(|line| {
                line.trim()
                    .replace('"', "")
                    .replace(", ", ",")
                    .eq_ignore_ascii_case(&written)
            });
            assert!(is_there, "{name} has no `{line}`:\n{pulled}");
        }
    }
}

fn changed(tb: &Tinybird<'_>) {
    tb.run(&["pipe", "unpublish", "plain"]);
    assert_eq!(tb.server.get("/v0/pipes/plain").json()["type"], "default");
    tb.run(&[
        "pipe",
        "append",
        "plain",
        "SELECT upper(page) AS loud FROM first",
    ]);
    tb.run(&["pipe", "publish", "plain"]);
    assert_eq!(
        tb.server.get("/v0/pipes/plain.csv").text(),
        "\"loud\"\n\"/\"\n"
    );
    tb.run(&[
        "pipe", "copy", "run", "keep", "--param", "size=5", "--wait", "--yes",
    ]);
    assert_eq!(tb.csv("SELECT * FROM archive"), "\"/\",1\n");
    tb.run(&["pipe", "copy", "pause", "keep"]);
    assert_eq!(
        tb.server.get("/v0/pipes/keep").json()["schedule"]["status"],
        "paused"
    );
    tb.run(&["pipe", "copy", "resume", "keep"]);
    assert_eq!(
        tb.server.get("/v0/pipes/keep").json()["schedule"]["status"],
        "running"
    );
    tb.run(&["datasource", "truncate", "hits_by_page", "--yes"]);
    assert_eq!(tb.csv("SELECT count() FROM hits_by_page"), "0\n");
    tb.run(&["pipe", "populate", "count_by_page", "--wait"]);
    tb.wait_for("SELECT countMerge(hits) FROM hits_by_page", "3\n");
    let listed = tb.run(&["dependencies"]);
    assert!(
        listed.contains("hits_by_page") && listed.contains("top_pages"),
        "{listed}"
    );
    // A column more, and another description: what was there keeps its rows.
    let path = tb.folder.join("datasources/pages.datasource");
    std::fs::write(&path, "DESCRIPTION >\n    Whose they are\n\nSCHEMA >\n    `page` String,\n    `owner` String,\n    `since` UInt16 DEFAULT 2000\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"page\"\n").expect("a file");
    tb.run(&["push", "datasources/pages.datasource", "--force", "--yes"]);
    assert_eq!(tb.csv("SELECT * FROM pages"), "\"/\",\"Cy\",2000\n");
    assert_eq!(
        tb.server.get("/v0/datasources/pages").json()["description"],
        "Whose they are"
    );
}

fn jobs(tb: &Tinybird<'_>) {
    let listed = tb.run(&["job", "ls"]);
    let jobs = tb.server.get("/v0/jobs").json();
    let done = jobs["jobs"][0]["id"].as_str().expect("a job").to_owned();
    assert!(listed.contains(&done), "{listed}");
    let details = tb.run(&["job", "details", &done]);
    assert!(details.contains(&done), "{details}");
    let refused = tb.try_run(&["job", "cancel", &done]);
    assert!(!refused.status.success(), "it has ended");
    // One that would take for ever.
    std::fs::write(tb.folder.join("pipes/forever.pipe"), "NODE endless\nSQL >\n    SELECT toLowCardinality(toString(number)) AS page, sum(number) AS hits FROM numbers(1000000000000) GROUP BY page LIMIT 1\n\nTYPE copy\nTARGET_DATASOURCE archive\nCOPY_SCHEDULE @on-demand\n").expect("a file");
    tb.run(&["push", "pipes/forever.pipe"]);
    tb.run(&["pipe", "copy", "run", "forever", "--yes"]);
    let jobs = tb.server.get("/v0/jobs").json();
    let running = jobs["jobs"]
        .as_array()
        .expect("jobs")
        .iter()
        .find(|job| job["is_cancellable"] == true);
    let running = running.expect("the copy")["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    tb.run(&["job", "cancel", &running]);
    let until = Instant::now() + Duration::from_secs(30);
    while tb.server.get(&format!("/v0/jobs/{running}")).json()["status"] != "cancelled" {
        assert!(Instant::now() < until, "it goes on");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn taken_apart(tb: &Tinybird<'_>) {
    let refused = tb.try_run(&["datasource", "rm", "hits", "--yes"]);
    assert!(!refused.status.success(), "pipes read it");
    for pipe in ["forever", "keep", "top_pages", "count_by_page", "plain"] {
        tb.run(&["pipe", "rm", pipe, "--yes"]);
    }
    for datasource in ["hits", "pages", "hits_by_page", "archive"] {
        tb.run(&["datasource", "rm", datasource, "--yes"]);
    }
    assert_eq!(
        names(&tb.server.get("/v0/pipes").json(), "pipes"),
        [] as [&str; 0]
    );
    assert_eq!(
        names(&tb.server.get("/v0/datasources").json(), "datasources"),
        ["seed"]
    );
}
