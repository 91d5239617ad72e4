//! Which tables a statement reads. The rules of scoping were each checked on the engine.

use super::*;

/// The tables that a statement names.
fn names(sql: &str) -> Vec<String> {
    let tables = scan(sql).unwrap().tables.into_iter();
    tables.map(|table| table.name).collect()
}

#[test]
fn common_table_expressions_are_scoped_as_in_the_engine() {
    check_tables(&[
        ("WITH x AS (SELECT * FROM a) SELECT * FROM x", "a"),
        // Its own name means the table inside of its definition, at any depth.
        ("WITH a AS (SELECT * FROM a) SELECT * FROM a", "a"),
        (
            "WITH a AS (SELECT * FROM (SELECT * FROM a)) SELECT * FROM a",
            "a",
        ),
        (
            "WITH a AS (WITH y AS (SELECT * FROM a) SELECT * FROM y) SELECT * FROM a",
            "a",
        ),
        (
            "WITH a AS (SELECT 1) SELECT * FROM (WITH a AS (SELECT * FROM a) SELECT * FROM a)",
            "",
        ),
        (
            "WITH RECURSIVE a AS (SELECT 1 UNION ALL SELECT * FROM a) SELECT * FROM a",
            "",
        ),
        // A recursive one reads itself in the branches after the first, and nowhere else.
        ("WITH RECURSIVE a AS (SELECT * FROM a) SELECT * FROM a", "a"),
        (
            "WITH RECURSIVE a AS (SELECT * FROM a UNION ALL SELECT * FROM a) SELECT * FROM a",
            "a",
        ),
        (
            "WITH RECURSIVE a AS (SELECT 1 UNION ALL (SELECT * FROM a)) SELECT * FROM a",
            "",
        ),
        (
            "WITH RECURSIVE a AS (WITH b AS (SELECT 1) SELECT * FROM b UNION ALL SELECT * FROM a, b) SELECT * FROM a",
            "",
        ),
        (
            "WITH RECURSIVE x AS (SELECT 1 UNION ALL SELECT * FROM x), a AS (SELECT * FROM x, a) SELECT * FROM a",
            "a",
        ),
        // One may use another that is defined later.
        (
            "WITH x AS (SELECT * FROM a), a AS (SELECT 1) SELECT * FROM x",
            "",
        ),
        ("WITH A AS (SELECT 1) SELECT * FROM a", "a"),
        ("WITH a AS (SELECT 1) SELECT * FROM db.a", "db.a"),
        ("WITH 1 AS a SELECT * FROM a", "a"),
        (
            "WITH (SELECT max(x) FROM a) AS a SELECT a, 1 IN a FROM a",
            "a a",
        ),
        ("WITH a(x) AS (SELECT 1) SELECT x FROM a", ""),
        ("WITH a AS MATERIALIZED (SELECT 1) SELECT * FROM a", ""),
        (
            "WITH a AS (SELECT 1) SELECT (SELECT * FROM a), 1 IN a FROM b WHERE x IN (SELECT * FROM a)",
            "b",
        ),
        (
            "WITH a AS (SELECT 1) SELECT * FROM view(SELECT * FROM a)",
            "a",
        ),
    ]);
}

#[test]
fn the_leading_with_covers_all_branches_of_a_union() {
    check_tables(&[
        (
            "WITH a AS (SELECT 1) SELECT * FROM a UNION ALL SELECT * FROM a",
            "",
        ),
        (
            "(WITH a AS (SELECT 1) SELECT * FROM a) UNION ALL (SELECT * FROM a)",
            "",
        ),
        (
            "((WITH a AS (SELECT 1) SELECT * FROM a)) EXCEPT SELECT * FROM a",
            "",
        ),
        (
            "SELECT * FROM a UNION ALL WITH a AS (SELECT 1) SELECT * FROM a",
            "a",
        ),
        (
            "SELECT * FROM a INTERSECT (WITH a AS (SELECT 1) SELECT * FROM a)",
            "a",
        ),
        (
            "((WITH a AS (SELECT 1) SELECT * FROM a) UNION ALL SELECT * FROM a) UNION ALL SELECT * FROM a",
            "a",
        ),
        (
            "WITH a AS (SELECT 1) SELECT * FROM a UNION ALL WITH a AS (SELECT * FROM a) SELECT * FROM a",
            "a",
        ),
    ]);
}

#[test]
fn a_branch_with_a_with_of_its_own_sees_no_common_table_of_the_leading_one() {
    // What the engine says of each: the leading `WITH` goes to the branches that have none, in brackets too, and there before one that leads a bracket.
    check_tables(&[
        (
            "WITH a AS (SELECT 1) SELECT * FROM a UNION ALL WITH 2 AS q SELECT * FROM a",
            "a",
        ),
        (
            "WITH a AS (SELECT 1) SELECT * FROM a EXCEPT (WITH 2 AS q SELECT * FROM a)",
            "a",
        ),
        (
            "WITH a AS (SELECT 1) SELECT * FROM a UNION ALL ((WITH 2 AS q SELECT * FROM (SELECT * FROM a)))",
            "a",
        ),
        (
            "WITH a AS (SELECT 1) SELECT * FROM a UNION ALL (SELECT 1 UNION ALL WITH 2 AS q SELECT * FROM a)",
            "a",
        ),
        (
            "WITH a AS (SELECT 1) SELECT 1 UNION ALL WITH 2 AS q SELECT 3 WHERE 1 IN a",
            "a@in",
        ),
        (
            "WITH a AS (SELECT 1) SELECT * FROM a UNION ALL (WITH 2 AS q SELECT * FROM b UNION ALL SELECT * FROM a)",
            "b",
        ),
        (
            "WITH a AS (SELECT 1) SELECT * FROM a UNION ALL (WITH b AS (SELECT 2) SELECT * FROM b UNION ALL SELECT * FROM a, b)",
            "b",
        ),
        (
            "WITH a AS (SELECT 1) SELECT * FROM a UNION ALL (WITH b AS (SELECT 2) SELECT * FROM b UNION ALL WITH 2 AS q SELECT * FROM a, b)",
            "a b",
        ),
        (
            "WITH a AS (SELECT 1) SELECT * FROM a UNION ALL SELECT * FROM (WITH 2 AS q SELECT * FROM a)",
            "",
        ),
        (
            "WITH a AS (SELECT 1) SELECT * FROM (SELECT 1 UNION ALL (WITH 2 AS q SELECT * FROM a))",
            "",
        ),
        (
            "WITH a AS (SELECT 1) SELECT * FROM (WITH 3 AS r SELECT 1 UNION ALL WITH 2 AS q SELECT * FROM a)",
            "",
        ),
        (
            "SELECT 'b' UNION ALL (WITH a AS (SELECT 1) SELECT * FROM a UNION ALL SELECT * FROM a)",
            "",
        ),
        (
            "WITH RECURSIVE a AS (SELECT 1) SELECT * FROM a UNION ALL WITH RECURSIVE 2 AS q SELECT * FROM a",
            "a",
        ),
        // Named values go to every branch.
        (
            "WITH [1] AS a SELECT 1 UNION ALL WITH 2 AS q SELECT 3 WHERE 1 IN a",
            "",
        ),
    ]);
}

#[test]
fn tables_are_found_in_every_join_and_subquery() {
    check_tables(&[
        ("SELECT * FROM a, b AS x, `c d` y", "a b c d"),
        (
            "SELECT * FROM a ANY LEFT JOIN b USING x, y ASOF JOIN c ON 1 GLOBAL ALL INNER JOIN d USING (z), e",
            "a b c d e",
        ),
        (
            "SELECT * FROM (a JOIN b USING x) CROSS JOIN c PASTE JOIN d SEMI LEFT JOIN e ON e.x = d.x",
            "a b c d e",
        ),
        (
            "SELECT * FROM a LEFT ARRAY JOIN b, c AS d, f(e) AS g JOIN h ON 1",
            "a h",
        ),
        (
            "FROM a SELECT x WHERE EXISTS (SELECT 1 FROM b) AND y = ANY (SELECT 1 FROM c)",
            "a b c",
        ),
        (
            "SELECT (SELECT max(x) FROM a), f((SELECT 1 FROM b)), exists(FROM c SELECT x)",
            "a b c",
        ),
        (
            "SELECT * FROM ((SELECT * FROM a) UNION ALL (SELECT * FROM b)) EXCEPT (SELECT * FROM c)",
            "a b c",
        ),
        ("SELECT * EXCEPT (x), y FROM a", "a"),
        ("SELECT * FROM a FINAL SAMPLE 1/10 OFFSET 1/2 WHERE x", "a"),
        (
            "SELECT * FROM numbers(10), view(SELECT * FROM a), values('x Int8', 1)",
            "a",
        ),
        ("SELECT * FROM \"d\" . `a.b`", "d.a.b"),
        ("SELECT a, FROM b", "b"),
        ("DESCRIBE TABLE a", "a@describe"),
        ("DESCRIBE (SELECT * FROM a)", "a"),
    ]);
}

#[test]
fn in_names_tables_only_where_the_engine_looks_for_one() {
    check_tables(&[
        (
            "SELECT x IN a, x NOT IN (b), x GLOBAL IN ((d.c)), in(x, e)",
            "a@in b@in d.c@in e@in",
        ),
        (
            "SELECT x IN (a, b), x IN f(a), x IN [a], x IN a.1, x IN 'a', x IN NULL",
            "",
        ),
        (
            "WITH [1] AS a SELECT x IN a, [2] AS b, x IN b FROM t AS c WHERE x IN c",
            "t",
        ),
        (
            "SELECT arrayExists(a -> x IN a, [[1]]), arrayMap((b, c) -> x IN b, d, e), x IN a",
            "a@in",
        ),
        ("SELECT position('x' IN a)", ""),
        (
            "SELECT dictGet('d.names', 'x', 1), dictHas(ids, 2), joinGet('j', 'x', 1)",
            "d.names@dictionary ids@dictionary j@joinGet",
        ),
    ]);
}

#[test]
fn keywords_may_be_names() {
    check_tables(&[
        (
            "SELECT from, toDate(from), from + 1, x.from FROM a WHERE from = 1",
            "a",
        ),
        (
            "SELECT limit, format, settings, union, join, select FROM a AS format",
            "a",
        ),
        (
            "SELECT 1 AS from, EXTRACT(day FROM x), TRIM(BOTH ' ' FROM y), SUBSTRING(z FROM 2) FROM a",
            "a",
        ),
        (
            "SELECT x IS NOT DISTINCT FROM y FROM a ORDER BY x WITH FILL FROM toDate('2020-01-01') TO 2",
            "a",
        ),
        ("SELECT * FROM a BY JOIN b USING x", "a b"),
        ("SELECT * FROM a SELECT JOIN b USING x", "a b"),
        ("SELECT * FROM select GLOBAL CROSS JOIN b", "select b"),
        ("SELECT a * FROM b FROM c", "b c"),
        (
            "SELECT a FROM b SEMI JOIN c ON b.x IS NOT DISTINCT FROM c.x",
            "b c",
        ),
        ("SELECT 1 is DISTINCT FROM 2", ""),
        (
            "WITH (from, to) -> from + to AS f SELECT f(1, 2) FROM a",
            "a",
        ),
        ("SELECT * FROM union ORDER BY test", "union"),
        ("FROM (FROM a SELECT *) AS select SELECT x", "a"),
        (
            "SELECT * FROM union SELECT 1",
            "error: `union` can be read as a keyword or as a name here: a name needs back quotes",
        ),
        (
            "SELECT (FROM in SELECT 1)",
            "error: `FROM` can be read as a keyword or as a name here: a name needs back quotes",
        ),
    ]);
}

#[test]
fn a_reference_knows_its_bytes_alias_and_modifiers() {
    let sql = "SELECT * FROM `my db`.\"t\" AS x FINAL SAMPLE 0.1 JOIN {p:Identifier} USING y";
    let scan = scan(sql).unwrap();
    let first = &scan.tables[0];
    assert_eq!(&sql[first.span.clone()], "`my db`.\"t\"");
    assert_eq!(first.alias.as_deref(), Some("x"));
    assert_eq!(first.is_final.clone().map(|span| &sql[span]), Some("FINAL"));
    assert_eq!(
        first.sample.clone().map(|span| &sql[span]),
        Some("SAMPLE 0.1")
    );
    assert!(scan.tables[1].parameter);
    assert_eq!(scan.parameters[0].type_text, "Identifier");
}

#[test]
fn an_outer_common_table_captures_an_inlined_name() {
    let scan = scan("WITH hits AS (SELECT 1) SELECT * FROM node, (SELECT * FROM other)").unwrap();
    let captures = |at: usize, name: &str| scan.captors().captures(scan.tables[at].scope, name);
    assert!(captures(0, "hits"));
    assert!(captures(1, "hits"));
    assert!(!captures(0, "users"));
}

#[test]
fn the_end_of_a_statement_is_described() {
    let sql = "SELECT 1 SETTINGS max_threads = 1, `log_queries` FORMAT JSON ; ; -- done";
    let scan = scan(sql).unwrap();
    let settings: Vec<_> = scan
        .settings
        .iter()
        .map(|setting| setting.name.as_str())
        .collect();
    assert_eq!(settings, ["max_threads", "log_queries"]);
    assert_eq!(
        scan.format.map(|format| (format.name, &sql[format.span])),
        Some(("JSON".to_owned(), "FORMAT JSON"))
    );
    assert_eq!(scan.trailing_semicolon.map(|span| &sql[span]), Some("; ;"));
    assert!(scan.ends_in_line_comment);
}

#[test]
fn text_that_is_no_statement_gets_its_place() {
    for (sql, message, at) in [
        ("SELECT 'a", "the string is not closed", 7),
        ("SELECT /* /* */", "the comment is not closed", 7),
        ("SELECT (1", "`(` is not closed", 7),
        ("SELECT (1]", "`(` is not closed before this `]`", 9),
        ("SELECT 1)", "this `)` closes nothing", 8),
        (
            "SELECT 1; SELECT 2",
            "there is more than one statement: only one can stand here",
            10,
        ),
        (
            "SELECT é",
            "`é` cannot stand here: names with such characters need back quotes",
            7,
        ),
    ] {
        let error = scan(sql).unwrap_err();
        assert_eq!(
            (error.message.as_str(), error.span.start),
            (message, at),
            "{sql}"
        );
    }
}

#[test]
fn a_comparison_without_a_right_side_is_surely_wrong() {
    for sql in [
        "SELECT id FROM a WHERE id = = 3",
        "SELECT id FROM a WHERE id =",
        "SELECT (id <) FROM a",
        "SELECT id >=, b FROM a",
        "SELECT id FROM a WHERE id <> == 3;",
    ] {
        let error = scan(sql).unwrap_err();
        assert!(
            error.message.contains("has nothing to compare with"),
            "{sql}: {error}"
        );
    }
    for sql in [
        "SELECT id == 3, a <=> b, x -> x >= -1, a != +2 FROM a WHERE id = (SELECT 1) SETTINGS max_threads = 1",
        "SELECT a = [1], b = {p:String}, c < 'x', d > \"e\", NOT a = NOT b FROM a",
    ] {
        assert!(scan(sql).is_ok(), "{sql}");
    }
}

#[test]
fn a_name_right_of_in_is_a_table_unless_it_is_certainly_none() {
    for sql in [
        "SELECT (2,'s2') IN ev_2, count() OVER ev_2 FROM ev_1 WINDOW ev_2 AS (ORDER BY id)",
        "SELECT (2,'s2') IN ev_2, count() OVER w FROM ev_1 WINDOW w AS (), ev_2 AS ()",
        "WITH ev_2 -> 1 AS f SELECT (2,'s2') IN ev_2 FROM ev_1",
        "SELECT (2,'s2') IN (ev_2 AS z) FROM ev_1",
        "SELECT (2,'s2') IN ((ev_2 AS z)) FROM ev_1",
        "SELECT (2,'s2') IN (ev_2 z) FROM ev_1",
        "SELECT in((2,'s2'), ev_2 AS z) FROM ev_1",
        "SELECT in((2,'s2'), (ev_2 AS z)) FROM ev_1",
        "SELECT CAST('{}' AS JSON(SKIP ev_2)), (2,'s2') IN ev_2 FROM ev_1",
        "SELECT CAST(1 AS ev_2), (2,'s2') IN ev_2 FROM ev_1",
        "SELECT * REPLACE(1 AS ev_2), (2,'s2') IN ev_2 FROM ev_1",
        "SELECT 1 AS n, (2,'s2') IN ev_2 FROM ev_1 ORDER BY n WITH FILL INTERPOLATE (n AS ev_2)",
        "SELECT * APPLY ev_2 -> 1 FROM ev_1 WHERE (2,'s2') IN ev_2",
        "FROM ev_1 SELECT * APPLY ev_2 -> 1 WHERE (2,'s2') IN ev_2",
        "SELECT * APPLY (ev_2 -> 1) FROM ev_1 WHERE (2,'s2') IN ev_2",
        "SELECT (2,'s2') IN + ev_2 FROM ev_1",
        "SELECT (2,'s2') IN +((ev_2)) FROM ev_1",
        "SELECT (2,'s2') IN (+ (+ev_2)) FROM ev_1",
        "SELECT in((2,'s2'), +ev_2) FROM ev_1",
        "SELECT NOT in((2,'s2'), ev_2) FROM ev_1",
        "SELECT 1 AND NOT in((2,'s2'), (ev_2)) FROM ev_1",
        "SELECT id FROM ev_1 WHERE NOT in((2,'s2'), ev_2)",
    ] {
        let tables = names(sql);
        assert!(tables.contains(&"ev_2".to_owned()), "{sql}: {tables:?}");
    }
    for sql in [
        "SELECT (1, 2) AS ev_2, 1 IN ev_2 FROM ev_1",
        "SELECT (1, 2) ev_2, 1 IN ev_2 FROM ev_1",
        "WITH (1, 2) AS ev_2 SELECT 1 IN ev_2 FROM ev_1",
        "SELECT arrayExists(ev_2 -> 1 IN ev_2, [[1]]) FROM ev_1",
        "SELECT id FROM ev_1 WHERE id NOT IN (ev_2, ev_3)",
        "SELECT id FROM ev_1 WHERE (id + 1) NOT IN (ev_2, ev_3) AND `id` NOT IN (1, ev_2)",
    ] {
        let tables = names(sql);
        assert_eq!(tables, ["ev_1"], "{sql}");
    }
}

#[test]
fn a_name_right_of_in_that_stands_for_another_name_may_be_the_table_of_that_name() {
    for (sql, expected) in [
        ("WITH sec AS x SELECT 1 IN x", vec!["x", "sec"]),
        ("WITH sec AS x, x AS y SELECT 1 IN y", vec!["y", "sec", "x"]),
        ("WITH (sec) AS x SELECT 1 IN x", vec!["x", "sec"]),
        ("WITH d.sec AS x SELECT 1 IN x", vec!["x", "d.sec"]),
        ("SELECT sec AS x, 1 IN x FROM t", vec!["x", "sec"]),
        ("SELECT sec x, 1 IN x FROM t", vec!["x", "sec"]),
        ("SELECT t.a AS x, 1 IN x FROM t", vec!["x"]),
        ("SELECT u.a AS x, 1 IN x FROM (SELECT 1) AS u", vec!["x"]),
        ("WITH [1] AS x SELECT 1 IN x", vec!["x"]),
        // Behind some words `in` is a function.
        ("SELECT DISTINCT in(id, sec) FROM t", vec!["sec"]),
        (
            "SELECT CASE in(id, (sec)) WHEN 1 THEN 2 END FROM t",
            vec!["sec"],
        ),
        (
            "SELECT count() FILTER (WHERE in(id, +sec)) FROM t",
            vec!["sec"],
        ),
        ("SELECT TOP 5 in(id, sec) FROM t", vec!["sec"]),
        ("SELECT 1 IN (a, b, c) FROM t", vec![]),
        // The engine reads the table inside of what its name is given to.
        ("SELECT 1 IN sec AS sec FROM t AS sec", vec!["sec"]),
    ] {
        let sets = scan(sql).unwrap().doubtful_sets.into_iter();
        let sets: Vec<String> = sets.map(|set| set.display_name()).collect();
        assert_eq!(sets, expected, "{sql}");
    }
}
