//! The shapes, their tables, and the flat statement of each.

/// What a shape is one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    ChainOfSix,
    Chain,
    UnionDiamond,
    Other,
}

/// A pipe and its statement as one would write it by hand.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) group: Group,
    /// Name and SQL of each node, the endpoint last.
    pub(crate) nodes: &'static [(&'static str, &'static str)],
    pub(crate) flat: &'static str,
}

pub(crate) const DATASOURCES: &[(&str, &str)] = &[
    (
        "hits",
        "SCHEMA >\n    `org` UInt32, `ts` DateTime, `user` UInt32, `url` String, `status` UInt16, `amount` UInt32, `country` LowCardinality(String), `payload` String\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"org, ts\"\n",
    ),
    (
        "users",
        "SCHEMA >\n    `user` UInt32, `name` String, `plan` String\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"user\"\n",
    ),
    (
        "daily",
        "SCHEMA >\n    `org` UInt32, `day` Date, `hits` AggregateFunction(count), `visitors` AggregateFunction(uniq, UInt32)\n\nENGINE \"AggregatingMergeTree\"\nENGINE_SORTING_KEY \"org, day\"\n",
    ),
];

pub(crate) const SET_UP: &[&str] = &[
    "CREATE TABLE hits (org UInt32, ts DateTime, user UInt32, url String, status UInt16, amount UInt32, country LowCardinality(String), payload String) ENGINE = MergeTree ORDER BY (org, ts)",
    "INSERT INTO hits SELECT number % 1000, toDateTime('2026-01-01', 'UTC') + intDiv(number, 4), cityHash64(number) % 20000, concat('/page/', toString(cityHash64(number, 1) % 500)), [200, 200, 200, 404, 500][1 + cityHash64(number, 2) % 5], cityHash64(number, 3) % 10000, ['de', 'fr', 'us', 'gb'][1 + cityHash64(number, 4) % 4], repeat('x', cityHash64(number, 5) % 40) FROM numbers(1500000)",
    "OPTIMIZE TABLE hits FINAL",
    "CREATE TABLE users (user UInt32, name String, plan String) ENGINE = MergeTree ORDER BY user",
    "INSERT INTO users SELECT number, concat('u', toString(number)), ['free', 'pro'][1 + number % 2] FROM numbers(20000)",
    "CREATE TABLE daily (org UInt32, day Date, hits AggregateFunction(count), visitors AggregateFunction(uniq, UInt32)) ENGINE = AggregatingMergeTree ORDER BY (org, day)",
    "INSERT INTO daily SELECT org, toDate(ts) AS day, countState() AS hits, uniqState(user) AS visitors FROM hits GROUP BY org, day",
];

macro_rules! shape {
    ($name:literal, $group:ident, $flat:expr, [$(($node:literal, $sql:expr)),* $(,)?]) => {
        Shape { name: $name, group: Group::$group, nodes: &[$(($node, $sql)),*], flat: $flat }
    };
}

const LOOKUP: &str = "SELECT user, amount FROM hits WHERE org = 7 AND ts < '2026-01-01 01:00:00'";

pub(crate) const SHAPES: &[Shape] = &[
    shape!(
        "chain of 2, lookup",
        Chain,
        LOOKUP,
        [
            ("a", "SELECT * FROM hits"),
            (
                "b",
                "SELECT user, amount FROM a WHERE org = 7 AND ts < '2026-01-01 01:00:00'"
            ),
        ]
    ),
    shape!(
        "chain of 3, lookup",
        Chain,
        LOOKUP,
        [
            ("a", "SELECT * FROM hits"),
            ("b", "SELECT * FROM a WHERE org = 7"),
            (
                "c",
                "SELECT user, amount FROM b WHERE ts < '2026-01-01 01:00:00'"
            ),
        ]
    ),
    shape!(
        "chain of 4, groups and a tail",
        Chain,
        "SELECT url, count() AS c FROM hits WHERE org = 7 AND status = 200 GROUP BY url ORDER BY c DESC, url LIMIT 10",
        [
            ("a", "SELECT ts, url, status, org FROM hits WHERE org = 7"),
            ("b", "SELECT url, ts FROM a WHERE status = 200"),
            (
                "c",
                "SELECT url, count() AS c, max(ts) AS latest FROM b GROUP BY url"
            ),
            ("d", "SELECT url, c FROM c ORDER BY c DESC, url LIMIT 10"),
        ]
    ),
    shape!(
        "chain of 5, renaming",
        Chain,
        "SELECT user AS visitor, max(amount) AS most FROM hits WHERE org = 7 AND status = 200 AND country = 'de' GROUP BY visitor",
        [
            (
                "a",
                "SELECT org, user AS visitor, amount, status, country FROM hits"
            ),
            (
                "b",
                "SELECT visitor, amount AS price, status, country FROM a WHERE org = 7"
            ),
            (
                "c",
                "SELECT visitor, price, country FROM b WHERE status = 200"
            ),
            ("d", "SELECT * FROM c WHERE country = 'de'"),
            (
                "e",
                "SELECT visitor, max(price) AS most FROM d GROUP BY visitor"
            ),
        ]
    ),
    shape!(
        "chain of 6, lookup",
        ChainOfSix,
        LOOKUP,
        [
            ("a", "SELECT * FROM hits"),
            ("b", "SELECT * FROM a"),
            ("c", "SELECT * FROM b WHERE org = 7"),
            ("d", "SELECT * FROM c"),
            ("e", "SELECT ts, user, amount FROM d"),
            (
                "f",
                "SELECT user, amount FROM e WHERE ts < '2026-01-01 01:00:00'"
            ),
        ]
    ),
    shape!(
        "chain of 6, filters and groups",
        ChainOfSix,
        "SELECT url, count() AS c, sum(amount * 2) AS s FROM hits WHERE org = 7 AND status = 200 AND amount * 2 > 5000 GROUP BY url ORDER BY c DESC, url LIMIT 10",
        [
            (
                "a",
                "SELECT org, ts, user, url, status, amount, country FROM hits WHERE org = 7"
            ),
            ("b", "SELECT * FROM a WHERE status = 200"),
            ("c", "SELECT ts, user AS visitor, url, amount FROM b"),
            ("d", "SELECT ts, visitor, url, amount * 2 AS doubled FROM c"),
            ("e", "SELECT * FROM d WHERE doubled > 5000"),
            (
                "f",
                "SELECT url, count() AS c, sum(doubled) AS s FROM e GROUP BY url ORDER BY c DESC, url LIMIT 10"
            ),
        ]
    ),
    shape!(
        "chain of 6, latest rows",
        ChainOfSix,
        "SELECT ts, user AS visitor, amount * 2 AS doubled FROM hits WHERE org = 7 AND status = 200 AND amount * 2 > 5000 ORDER BY ts DESC LIMIT 10",
        [
            (
                "a",
                "SELECT org, ts, user, url, status, amount, country FROM hits WHERE org = 7"
            ),
            ("b", "SELECT * FROM a WHERE status = 200"),
            ("c", "SELECT ts, user AS visitor, url, amount FROM b"),
            ("d", "SELECT ts, visitor, url, amount * 2 AS doubled FROM c"),
            ("e", "SELECT * FROM d WHERE doubled > 5000"),
            (
                "f",
                "SELECT ts, visitor, doubled FROM e ORDER BY ts DESC LIMIT 10"
            ),
        ]
    ),
    shape!(
        "chain of 6, columns nobody reads",
        ChainOfSix,
        "SELECT toDate(ts) AS day, count() AS c FROM hits WHERE org = 7 AND status = 200 GROUP BY day ORDER BY day",
        [
            ("a", "SELECT * FROM hits"),
            (
                "b",
                "SELECT *, upper(url) AS big, length(payload) AS size FROM a"
            ),
            ("c", "SELECT * FROM b WHERE org = 7"),
            ("d", "SELECT *, toDate(ts) AS day FROM c"),
            ("e", "SELECT * FROM d WHERE status = 200"),
            (
                "f",
                "SELECT day, count() AS c FROM e GROUP BY day ORDER BY day"
            ),
        ]
    ),
    shape!(
        "chain of 6, groups in the middle",
        ChainOfSix,
        "SELECT url, count() AS c, max(amount) AS most FROM hits WHERE org = 7 AND status = 200 GROUP BY url HAVING c > 2 ORDER BY most DESC, url LIMIT 5",
        [
            ("a", "SELECT org, url, amount, status FROM hits"),
            ("b", "SELECT * FROM a WHERE org = 7"),
            ("c", "SELECT url, amount FROM b WHERE status = 200"),
            (
                "d",
                "SELECT url, count() AS c, max(amount) AS most FROM c GROUP BY url"
            ),
            ("e", "SELECT * FROM d WHERE c > 2"),
            (
                "f",
                "SELECT url, c, most FROM e ORDER BY most DESC, url LIMIT 5"
            ),
        ]
    ),
    shape!(
        "chain of 6, count",
        ChainOfSix,
        "SELECT count() AS c FROM hits",
        [
            ("a", "SELECT * FROM hits"),
            ("b", "SELECT * FROM a WHERE 1 = 1"),
            ("c", "SELECT org, user, amount FROM b"),
            ("d", "SELECT *, amount + 1 AS more FROM c"),
            ("e", "SELECT * FROM d"),
            ("f", "SELECT count() AS c FROM e"),
        ]
    ),
    shape!(
        "chain of 6, a scan of everything",
        ChainOfSix,
        "SELECT url, count() AS c, sum(amount * 2) AS s FROM hits WHERE country = 'de' AND status = 200 AND amount * 2 > 5000 GROUP BY url",
        [
            ("a", "SELECT * FROM hits WHERE country = 'de'"),
            ("b", "SELECT * FROM a WHERE status = 200"),
            ("c", "SELECT ts, user AS visitor, url, amount FROM b"),
            ("d", "SELECT ts, visitor, url, amount * 2 AS doubled FROM c"),
            ("e", "SELECT * FROM d WHERE doubled > 5000"),
            (
                "f",
                "SELECT url, count() AS c, sum(doubled) AS s FROM e GROUP BY url"
            ),
        ]
    ),
    shape!(
        "chain of 7, lookup",
        Chain,
        LOOKUP,
        [
            ("a", "SELECT * FROM hits"),
            ("b", "SELECT * FROM a"),
            ("c", "SELECT * FROM b WHERE org = 7"),
            ("d", "SELECT * FROM c"),
            ("e", "SELECT ts, user, amount FROM d"),
            ("f", "SELECT * FROM e"),
            (
                "g",
                "SELECT user, amount FROM f WHERE ts < '2026-01-01 01:00:00'"
            ),
        ]
    ),
    shape!(
        "chain of 8, lookup",
        Chain,
        LOOKUP,
        [
            ("a", "SELECT * FROM hits"),
            ("b", "SELECT * FROM a"),
            ("c", "SELECT * FROM b WHERE org = 7"),
            ("d", "SELECT * FROM c WHERE 1 = 1"),
            ("e", "SELECT ts, user, amount FROM d"),
            ("f", "SELECT * FROM e"),
            ("g", "SELECT * FROM f"),
            (
                "h",
                "SELECT user, amount FROM g WHERE ts < '2026-01-01 01:00:00'"
            ),
        ]
    ),
    shape!(
        "diamond, UNION of 4",
        UnionDiamond,
        "SELECT pair.1 AS k, pair.2 AS v FROM (SELECT arrayJoin([('sum', sum(c)), ('max', max(c)), ('users', count()), ('most', max(s))]) AS pair FROM (SELECT url, user, count() AS c, sum(amount) AS s FROM hits WHERE country = 'de' GROUP BY url, user))",
        [
            (
                "n",
                "SELECT url, user, count() AS c, sum(amount) AS s FROM hits WHERE country = 'de' GROUP BY url, user"
            ),
            (
                "u",
                "SELECT 'sum' AS k, sum(c) AS v FROM n UNION ALL SELECT 'max' AS k, max(c) AS v FROM n UNION ALL SELECT 'users' AS k, count() AS v FROM n UNION ALL SELECT 'most' AS k, max(s) AS v FROM n"
            ),
        ]
    ),
    shape!(
        "diamond, UNION of 4 over a chain",
        UnionDiamond,
        "SELECT pair.1 AS k, pair.2 AS v FROM (SELECT arrayJoin([('sum', sum(c)), ('max', max(c)), ('users', count()), ('min', min(c))]) AS pair FROM (SELECT user, count() AS c FROM hits WHERE status = 200 GROUP BY user))",
        [
            ("a", "SELECT user, status FROM hits"),
            ("b", "SELECT user FROM a WHERE status = 200"),
            ("n", "SELECT user, count() AS c FROM b GROUP BY user"),
            (
                "u",
                "SELECT 'sum' AS k, sum(c) AS v FROM n UNION ALL SELECT 'max' AS k, max(c) AS v FROM n UNION ALL SELECT 'users' AS k, count() AS v FROM n UNION ALL SELECT 'min' AS k, min(c) AS v FROM n"
            ),
        ]
    ),
    shape!(
        "diamond, UNION of 3",
        UnionDiamond,
        "SELECT pair.1 AS k, pair.2 AS v FROM (SELECT arrayJoin([('sum', sum(c)), ('max', max(c)), ('users', count())]) AS pair FROM (SELECT user, url, uniq(country) AS c FROM hits GROUP BY user, url))",
        [
            (
                "n",
                "SELECT user, url, uniq(country) AS c FROM hits GROUP BY user, url"
            ),
            (
                "u",
                "SELECT 'sum' AS k, sum(c) AS v FROM n UNION ALL SELECT 'max' AS k, max(c) AS v FROM n UNION ALL SELECT 'users' AS k, count() AS v FROM n"
            ),
        ]
    ),
    shape!(
        "diamond, UNION of 2, little data",
        Other,
        "SELECT pair.1 AS k, pair.2 AS v FROM (SELECT arrayJoin([('sum', sum(c)), ('max', max(c))]) AS pair FROM (SELECT url, count() AS c FROM hits WHERE org = 7 GROUP BY url))",
        [
            (
                "n",
                "SELECT url, count() AS c FROM hits WHERE org = 7 GROUP BY url"
            ),
            (
                "u",
                "SELECT 'sum' AS k, sum(c) AS v FROM n UNION ALL SELECT 'max' AS k, max(c) AS v FROM n"
            ),
        ]
    ),
    shape!(
        "diamond, UNION with other filters (not shared)",
        Other,
        "SELECT 'a' AS k, sum(c) AS v FROM (SELECT user, count() AS c FROM hits WHERE org = 1 GROUP BY user) UNION ALL SELECT 'b' AS k, sum(c) AS v FROM (SELECT user, count() AS c FROM hits WHERE org = 2 GROUP BY user)",
        [
            (
                "n",
                "SELECT org, user, count() AS c FROM hits GROUP BY org, user"
            ),
            (
                "u",
                "SELECT 'a' AS k, sum(c) AS v FROM n WHERE org = 1 UNION ALL SELECT 'b' AS k, sum(c) AS v FROM n WHERE org = 2"
            ),
        ]
    ),
    shape!(
        "diamond, JOIN",
        Other,
        "WITH n AS MATERIALIZED (SELECT user, count() AS c, max(url) AS u FROM hits GROUP BY user) SELECT count() AS pairs, sum(a.c * b.c) AS s FROM n AS a JOIN n AS b ON a.user = b.user SETTINGS enable_materialized_cte = 1",
        [
            (
                "n",
                "SELECT user, count() AS c, max(url) AS u FROM hits GROUP BY user"
            ),
            (
                "j",
                "SELECT count() AS pairs, sum(a.c * b.c) AS s FROM n AS a JOIN n AS b ON a.user = b.user"
            ),
        ]
    ),
    shape!(
        "diamond, scalar subqueries (not shared)",
        Other,
        "SELECT max(c) AS most, sum(c) AS s FROM (SELECT user, count() AS c FROM hits WHERE status = 404 GROUP BY user)",
        [
            (
                "n",
                "SELECT user, count() AS c FROM hits WHERE status = 404 GROUP BY user"
            ),
            (
                "s",
                "SELECT (SELECT max(c) FROM n) AS most, (SELECT sum(c) FROM n) AS s"
            ),
        ]
    ),
    shape!(
        "star join",
        Other,
        "SELECT u.plan AS plan, count() AS c FROM hits AS h JOIN users AS u ON h.user = u.user WHERE h.org = 10 GROUP BY plan",
        [
            ("facts", "SELECT * FROM hits"),
            ("people", "SELECT * FROM users"),
            (
                "joined",
                "SELECT h.org AS org, u.plan AS plan FROM facts AS h JOIN people AS u ON h.user = u.user"
            ),
            ("ours", "SELECT plan FROM joined WHERE org = 10"),
            (
                "result",
                "SELECT plan, count() AS c FROM ours GROUP BY plan"
            ),
        ]
    ),
    shape!(
        "window",
        Other,
        "SELECT user, ts, row_number() OVER (PARTITION BY user ORDER BY ts, url) AS n FROM hits WHERE org = 7 AND status = 200",
        [
            ("a", "SELECT * FROM hits"),
            ("b", "SELECT user, ts, url, status FROM a WHERE org = 7"),
            ("c", "SELECT user, ts, url FROM b WHERE status = 200"),
            (
                "d",
                "SELECT user, ts, row_number() OVER (PARTITION BY user ORDER BY ts, url) AS n FROM c"
            ),
        ]
    ),
    shape!(
        "reading a view of states",
        Other,
        "SELECT day, countMerge(hits) AS h, uniqMerge(visitors) AS v FROM daily WHERE org = 7 GROUP BY day ORDER BY day",
        [
            ("a", "SELECT * FROM daily"),
            ("b", "SELECT day, hits, visitors FROM a WHERE org = 7"),
            (
                "c",
                "SELECT day, countMerge(hits) AS h, uniqMerge(visitors) AS v FROM b GROUP BY day"
            ),
            ("d", "SELECT * FROM c ORDER BY day"),
        ]
    ),
    shape!(
        "sorted before it is counted",
        Other,
        "SELECT url, count() AS c FROM hits WHERE org = 7 GROUP BY url",
        [
            (
                "a",
                "SELECT url, ts, amount FROM hits WHERE org = 7 ORDER BY amount DESC"
            ),
            ("b", "SELECT url, count() AS c FROM a GROUP BY url"),
        ]
    ),
    shape!(
        "DISTINCT of DISTINCT",
        Other,
        "SELECT DISTINCT user FROM hits",
        [
            ("a", "SELECT DISTINCT user, country FROM hits"),
            ("b", "SELECT DISTINCT user FROM a"),
        ]
    ),
    shape!(
        "groups of DISTINCT",
        Other,
        "SELECT user, max(country) AS m FROM hits GROUP BY user",
        [
            ("a", "SELECT DISTINCT user, country FROM hits"),
            ("b", "SELECT user, max(country) AS m FROM a GROUP BY user"),
        ]
    ),
    shape!(
        "IN of DISTINCT",
        Other,
        "SELECT count() AS c FROM hits WHERE org = 1 AND user IN (SELECT user FROM hits WHERE org = 2)",
        [
            ("a", "SELECT DISTINCT user FROM hits WHERE org = 2"),
            (
                "b",
                "SELECT count() AS c FROM hits WHERE org = 1 AND user IN (SELECT user FROM a)"
            ),
        ]
    ),
    shape!(
        "WHERE 1 = 1",
        Other,
        "SELECT count() AS c FROM hits",
        [("a", "SELECT count() AS c FROM hits WHERE 1 = 1"),]
    ),
    shape!(
        "nothing to do",
        Other,
        "SELECT url, uniq(user) AS u FROM hits WHERE org = 7 GROUP BY url ORDER BY u DESC, url LIMIT 10",
        [(
            "a",
            "SELECT url, uniq(user) AS u FROM hits WHERE org = 7 GROUP BY url ORDER BY u DESC, url LIMIT 10"
        ),]
    ),
];
