//! What requests bring stays a value, wherever the author put it, and names mean what the graph says.

use pipewright_compiler::plan::{Compiled, Plan, QueryError, RequestContext};
use pipewright_compiler::project::SourceTree;
use pipewright_compiler::template::{RenderContext, Values};
use pipewright_grammar::diagnostic::Diagnostic;

const TABLE: &str =
    "SCHEMA >\n    id Int64,\n    s String\n\nENGINE MergeTree\nENGINE_SORTING_KEY id\n";

fn files(files: &[(&str, &str)]) -> SourceTree {
    SourceTree::new(
        files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned())),
    )
}

fn endpoint(sql: &str) -> String {
    format!("NODE result\nSQL >\n    %\n    {sql}\n\nTYPE endpoint\n")
}

/// A project of one endpoint `e` over the data source `a`.
fn plan(sql: &str) -> Plan {
    let (plan, diagnostics) = pipewright_compiler::check(files(&[
        ("a.datasource", TABLE),
        ("b.datasource", TABLE),
        ("e.pipe", &endpoint(sql)),
    ]));
    assert!(
        !diagnostics
            .iter()
            .any(|found| found.message.contains("internal"))
    );
    plan
}

fn assert_said(diagnostics: &[Diagnostic], text: &str) {
    let mut found = diagnostics.iter();
    assert!(
        found.any(|found| found.message.contains(text)),
        "{diagnostics:?}"
    );
}

fn compile(plan: &Plan, values: &[(&str, &str)]) -> Result<Compiled, QueryError> {
    let values: Values = values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).into()))
        .collect();
    let pipe = plan.pipe("e").expect("the pipe");
    let node = &pipe.endpoint_node().expect("its endpoint").id;
    let context = RequestContext {
        values: &values,
        render: RenderContext::default(),
    };
    plan.compile_node(node, context)
}

fn sql(plan: &Plan, values: &[(&str, &str)]) -> String {
    match compile(plan, values) {
        Ok(compiled) => compiled.sql.text().trim().to_owned(),
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn a_value_does_not_end_the_comment_that_it_stands_in() {
    let plan = plan("SELECT id FROM a WHERE id > 0 /* AND s = {{String(x, 'a')}} */");
    let way_out = "*/ UNION ALL SELECT id FROM pipewright.b /*";
    // The first request must not teach the second that all is well.
    for _ in 0..2 {
        assert_eq!(
            sql(&plan, &[("x", "a")]),
            "SELECT id FROM a WHERE id > 0 /* AND s = 'a' */"
        );
        assert_eq!(
            sql(&plan, &[("x", way_out)]),
            "error: a value stands inside of quotes or of a comment, and could end them"
        );
    }
}

#[test]
fn a_value_does_not_end_the_text_that_it_stands_in() {
    for text in ["'{{String(x, 'a')}}'", "concat('a'{{String(x, 'a')}})"] {
        let plan = plan(&format!("SELECT {text} FROM a"));
        for value in ["a", " || (SELECT max(s) FROM pipewright.b) || "] {
            let sql = sql(&plan, &[("x", value)]);
            assert!(
                sql.starts_with("error: a value stands inside"),
                "{text}: {sql}"
            );
        }
    }
    let heredoc = plan("SELECT $h$ {{String(x, 'a')}} $h$ FROM a");
    assert!(compile(&heredoc, &[("x", "a")]).is_ok());
    assert!(
        compile(
            &heredoc,
            &[("x", "$h$ || (SELECT max(s) FROM pipewright.b) || $h$")]
        )
        .is_err()
    );
    // Digits cannot end anything.
    let days = plan("SELECT toIntervalDay('{{Int(x, 1)}}') FROM a");
    insta::assert_snapshot!(sql(&days, &[("x", "7")]), @"SELECT toIntervalDay('7') FROM a");
}

#[test]
fn check_says_that_a_value_stands_in_quotes() {
    let (_, diagnostics) = pipewright_compiler::check(files(&[
        ("a.datasource", TABLE),
        (
            "e.pipe",
            &endpoint("SELECT id FROM a WHERE s = '{{String(x, 'a')}}'"),
        ),
    ]));
    assert_said(&diagnostics, "a value stands inside of quotes");
}

#[test]
fn a_negative_number_makes_no_comment() {
    let plan = plan("SELECT id FROM a WHERE id > 5-{{Int(n, 1)}} AND s = 'tenant'");
    insta::assert_snapshot!(sql(&plan, &[("n", "-1")]), @"SELECT id FROM a WHERE id > 5- -1 AND s = 'tenant'");
}

#[test]
fn a_number_at_the_end_of_a_word_makes_another_word() {
    let nodes =
        "NODE n_1\nSQL >\n    SELECT 'one' AS v\n\nNODE n_2\nSQL >\n    SELECT 'two' AS v\n\n";
    let (plan, _) = pipewright_compiler::check(files(&[(
        "e.pipe",
        &format!("{nodes}{}", endpoint("SELECT v FROM n_{{Int(y, 1)}}")),
    )]));
    for _ in 0..2 {
        assert!(sql(&plan, &[("y", "1")]).contains("'one'"));
        assert!(sql(&plan, &[("y", "2")]).contains("'two'"));
        assert!(sql(&plan, &[("y", "3")]).starts_with("error: "));
    }
}

#[test]
fn names_of_a_request_are_no_sql() {
    let plan = plan("SELECT id FROM a WHERE {{sql_and(**JSON(f, '{\"id\": 1}'))}}");
    insta::assert_snapshot!(sql(&plan, &[]), @"SELECT id FROM a WHERE id = 1");
    let name = r#"{"1=0 UNION ALL SELECT id FROM b WHERE 1": 1}"#;
    assert!(sql(&plan, &[("f", name)]).contains("is not the name of a column"));
}

#[test]
fn only_a_template_binds_a_query_parameter() {
    let secret = "SELECT id, s = {{tb_secret('key')}} AS ok FROM a";
    let plan = plan(secret);
    let values = Values::default();
    let secrets = ["key".to_owned()];
    let request = RequestContext {
        values: &values,
        render: RenderContext {
            secrets: &secrets,
            ..RenderContext::default()
        },
    };
    let bound = plan
        .compile_query("SELECT * FROM e", None, request)
        .unwrap();
    assert!(bound.secrets.contains("key"));
    for text in [
        "SELECT {key: String}, * FROM e",
        "SELECT {key:String} FROM _",
        "SELECT * FROM e WHERE s = {other: String}",
        "SELECT * FROM e LIMIT {n: UInt8}",
    ] {
        let error = plan.compile_query(text, Some("e"), request).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("nothing binds the query parameter"),
            "{text}: {error}"
        );
    }
    // Nor does a node name the secret of another node.
    let (_, diagnostics) = pipewright_compiler::check(files(&[
        ("a.datasource", TABLE),
        ("e.pipe", &endpoint(secret)),
        ("f.pipe", &endpoint("SELECT {key: String} AS k, id FROM e")),
    ]));
    assert_said(&diagnostics, "query parameter `key`");
}

#[test]
fn the_pipe_of_a_workspace_reads_the_tables_of_that_workspace() {
    let (plan, _) = pipewright_compiler::check(files(&[
        ("datasources/ds.datasource", TABLE),
        ("vendor/ws/datasources/ds.datasource", TABLE),
        (
            "vendor/ws/pipes/p.pipe",
            &endpoint("SELECT id, ds.s FROM ds"),
        ),
        ("pipes/e.pipe", &endpoint("SELECT * FROM ws.p")),
    ]));
    insta::assert_snapshot!(sql(&plan, &[]), @"SELECT id, ds.s FROM ws.ds AS ds");
}

#[test]
fn names_that_are_taken_are_refused() {
    let (plan, diagnostics) = pipewright_compiler::check(files(&[
        ("pw_snap_clicks.datasource", TABLE),
        ("a.datasource", TABLE),
        ("a_quarantine.datasource", TABLE),
        ("mv__daily.datasource", TABLE),
        ("alone_quarantine.datasource", TABLE),
        ("pw_of_a_pipe.pipe", &endpoint("SELECT 1")),
    ]));
    let found: Vec<_> = diagnostics
        .iter()
        .filter(|found| found.code.name() == "bad-resource-name")
        .map(|found| found.message.to_string())
        .collect();
    assert_eq!(found.len(), 2, "{found:?}");
    let kept: Vec<_> = plan
        .project
        .datasources
        .keys()
        .map(ToString::to_string)
        .collect();
    assert_eq!(kept, ["a", "alone_quarantine", "mv__daily"]);
}

/// A query of a request, over an endpoint `e` with a parameter `x` and the data source `a`.
fn asked(text: &str, values: &[(&str, &str)]) -> Result<Compiled, QueryError> {
    let plan = plan("SELECT id, s FROM a WHERE s = {{String(x, 'none')}}");
    let values: Values = values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).into()))
        .collect();
    let secrets = ["key".to_owned()];
    let request = RequestContext {
        values: &values,
        render: RenderContext {
            secrets: &secrets,
            ..RenderContext::default()
        },
    };
    plan.compile_query(text, Some("e"), request)
}

fn answer(text: &str, values: &[(&str, &str)]) -> String {
    match asked(text, values) {
        Ok(compiled) => compiled.sql.text().trim().to_owned(),
        Err(error) => format!("error: {error}"),
    }
}

fn answers(asked: &[(&str, &str)]) -> String {
    let lines = asked.iter().map(|(text, value)| {
        let values = [("x", *value)];
        let given = if value.is_empty() { &[][..] } else { &values };
        format!("{text}\n  {}\n", answer(text, given).replace('\n', "\n  "))
    });
    lines.collect()
}

const WAY_OUT: &str = "' OR 1 --";

#[test]
fn a_query_may_be_a_template() {
    insta::assert_snapshot!(answers(&[
        ("% SELECT id FROM _ {% if defined(x) %}WHERE s = {{String(x)}}{% end %} FORMAT CSV", WAY_OUT),
        ("% SELECT id FROM _ WHERE 1 {% if defined(x) %}AND s = {{String(x)}}{% end %}", ""),
        ("% SELECT {{Int32(x)}}", WAY_OUT),
        ("% SELECT {{Int32(x)}}", ""),
        ("% SELECT * FROM {{table(x)}}", "b"),
        ("% SELECT * FROM {{table(x)}}", "system.users"),
        ("% SELECT '{{String(x)}}'", "word"),
        ("% SELECT {{error('not so')}}", ""),
        ("% SELECT {{ (", ""),
    ]), @r"
    % SELECT id FROM _ {% if defined(x) %}WHERE s = {{String(x)}}{% end %} FORMAT CSV
      SELECT id FROM (
      
          SELECT id, s FROM a WHERE s = '\' OR 1 --'
      ) AS _ WHERE s = '\' OR 1 --'
    % SELECT id FROM _ WHERE 1 {% if defined(x) %}AND s = {{String(x)}}{% end %}
      SELECT id FROM (
      
          SELECT id, s FROM a WHERE s = 'none'
      ) AS _ WHERE 1
    % SELECT {{Int32(x)}}
      error: parameter x: '\' OR 1 --' is not an Int32
    % SELECT {{Int32(x)}}
      error: parameter x: a value of type Int32 is required
    % SELECT * FROM {{table(x)}}
      SELECT * FROM b
    % SELECT * FROM {{table(x)}}
      error: the system table `system.users` is not allowed
    % SELECT '{{String(x)}}'
      error: a value stands inside of quotes or of a comment, and could end them
    % SELECT {{error('not so')}}
      error: not so
    % SELECT {{ (
      error: the expression is not closed: `}}` is missing
    ");
    let read = asked("% SELECT * FROM {{table('b')}}, e", &[]).expect("a statement");
    assert_eq!(read.named_tables.iter().collect::<Vec<_>>(), ["b"]);
    assert_eq!(read.named_pipes.len(), 1);
}

#[test]
fn a_template_of_a_caller_learns_no_secret_and_opens_nothing() {
    insta::assert_snapshot!(answers(&[
        ("% SELECT {{tb_secret('key')}}", ""),
        ("% SELECT {{tb_var(x, 'no')}}", "key"),
        ("% SELECT {key: String}", ""),
        ("% {{disable('analyzer')}} SELECT 1", ""),
        ("% {{activate('analyzer')}} SELECT 1", ""),
        ("% SELECT * FROM file({{String(x)}})", "/etc/passwd"),
        ("% DROP TABLE {{table('a')}}", ""),
    ]), @r"
    % SELECT {{tb_secret('key')}}
      error: `tb_secret` and `tb_var` cannot be called here: only the node of a pipe may ask for a secret
    % SELECT {{tb_var(x, 'no')}}
      error: `tb_secret` and `tb_var` cannot be called here: only the node of a pipe may ask for a secret
    % SELECT {key: String}
      error: nothing binds the query parameter `key`
    % {{disable('analyzer')}} SELECT 1
      error: `activate` and `disable` cannot be called here: only the node of a pipe may say how the engine plans it
    % {{activate('analyzer')}} SELECT 1
      error: `activate` and `disable` cannot be called here: only the node of a pipe may say how the engine plans it
    % SELECT * FROM file({{String(x)}})
      error: the table function `file` is not allowed
    % DROP TABLE {{table('a')}}
      error: only `SELECT` and `DESCRIBE` can run here, not `DROP`
    ");
    let long = answer(&format!("% SELECT {}1", "1,".repeat(200_000)), &[]);
    assert_eq!(
        long,
        "error: a template in a query has at most 262144 bytes"
    );
}
