//! What is said of places: paths that can be opened from where the user stands, and files that are not what they should be.

use std::path::Path;
use std::process::Command;

use super::harness::Project;

const BROKEN: &str = "NODE n\nSQL >\n    SELECT * FROM nothing\n\nTYPE endpoint\n";

/// Runs the binary in a folder: exit code, data, messages.
fn run(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_pipewright"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .envs(variables.iter().copied())
        .env("NO_COLOR", "1")
        .output()
        .expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let code = output.status.code().expect("an exit code");
    (code, text(output.stdout), text(output.stderr))
}

#[test]
fn paths_of_findings_can_be_opened_from_here() {
    let outer = Project::new(&[
        ("inner/pipewright.toml", ""),
        ("inner/endpoints/bad.pipe", BROKEN),
    ]);
    let check = |folder: &Path, arguments: &[&str]| {
        let arguments = [&["check", "--format", "concise"], arguments].concat();
        let (code, out, said) = run(folder, &arguments, &[]);
        assert_eq!(code, 1, "{said}");
        out.split(": ").next().expect("a place").to_owned()
    };
    let inner = outer.path().join("inner");
    assert_eq!(
        check(outer.path(), &["inner"]),
        "inner/endpoints/bad.pipe:3:19"
    );
    assert_eq!(check(&inner, &[]), "endpoints/bad.pipe:3:19");
    assert_eq!(check(&inner, &["."]), "endpoints/bad.pipe:3:19");
    assert_eq!(
        check(&inner.join("endpoints"), &[]),
        "../endpoints/bad.pipe:3:19"
    );
    let elsewhere = tempfile::tempdir().expect("a folder");
    let named = inner.display().to_string();
    assert_eq!(
        check(elsewhere.path(), &[&named]),
        format!("{named}/endpoints/bad.pipe:3:19")
    );
    let (_, out, _) = run(outer.path(), &["check", "inner"], &[]);
    assert!(out.contains("--> inner/endpoints/bad.pipe:3:19"), "{out}");
    let (_, _, said) = run(outer.path(), &["plan", "inner"], &[]);
    assert!(said.contains("--> inner/endpoints/bad.pipe:3:19"), "{said}");
}

#[test]
fn annotations_of_github_are_below_the_repository() {
    let outer = Project::new(&[("inner/endpoints/bad.pipe", BROKEN)]);
    std::fs::create_dir(outer.path().join(".git")).expect("a folder");
    let inner = outer.path().join("inner");
    for (folder, arguments) in [
        (outer.path(), &["check", "inner", "--format", "github"][..]),
        (&inner, &["check", ".", "--format", "github"]),
    ] {
        let (code, out, said) = run(folder, arguments, &[]);
        assert_eq!(code, 1, "{said}");
        assert!(
            out.starts_with("::error file=inner/endpoints/bad.pipe,line=3,"),
            "{out}"
        );
    }
}

#[test]
fn a_library_that_is_none_is_named_with_the_reason() {
    let project = Project::initial();
    project.write("no_library.so", "text");
    let path = project.path().join("no_library.so").display().to_string();
    for arguments in [&["plan"][..], &["sql", "SELECT 1"]] {
        let (code, _, said) = run(project.path(), arguments, &[("PIPEWRIGHT_CHDB", &path)]);
        assert_eq!(code, 2, "{said}");
        assert!(
            said.contains(&path) && said.contains("no libchdb"),
            "{said}"
        );
        // What the system says of it, whichever words those are.
        assert!(!said.trim_end().ends_with("dlopen failed"), "{said}");
        let absent = format!("{path}.gone");
        let (code, _, said) = run(project.path(), arguments, &[("PIPEWRIGHT_CHDB", &absent)]);
        assert_eq!(code, 2, "{said}");
        assert_eq!(
            said,
            format!("error: PIPEWRIGHT_CHDB names `{absent}`, and there is no such file\n")
        );
    }
}

#[test]
fn what_cannot_be_made_is_named() {
    let project = Project::initial();
    // A file where a folder has to be, which also the super-user cannot write into.
    project.write(".pipewright", "");
    for arguments in [&["plan"][..], &["deploy"], &["serve", "--port", "0"]] {
        let (code, _, said) = run(project.path(), arguments, &[]);
        assert_eq!(code, 2, "{said}");
        assert!(said.starts_with("error: cannot make `"), "{said}");
        assert!(said.contains(".pipewright`: "), "{said}");
    }
    let taken = Project::new(&[("datasources", "")]);
    let (code, _, said) = run(taken.path(), &["init"], &[]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("cannot make `./datasources`: "), "{said}");
}

#[test]
fn a_parameter_that_is_not_there_is_said() {
    let project = Project::new(&[(
        "top.pipe",
        "NODE n\nSQL >\n    %\n    SELECT {{ Int8(action, 1) }} AS a\n\nTYPE endpoint\n",
    )]);
    let compile = |value: &str| run(project.path(), &["compile", "top", "-p", value], &[]);
    let (code, out, said) = compile("acton=2");
    assert_eq!(
        (code, said.as_str()),
        (
            0,
            "warning: there is no parameter `acton`; did you mean action?\n"
        )
    );
    assert!(out.contains("toInt8('1')"), "{out}");
    let (code, out, said) = compile("action=2");
    assert_eq!((code, said.as_str()), (0, ""));
    assert!(out.contains("toInt8('2')"), "{out}");
}
