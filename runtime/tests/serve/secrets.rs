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
            "quoted.pipe",
            "NODE result\nSQL >\n    %\n    SELECT toUInt8({{ tb_secret('PW_TEST_BOTH') }}) AS a\n\nTYPE endpoint\n",
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

    // The engine quotes what it cannot read.
    let quoted = server.get("/v0/pipes/quoted.json");
    assert_eq!(quoted.status, 400, "{}", quoted.text());
    assert!(quoted.text().contains("***"), "{}", quoted.text());
    assert!(
        !quoted.text().contains(FROM_ENVIRONMENT),
        "{}",
        quoted.text()
    );

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
fn who_may_read_a_pipe_does_not_read_the_secrets_that_it_binds() {
    let project = Project::new(&[
        (
            ".env.local",
            "key=hush-hush\nlong=\"BEGIN\\nit's \\\\ hush\"\n",
        ),
        (
            "a.datasource",
            "SCHEMA >\n    n UInt8\n\nENGINE MergeTree\nENGINE_SORTING_KEY n\n",
        ),
        (
            "e.pipe",
            "TOKEN reader READ\nNODE result\nSQL >\n    %\n    SELECT 'x' = {{ tb_secret('key') }} AS ok\n\nTYPE endpoint\n",
        ),
        (
            "told.pipe",
            "NODE result\nSQL >\n    %\n    SELECT toUInt8(concat({{ tb_secret('long') }}, {{ String(x, 'a') }})) AS n\n\nTYPE endpoint\n",
        ),
        (
            "filled.pipe",
            "NODE result\nSQL >\n    %\n    SELECT if(length({{ tb_secret('key') }}) = 0, 0, toUInt8({{ tb_secret('key') }})) AS n\n\nTYPE copy\nTARGET_DATASOURCE a\n",
        ),
    ]);
    let server = Server::run(serve(project.path(), &["--admin-token", ADMIN]));
    assert_eq!(server.get("/v0/pipes/e.json").json()["data"][0]["ok"], 0);
    for request in [
        "/v0/sql?q=SELECT%20%7Bkey:String%7D%20AS%20k,*%20FROM%20e",
        "/v0/pipes/e.json?q=SELECT%20%7Bkey:String%7D%20AS%20k,*%20FROM%20_",
    ] {
        let answer = server.get(request);
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(answer.text().contains("nothing binds"), "{}", answer.text());
    }
    let told = server.get("/v0/pipes/told.json");
    assert_eq!(told.status, 400);
    assert!(!told.text().contains("hush"), "{}", told.text());
    let copied = server.ask(ADMIN, "POST", "/v0/pipes/filled/copy", "");
    assert!(!copied.text().contains("hush"), "{}", copied.text());
    let jobs = server.get("/v0/jobs").text();
    assert!(!jobs.contains("hush"), "{jobs}");
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

#[test]
fn stored_secrets_are_taken_at_once_and_after_a_restart_and_never_given_out() {
    let project = project();
    let stored = |arguments: &[&str], value: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipewright"));
        command
            .args(arguments)
            .current_dir(project.path())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let mut stdin = child.stdin.take().expect("a pipe");
        std::io::Write::write_all(&mut stdin, value.as_bytes()).expect("the value is read");
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    let mut seen = Vec::new();
    for (arguments, value, works) in [
        (&["secret", "set", "absent"][..], "kept-secret-one\n", true),
        (&["secret", "set", "from_file"], "kept-secret-two", true),
        (&["secret", "set", "9no"], "kept-secret-three", false),
        (&["secret", "set", "empty"], "\n", false),
        (&["secret", "ls"], "", true),
        (&["secret", "ls", "--format", "json"], "", true),
    ] {
        let (worked, said) = stored(arguments, value);
        assert_eq!(worked, works, "{arguments:?}: {said}");
        seen.push(said);
    }
    assert_eq!(seen[4], "absent\nfrom_file\n");

    let start = || {
        let mut command = serve(project.path(), &["--admin-token", ADMIN]);
        command.env("PIPEWRIGHT_LOG", "trace");
        Server::run(command)
    };
    let server = start();
    let told = |server: &Server| server.get("/v0/pipes/told.json").json()["data"][0].clone();
    assert_eq!(told(&server)["c"], "kept-secret-one");
    assert_eq!(
        told(&server)["a"],
        FROM_FILE,
        "the file wins over the store"
    );

    let send = |method: &str, path: &str, body: &str, token: &str| {
        server.send(
            method,
            path,
            &[
                ("Authorization", &format!("Bearer {token}")),
                ("Content-Type", "application/x-www-form-urlencoded"),
            ],
            body.as_bytes(),
        )
    };
    for (method, path, body, status) in [
        (
            "POST",
            "/v0/variables",
            "name=absent&value=kept-secret-four",
            409,
        ),
        ("PUT", "/v0/variables/absent", "value=kept-secret-five", 200),
        (
            "POST",
            "/v0/variables",
            "name=fresh&value=kept-secret-six&type=secret",
            200,
        ),
        (
            "POST",
            "/v0/variables",
            "name=fresh2&value=kept-secret-six&type=public",
            400,
        ),
        (
            "POST",
            "/v0/variables",
            "name=a-b&value=kept-secret-six",
            400,
        ),
        ("POST", "/v0/variables", "name=without", 400),
        ("PUT", "/v0/variables/nobody", "value=kept-secret-six", 404),
        ("GET", "/v0/variables/fresh", "", 200),
        ("GET", "/v0/variables/nobody", "", 404),
        ("GET", "/v0/variables", "", 200),
    ] {
        let answer = send(method, path, body, ADMIN);
        assert_eq!(
            answer.status,
            status,
            "{method} {path} {body}: {}",
            answer.text()
        );
        seen.push(answer.text());
    }
    let made = send(
        "POST",
        "/v0/tokens/?name=reader&scope=PIPES:READ:told",
        "",
        ADMIN,
    );
    let reader = made.json()["token"].as_str().expect("a token").to_owned();
    for (method, path) in [
        ("GET", "/v0/variables"),
        ("POST", "/v0/variables"),
        ("GET", "/v0/variables/fresh"),
        ("PUT", "/v0/variables/fresh"),
        ("DELETE", "/v0/variables/fresh"),
    ] {
        let answer = send(method, path, "name=x&value=y", &reader);
        assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text());
    }
    let listed = send("GET", "/v0/variables", "", ADMIN).json();
    let mut listed = listed["variables"].as_array().expect("a list").clone();
    for variable in &mut listed {
        for time in ["created_at", "updated_at"] {
            let text = variable[time].as_str().expect("a time").to_owned();
            assert_eq!(text.len(), "2026-01-01T00:00:00".len(), "{text}");
            variable[time] = "…".into();
        }
    }
    let expected = |name: &str, editor: &str| serde_json::json!({ "name": name, "type": "secret", "edited_by": editor, "created_at": "…", "updated_at": "…" });
    assert_eq!(
        listed,
        [
            expected("absent", "token: 'admin token'"),
            expected("fresh", "token: 'admin token'"),
            expected("from_file", "command line"),
        ]
    );
    assert_eq!(told(&server)["c"], "kept-secret-five", "at once");
    let chosen = server.get("/v0/pipes/chosen.json?which=fresh").json();
    assert_eq!(chosen["data"][0]["a"], "kept-secret-six");
    let removed = send("DELETE", "/v0/variables/absent", "", ADMIN);
    assert_eq!(
        (removed.status, removed.json()["ok"].as_bool()),
        (200, Some(true))
    );
    assert_eq!(told(&server)["c"], "default");
    let (code, messages) = server.interrupt();
    assert_eq!(code, Some(0), "{messages}");
    seen.push(messages);

    let (worked, said) = stored(&["secret", "rm", "absent"], "");
    assert!(!worked && said.contains("pipewright secret ls"), "{said}");
    let server = start();
    let chosen = server.get("/v0/pipes/chosen.json?which=fresh").json();
    assert_eq!(chosen["data"][0]["a"], "kept-secret-six", "after a restart");
    for text in seen {
        assert!(!text.contains("kept-secret"), "{text}");
    }
}
