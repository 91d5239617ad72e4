//! `diff`: what callers of endpoints would notice.

use std::path::Path;
use std::process::Command;

use pipewright::engine;

use super::harness::{Project, regex_of, snapshot};

const WEB: (&str, &str) = (
    "web.datasource",
    "SCHEMA >\n    `day` Date,\n    `user` String,\n    `hits` UInt32\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"day\"\n",
);

fn endpoint(sql: &str) -> String {
    format!("NODE n\nSQL >\n    %\n    {sql}\n\nTYPE endpoint\n")
}

/// A folder with two versions of a project.
fn versions() -> Project {
    let project = Project::new(&[]);
    let old = [
        (
            "daily",
            "SELECT day, sum(hits) AS hits, any(user) AS someone FROM web WHERE user = {{ String(user, 'x') }} GROUP BY day",
        ),
        ("gone", "SELECT count() AS n FROM web"),
        ("same", "SELECT day FROM web"),
    ];
    let new = [
        (
            "daily",
            "SELECT day, toString(sum(hits)) AS hits FROM web WHERE user = {{ String(user, required=True) }} GROUP BY day",
        ),
        ("more", "SELECT user FROM web"),
        ("same", "SELECT day, hits FROM web"),
    ];
    for (folder, pipes) in [("old", old), ("new", new)] {
        project.write(&format!("{folder}/{}", WEB.0), WEB.1);
        for (name, sql) in pipes {
            project.write(&format!("{folder}/{name}.pipe"), &endpoint(sql));
        }
    }
    project
}

/// Runs git, or anything else that has to work.
fn git(folder: &Path, arguments: &[&str]) {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["-c", "user.name=a", "-c", "user.email=a@example.com"])
        .args(arguments)
        .output()
        .expect("git is installed");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// The binary with the folders of programs that it may call.
fn with_path(project: &Project, arguments: &[&str]) -> Command {
    let mut command = project.command(arguments);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

#[test]
fn folders_are_compared_by_names_without_an_engine() {
    let project = versions();
    snapshot!("diff", project, ["diff", "old", "new", "--no-engine"]);
    snapshot!(
        "diff_json",
        project,
        ["diff", "old", "new", "--no-engine", "--format", "json"]
    );
    snapshot!(
        "diff_github",
        project,
        ["diff", "old", "new", "--no-engine", "--format", "github"]
    );
    snapshot!(
        "diff_of_nothing",
        project,
        ["diff", "old", "old", "--no-engine"]
    );
}

#[test]
fn types_are_compared_by_the_engine() {
    let library = engine::locate().expect("the engine is installed: `cargo run -- engine install`");
    let project = versions();
    let output = project
        .command(&["diff", "old", "new"])
        .env("PIPEWRIGHT_CHDB", library)
        .output()
        .expect("the binary runs");
    let text = String::from_utf8(output.stdout).expect("text");
    insta::assert_snapshot!(text, @r"
    breaking
      `daily` no longer gives column `someone`
      column `hits` of `daily` is `String` and was `UInt64`
      parameter `user` of `daily` must be given now
      endpoint `gone` is gone

    not breaking
      endpoint `more` is new
      `same` gives a new column `hits`
    ");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_version_is_no_change_to_itself() {
    let library = engine::locate().expect("the engine is installed: `cargo run -- engine install`");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    for folder in std::fs::read_dir(examples).expect("the examples are there") {
        let folder = folder.expect("an example").path();
        let name = folder.to_str().expect("a path of letters");
        let output = Project::new(&[])
            .command(&["diff", name, name])
            .env("PIPEWRIGHT_CHDB", &library)
            .output()
            .expect("the binary runs");
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{name}");
        assert!(said.contains("notice no difference"), "{name}: {said}");
        assert_eq!(output.status.code(), Some(0), "{name}");
    }
}

#[test]
fn revisions_of_a_repository_are_compared() {
    let project = Project::new(&[]);
    // The project lies in a folder of the repository, beside other things.
    project.write("readme.md", "other things");
    project.write(&format!("analytics/{}", WEB.0), WEB.1);
    project.write(
        "analytics/daily.pipe",
        &endpoint("SELECT day, user FROM web"),
    );
    git(project.path(), &["init", "--quiet"]);
    git(project.path(), &["add", "."]);
    git(project.path(), &["commit", "--quiet", "-m", "first"]);
    git(project.path(), &["tag", "first"]);
    project.write("analytics/daily.pipe", &endpoint("SELECT day FROM web"));
    git(project.path(), &["commit", "--quiet", "-am", "second"]);
    project.write(
        "analytics/daily.pipe",
        &endpoint("SELECT day, hits FROM web"),
    );
    let run = |arguments: &[&str]| {
        let all = [
            &["--project", "analytics", "diff", "--no-engine"],
            arguments,
        ]
        .concat();
        let output = with_path(&project, &all).output().expect("the binary runs");
        let stdout = String::from_utf8(output.stdout).expect("text");
        let stderr = String::from_utf8(output.stderr).expect("text");
        let code = output.status.code().expect("an exit code");
        (stdout, stderr, code)
    };
    assert_eq!(
        run(&["first", "HEAD"]),
        (
            "breaking\n  `daily` no longer gives column `user`\n".to_owned(),
            "types are not compared, only names of columns: `--no-engine`\n1 breaking change, 0 changes that are not\n".to_owned(),
            1
        )
    );
    let (stdout, _, code) = run(&["HEAD"]);
    assert_eq!(
        (stdout.as_str(), code),
        ("not breaking\n  `daily` gives a new column `hits`\n", 0)
    );
    let (_, stderr, code) = run(&["nowhere"]);
    assert!(
        stderr.contains("`nowhere` is neither a folder nor a revision of this repository"),
        "{stderr}"
    );
    assert_eq!(code, 2);
    // Nothing in the repository has changed but what was written above.
    let status = Command::new("git")
        .arg("-C")
        .arg(project.path())
        .args(["status", "--porcelain"])
        .output()
        .expect("git runs");
    assert_eq!(
        String::from_utf8_lossy(&status.stdout),
        " M analytics/daily.pipe\n"
    );
}

#[test]
fn what_a_revision_needs_is_said_where_it_is_missing() {
    let project = versions();
    let mut command = project.command(&["diff", "main"]);
    let missing = command.env("PATH", project.path()).output();
    let missing = missing.expect("the binary runs");
    let said = String::from_utf8(missing.stderr).expect("text");
    // No program is found there.
    assert!(said.contains("git is not installed"), "{said}");
    assert_eq!(missing.status.code(), Some(2));
    let output = with_path(&project, &["diff", "main"]).output();
    let output = output.expect("the binary runs");
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("is in no git repository"), "{said}");
    assert_eq!(output.status.code(), Some(2));
}
