//! What a user sees of mistakes.

use super::harness::{Project, regex_of, snapshot};

const EVENTS: (&str, &str) = (
    "datasources/events.datasource",
    "SCHEMA >\n    `timestamp` DateTime,\n    `user_id` String\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"timestamp\"\n",
);

fn endpoint(sql: &str) -> String {
    format!("NODE result\nSQL >\n    {sql}\n\nTYPE endpoint\n")
}

#[test]
fn an_unknown_table_is_found_with_a_suggestion() {
    let project = Project::new(&[EVENTS, ("a.pipe", &endpoint("SELECT count() FROM evnets"))]);
    snapshot!("unknown_table", project, ["check"]);
}

#[test]
fn a_cycle_is_shown_as_its_whole_path() {
    let project = Project::new(&[
        ("a.pipe", &endpoint("SELECT * FROM b")),
        ("b.pipe", &endpoint("SELECT * FROM c")),
        ("c.pipe", &endpoint("SELECT * FROM a")),
    ]);
    snapshot!("cycle", project, ["check"]);
}

#[test]
fn two_files_of_one_name_are_both_named() {
    let project = Project::new(&[EVENTS, ("other/events.pipe", &endpoint("SELECT 1 AS one"))]);
    snapshot!("duplicate", project, ["check"]);
}

#[test]
fn what_reaches_outside_is_refused_by_name() {
    let project = Project::new(&[
        ("a.pipe", &endpoint("SELECT * FROM file('/etc/passwd')")),
        ("b.pipe", &endpoint("SELECT 1 SETTINGS readonly = 0")),
        ("c.pipe", &endpoint("DROP TABLE x")),
        ("d.pipe", &endpoint("SELECT 1; SELECT 2")),
        ("e.pipe", &endpoint("SELECT 1 FORMAT JSON")),
        ("f.pipe", &endpoint("SELECT 1 INTO OUTFILE 'x'")),
    ]);
    snapshot!("refused", project, ["check", "--format", "concise"]);
}

#[test]
fn one_bad_file_hides_no_other() {
    let project = Project::new(&[
        EVENTS,
        (
            "a.pipe",
            "NODE x\nSQL >\n    SELECT 'open\n\nNODE\nSQL >\n    SELECT 1\n\nTYPE enpoint\n",
        ),
        ("b.pipe", &endpoint("SELECT * FROM nothing_here")),
        (
            "c.datasource",
            "SCHEMA >\n    a Int32,\n    b Strin,\n    c\n\nENGINE \"MergeTee\"\n",
        ),
        (
            "d.pipe",
            "NODE x\nSQL >\n    %\n    SELECT {{ Strng(a) }} {% if x %}\n\nTYPE endpoint\n",
        ),
    ]);
    snapshot!("many_mistakes", project, ["check"]);
}

#[test]
fn final_on_a_node_is_explained() {
    let project = Project::new(&[
        EVENTS,
        (
            "a.pipe",
            "NODE x\nSQL >\n    SELECT * FROM events\n\nNODE y\nSQL >\n    SELECT * FROM x FINAL\n\nTYPE endpoint\n",
        ),
    ]);
    snapshot!("final_on_node", project, ["check"]);
}

#[test]
fn a_project_with_errors_is_not_built() {
    let project = Project::new(&[("a.pipe", &endpoint("SELECT * FROM nothing"))]);
    snapshot!("build_with_errors", project, ["build"]);
    assert!(!project.path().join("build").exists());
}

#[test]
fn a_missing_parameter_is_named() {
    let project = Project::new(&[
        EVENTS,
        (
            "a.pipe",
            &endpoint(
                "%\n    SELECT * FROM events WHERE user_id = {{ String(user) }} LIMIT {{ Int32(limit, 10) }}",
            ),
        ),
    ]);
    snapshot!("missing_parameter", project, ["compile", "a"]);
    snapshot!(
        "wrong_type",
        project,
        ["compile", "a", "-p", "user=x", "-p", "limit=abc"]
    );
}

#[test]
fn a_folder_of_several_projects_is_told_from_one_with_mistakes() {
    let twice = EVENTS.1;
    let project = Project::new(&[
        EVENTS,
        ("lib/other/datasources/events.datasource", twice),
        ("lib/other/pipes/a.pipe", &endpoint("SELECT 1 AS one")),
    ]);
    let built = project.command(&["build"]).output().expect("it starts");
    let said = String::from_utf8_lossy(&built.stderr);
    assert_eq!(built.status.code(), Some(1), "{said}");
    assert!(
        said.contains("2 projects are in this folder: name the folder of one of them, such as `")
            && said.contains("lib/other`"),
        "{said}"
    );
    let built = project.command(&["build", "lib/other"]).status();
    assert!(built.expect("it starts").success());
}
