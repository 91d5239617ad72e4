//! Every rule with a project that makes its mistake, and with the nearest one that does not.

use std::fmt::Write as _;

use super::findings;
use crate::check::RULES;

/// The tables of these projects; `@` is the engine of `hits`.
const TABLES: &[(&str, &str)] = &[
    (
        "hits.datasource",
        "TOKEN t READ\n\nSCHEMA >\n    `site` String,\n    `day` Date,\n    `user` String,\n    `n` UInt32\n\nENGINE \"@\"\nENGINE_SORTING_KEY \"site, day\"\n",
    ),
    (
        "users.datasource",
        "TOKEN t READ\n\nSCHEMA >\n    `user` String,\n    `country` String\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"user\"\n",
    ),
    (
        "days.datasource",
        "TOKEN t READ\n\nSCHEMA >\n    `day` Date,\n    `total` AggregateFunction(sum, UInt32)\n\nENGINE \"AggregatingMergeTree\"\nENGINE_SORTING_KEY \"day\"\n",
    ),
    (
        "sums.datasource",
        "TOKEN t READ\n\nSCHEMA >\n    `site` String,\n    `day` Date,\n    `n` UInt64\n\nENGINE \"SummingMergeTree\"\nENGINE_SORTING_KEY \"site\"\n",
    ),
];

/// A rule, the engine of `hits`, a file with the mistake, and what to write in place of which words so that it is none.
struct Case {
    code: &'static str,
    engine: &'static str,
    wrong: (&'static str, &'static str),
    right: (&'static str, &'static str),
}

const fn case(
    code: &'static str,
    wrong: (&'static str, &'static str),
    right: (&'static str, &'static str),
) -> Case {
    Case {
        code,
        engine: "MergeTree",
        wrong,
        right,
    }
}

/// A pipe with a materialized node that fills `days`.
macro_rules! view {
    ($sql:literal) => {
        (
            "p.pipe",
            concat!(
                "NODE n\nSQL >\n    ",
                $sql,
                "\n\nTYPE materialized\nDATASOURCE days\n"
            ),
        )
    };
}

/// A pipe with an endpoint.
macro_rules! endpoint {
    ($sql:literal) => {
        (
            "p.pipe",
            concat!("NODE n\nSQL >\n    ", $sql, "\n\nTYPE endpoint\n"),
        )
    };
}

/// A pipe whose endpoint comes after another node.
macro_rules! two {
    ($first:literal, $second:literal) => {
        (
            "p.pipe",
            concat!(
                "NODE a\nSQL >\n    ",
                $first,
                "\n\nNODE n\nSQL >\n    ",
                $second,
                "\n\nTYPE endpoint\n"
            ),
        )
    };
}

const CASES: &[Case] = &[
    case(
        "clock-in-view",
        view!("SELECT day, sumState(n) AS total FROM hits WHERE day > today() - 7 GROUP BY day"),
        ("today() - 7", "toDate('2026-01-01')"),
    ),
    case(
        "computed-twice",
        two!(
            "SELECT user, n FROM hits LIMIT 10",
            "SELECT a.n FROM a, a AS b WHERE a.n > b.n LIMIT 10"
        ),
        ("hits LIMIT", "hits ORDER BY user LIMIT"),
    ),
    case(
        "join-order",
        two!(
            "SELECT user FROM hits GROUP BY user LIMIT 10",
            "SELECT n FROM a JOIN hits ON a.user = hits.user"
        ),
        ("FROM a JOIN hits ON", "FROM hits JOIN a ON"),
    ),
    Case {
        code: "missing-final",
        engine: "ReplacingMergeTree",
        wrong: endpoint!("SELECT site, n FROM hits"),
        right: ("FROM hits", "FROM hits FINAL"),
    },
    case(
        "missing-merge",
        endpoint!("SELECT sum(total) AS s FROM days"),
        ("sum(total)", "sumMerge(total)"),
    ),
    case(
        "missing-over",
        endpoint!("SELECT user, row_number() AS place FROM hits"),
        ("row_number()", "row_number() OVER (ORDER BY n)"),
    ),
    case(
        "missing-percent",
        endpoint!("SELECT n FROM hits WHERE user = {{ String(user, '') }}"),
        ("SELECT n", "%\n    SELECT n"),
    ),
    case(
        "missing-state",
        view!("SELECT day, sum(n) AS total FROM hits GROUP BY day"),
        ("sum(n)", "sumState(n)"),
    ),
    case(
        "nondeterministic-view",
        view!("SELECT day, sumState(rand()) AS total FROM hits GROUP BY day"),
        ("rand()", "cityHash64(user)"),
    ),
    case(
        "nullable-key",
        (
            "x.datasource",
            "SCHEMA >\n    `a` Nullable(Int32)\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"a\"\n",
        ),
        ("KEY \"a\"", "KEY \"ifNull(a, 0)\""),
    ),
    case(
        "parameter-types",
        two!(
            "%\n    SELECT n FROM hits WHERE user = {{ String(u, '') }}",
            "%\n    SELECT n FROM a LIMIT {{ Int32(u, 1) }}"
        ),
        ("Int32(u, 1)", "Int32(limit, 1)"),
    ),
    case(
        "plain-column",
        (
            "x.datasource",
            "SCHEMA >\n    `day` Date,\n    `browser` String\n\nENGINE \"AggregatingMergeTree\"\nENGINE_SORTING_KEY \"day\"\n",
        ),
        ("` String", "` SimpleAggregateFunction(any, String)"),
    ),
    case(
        "required-parameter",
        view!(
            "%\n    SELECT day, sumState(n) AS total FROM hits WHERE site = {{ String(site) }} GROUP BY day"
        ),
        ("String(site)", "String(site, 'shop')"),
    ),
    case(
        "set-columns",
        endpoint!("SELECT user FROM hits WHERE user IN users LIMIT 10"),
        ("user IN users", "(user, site) IN users"),
    ),
    case(
        "set-name",
        (
            "p.pipe",
            "NODE site\nSQL >\n    SELECT user FROM users\n\nNODE n\nSQL >\n    SELECT user FROM hits WHERE user IN site LIMIT 10\n\nTYPE endpoint\n",
        ),
        ("IN site", "IN (SELECT user FROM site)"),
    ),
    case(
        "star-endpoint",
        endpoint!("SELECT * FROM hits LIMIT 10"),
        ("FROM hits", "FROM (SELECT day FROM hits)"),
    ),
    case(
        "target-columns",
        view!("SELECT day, sumState(n) AS totals FROM hits GROUP BY day"),
        ("totals", "total"),
    ),
    case(
        "unguarded-division",
        endpoint!("SELECT sum(n) / uniq(user) AS per_user FROM hits"),
        ("uniq(user)", "nullIf(uniq(user), 0)"),
    ),
    case(
        "unkeyed-filter",
        endpoint!("SELECT count() AS c FROM hits WHERE user = 'x'"),
        ("user =", "site ="),
    ),
    case(
        "unlimited-endpoint",
        endpoint!("SELECT site, day FROM hits WHERE site = 'x'"),
        ("site, day", "max(day) AS day"),
    ),
    case(
        "unused-datasource",
        (
            "x.datasource",
            "SCHEMA >\n    `a` Int32\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"a\"\n",
        ),
        ("SCHEMA", "TOKEN t READ\n\nSCHEMA"),
    ),
    case(
        "unused-node",
        two!("SELECT day FROM hits", "SELECT count() AS c FROM hits"),
        ("c FROM hits", "c FROM a"),
    ),
    case(
        "unused-parameter",
        two!(
            "%\n    SELECT day FROM hits WHERE user = {{ String(u, '') }}",
            "SELECT count() AS c FROM hits"
        ),
        ("c FROM hits", "c FROM a"),
    ),
    case(
        "unused-pipe",
        (
            "p.pipe",
            "NODE n\nSQL >\n    SELECT day FROM hits\n\nTYPE standard\n",
        ),
        ("NODE n", "TOKEN t READ\n\nNODE n"),
    ),
    Case {
        code: "useless-final",
        engine: "MergeTree",
        wrong: endpoint!("SELECT n FROM hits FINAL LIMIT 1"),
        right: ("hits FINAL", "hits AS final"),
    },
    case(
        "useless-order",
        two!(
            "SELECT day, n FROM hits ORDER BY n",
            "SELECT day, sum(n) AS s FROM a GROUP BY day"
        ),
        ("ORDER BY n", "ORDER BY n LIMIT 10"),
    ),
    case(
        "view-group-key",
        (
            "p.pipe",
            "NODE n\nSQL >\n    SELECT site, day, sum(n) AS n FROM hits GROUP BY site, day\n\nTYPE materialized\nDATASOURCE sums\n",
        ),
        (
            "day, sum(n) AS n FROM hits GROUP BY site, day",
            "max(day) AS day, sum(n) AS n FROM hits GROUP BY site",
        ),
    ),
    case(
        "view-trigger",
        view!(
            "SELECT day, sumState(n) AS total FROM hits JOIN users ON users.user = hits.user GROUP BY day"
        ),
        (
            "JOIN users ON users.user = hits.user",
            "WHERE user IN (SELECT user FROM users)",
        ),
    ),
    case(
        "view-with-union",
        view!(
            "SELECT day, sumState(n) AS total FROM hits GROUP BY day UNION ALL SELECT day, sumState(n) AS total FROM hits GROUP BY day"
        ),
        (
            "UNION ALL SELECT day, sumState(n) AS total FROM hits GROUP BY day",
            "HAVING 1 IN (SELECT 1 UNION ALL SELECT 2)",
        ),
    ),
];

/// How often the rule of a case finds something, with every rule on.
fn found(case: &Case, text: &str) -> usize {
    let mut lints = String::from("[lints]\n");
    for rule in RULES {
        _ = writeln!(lints, "{} = \"warning\"", rule.code);
    }
    let tables: Vec<(&str, String)> = TABLES
        .iter()
        .map(|(name, text)| (*name, text.replace('@', case.engine)))
        .collect();
    let mut files: Vec<(&str, &str)> = tables.iter().map(|(name, text)| (*name, &**text)).collect();
    let other = (
        "other.pipe",
        "NODE o\nSQL >\n    SELECT 1 AS one\n\nTYPE endpoint\n",
    );
    files.extend([("pipewright.toml", &*lints), other, (case.wrong.0, text)]);
    let found = findings(&files);
    let codes = found.iter().filter_map(|found| found.split(':').next());
    let (mine, others): (Vec<&str>, Vec<&str>) = codes.partition(|code| *code == case.code);
    let is_rule = |code: &&str| RULES.iter().any(|rule| rule.code.name() == *code);
    let errors: Vec<&&str> = others.iter().filter(|code| !is_rule(code)).collect();
    assert!(errors.is_empty(), "{}: {found:?}", case.code);
    mine.len()
}

#[test]
fn every_rule_finds_its_mistake_and_passes_its_neighbour() {
    let cases: Vec<&str> = CASES.iter().map(|case| case.code).collect();
    let rules: Vec<&str> = RULES.iter().map(|rule| rule.code.name()).collect();
    assert_eq!(cases, rules);
    for case in CASES {
        let (_, wrong) = case.wrong;
        assert_eq!(found(case, wrong), 1, "{}: {wrong}", case.code);
        let right = wrong.replacen(case.right.0, case.right.1, 1);
        assert_ne!(wrong, right, "{}", case.code);
        assert_eq!(found(case, &right), 0, "{}: {right}", case.code);
    }
}
