//! What the scan, the guard and the parser make of whole statements. The rules of scoping were each checked on the engine.

use proptest::prelude::*;

use super::*;

/// The tables of a statement: `name`, `database.name`, with `@place` where that is not `FROM`.
fn tables(sql: &str) -> String {
    match scan(sql) {
        Ok(scan) => {
            let shown: Vec<String> = scan.tables.iter().map(shown).collect();
            shown.join(" ")
        }
        Err(error) => format!("error: {}", error.message),
    }
}

fn shown(table: &TableReference) -> String {
    let place = match table.position {
        Position::From => "",
        Position::In => "@in",
        Position::Dictionary => "@dictionary",
        Position::JoinGet => "@joinGet",
        Position::Describe => "@describe",
    };
    format!("{}{place}", table.display_name())
}

fn refused(sql: &str, usage: Use) -> Vec<String> {
    match scan(sql) {
        Ok(scan) => guard(&scan, &Policy::default(), usage)
            .into_iter()
            .map(|violation| violation.message)
            .collect(),
        Err(error) => vec![error.message],
    }
}

fn check_tables(cases: &[(&str, &str)]) {
    for (sql, expected) in cases {
        assert_eq!(tables(sql), *expected, "{sql}");
    }
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
    assert!(scan.captures(&scan.tables[0], "hits"));
    assert!(scan.captures(&scan.tables[1], "hits"));
    assert!(!scan.captures(&scan.tables[0], "users"));
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

/// Ways around the guard. Those that end by themselves and touch no network were run on the engine: most read a file or a system table there.
const EVASIONS: &[&str] = &[
    "SELECT file('/etc/hostname')",
    "SELECT `file`('/etc/hostname')",
    "SELECT \"file\" /* here */ -- there\n ('/etc/hostname')",
    "SELECT FILE('/etc/hostname')",
    "SELECT 'x' IN file('/etc/hostname')",
    "SELECT x.1, (file('/etc/hostname')) FROM (SELECT (1, 2) AS x)",
    "SELECT * APPLY(file) FROM (SELECT '/etc/hostname')",
    "SELECT * APPLY file FROM (SELECT '/etc/hostname')",
    "SELECT COLUMNS('x') EXCEPT y APPLY(`file`) FROM (SELECT '/etc/hostname' AS x)",
    "SELECT arrayMap(file, ['/etc/hostname'])",
    "SELECT arrayMap(((`file`)), ['/etc/hostname'])",
    "WITH x -> file(x) AS f SELECT f('/etc/hostname')",
    "SELECT * FROM file('/etc/hostname', 'LineAsString')",
    "SELECT * FROM `file`('/etc/hostname', 'LineAsString')",
    "SELECT * FROM view(SELECT * FROM file('/etc/hostname', 'LineAsString'))",
    "SELECT * FROM numbers(1) AS n, url('http://127.0.0.1:1/', 'LineAsString')",
    "SELECT * FROM (SELECT 1) AS x CROSS JOIN remote('127.0.0.1', system.one)",
    "SELECT 1, FROM file('/etc/hostname', 'LineAsString')",
    "SELECT 1 WHERE 1 IN (SELECT 1 FROM executable('x', 'TSV', 'x Int8'))",
    "WITH x AS (SELECT * FROM s3('http://127.0.0.1:1/')) SELECT * FROM x",
    "SELECT * FROM merge('system', '.*')",
    "SELECT * FROM loop('system', 'one')",
    "SELECT * FROM dictionary('x')",
    "SELECT * FROM '/etc/hostname'",
    "SELECT * FROM `/etc/hostname`",
    "SELECT * FROM \u{201C}/etc/hostname\u{201D}",
    "SELECT 'x' IN `/etc/hostname`",
    "SELECT 'x' IN (((\"/etc/hostname\")))",
    "SELECT in('x', `/etc/hostname`)",
    "SELECT `notIn`('x', (`secret.csv`))",
    "SELECT * FROM system.processes",
    "SELECT * FROM `system`.\"processes\"",
    "SELECT * FROM information_schema.tables",
    "SELECT 1 IN system.one, 1 IN (system.processes)",
    "SELECT * FROM a WHERE x IN (SELECT query FROM system . processes)",
    "SELECT 1 SETTINGS readonly = 0",
    "SELECT 1 settings/**/allow_introspection_functions=1",
    "SELECT (SELECT 1 SETTINGS log_queries)",
    "SELECT 1 SETTINGS max_threads = 1, `readonly` = 0",
    "SELECT * FROM view(SELECT 1 SETTINGS additional_table_filters = {'a': 'b'})",
    "SELECT 1 INTO OUTFILE '/tmp/out'",
    "SELECT 1 INTO/**/OUTFILE '/tmp/out' FORMAT JSON",
    "SELECT * FROM (EXPLAIN SELECT 1)",
    "SELECT (explain SELECT 1)",
    "EXPLAIN SELECT 1",
    "WITH 1 AS x INSERT INTO a SELECT x",
    "FROM a INSERT INTO b SELECT 1",
    "SELECT 1 PARALLEL WITH DROP TABLE a",
    "(((DROP TABLE a)))",
    "SELECT 1; DROP TABLE a",
    "SELECT 1 -- \n; DROP TABLE a",
    "SET readonly = 1",
    "SHOW TABLES",
    "EXECUTE AS admin SELECT 1",
    "",
    "-- nothing",
    "SELECT $x$ ' $x$, file('/etc/hostname') -- '",
    "SELECT \u{2018} ' \u{2019}, file('/etc/hostname') -- '",
    "SELECT '\\'', file('/etc/hostname') -- '",
    "SELECT '''', file('/etc/hostname') -- '",
    "SELECT 1 // '\n, file('/etc/hostname') // '",
    "SELECT 1 #! '\n, file('/etc/hostname') #! '",
    "SELECT\u{A0}file\u{3000}('/etc/hostname')",
    "SELECT dictGet(concat('a', 'b'), 'x', 1)",
    "SELECT * FROM {table:Identifier}",
    "SELECT 1 IN ({table:Identifier})",
    "SELECT 1 IN {database:Identifier}.processes",
    "SELECT joinGet('a', 'b', 1)",
    "SELECT hostName(), currentUser(), __getScalar('x')",
    "SELECT aiGenerate('x')",
    "DESCRIBE file('/etc/hostname')",
    "DESCRIBE TABLE system.processes",
    "SELECT * FROM a WITH TOTALS UNION ALL SELECT * FROM system.processes",
    "SELECT 1 AS x ORDER BY x FROM system.processes",
    "WITH `FROM` AS (SELECT 1) SELECT SELECT * FROM FROM '/etc/hostname'",
    "WITH except AS (SELECT 1) SELECT x * FROM except SELECT * FROM system.processes",
    "WITH then AS (SELECT 1) SELECT x when FROM then x, system.processes",
    "WITH t AS (SELECT 1) SELECT x * FROM t FROM system.processes",
];

#[test]
fn no_way_around_the_guard_is_known() {
    for sql in EVASIONS {
        assert!(!refused(sql, Use::Query).is_empty(), "{sql}");
        assert!(!refused(sql, Use::Node).is_empty(), "{sql}");
    }
}

#[test]
fn what_pipes_do_is_not_refused() {
    for sql in [
        "SELECT file, user, version, hostname, database FROM logs WHERE file = 'x' AND url IN ('a')",
        "SELECT '; DROP TABLE a', `INTO OUTFILE` FROM a -- file('x')",
        "WITH numbers AS (SELECT * FROM numbers(10)) SELECT * FROM numbers",
        "SELECT * FROM system.one, numbers(1), generateRandom('x Int8'), VALUES('a Int8', 1), view(SELECT 1)",
        "SELECT arrayMap(x -> x + 1, arraySort(file)), arraySum(user), arrayConcat(file) FROM a SETTINGS max_threads = 1;",
        "SELECT dictGet('d', 'x', 1), {p:String}, x.file FROM a FINAL",
        "DESCRIBE TABLE a",
        "SELECT 1 /* /* */ ; DROP TABLE a -- */",
    ] {
        assert_eq!(refused(sql, Use::Node), Vec::<String>::new(), "{sql}");
    }
}

#[test]
fn refusals_name_what_was_refused() {
    insta::assert_snapshot!(refused("SELECT file('x'), 1 FROM url('y'), system.processes SETTINGS max_thread = 1 FORMAT JSONX", Use::Query).join("\n"), @r"
    the function `file` is not allowed
    the table function `url` is not allowed
    the system table `system.processes` is not allowed
    the setting `max_thread` is not allowed
    the format `JSONX` is not available
    ");
    assert_eq!(
        refused("SELECT 1 FORMAT JSON", Use::Node),
        ["`FORMAT` cannot stand in a node"]
    );
    assert_eq!(
        refused("SELECT 1 FORMAT JSON", Use::Query),
        Vec::<String>::new()
    );
    assert_eq!(
        refused("drop table a", Use::Query),
        ["only `SELECT` and `DESCRIBE` can run here, not `DROP`"]
    );
}

#[test]
fn copies_may_read_other_stores_and_projects_may_allow_more() {
    let statement =
        scan("SELECT hostName() FROM postgresql('x', 'y') SETTINGS max_block_size = 1").unwrap();
    let mut policy = Policy::for_copy();
    assert_eq!(guard(&statement, &policy, Use::Node).len(), 2);
    policy.functions.insert("hostName".to_owned());
    policy.settings.insert("max_block_size".to_owned());
    assert_eq!(guard(&statement, &policy, Use::Node), []);
    // The letter case of functions is the engine's affair.
    let statement = scan("SELECT HOSTNAME() FROM NUMBERS(3), PostgreSQL('x')").unwrap();
    assert_eq!(guard(&statement, &policy, Use::Node), []);
}

/// `parsed`, with the forms taken out, or the reason it is opaque.
fn parsed(sql: &str) -> String {
    let scan = scan(sql).unwrap();
    match parse(sql, &scan) {
        Parsed::Tree(tree) => {
            let forms: Vec<String> = tree
                .taken_out()
                .iter()
                .map(|taken| format!("{:?} `{}`", taken.form, &sql[taken.span.clone()]))
                .collect();
            format!("parsed {}", forms.join(", ")).trim_end().to_owned()
        }
        Parsed::Opaque(opaque) => format!("opaque {} {:?}", opaque.reason, opaque.position),
    }
}

#[test]
fn clickhouse_forms_are_taken_out_before_parsing() {
    for (sql, expected) in [
        (
            "SELECT a FROM t AS x FINAL SAMPLE 0.1",
            "parsed Final `FINAL`, Sample `SAMPLE 0.1`",
        ),
        (
            "WITH 1 + 2 AS x, y AS (SELECT 1) SELECT x FROM y",
            "parsed ScalarWith `1 + 2 AS x`",
        ),
        (
            "WITH (SELECT 1) AS x SELECT x",
            "parsed ScalarWith `(SELECT 1) AS x`",
        ),
        (
            "SELECT a FROM t LEFT ANY JOIN b USING c, d",
            "parsed Strictness `ANY`",
        ),
        ("SELECT a FROM t PASTE JOIN b", "parsed Strictness `PASTE`"),
        (
            "SELECT a FROM t LEFT ARRAY JOIN b AS c, d WHERE x GLOBAL NOT IN (1)",
            "parsed ArrayJoin `LEFT ARRAY JOIN b AS c, d`, Strictness `GLOBAL`",
        ),
        (
            "SELECT f(a AS b), (1 AS c) + 2 FROM t WHERE a AS d > 1",
            "parsed InnerAlias `AS b`, InnerAlias `AS c`, InnerAlias `AS d`",
        ),
        (
            "SELECT CAST(a AS Array(String)), a::DateTime('UTC') FROM t",
            "parsed TypeArguments `(String)`, TypeArguments `('UTC')`",
        ),
        (
            "SELECT * APPLY(sum), COLUMNS('x') EXCEPT (y) APPLY max FROM t",
            "parsed ColumnTransformer `APPLY(sum)`, ColumnTransformer `EXCEPT (y)`, ColumnTransformer `APPLY max`",
        ),
        (
            "SELECT a FROM t LIMIT 1 BY a LIMIT 10",
            "parsed LimitBy `LIMIT 1 BY a`",
        ),
        (
            "SELECT a FROM t ORDER BY a LIMIT 3 WITH TIES",
            "parsed WithModifier `WITH TIES`",
        ),
        (
            "SELECT count() FROM t WITH TOTALS SETTINGS max_threads = 1 FORMAT JSON;",
            "parsed WithModifier `WITH TOTALS`, Settings `SETTINGS max_threads = 1`, Format `FORMAT JSON`",
        ),
        (
            "SELECT j.a.:Int64, j.^b FROM t",
            "parsed JsonPath `.:Int64`, JsonPath `^`",
        ),
        ("SELECT * FROM view(SELECT 1 FROM a)", "parsed View `view`"),
        (
            "WITH a AS MATERIALIZED (SELECT 1) SELECT * FROM a",
            "parsed CommonTableModifier `MATERIALIZED`",
        ),
        (
            "SELECT t.1, x.1.2, a ? b : -c, a DIV 2, interval, interval + 1, FROM t # comment",
            "parsed",
        ),
        (
            "SELECT {a:String}, * FROM {b:Identifier} WHERE x > INTERVAL '1 month'",
            "parsed",
        ),
        (
            "SELECT a FROM t ORDER BY a LIMIT 1 UNION ALL WITH x AS (SELECT 1) SELECT * FROM x LIMIT 2",
            "parsed",
        ),
        (
            "SELECT sum(a) FILTER (WHERE b), quantile(0.5)(c) OVER (ORDER BY d) FROM t QUALIFY e",
            "parsed",
        ),
        (
            "SELECT a::JSON(b UInt8)[1], CAST(a AS b AS DateTime64), x::DOUBLE PRECISION FROM t",
            "parsed TypeArguments `(b UInt8)`, InnerAlias `AS b`",
        ),
        (
            "SELECT (1,), (), f((a,)), [(),], j.a[].b, [][1] FROM t ORDER BY ()",
            "parsed JsonPath `[]`",
        ),
        (
            "SELECT sum(a) OVER (ROWS BETWEEN 2 PRECEDING AND CURRENT ROW), max(b) - any(c) FROM t WHERE a IS NOT DISTINCT FROM b",
            "parsed WindowFrame `ROWS BETWEEN 2 PRECEDING AND CURRENT ROW`",
        ),
        (
            "SELECT a FROM table ORDER BY a DESC COLLATE 'de', b WITH FILL STEP 1 STALENESS 3, c LIMIT 2, 1 BY a",
            "parsed Collation `COLLATE 'de'`, FillStaleness `STALENESS 3`, LimitBy `LIMIT 2, 1 BY a`",
        ),
        (
            "SELECT 1 AS a WITH ROLLUP",
            "parsed WithModifier `WITH ROLLUP`",
        ),
        (
            "SELECT t.* APPLY x -> x + 1, b FROM t",
            "parsed ColumnTransformer `APPLY x -> x + 1`",
        ),
        (
            "SELECT 1 FROM t WHERE a b c",
            "opaque Expected: EOF, found: b Some(24)",
        ),
    ] {
        assert_eq!(parsed(sql), expected, "{sql}");
    }
}

#[test]
fn hostile_sizes_neither_crash_nor_hang() {
    let deep = format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000));
    let scanned = scan(&deep).unwrap();
    assert!(matches!(parse(&deep, &scanned), Parsed::Opaque(_)));
    let queries = format!(
        "{}SELECT 1{}",
        "SELECT * FROM (".repeat(10_000),
        ")".repeat(10_000)
    );
    assert_eq!(tables(&queries), "");
    let long = format!("SELECT {} FROM a", "f(x IN b, 'text'), ".repeat(500_000));
    assert!(long.len() > 9_000_000);
    assert_eq!(scan(&long).unwrap().tables.len(), 500_001);
    assert!(scan(&"(".repeat(1_000_000)).is_err());
    let tags: Vec<String> = (0..1_000).map(|tag| format!("$t{tag}$")).collect();
    assert!(scan(&format!("SELECT {}", tags.join(" "))).is_err());
    assert!(scan(&format!("SELECT {}", "x -> ".repeat(100_000))).is_ok());
}

#[test]
fn references_answer_line_by_line() {
    assert_eq!(
        references(r#"{"id": 7, "sql": "WITH c AS (SELECT * FROM a) SELECT * FROM c, d.b, a"}"#),
        r#"{"id":7,"status":"parsed","tables":["a","d.b"]}"#
    );
    assert_eq!(
        references(r#"{"id": "x", "sql": "SELECT * FROM a WHERE b c d"}"#),
        r#"{"id":"x","status":"opaque","tables":["a"],"reason":"Expected: EOF, found: c"}"#
    );
    assert_eq!(
        references(r#"{"id": null, "sql": "DROP TABLE a"}"#),
        r#"{"id":null,"status":"rejected","tables":[],"reason":"only `SELECT` and `DESCRIBE` can run here, not `DROP`"}"#
    );
    assert!(references("nonsense").contains("rejected"));
}

/// Pieces that SQL is made of, to put together at random.
fn pieces() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "SELECT",
        "FROM",
        "WITH",
        "AS",
        "(",
        ")",
        ",",
        "a",
        "b.c",
        "IN",
        "NOT",
        "JOIN",
        "ARRAY",
        "LEFT",
        "UNION ALL",
        "EXCEPT",
        "'x'",
        "`y`",
        "1",
        "1.5",
        "{p:Identifier}",
        "{",
        "}",
        "[",
        "]",
        "->",
        "::",
        ".",
        "*",
        "=",
        "FINAL",
        "SAMPLE",
        "SETTINGS",
        "FORMAT",
        "view",
        "dictGet",
        "in",
        "APPLY",
        "arrayMap",
        "--",
        "/*",
        "*/",
        "$t$",
        "\"",
        "'",
        "\\",
        ";",
        "é",
        "\u{2019}",
        "DESCRIBE",
        "EXPLAIN",
        "INTO OUTFILE",
        "ORDER BY",
        "LIMIT",
        "USING",
        "ON",
        "RECURSIVE",
        "interval",
    ])
    .prop_map(str::to_owned);
    prop::collection::vec(
        prop_oneof![9 => known, 1 => any::<char>().prop_map(String::from)],
        0..40,
    )
    .prop_map(|pieces| pieces.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_is_scanned_without_panic_and_spans_are_of_the_text(sql in pieces()) {
        match scan(&sql) {
            Ok(scanned) => {
                for table in &scanned.tables {
                    prop_assert!(sql.get(table.span.clone()).is_some());
                }
                for called in scanned.functions.iter().chain(&scanned.table_functions) {
                    prop_assert!(sql.get(called.span.clone()).is_some());
                }
                for violation in guard(&scanned, &Policy::default(), Use::Node) {
                    prop_assert!(sql.get(violation.span).is_some());
                }
                if let Parsed::Tree(tree) = parse(&sql, &scanned) {
                    for taken in tree.taken_out() {
                        prop_assert!(sql.get(taken.span.clone()).is_some());
                    }
                }
            }
            Err(error) => prop_assert!(sql.get(error.span).is_some()),
        }
    }

    #[test]
    fn quoting_is_read_back(text in any::<String>()) {
        prop_assert_eq!(unquote(&quote_literal(&text)), text.clone());
        let sql = format!("SELECT * FROM {}", quote_identifier(&text));
        if !text.is_empty() {
            let scanned = scan(&sql).unwrap();
            prop_assert_eq!(&scanned.tables[0].name, &text);
            prop_assert_eq!(scanned.tables.len(), 1);
        }
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
