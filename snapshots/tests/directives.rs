//! What becomes of directives: one small project for each row of COMPATIBILITY.md that no other test covers. From the text to the findings and the DDL, without an engine.

use std::fmt::Write as _;

use insta::assert_snapshot;
use pipewright_compiler::deploy;
use pipewright_compiler::diagnostics::render;
use pipewright_compiler::plan::Plan;
use pipewright_compiler::project::SourceTree;
use pipewright_grammar::diagnostic::{Diagnostic, Severity};
use pipewright_grammar::parse_pipe;
use pipewright_grammar::source::{SourceFile, SourceId};

fn check(files: &[(&str, &str)]) -> (Plan, Vec<Diagnostic>) {
    let files = files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    pipewright_compiler::check(SourceTree::new(files))
}

/// The findings of a project, one on a line.
fn findings(files: &[(&str, &str)]) -> String {
    let (plan, diagnostics) = check(files);
    render::concise(&diagnostics, plan.project.sources.files())
}

/// The statements that an empty engine needs for a project without errors.
fn ddl(files: &[(&str, &str)]) -> String {
    let (plan, mut diagnostics) = check(files);
    diagnostics.retain(|found| found.severity == Severity::Error);
    assert_eq!(
        render::concise(&diagnostics, plan.project.sources.files()),
        ""
    );
    let (steps, diagnostics) = deploy::desired(&plan);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let mut text = String::new();
    for step in steps {
        _ = writeln!(text, "{}", step.sql);
    }
    text
}

/// The role of each node of a pipe.
fn roles(files: &[(&str, &str)], pipe: &str) -> String {
    let (plan, _) = check(files);
    let pipe = plan.pipe(pipe).expect("the project has the pipe");
    let roles: Vec<String> = pipe
        .nodes
        .iter()
        .map(|node| format!("{}: {:?}", node.id.node, node.role))
        .collect();
    roles.join("\n")
}

const TABLE: (&str, &str) = ("t.datasource", "SCHEMA >\n    a Int32\n");

#[test]
fn pipe_directives_without_effect_are_read_in_silence() {
    let pipe = "DESCRIPTION >\n    Kept.\nTOKEN writer APPEND\nTAGS \"a, team=web\"\nVERSION 2\nMAINTAINER \"someone\"\nSOURCE \"a note\"\nFROM elsewhere\n\nNODE first\nFILTER org = 1\nRESOURCE events\nSQL >\n    SELECT 1 AS one\nTYPE standard\n\nNODE second\nSQL >\n    SELECT * FROM first\nTYPE\n";
    let copy = "NODE n\nSQL >\n    SELECT 1 AS a\nTYPE copy\nTARGET_DATASOURCE t\nON_DEMAND_COMPUTE true\n";
    assert_eq!(findings(&[TABLE, ("a.pipe", pipe), ("c.pipe", copy)]), "");
    assert_snapshot!(roles(&[("a.pipe", pipe)], "a"), @r"
    first: Standard
    second: Standard
    ");
}

#[test]
fn sinks_and_streams_are_kept_with_a_note() {
    let keys = "EXPORT_CONNECTION_NAME c\nEXPORT_SCHEDULE \"0 * * * *\"\nEXPORT_BUCKET_URI s3://b/p\nEXPORT_FILE_TEMPLATE f\nEXPORT_FORMAT csv\nEXPORT_COMPRESSION gz\nEXPORT_WRITE_STRATEGY new\nEXPORT_STRATEGY \"@new\"\nEXPORT_SERVICE s3\n";
    let sink = format!("NODE n\nSQL >\n    SELECT 1 AS one\nTYPE sink\n{keys}");
    let stream = "NODE n\nSQL >\n    SELECT 1 AS one\nTYPE stream\n";
    assert_snapshot!(findings(&[("sink.pipe", &sink), ("stream.pipe", stream)]), @r"
    sink.pipe:1:6: note[needs-external-system]: node `n` exports to another system and is not run here
    sink.pipe:5:24: warning[unsupported-connector]: there is no `c.connection` in this project
    stream.pipe:1:6: note[needs-external-system]: node `n` exports to another system and is not run here
    ");
}

#[test]
fn copies_have_a_target_a_schedule_and_a_mode() {
    let copy = |keys: &str| {
        let pipe =
            format!("NODE n\nSQL >\n    SELECT 1 AS a\nTYPE copy\nTARGET_DATASOURCE t\n{keys}");
        roles(&[TABLE, ("c.pipe", &pipe)], "c")
    };
    assert_snapshot!(copy(""), @r#"n: Copy { target: ResourceName { workspace: None, name: "t" }, schedule: OnDemand, mode: Append }"#);
    assert_snapshot!(copy("COPY_SCHEDULE @on-demand\nCOPY_MODE append\n"), @r#"n: Copy { target: ResourceName { workspace: None, name: "t" }, schedule: OnDemand, mode: Append }"#);
    assert_snapshot!(copy("COPY_SCHEDULE \"15 2 * * *\"\nMODE replace\n"), @r#"n: Copy { target: ResourceName { workspace: None, name: "t" }, schedule: Cron("15 2 * * *"), mode: Replace }"#);
}

#[test]
fn a_schedule_that_is_neither_on_demand_nor_cron_is_refused() {
    let copy = |schedule: &str| {
        let pipe = format!(
            "NODE n\nSQL >\n    SELECT 1 AS a\nTYPE copy\nTARGET_DATASOURCE t\nCOPY_SCHEDULE {schedule}\n"
        );
        findings(&[TABLE, ("c.pipe", &pipe)])
    };
    assert_snapshot!(copy("@daily"), @"c.pipe:6:15: error[bad-schedule]: `@daily` is not a schedule");
    assert_snapshot!(copy("99 99 * * *"), @"c.pipe:6:15: error[bad-schedule]: field 1 (the minute) of the schedule `99 99 * * *` is `99`, which is none of 0-59");
    assert_snapshot!(copy("0 0 30 2 *"), @"c.pipe:6:15: error[bad-schedule]: the schedule `0 0 30 2 *` never comes");
    assert_snapshot!(copy("{{ tb_secret(\"when\") }}"), @r#"c.pipe:6:15: error[bad-schedule]: `{{ tb_secret("when") }}` is not a schedule"#);
}

#[test]
fn a_target_must_be_named_and_a_copy_needs_one_that_exists() {
    let pipe = |keys: &str| format!("NODE n\nSQL >\n    SELECT 1 AS a\n{keys}");
    assert_snapshot!(findings(&[
        ("a.pipe", &pipe("TYPE materialized\n")),
        ("b.pipe", &pipe("TYPE copy\n")),
        ("c.pipe", &pipe("TYPE copy\nTARGET_DATASOURCE nothing\n")),
    ]), @r"
    a.pipe:1:6: error[bad-target]: node `n` does not say which data source it fills
    b.pipe:1:6: error[bad-target]: node `n` does not say which data source it fills
    c.pipe:5:19: error[bad-target]: data source `nothing` does not exist in this project
    ");
}

#[test]
fn a_materialized_node_makes_its_target_when_no_file_does() {
    let pipe = "NODE n\nSQL >\n    SELECT a, count() AS c FROM t GROUP BY a\nTYPE materialized\nDATASOURCE made\nENGINE \"SummingMergeTree\"\nENGINE_SORTING_KEY \"a\"\n";
    assert_snapshot!(ddl(&[TABLE, ("m.pipe", pipe)]), @r"
    CREATE TABLE IF NOT EXISTS t
    (
        a Int32
    )
    ENGINE = MergeTree
    ORDER BY tuple()
    CREATE TABLE IF NOT EXISTS made
    ENGINE = SummingMergeTree
    ORDER BY (a)
    EMPTY AS
    SELECT a, count() AS c FROM t GROUP BY a
    CREATE MATERIALIZED VIEW IF NOT EXISTS mv__m__n TO made AS
    SELECT a, count() AS c FROM t GROUP BY a
    ");
}

#[test]
fn engines_and_their_keys_become_ddl() {
    let table = |keys: &str| {
        let text = format!("SCHEMA >\n    a Int32, s Int8, v UInt8, d UInt8\n{keys}");
        let ddl = ddl(&[("t.datasource", &text)]);
        let clauses = ddl.split_once(")\n").expect("columns end").1;
        clauses.trim_end().replace('\n', " ")
    };
    let shown: Vec<String> = [
        "",
        "ENGINE \"mergetree\"\nENGINE_PARTITION_KEY \"a % 2\"\nENGINE_SORTING_KEY \"a, s\"\nENGINE_PRIMARY_KEY \"a\"\nENGINE_SAMPLING_KEY \"s\"\nENGINE_TTL \"toDate(a) + INTERVAL 1 DAY\"\nENGINE_SETTINGS \"index_granularity = 32\"\n",
        "ENGINE MergeTree\nENGINE_PARTITION_KEY \"\"\nENGINE_TTL \"\"\nENGINE_SORTING_KEY tuple()\n",
        "ENGINE ReplacingMergeTree\nENGINE_SORTING_KEY a\n",
        "ENGINE ReplacingMergeTree\nENGINE_SORTING_KEY a\nENGINE_VER v\nENGINE_IS_DELETED d\n",
        "ENGINE SummingMergeTree\nENGINE_SORTING_KEY a\nENGINE_COLUMNS \"s, v\"\n",
        "ENGINE AggregatingMergeTree\nENGINE_SORTING_KEY a\n",
        "ENGINE CollapsingMergeTree\nENGINE_SORTING_KEY a\nENGINE_SIGN s\n",
        "ENGINE VersionedCollapsingMergeTree\nENGINE_SORTING_KEY a\nENGINE_SIGN s\nENGINE_VERSION v\n",
        "ENGINE Null\nENGINE_SORTING_KEY a\n",
        "ENGINE ReplicatedMergeTree('path', 'name')\nENGINE_SORTING_KEY a\n",
    ]
    .iter()
    .map(|keys| table(keys))
    .collect();
    assert_snapshot!(shown.join("\n"), @r"
    ENGINE = MergeTree ORDER BY tuple()
    ENGINE = MergeTree PARTITION BY (a % 2) PRIMARY KEY (a) ORDER BY (a, s) SAMPLE BY (s) TTL toDate(a) + INTERVAL 1 DAY SETTINGS index_granularity = 32
    ENGINE = MergeTree ORDER BY tuple()
    ENGINE = ReplacingMergeTree ORDER BY (a)
    ENGINE = ReplacingMergeTree(v, d) ORDER BY (a)
    ENGINE = SummingMergeTree((s, v)) ORDER BY (a)
    ENGINE = AggregatingMergeTree ORDER BY (a) SETTINGS allow_dimensions_outside_sorting_key = 1
    ENGINE = CollapsingMergeTree(s) ORDER BY (a)
    ENGINE = VersionedCollapsingMergeTree(s, v) ORDER BY (a)
    ENGINE = Null
    ENGINE = MergeTree ORDER BY (a)
    ");
}

#[test]
fn engines_that_lack_something_are_refused() {
    let table = |keys: &str| {
        findings(&[(
            "t.datasource",
            &format!("SCHEMA >\n    a Int32, s Int8\nTAGS x\n{keys}"),
        )])
    };
    assert_snapshot!(table("ENGINE Log\n"), @"t.datasource:4:8: error[bad-engine]: there is no engine `Log` for data sources");
    assert_snapshot!(table("ENGINE ReplacingMergeTree\nENGINE_IS_DELETED s\n"), @"t.datasource:5:1: error[bad-engine]: `ENGINE_IS_DELETED` needs `ENGINE_VER` as well");
    assert_snapshot!(table("ENGINE CollapsingMergeTree\n"), @"t.datasource:4:8: error[bad-engine]: CollapsingMergeTree needs `ENGINE_SIGN`");
    assert_snapshot!(table("ENGINE VersionedCollapsingMergeTree\nENGINE_SIGN s\n"), @"t.datasource:4:8: error[bad-engine]: VersionedCollapsingMergeTree needs `ENGINE_VERSION`");
    assert_snapshot!(table("ENGINE SummingMergeTree\nENGINE_COLUMNS \"s, x\"\n"), @"t.datasource:5:17: error[bad-engine]: `x` is no column of this data source");
    assert_snapshot!(table("ENGINE \"ReplacingMergeTree(a)\"\n"), @"t.datasource:4:9: error[bad-engine]: the arguments of `ReplacingMergeTree(a)` are not read");
    assert_snapshot!(table("ENGINE \"ReplacingMergeTree(a)\"\nENGINE_VER s\n"), @"t.datasource:4:9: error[bad-engine]: the arguments of `ReplacingMergeTree(a)` are not read");
    assert_snapshot!(table("ENGINE \"ReplacingMergeTree(a)\"\nENGINE_VER a\n"), @"");
    assert_snapshot!(table("ENGINE \"ReplicatedSummingMergeTree('/path', '{replica}', (a, s))\"\n"), @"t.datasource:4:9: error[bad-engine]: the arguments of `ReplicatedSummingMergeTree('/path', '{replica}', (a, s))` are not read");
    assert_snapshot!(table("ENGINE \"MergeTree(a, 8192)\"\n"), @"t.datasource:4:9: error[bad-engine]: the arguments of `MergeTree(a, 8192)` are not read");
    assert_snapshot!(table("ENGINE \"MergeTree()\"\nENGINE_SORTING_KEY \"a -- the key\"\n"), @"t.datasource:5:21: error[sql-not-allowed]: `ENGINE_SORTING_KEY` cannot stand in the definition of a table: a comment stands at its end");
    assert_snapshot!(table("ENGINE MergeTree\nENGINE_SHARDS 2\n"), @"t.datasource:5:1: error[unknown-directive]: unknown directive `ENGINE_SHARDS`");
}

#[test]
fn keys_of_data_sources_without_effect_are_told() {
    let keys = "SHARED_WITH \"w\"\nBACKFILL skip\nVERSION 1\nMAINTAINER \"someone\"\nPARTITION_KEY a\nSORTING_KEY a\nPRIMARY_KEY a\nSAMPLING_KEY a\nTTL \"a\"\nKAFKA_STORE_BINARY_HEADERS True\nKAFKA_TARGET_PARTITIONS 3\nIMPORT_STRATEGY append\n";
    let text = format!("SCHEMA >\n    a Int32\nENGINE \"MergeTree\"\n{keys}");
    assert_snapshot!(findings(&[("t.datasource", &text)]), @r"
    t.datasource:8:1: note[ignored-key]: `PARTITION_KEY` has no effect
    t.datasource:9:1: note[ignored-key]: `SORTING_KEY` has no effect
    t.datasource:10:1: note[ignored-key]: `PRIMARY_KEY` has no effect
    t.datasource:11:1: note[ignored-key]: `SAMPLING_KEY` has no effect
    t.datasource:12:1: note[ignored-key]: `TTL` has no effect
    t.datasource:13:1: note[ignored-key]: `KAFKA_STORE_BINARY_HEADERS` has no effect
    t.datasource:14:1: note[ignored-key]: `KAFKA_TARGET_PARTITIONS` has no effect
    t.datasource:15:1: note[ignored-key]: `IMPORT_STRATEGY` has no effect
    ");
    assert_snapshot!(ddl(&[("t.datasource", &text)]), @r"
    CREATE TABLE IF NOT EXISTS t
    (
        a Int32
    )
    ENGINE = MergeTree
    ORDER BY tuple()
    ");
}

#[test]
fn connections_and_token_files_are_read_in_silence() {
    let keys = "KAFKA_BOOTSTRAP_SERVERS h:1\nKAFKA_KEY k\nKAFKA_SECRET s\nKAFKA_SECURITY_PROTOCOL plaintext\nKAFKA_SASL_MECHANISM PLAIN\nKAFKA_SASL_OAUTHBEARER_METHOD m\nKAFKA_SASL_OAUTHBEARER_AWS_REGION r\nKAFKA_SASL_OAUTHBEARER_AWS_ROLE_ARN r\nKAFKA_SASL_OAUTHBEARER_AWS_EXTERNAL_ID i\nKAFKA_SCHEMA_REGISTRY_URL u\nKAFKA_KEY_AVRO_DESERIALIZATION x\nKAFKA_SSL_CA_PEM x\nS3_REGION r\nS3_ARN a\nS3_ACCESS_KEY k\nS3_SECRET s\nDYNAMODB_ARN a\nDYNAMODB_REGION r\nGCS_SERVICE_ACCOUNT_CREDENTIALS_JSON {}\nGCS_HMAC_ACCESS_ID i\nGCS_HMAC_SECRET s\nPG_HOST h\nPG_PORT 1\nPG_DATABASE d\nPG_USER u\nPG_PASSWORD p\nPG_SSL_MODE m\n";
    for kind in ["kafka", "s3", "gcs", "dynamodb", "postgres"] {
        let text = format!("DESCRIPTION x\nTYPE {kind}\n{keys}");
        assert_eq!(findings(&[("c.connection", &text)]), "", "{kind}");
    }
    let token =
        "DESCRIPTION x\nSCOPE PIPES:READ\nRESOURCE top_pages\nFILTER org = 1\nSCOPE ADMIN\n";
    assert_eq!(findings(&[("t.token", token)]), "");
}

#[test]
fn columns_reach_the_engine_as_written() {
    let schema = "SCHEMA >\n    b Boolean,\n    d DateTime64,\n    n Nullable(Int32) DEFAULT NULL,\n    `a b` String CODEC(ZSTD(1)) `json:$.a`,\n    s Nullable(SimpleAggregateFunction(sum, Int64)),\n    x Int8 MATERIALIZED 2,\n    y Int8 ALIAS x,\n    z Int8 EPHEMERAL 1,\n    t Date TTL t + INTERVAL 1 DAY,\n    q DEFAULT 'it\\'s',\nINDEXES >\n    Nice lower(`a b`) TYPE bloom_filter(0.01) GRANULARITY 4\n    INDEX by_n n TYPE minmax\n";
    assert_snapshot!(ddl(&[("t.datasource", schema)]), @r"
    CREATE TABLE IF NOT EXISTS t
    (
        b Boolean,
        d DateTime64,
        n Nullable(Int32) DEFAULT NULL,
        `a b` String CODEC(ZSTD(1)),
        s Nullable(SimpleAggregateFunction(sum, Int64)),
        x Int8 MATERIALIZED 2,
        y Int8 ALIAS x,
        z Int8 EPHEMERAL 1,
        t Date TTL t + INTERVAL 1 DAY,
        q DEFAULT 'it\'s',
        INDEX Nice lower(`a b`) TYPE bloom_filter(0.01) GRANULARITY 4,
        INDEX by_n n TYPE minmax
    )
    ENGINE = MergeTree
    ORDER BY tuple()
    ");
}

#[test]
fn a_type_that_the_engine_does_not_have_is_refused() {
    assert_snapshot!(findings(&[("t.datasource", "SCHEMA >\n    a Strin,\n    b UInt\n")]), @r"
    t.datasource:2:7: error[bad-type]: column `a` has no ClickHouse type: unknown type `Strin`
    t.datasource:3:7: error[bad-type]: column `b` has no ClickHouse type: unknown type `UInt`
    ");
}

#[test]
fn vendored_data_sources_live_in_a_database_of_their_workspace() {
    let reader = "NODE n\nSQL >\n    SELECT * FROM w.t\nTYPE endpoint\n";
    let files = [
        ("vendor/w/datasources/t.datasource", TABLE.1),
        ("some/where/deep/down/a.pipe", reader),
    ];
    assert_snapshot!(ddl(&files), @r"
    CREATE DATABASE IF NOT EXISTS w
    CREATE TABLE IF NOT EXISTS w.t
    (
        a Int32
    )
    ENGINE = MergeTree
    ORDER BY tuple()
    ");
    assert_snapshot!(findings(&files[1..]), @"some/where/deep/down/a.pipe:3:19: warning[unknown-resource]: `w.t` is not in this project");
}

#[test]
fn includes_are_put_in_the_place_of_their_line() {
    let files = [
        (
            "pipes/a.pipe",
            "INCLUDE \"../shared/n.incl\" \"NAME=first\"\nINCLUDE \"nothing.incl\"\nNODE last\nSQL >\n    SELECT * FROM first\nTYPE endpoint\n",
        ),
        (
            "shared/n.incl",
            "NODE $NAME\nSQL >\n    SELECT '${NAME}' AS name, '$OTHER' AS other\n",
        ),
    ];
    assert_snapshot!(findings(&files), @"pipes/a.pipe:2:10: error[missing-include]: included file `nothing.incl` does not exist");
    assert_snapshot!(roles(&files, "a"), @r"
    first: Standard
    last: Endpoint
    ");
}

#[test]
fn what_follows_an_include_belongs_to_its_end() {
    let files = [
        (
            "a.pipe",
            "NODE first\nINCLUDE \"rest.incl\"\nTYPE endpoint\n",
        ),
        (
            "rest.incl",
            "SQL >\n    SELECT * FROM t\nNODE second\nSQL >\n    SELECT * FROM first\n",
        ),
        (
            "t.datasource",
            "SCHEMA >\n    a Int32\n\nINCLUDE \"engine.incl\" \"KEY=a\"\n",
        ),
        (
            "engine.incl",
            "ENGINE \"ReplacingMergeTree\"\nENGINE_SORTING_KEY \"$KEY\"\n",
        ),
    ];
    assert_eq!(findings(&files), "");
    assert_snapshot!(roles(&files, "a"), @r"
    first: Standard
    second: Endpoint
    ");
    assert_snapshot!(ddl(&files[2..]), @r"
    CREATE TABLE IF NOT EXISTS t
    (
        a Int32
    )
    ENGINE = ReplacingMergeTree
    ORDER BY (a)
    ");
}

#[test]
fn file_names_must_be_names_of_sql() {
    let node = "NODE n\nSQL >\n    SELECT 1\n";
    assert_snapshot!(findings(&[("1st.pipe", node), ("a-b.datasource", TABLE.1)]), @r"
    1st.pipe:1:1: error[bad-resource-name]: `1st.pipe` does not give a usable resource name
    a-b.datasource:1:1: error[bad-resource-name]: `a-b.datasource` does not give a usable resource name
    ");
}

#[test]
fn settings_change_severities_and_unknown_keys_are_refused() {
    let files = [
        (
            "pipewright.toml",
            "[lints]\nbad-type = \"warning\"\nunknown-resource = \"off\"\nmissing-node = \"error\"\n",
        ),
        ("t.datasource", "SCHEMA >\n    a Foo\n"),
        (
            "a.pipe",
            "NODE n\nSQL >\n    SELECT * FROM nothing\nTYPE standard\n",
        ),
        ("b.pipe", ""),
    ];
    assert_snapshot!(findings(&files), @r"
    b.pipe:1:1: error[missing-node]: the pipe has no `NODE`
    t.datasource:2:7: warning[bad-type]: column `a` has no ClickHouse type: unknown type `Foo`
    ");
    assert_snapshot!(findings(&[("pipewright.toml", "[server]\nprot = 1\n")]), @"pipewright.toml:2:1: error[bad-config]: cannot read `pipewright.toml`: unknown field `prot`, expected one of `host`, `port`, `clickhouse_url`");
}

#[test]
fn bytes_that_are_no_text_are_refused_and_the_rest_is_read() {
    let bytes = b"NODE n\nSQL >\n    SELECT '\xff' AS one\nTYPE endpoint\n".to_vec();
    let (file, diagnostics) = SourceFile::from_bytes(SourceId(0), "a.pipe", bytes);
    assert_snapshot!(render::concise(&diagnostics, &file), @"a.pipe:3:13: error[invalid-utf8]: the file is not valid UTF-8");
    assert_eq!(parse_pipe(&file).tree.nodes.len(), 1);
}

#[test]
fn names_of_service_data_sources_and_quarantines_are_accepted() {
    let sql = "NODE n\nSQL >\n    SELECT * FROM tinybird.pipe_stats_rt, organization.pipe_stats_rt, t_quarantine\nTYPE standard\n";
    assert_eq!(findings(&[TABLE, ("a.pipe", sql)]), "");
}

#[test]
fn a_scope_begins_no_node_of_a_pipe() {
    let pipe = "SCOPE n\nSQL >\n    SELECT 1 AS one\n";
    assert_snapshot!(findings(&[("a.pipe", pipe)]), @r"
    a.pipe:1:1: error[directive-outside-node]: `SCOPE` stands before the first `NODE`
    a.pipe:3:5: note[published-by-default]: pipe `a` has no `TYPE`: its last node is its endpoint, as in a Classic push
    ");
}
