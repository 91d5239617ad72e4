//! Secrets are bound, and their values are nowhere but in the answers that select them.

use std::process::Command;

use super::harness::{ADMIN, Project, Server, serve};

/// The value of the secret from the file: what would break out of quotes if it were ever written into SQL.
const FROM_FILE: &str = "hush' -- \\ %";
const FROM_ENVIRONMENT: &str = "whisper-from-the-environment";

fn project() -> Project {
    Project::new(&[
        (
            ".env.local",
            "# Not for the repository.\nfrom_file=\"hush' -- \\\\ %\"\nPW_TEST_BOTH=of the file\nunnamed=never-read\n",
        ),
        (
            "told.pipe",
            "NODE result\nSQL >\n    %\n    SELECT {{ tb_secret('from_file') }} AS a, {{ tb_var('PW_TEST_BOTH') }} AS b, {{ tb_secret('absent', 'default') }} AS c\n\nTYPE endpoint\n",
        ),
        (
            "broken.pipe",
            "NODE result\nSQL >\n    %\n    SELECT {{ tb_secret('from_file') }} AS a, throwIf(1) AS b\n\nTYPE endpoint\n",
        ),
        (
            "chosen.pipe",
            "NODE result\nSQL >\n    %\n    SELECT {{ tb_secret(which, 'nothing') }} AS a\n\nTYPE endpoint\n",
        ),
    ])
}

#[test]
fn secrets_from_the_file_and_the_environment_are_bound_and_never_shown() {
    let project = project();
    let mut command = serve(project.path(), &["--admin-token", ADMIN]);
    command
        .env("PW_TEST_BOTH", FROM_ENVIRONMENT)
        .env("PIPEWRIGHT_LOG", "trace");
    let server = Server::run(command);
    let told = server.get("/v0/pipes/told.json");
    assert_eq!(told.status, 200, "{}", told.text());
    let row = &told.json()["data"][0];
    assert_eq!(row["a"], FROM_FILE);
    assert_eq!(
        row["b"], FROM_ENVIRONMENT,
        "the environment wins over the file"
    );
    assert_eq!(row["c"], "default");

    // A request can only choose among the secrets that the project names itself.
    for (which, expected) in [
        ("from_file", FROM_FILE),
        ("unnamed", "nothing"),
        ("PATH", "nothing"),
    ] {
        let chosen = server.get(&format!("/v0/pipes/chosen.json?which={which}"));
        assert_eq!(chosen.json()["data"][0]["a"], expected, "{which}");
    }

    let broken = server.get("/v0/pipes/broken.json");
    assert_ne!(broken.status, 200);
    let explained = server.get("/v0/pipes/told/explain");
    assert_eq!(explained.status, 200, "{}", explained.text());
    let mut seen = vec![broken.text(), explained.text()];
    let listed = server.get("/v0/pipes/told");
    seen.push(listed.text());
    let (code, messages) = server.interrupt();
    assert_eq!(code, Some(0), "{messages}");
    seen.push(messages);
    for arguments in [
        &["compile", "told"][..],
        &["explain", "told"],
        &["build", "--out", "built"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_pipewright"))
            .args(arguments)
            .current_dir(project.path())
            .env("PW_TEST_BOTH", FROM_ENVIRONMENT)
            .output()
            .expect("the binary runs");
        seen.push(String::from_utf8_lossy(&output.stdout).into_owned());
        seen.push(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    for path in files(&project.path().join("built")) {
        seen.push(std::fs::read_to_string(path).expect("an artifact is text"));
    }
    assert!(seen.iter().any(|text| text.contains("{from_file: String}")));
    for text in seen {
        for value in ["hush", "whisper", "of the file", "never-read"] {
            assert!(!text.contains(value), "{value} is in:\n{text}");
        }
    }
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "nothing was built");
    found
}

#[test]
fn a_broken_line_is_named_without_what_is_on_it() {
    let project = project();
    project.write(".env.local", "fine=1\nhush-hush\n");
    let output = serve(project.path(), &[])
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_ne!(output.status.code(), Some(0));
    assert!(
        said.contains("line 2 of") && !said.contains("hush"),
        "{said}"
    );
}
