//! What is refused, and what is not.

use super::*;

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

#[test]
fn a_call_is_seen_wherever_it_stands() {
    for sql in [
        "SELECT 1 AS n, 'a' AS x ORDER BY n WITH FILL FROM 1 TO 3 INTERPOLATE (x AS file('/etc/hostname'))",
        "SELECT 1 AS n ORDER BY n WITH FILL INTERPOLATE (n AS in(n, hostName()))",
        "SELECT arrayMap(file AS g, ['/etc/hostname'])",
        "SELECT arrayMap((file AS g), ['/etc/hostname'])",
        "SELECT arrayMap((file) AS g, ['/etc/hostname'])",
        "SELECT CAST(1 AS x), 1 AS `file`('/etc/hostname')",
    ] {
        let scanned = scan(sql).unwrap();
        let found = guard(&scanned, &Policy::default(), Use::Query);
        assert!(
            found.iter().any(|found| found.what == Refused::Function),
            "{sql}: {found:?}"
        );
    }
}
