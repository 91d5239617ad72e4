//! The page at `/` in a real browser, used with the keyboard.

use std::process::Command;

use super::harness::{ADMIN, Project, Server};
use super::packages::script;
use super::tools;

/// Names under which a Chromium may be installed.
const BROWSERS: &[&str] = &[
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
];

fn browser() -> String {
    let found = BROWSERS.iter().find_map(|name| {
        let asked = Command::new("which").arg(name).output().ok()?;
        let path = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
        asked.status.success().then_some(path)
    });
    found.expect("a Chromium is installed, such as Debian's package chromium-headless-shell")
}

/// What the script has seen in the browser.
fn seen(packages: &std::path::Path, server: &Server, what: &str) -> serde_json::Value {
    script(
        packages,
        "page.cjs",
        include_str!("page.cjs"),
        &[
            &format!("http://{}/", server.address()),
            ADMIN,
            &browser(),
            &std::env::var("PICTURES").unwrap_or_default(),
            what,
        ],
    )
}

#[test]
#[ignore = "needs a Chromium"]
fn the_page_is_used_with_the_keyboard_at_a_desk_and_on_a_phone() {
    let packages = tools::node();
    let project = Project::new(&[(
        "twice.pipe",
        "NODE n\nSQL >\n    %\n    SELECT {{ Int32(x, 1, description='A number') }} * 2 AS y\nTYPE endpoint\n",
    )]);
    let server = Server::start(&project);
    let seen = seen(&packages, &server, "");
    for seen in seen.as_array().expect("two widths") {
        assert_eq!(seen["message"], "1 endpoint", "{seen}");
        assert_eq!(
            seen["focus"],
            serde_json::json!([
                "input token",
                "button Show endpoints",
                "summary /v0/pipes/twice.json",
                "input x"
            ]),
            "{seen}"
        );
        assert_eq!(seen["asked"], "GET /v0/pipes/twice.json?x=7", "{seen}");
        assert_eq!(seen["answered"], serde_json::json!([{ "y": 14 }]), "{seen}");
        assert_eq!(seen["tooWide"], false, "{seen}");
        for list in ["errors", "low"] {
            assert_eq!(seen[list], serde_json::json!([]), "{list}: {seen}");
        }
    }
}

#[test]
#[ignore = "needs a Chromium"]
fn one_of_a_hundred_endpoints_is_found_by_a_word() {
    let packages = tools::node();
    let long =
        "a_very_long_name_of_an_endpoint_that_somebody_has_given_because_nobody_stopped_them";
    let fails = "NODE n\nSQL >\n    SELECT throwIf(1) AS y\nTYPE endpoint\n";
    let mut files: Vec<(String, String)> = (0..99)
        .map(|at| {
            (
                format!("report_{at}.pipe"),
                "NODE n\nSQL >\n    SELECT 1 AS y\nTYPE endpoint\n".to_owned(),
            )
        })
        .collect();
    files.push((format!("{long}.pipe"), fails.to_owned()));
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let project = Project::new(&files);
    let server = Server::start(&project);
    let seen = seen(&packages, &server, "many");
    assert_eq!(
        seen,
        serde_json::json!({
            "all": "100 endpoints",
            "focus": "input filter",
            "found": "1 of 100 endpoints",
            "next": format!("summary /v0/pipes/{long}.json"),
            "failed": "failed",
            "tooWide": false,
        })
    );
}
