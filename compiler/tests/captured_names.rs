//! What a node means stays what it means by itself, whatever names the reader of its text gives.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use cpu_time::ThreadTime;
use pipewright_compiler::diagnostics::codes;
use pipewright_compiler::plan::{Plan, RequestContext};
use pipewright_compiler::project::SourceTree;
use pipewright_compiler::template::{RenderContext, Values};
use pipewright_grammar::diagnostic::Severity;

const TABLE: &str = "SCHEMA >\n    `id` Int32,\n    `a` Int32\n";

fn plan(nodes: &[(&str, &str)]) -> Plan {
    let mut pipe = String::new();
    for (name, sql) in nodes {
        writeln!(pipe, "NODE {name}\nSQL >\n    {sql}\n").expect("text");
    }
    pipe.push_str("TYPE endpoint\n");
    let files = [
        ("t.datasource", TABLE),
        ("al.datasource", "SCHEMA >\n    `a` Int32\n"),
        ("p.pipe", &pipe),
    ];
    let (plan, diagnostics) = pipewright_compiler::compile(SourceTree::new(
        files.map(|(path, text)| (path.to_owned(), text.to_owned())),
    ));
    assert_eq!(diagnostics, []);
    plan
}

/// What is found in a pipe with a node `a`, a node `other` that reads a table with a column of that name, and one with this text.
fn checked(sql: &str) -> String {
    let pipe = format!(
        "NODE a\nSQL >\n    SELECT 3 AS id\n\nNODE other\nSQL >\n    SELECT * FROM t\n\nNODE e\nSQL >\n    {sql}\nTYPE endpoint\n"
    );
    let files = [("t.datasource", TABLE), ("p.pipe", &pipe)];
    let (_, diagnostics) = pipewright_compiler::check(SourceTree::new(
        files.map(|(path, text)| (path.to_owned(), text.to_owned())),
    ));
    let of_rule = diagnostics
        .iter()
        .filter(|found| found.code == codes::SET_NAME || found.severity == Severity::Error);
    let messages = of_rule.map(|found| &*found.message);
    messages.collect::<Vec<_>>().join("\n")
}

fn query(plan: &Plan, text: &str) -> String {
    let values = Values::default();
    let request = RequestContext {
        values: &values,
        render: RenderContext::default(),
    };
    match plan.compile_query(text, None, request) {
        Ok(compiled) => compiled.sql.into_text(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_table_right_of_in_is_not_taken_for_an_expression_of_the_reader() {
    let plan = plan(&[
        ("n0", "SELECT id, a FROM t WHERE a IN al"),
        ("n1", "SELECT 3 AS al, id, a FROM n0"),
    ]);
    insta::assert_snapshot!(query(&plan, "SELECT * FROM p"), @r"
    SELECT * FROM (
    SELECT 3 AS al, id, a FROM (
    SELECT id, a FROM t WHERE a IN pipewright.al
    ) AS n0
    ) AS p
    ");
    // A caller's name does no more than an author's.
    insta::assert_snapshot!(query(&plan, "SELECT tuple((7, 9) AS al), id FROM t JOIN p USING id"), @r"
    SELECT tuple((7, 9) AS al), id FROM t JOIN (
    SELECT 3 AS al, id, a FROM (
    SELECT id, a FROM t WHERE a IN pipewright.al
    ) AS n0
    ) AS p USING id
    ");
}

#[test]
fn a_definition_far_from_the_place_where_a_node_is_put_does_not_capture_its_tables() {
    let plan = plan(&[("n0", "SELECT id, a FROM t")]);
    // The engine reads the definition of `x` where `x` is used, and there `t` is another.
    let nested = query(
        &plan,
        "WITH x AS (SELECT * FROM p) SELECT * FROM (WITH t AS (SELECT 7 AS a) SELECT x.a FROM x, t)",
    );
    insta::assert_snapshot!(nested, @r"
    WITH x AS (SELECT * FROM (
    SELECT id, a FROM pipewright.t
    ) AS p) SELECT * FROM (WITH t AS (SELECT 7 AS a) SELECT x.a FROM x, t)
    ");
    let scalar = query(
        &plan,
        "SELECT (SELECT max(a) FROM p) AS m, (WITH t AS (SELECT 7 AS a) SELECT m FROM t)",
    );
    assert!(scalar.contains("FROM pipewright.t\n"), "{scalar}");
    // The only one of its name means a table inside of its own definition.
    insta::assert_snapshot!(query(&plan, "WITH t AS (SELECT * FROM p) SELECT * FROM t"), @r"
    WITH t AS (SELECT * FROM (
    SELECT id, a FROM t
    ) AS p) SELECT * FROM t
    ");
}

#[test]
fn a_name_right_of_in_that_is_a_node_and_a_column_is_refused() {
    let refused = "`a` right of `IN` may be the node or a column of what is read";
    for sql in [
        "SELECT id FROM t WHERE id IN (a)",
        "SELECT id FROM t WHERE id NOT IN a",
        "SELECT id FROM other WHERE in(id, a)",
        "SELECT id FROM (SELECT id, [id] AS a FROM t) WHERE id IN a",
        "WITH c AS (SELECT id, [id] AS a FROM t) SELECT id FROM c WHERE id IN a",
        "SELECT x.id FROM other AS x LEFT JOIN (SELECT id, [id] AS a FROM t) AS z ON z.id = x.id WHERE x.id IN a",
        "SELECT id FROM (SELECT * FROM (SELECT * FROM t)) WHERE id IN a",
    ] {
        assert_eq!(checked(sql), refused, "{sql}");
    }
    for sql in [
        "SELECT number FROM numbers(3) WHERE number IN a",
        "SELECT id FROM a AS x WHERE id IN other",
        "SELECT id FROM t WHERE id IN (SELECT id FROM a)",
        "SELECT id FROM t WHERE id IN t.a",
        // Another query of the statement has the column.
        "SELECT id FROM a AS x WHERE id IN a AND id NOT IN (SELECT id FROM t)",
        "SELECT number AS id FROM numbers(3) WHERE number IN a UNION ALL SELECT id FROM t",
    ] {
        assert_eq!(checked(sql), "", "{sql}");
    }
    // No column is called `p`.
    let pipe = plan(&[("n", "SELECT 3 AS id")]);
    assert!(query(&pipe, "SELECT id FROM t WHERE id IN p").contains("SELECT 3 AS id"));
}

#[test]
fn a_column_that_is_renamed_to_the_node_s_own_name_leaves_the_node_without_it() {
    let plan = plan(&[
        ("p0", "SELECT id, a FROM t"),
        ("e", "SELECT a AS p0 FROM p0"),
    ]);
    insta::assert_snapshot!(query(&plan, "SELECT id AS p FROM p"), @r"
    SELECT id AS p FROM (
    SELECT a AS p0 FROM (
    SELECT id, a FROM t
    )
    )
    ");
    // Where the name stands before a dot, or beside another table, it is the node's.
    for text in [
        "SELECT p.p0 AS p FROM p",
        "SELECT id AS p FROM p JOIN t ON p0 = id",
    ] {
        assert!(query(&plan, text).contains(") AS p"), "{text}");
    }
}

#[test]
fn a_node_that_is_read_twice_under_its_own_name_has_it_once() {
    let plan = plan(&[("p0", "SELECT id, a FROM t")]);
    insta::assert_snapshot!(query(&plan, "SELECT id, p.a FROM p JOIN p USING id WHERE id IN (SELECT id FROM p)"), @r"
    SELECT id, p.a FROM (
    SELECT id, a FROM t
    ) AS p JOIN (
    SELECT id, a FROM t
    ) USING id WHERE id IN (SELECT id FROM (
    SELECT id, a FROM t
    ) AS p)
    ");
}

#[test]
fn the_clock_of_a_node_is_not_an_expression_of_its_reader() {
    let plan = plan(&[
        (
            "n0",
            "SELECT id FROM t WHERE toDate('2030-01-01') < CURRENT_DATE AND today != a",
        ),
        ("n1", "SELECT id, id + 1 AS today FROM n0 WHERE today > now"),
        ("n2", "SELECT id, a AS now FROM t WHERE a = now"),
        ("n3", "SELECT id FROM n1 WHERE id IN (SELECT id FROM n2)"),
    ]);
    insta::assert_snapshot!(query(&plan, "WITH toDate('2099-01-01') AS CURRENT_DATE SELECT id FROM p"), @r"
    WITH toDate('2099-01-01') AS CURRENT_DATE SELECT id FROM (
    SELECT id FROM (
    SELECT id, id + 1 AS today FROM (
    SELECT id FROM t WHERE toDate('2030-01-01') < CURRENT_DATE() AND today() != a
    ) AS n0 WHERE today > now
    ) AS n1 WHERE id IN (SELECT id FROM (
    SELECT id, a AS now FROM t WHERE a = now
    ) AS n2)
    ) AS p
    ");
    insta::assert_snapshot!(query(&plan, "SELECT id FROM (SELECT id, 1 AS today FROM p)"), @r"
    SELECT id FROM (SELECT id, 1 AS today FROM (
    SELECT id FROM (
    SELECT id, id + 1 AS today FROM (
    SELECT id FROM t WHERE toDate('2030-01-01') < CURRENT_DATE AND today() != a
    ) AS n0 WHERE today > now
    ) AS n1 WHERE id IN (SELECT id FROM (
    SELECT id, a AS now FROM t WHERE a = now
    ) AS n2)
    ) AS p)
    ");
    // What is the clock in one node and perhaps a column in another cannot be told apart any more.
    insta::assert_snapshot!(query(&plan, "SELECT id, 1 AS now FROM p"), @"`now` is the name of an expression here, and in what is read the clock or a column");
    // In another spelling it captures nothing.
    assert!(!query(&plan, "SELECT id, 1 AS NOW FROM p").contains("now()"));
}

#[test]
fn a_name_with_a_point_right_of_in_is_a_column_of_what_the_same_query_reads() {
    let plan = plan(&[("n0", "SELECT id, [id] AS ids FROM t")]);
    assert!(query(&plan, "SELECT id FROM p AS other WHERE id IN other.ids").starts_with("SELECT"));
    let refused = query(
        &plan,
        "SELECT id FROM p WHERE id IN other.ids AND 1 IN (SELECT 1 FROM t AS other)",
    );
    assert!(refused.contains("other.ids"), "{refused}");
}

#[test]
fn a_node_under_an_alias_is_known_by_its_own_name_too() {
    let plan = plan(&[
        ("n1", "SELECT id, a FROM t"),
        (
            "n2",
            "SELECT a.id, n1.a, n1.* FROM t a LEFT JOIN n1 b ON n1.id = a.id",
        ),
        ("n3", "SELECT n1.id, `n1`.a FROM n1 AS b WHERE b.id > 0"),
        (
            "n4",
            "SELECT n1.id FROM n1 JOIN n3 AS n5 ON n3.id = n1.id JOIN n2 ON n2.id = n5.id",
        ),
    ]);
    insta::assert_snapshot!(query(&plan, "SELECT * FROM p"), @r"
    SELECT * FROM (
    SELECT n1.id FROM (
    SELECT id, a FROM t
    ) AS n1 JOIN (
    SELECT b.id, b.a FROM (
    SELECT id, a FROM t
    ) AS b WHERE b.id > 0
    ) AS n5 ON n5.id = n1.id JOIN (
    SELECT a.id, b.a, b.* FROM t a LEFT JOIN (
    SELECT id, a FROM t
    ) b ON b.id = a.id
    ) AS n2 ON n2.id = n5.id
    ) AS p
    ");
    // Something else has the name, or the pipe has two.
    for text in [
        "SELECT p.v FROM (SELECT q.id AS k, q.a + 100 AS v FROM p AS q) AS p JOIN t AS q ON p.k = q.id",
        "SELECT p.id FROM (SELECT q.id FROM p AS q WHERE q.id > 1) AS p",
        "SELECT p.id FROM (SELECT 7 AS id) AS p, p AS x",
        "SELECT p.id, arrayMap(p -> p.id, [tuple(1)]) FROM p AS x",
        "SELECT p.id, arrayMap((a, p) -> p.id, [1], [tuple(1)]) FROM p AS x",
        "SELECT p.id FROM (SELECT id FROM t) AS p UNION ALL SELECT x.id FROM p AS x",
        "SELECT p.id, tuple(1 AS id) AS p FROM p AS x",
        "SELECT p.id FROM t AS p, p AS q",
        "SELECT p.id FROM p AS q, p AS r",
    ] {
        assert!(query(&plan, text).starts_with("SELECT p."), "{text}");
    }
}

#[test]
fn a_lambda_of_the_reader_is_not_called_in_a_node() {
    let plan = plan(&[("n0", "SELECT id, abs(a) AS x FROM t")]);
    insta::assert_snapshot!(query(&plan, "WITH x -> 100 AS abs SELECT id, x FROM p"), @"`abs` is the name of a lambda here, and would be called in what is read: there it is another function");
    // Those whose names only begin as functions of the engine do are the reader's.
    for name in ["other", "toPercent", "addTax", "trimmed", "dateOf", "verif"] {
        let text = format!("WITH x -> 100 AS {name} SELECT id, {name}(x) FROM p");
        assert!(query(&plan, &text).starts_with("WITH"), "{text}");
    }
    for text in [
        "WITH (x, y) -> 1 IS NOT DISTINCT FROM 1 AS plus SELECT id FROM p",
        "WITH lambda(tuple(x), 1) AS abs SELECT id FROM p",
        "WITH x -> 1 AS toIntervalDay SELECT id FROM p",
    ] {
        assert!(
            query(&plan, text).contains("is the name of a lambda"),
            "{text}"
        );
    }
}

#[test]
fn a_lambda_is_not_called_for_what_the_engine_makes_of_words() {
    let distinct = &["countDistinct", "uniqExact"][..];
    let names = [
        "countDistinct",
        "countDistinctIf",
        "countIf",
        "max",
        "toTimeZone",
        "uniqExact",
    ];
    for (sql, called) in [
        ("SELECT count(DISTINCT a) AS x FROM t", distinct),
        (
            "SELECT count() FILTER (WHERE a > 1) AS x FROM t",
            &["countIf"],
        ),
        (
            "SELECT count(DISTINCT a) FILTER (WHERE a > 1) AS x FROM t",
            &["countDistinct", "countDistinctIf", "countIf", "uniqExact"],
        ),
        // The word of the function alone calls no other one.
        ("SELECT count() AS x FROM t", &[]),
        ("SELECT DISTINCT a AS x FROM t", &[]),
        (
            "SELECT sum(a) > ALL (SELECT a FROM al) AS x FROM t",
            &["max"],
        ),
        ("SELECT now() AT TIME ZONE 'UTC' AS x FROM t", &[]),
        ("SELECT sum(a) AS x FROM t", &[]),
    ] {
        let plan = plan(&[("n0", sql)]);
        let refused = names.into_iter().filter(|name| {
            let said = query(&plan, &format!("WITH x -> 100 AS {name} SELECT x FROM p"));
            let is_refused = said.contains("is the name of a lambda");
            assert!(is_refused || said.starts_with("WITH"), "{said}");
            is_refused
        });
        // What signs and words of any statement may stand for is refused whatever the text is.
        let expected: BTreeSet<&str> = called.iter().copied().chain(["toTimeZone"]).collect();
        assert_eq!(refused.collect::<BTreeSet<_>>(), expected, "{sql}");
    }
}

#[test]
fn many_lambdas_are_looked_through_in_time() {
    let plan = plan(&[("n0", "SELECT id, abs(a) AS x FROM t")]);
    let text = |names: usize| {
        let mut text = String::from("WITH ((x) -> 1) AS g0");
        for at in (1..names).rev() {
            write!(text, ", g{} AS g{at}", at - 1).expect("text");
        }
        text.push_str(" SELECT 1 FROM p");
        for at in 0..100 {
            write!(text, ", p AS p{at}").expect("text");
        }
        text
    };
    let (few, many) = (text(500), text(4000));
    assert!(query(&plan, &few).starts_with("WITH"));
    let few = shortest(|| drop(query(&plan, &few)));
    let many = shortest(|| drop(query(&plan, &many)));
    // Eight times as long a text, not sixty-four times the work; with the nodes that are put in, less than that.
    assert!(many < few * 24, "{few:?} {many:?}");
}

#[test]
fn a_setting_of_a_caller_does_not_reach_into_a_pipe() {
    let plan = plan(&[("n0", "SELECT a + 1 AS a, a * 2 AS x FROM t")]);
    insta::assert_snapshot!(query(&plan, "SELECT a, x FROM p SETTINGS prefer_column_name_to_alias = 1"), @"the setting `prefer_column_name_to_alias` would change what is computed by others than this query: by the pipes that it reads, or by a row filter");
    for allowed in [
        "SELECT a FROM t SETTINGS join_use_nulls = 1",
        "SELECT a FROM p SETTINGS max_threads = 1",
    ] {
        assert!(query(&plan, allowed).starts_with("SELECT"), "{allowed}");
    }
}

/// How long something keeps this thread busy, whatever else the machine does; the shortest of some tries.
fn shortest(work: impl Fn()) -> Duration {
    let once = || {
        let started = ThreadTime::now();
        work();
        started.elapsed()
    };
    (0..5).map(|_| once()).min().unwrap_or_default()
}

/// How long a query with so many common tables takes that reads a pipe so many times.
fn time_of(plan: &Plan, names: usize) -> Duration {
    let mut text = String::from("WITH c0 AS (SELECT 1)");
    for at in 1..names {
        write!(text, ", c{at} AS (SELECT 1)").expect("text");
    }
    text.push_str(" SELECT 1 FROM p");
    for at in 0..names {
        write!(text, ", p AS p{at}").expect("text");
    }
    assert!(query(plan, &text).starts_with("WITH"));
    shortest(|| drop(query(plan, &text)))
}

#[test]
fn many_names_take_no_more_than_their_number_of_steps() {
    let plan = plan(&[("n0", "SELECT id, a FROM t")]);
    let (few, many) = (time_of(&plan, 1000), time_of(&plan, 8000));
    // Eight times as many names: by their number eight times as long, by the square of it sixty-four times.
    assert!(many < few * 24, "{few:?}, {many:?}");
}

/// How long a query takes in which so many names are given to one another.
fn time_of_renaming(plan: &Plan, names: usize) -> Duration {
    let mut text = String::from("WITH s AS g0");
    for at in 1..names {
        write!(text, ", g{} AS g{at}", at - 1).expect("text");
    }
    write!(text, " SELECT 1 IN g{}", names - 1).expect("text");
    assert!(query(plan, &text).starts_with("WITH"));
    shortest(|| drop(query(plan, &text)))
}

#[test]
fn names_that_are_given_to_one_another_are_followed_in_time() {
    let plan = plan(&[("n0", "SELECT id, a FROM t")]);
    let (few, many) = (time_of_renaming(&plan, 500), time_of_renaming(&plan, 4000));
    assert!(many < few * 24, "{few:?}, {many:?}");
}

/// How long a query takes in which so many names stand in a row, which the engine would refuse.
fn time_of_a_row(plan: &Plan, names: usize) -> Duration {
    let mut text = String::from("SELECT arrayMap(x -> 1, [1]), a");
    for at in 0..names {
        write!(text, " b{at}").expect("text");
    }
    assert!(query(plan, &text).starts_with("SELECT"));
    shortest(|| drop(query(plan, &text)))
}

#[test]
fn names_in_a_row_are_read_in_time() {
    let plan = plan(&[("n0", "SELECT id, a FROM t")]);
    let (few, many) = (time_of_a_row(&plan, 500), time_of_a_row(&plan, 4000));
    assert!(many < few * 24, "{few:?}, {many:?}");
}
