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

#[test]
#[ignore = "needs a Chromium"]
fn the_page_is_used_with_the_keyboard_at_a_desk_and_on_a_phone() {
    let packages = tools::node();
    let project = Project::new(&[(
        "twice.pipe",
        "NODE n\nSQL >\n    %\n    SELECT {{ Int32(x, 1, description='A number') }} * 2 AS y\nTYPE endpoint\n",
    )]);
    let server = Server::start(&project);
    let seen = script(
        &packages,
        "page.cjs",
        include_str!("page.cjs"),
        &[
            &format!("http://{}/", server.address()),
            ADMIN,
            &browser(),
            &std::env::var("PICTURES").unwrap_or_default(),
        ],
    );
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
