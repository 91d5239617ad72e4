//! Commands on a project that is as it should be.

use super::harness::{Project, regex_of, snapshot};

#[test]
fn help_names_every_command() {
    snapshot!("help", Project::new(&[]), ["--help"]);
}

#[test]
fn init_makes_a_project_that_checks() {
    let project = Project::new(&[]);
    snapshot!("init", project, ["init"]);
    snapshot!("check", project, ["check"]);
    snapshot!("check_json", project, ["check", "--format", "json"]);
}

#[test]
fn init_overwrites_nothing() {
    let project = Project::initial();
    project.write("datasources/events.datasource", "mine");
    snapshot!("init_again", project, ["init"]);
    assert_eq!(project.read("datasources/events.datasource"), "mine");
}

#[test]
fn compile_prints_the_sql_for_the_given_parameters() {
    let project = Project::initial();
    snapshot!("compile", project, ["compile", "events_per_day"]);
    snapshot!(
        "compile_parameter",
        project,
        ["compile", "events_per_day", "-p", "action=it's"]
    );
    snapshot!(
        "compile_node",
        project,
        ["compile", "events_per_day.filtered"]
    );
    snapshot!("compile_unknown", project, ["compile", "events_per_dya"]);
}

#[test]
fn explain_shows_parameters_nodes_tables_and_sql() {
    snapshot!("explain", Project::initial(), ["explain", "events_per_day"]);
}

#[test]
fn build_writes_the_artifacts_and_builds_the_same_from_them() {
    let project = Project::initial();
    snapshot!("build", project, ["build"]);
    let first = project.read("build/manifest.json");
    snapshot!(
        "build_of_a_build",
        project,
        ["build", "build", "--out", "again"]
    );
    assert_eq!(first, project.read("again/manifest.json"));
    assert_eq!(
        project.read("build/ddl/001_events.sql"),
        project.read("again/ddl/001_events.sql")
    );
}

#[test]
fn rule_shows_pages_and_lists_them() {
    let project = Project::new(&[]);
    snapshot!("rules", project, ["rule"]);
    snapshot!("rule", project, ["rule", "view-with-union"]);
    snapshot!(
        "rule_json",
        project,
        ["rule", "missing-merge", "--format", "json"]
    );
    snapshot!("rule_unknown", project, ["rule", "missing-marge"]);
    snapshot!("rule_of_a_code", project, ["rule", "unknown-column"]);
}

#[test]
fn a_rule_s_level_is_set_by_the_settings() {
    let project = Project::new(&[
        (
            "old.datasource",
            "SCHEMA >\n    `day` Date,\n    `user` Nullable(String)\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"day, user\"\n",
        ),
        (
            "pipewright.toml",
            "[lints]\nnullable-key = \"error\"\nunused-datasource = \"off\"\nnullable-keys = \"error\"\n",
        ),
    ]);
    snapshot!("rule_as_an_error", project, ["check"]);
}

#[test]
fn debug_prints_each_stage() {
    let project = Project::initial();
    snapshot!(
        "debug_syntax",
        project,
        ["debug", "syntax", "endpoints/events_per_day.pipe"]
    );
    snapshot!("debug_project", project, ["debug", "project"]);
    snapshot!("debug_graph", project, ["debug", "graph"]);
}

#[test]
fn usage_errors_exit_with_two() {
    snapshot!("usage", Project::new(&[]), ["chekc"]);
    snapshot!("no_such_folder", Project::new(&[]), ["check", "nowhere"]);
}

#[test]
fn check_build_and_compile_never_look_at_the_engine() {
    let project = Project::initial();
    for arguments in [
        &["check"][..],
        &["build"],
        &["compile", "events_per_day"],
        &["explain", "events_per_day"],
    ] {
        let mut command = project.command(arguments);
        command.env("PIPEWRIGHT_CHDB", "/nowhere/libchdb.so");
        assert!(
            command.output().expect("the binary runs").status.success(),
            "{arguments:?}"
        );
    }
    let mut command = project.command(&["sql", "SELECT 1"]);
    command.env("PIPEWRIGHT_CHDB", "/nowhere/libchdb.so");
    let output = command.output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(2), "a query needs the engine");
    // Nothing is fetched in the place of what somebody names.
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        said,
        "error: PIPEWRIGHT_CHDB names `/nowhere/libchdb.so`, and there is no such file\n"
    );
}

#[test]
fn rules_of_the_optimizer_can_be_turned_off() {
    let project = Project::initial();
    snapshot!(
        "compile_no_optimize",
        project,
        ["compile", "events_per_day", "--no-optimize"]
    );
    snapshot!(
        "compile_without_rule",
        project,
        [
            "compile",
            "events_per_day",
            "--without-rule",
            "merge-chains",
            "--without-rule",
            "constant-conditions"
        ]
    );
    snapshot!(
        "compile_unknown_rule",
        project,
        ["compile", "events_per_day", "--without-rule", "merge-chain"]
    );
    project.write("pipewright.toml", "[optimize]\nwithout = [\"merge\"]\n");
    snapshot!("check_unknown_rule", project, ["check"]);
}

#[test]
fn explain_is_also_for_machines() {
    snapshot!(
        "explain_json",
        Project::initial(),
        [
            "explain",
            "events_per_day",
            "--format",
            "json",
            "--no-engine"
        ]
    );
}

#[test]
fn a_budget_without_engine_or_data_is_no_check() {
    let project = Project::initial();
    snapshot!("budget_none", project, ["check", "--budget"]);
    project.write("pipewright.toml", "[budget]\nendpoint = 10\n");
    snapshot!("budget_no_engine", project, ["check", "--budget"]);
}

#[test]
fn a_file_in_the_folder_is_no_table() {
    let library = pipewright::engine::locate()
        .expect("the engine is installed: `cargo run -- engine install`");
    let project = Project::new(&[
        ("t.datasource", "SCHEMA >\n    `id` Int32\n"),
        ("secretfile", "{\"id\":1}\n"),
    ]);
    for query in [
        "SELECT 1 IN default.secretfile",
        "SELECT 1 IN (`default`.`secretfile`)",
        "SELECT globalIn(1, default.secretfile)",
        "SELECT notIn(1, default.secretfile) FROM t AS default",
        "SELECT 1 IN (SELECT id FROM default.secretfile)",
        "SELECT * FROM default.secretfile",
        "DESCRIBE default.secretfile",
        "WITH default AS (SELECT 1 AS secretfile) SELECT 1 IN default.secretfile",
    ] {
        let output = project
            .command(&["sql", query])
            .env("PIPEWRIGHT_CHDB", &library)
            .output()
            .expect("the binary runs");
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.stdout, b"", "{query}");
        assert!(said.contains("is not in this project"), "{query}: {said}");
    }
}

#[test]
fn a_query_has_its_secrets_its_settings_and_its_limits() {
    let library = pipewright::engine::locate()
        .expect("the engine is installed: `cargo run -- engine install`");
    let project = Project::new(&[
        (
            "sec.pipe",
            "NODE n\nSQL >\n    %\n    SELECT {{tb_secret('key')}} = 'hush' AS known\nTYPE endpoint\n",
        ),
        ("pipewright.toml", "[limits]\nrows_read = 1000\n"),
    ]);
    let run = |arguments: &[&str], variables: &[(&str, &str)]| {
        let output = project
            .command(arguments)
            .envs(variables.iter().copied())
            .env("PIPEWRIGHT_CHDB", &library)
            .output()
            .expect("the binary runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let csv = ["sql", "SELECT * FROM sec", "--format", "CSV"];
    assert_eq!(run(&csv, &[("key", "hush")]).1, "1\n");
    let many = ["sql", "SELECT sum(number) FROM numbers(100000) FORMAT CSV;"];
    let (code, _, said) = run(&many, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("TOO_MANY_ROWS"), "{said}");
}
