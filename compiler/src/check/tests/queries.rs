//! Rules about what nodes ask of data sources, and about what nothing asks for.

use super::{WEB, findings};
use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use crate::diagnostics::apply_fixes;
use crate::plan::Plan;
use crate::project::SourceTree;

const HITS: &str = "SCHEMA >\n    `site` String,\n    `day` Date,\n    `user` String,\n    `n` UInt32\n\nENGINE \"{engine}\"\nENGINE_SORTING_KEY \"site, day\"\nENGINE_PARTITION_KEY \"toYYYYMM(day)\"\n";

/// The findings of one code, with every rule on, of an endpoint over `hits` of an engine.
fn of(code: &str, engine: &str, sql: &str) -> Vec<String> {
    let pipe = format!("NODE n\nSQL >\n    %\n    {sql}\n\nTYPE endpoint\n");
    only(code, engine, &pipe)
}

fn only(code: &str, engine: &str, pipe: &str) -> Vec<String> {
    let lints = format!("[lints]\n{code} = \"warning\"\n");
    let hits = HITS.replace("{engine}", engine);
    let files = [
        ("hits.datasource", hits.as_str()),
        ("p.pipe", pipe),
        ("pipewright.toml", lints.as_str()),
    ];
    let found = findings(&files).into_iter();
    let found = found.filter_map(|found| {
        let (name, message) = found.split_once(": ")?;
        (name == code).then(|| message.to_owned())
    });
    found.collect()
}

/// One true finding, and statements without.
#[track_caller]
fn check(code: &str, engine: &str, wrong: &str, message: &str, right: &[&str]) {
    assert_eq!(of(code, engine, wrong), [message], "{wrong}");
    for sql in right {
        assert_eq!(of(code, engine, sql), [""; 0], "{sql}");
    }
}

#[test]
fn final_is_found_where_it_has_no_meaning() {
    check(
        "useless-final",
        "MergeTree",
        "SELECT site FROM hits AS h FINAL LIMIT 1",
        "`hits` cannot be read with `FINAL`",
        &[
            "SELECT site FROM hits LIMIT 1",
            "SELECT n AS final FROM hits LIMIT 1",
        ],
    );
    for engine in [
        "ReplacingMergeTree",
        "SummingMergeTree",
        "AggregatingMergeTree",
    ] {
        let sql = "SELECT site FROM hits FINAL LIMIT 1";
        assert_eq!(of("useless-final", engine, sql), [""; 0], "{engine}");
    }
}

#[test]
fn old_versions_of_rows_are_found_where_nothing_takes_the_newest() {
    check(
        "missing-final",
        "ReplacingMergeTree",
        "SELECT site, n FROM hits WHERE site = 'x'",
        "`hits` may give old versions of its rows",
        &[
            "SELECT site, n FROM hits FINAL WHERE site = 'x'",
            "SELECT site, argMax(n, day) AS n FROM hits GROUP BY site",
            "SELECT site, n FROM hits ORDER BY day DESC LIMIT 1 BY site",
            "SELECT DISTINCT site FROM hits",
        ],
    );
    let sql = "SELECT site, n FROM hits";
    assert_eq!(of("missing-final", "MergeTree", sql), [""; 0]);
}

#[test]
fn filters_that_read_the_whole_table_are_found() {
    check(
        "unkeyed-filter",
        "MergeTree",
        "SELECT count() AS c FROM hits WHERE user = {{ String(user, 'x') }}",
        "the conditions read all of `hits`",
        &[
            "SELECT count() AS c FROM hits WHERE user = 'x' AND site = 'y'",
            "SELECT count() AS c FROM hits PREWHERE day > '2026-01-01' WHERE user = 'x'",
            "SELECT count() AS c FROM hits",
            "SELECT count() AS c FROM hits WHERE user = 'x' {% if defined(site) %} AND site = {{ String(site) }} {% end %}",
            "SELECT count() AS c FROM hits AS a JOIN hits AS b USING site WHERE user = 'x'",
        ],
    );
}

#[test]
fn answers_of_a_whole_table_are_found() {
    check(
        "star-endpoint",
        "MergeTree",
        "SELECT * FROM hits WHERE site = 'x' LIMIT 10",
        "the endpoint gives every column of `hits`",
        &[
            "SELECT site, day FROM hits LIMIT 10",
            "SELECT * FROM (SELECT site FROM hits) LIMIT 10",
            "SELECT count(*) AS c FROM hits",
        ],
    );
    check(
        "unlimited-endpoint",
        "MergeTree",
        "SELECT site, day FROM hits WHERE site = 'x'",
        "endpoint `p` gives as many rows as `hits` has",
        &[
            "SELECT site, day FROM hits LIMIT 10",
            "SELECT site, count() AS c FROM hits GROUP BY site",
            "SELECT max(day) AS day FROM hits",
            "SELECT site FROM (SELECT site FROM hits LIMIT 3)",
        ],
    );
}

#[test]
fn divisions_by_what_may_be_zero_are_found() {
    check(
        "unguarded-division",
        "MergeTree",
        "SELECT sum(n) / uniq(user) AS per_user FROM hits",
        "the divisor may be zero",
        &[
            "SELECT sum(n) / nullIf(uniq(user), 0) AS per_user FROM hits",
            "SELECT sum(n) / 60 AS per_minute, '1/n' AS text FROM hits",
        ],
    );
}

#[test]
fn a_join_with_the_table_on_its_right_is_found() {
    let pipe = |small: &str, sql: &str| {
        let text =
            format!("NODE few\nSQL >\n    {small}\n\nNODE n\nSQL >\n    {sql}\n\nTYPE endpoint\n");
        only("join-order", "MergeTree", &text)
    };
    let few = "SELECT user FROM hits GROUP BY user LIMIT 10";
    let join = "SELECT day FROM few JOIN hits ON few.user = hits.user";
    assert_eq!(
        pipe(few, join),
        ["all of `hits` is read into memory for the join"]
    );
    assert_eq!(pipe("SELECT user FROM hits", join), [""; 0]);
    let other = "SELECT day FROM hits JOIN few ON few.user = hits.user";
    assert_eq!(pipe(few, other), [""; 0]);
    // A subquery in the place of the node.
    let subquery =
        |inner: &str| format!("SELECT day FROM ({inner}) AS s JOIN hits ON s.user = hits.user");
    let plain = "SELECT user FROM hits";
    assert_eq!(
        pipe(
            plain,
            &subquery("SELECT (user) AS user FROM few GROUP BY user")
        ),
        ["all of `hits` is read into memory for the join"]
    );
    assert_eq!(pipe(plain, &subquery("SELECT user FROM few")), [""; 0]);
    assert_eq!(
        pipe(
            plain,
            &subquery("SELECT user FROM (SELECT user FROM few LIMIT 1)")
        ),
        [""; 0]
    );
}

#[test]
fn rules_that_are_off_need_a_severity() {
    let pipe = "NODE n\nSQL >\n    SELECT * FROM hits\n\nTYPE endpoint\n";
    let hits = HITS.replace("{engine}", "MergeTree");
    assert_eq!(
        findings(&[("hits.datasource", &hits), ("p.pipe", pipe)]),
        [""; 0]
    );
    let files = [
        ("hits.datasource", hits.as_str()),
        ("p.pipe", pipe),
        (
            "pipewright.toml",
            "[lints]\nstar-endpoint = \"error\"\nstr-endpoint = \"off\"\n",
        ),
    ];
    assert_eq!(
        findings(&files),
        [
            "star-endpoint: the endpoint gives every column of `hits`",
            "unknown-lint: there is no finding of the code `str-endpoint`"
        ]
    );
}

#[test]
fn nodes_and_pipes_that_nothing_comes_of_are_found() {
    let node = |name: &str, sql: &str| format!("NODE {name}\nSQL >\n    {sql}\n\n");
    let tried = node("tried", "SELECT 1 AS one FROM hits");
    let result = node("result", "SELECT count() AS c FROM hits") + "TYPE endpoint\n\n";
    let found = only("unused-node", "MergeTree", &(tried.clone() + &result));
    assert_eq!(found, ["nothing reads node `tried`"]);
    let read = tried.clone() + &node("result", "SELECT * FROM tried") + "TYPE endpoint\n";
    assert_eq!(only("unused-node", "MergeTree", &read), [""; 0]);
    assert_eq!(only("unused-pipe", "MergeTree", &read), [""; 0]);
    assert_eq!(only("unused-node", "MergeTree", &tried), [""; 0]);
    assert_eq!(
        only(
            "unused-pipe",
            "MergeTree",
            &format!("{tried}TYPE standard\n")
        ),
        ["nothing reads pipe `p`, and it publishes nothing"]
    );
    assert_eq!(
        only(
            "unused-node",
            "MergeTree",
            &format!("TOKEN t READ\n\n{tried}TYPE standard\n")
        ),
        [""; 0]
    );
}

#[test]
fn parameters_that_no_request_can_give_are_found() {
    let pipe = |result: &str| {
        let text = format!(
            "NODE by_user\nSQL >\n    %\n    SELECT * FROM hits WHERE user = {{{{ String(user, 'x') }}}}\n\nNODE result\nSQL >\n    %\n    {result}\n\nTYPE endpoint\n"
        );
        only("unused-parameter", "MergeTree", &text)
    };
    assert_eq!(
        pipe("SELECT count() AS c FROM hits"),
        ["`user` is no parameter of endpoint `p`"]
    );
    assert_eq!(pipe("SELECT count() AS c FROM by_user"), [""; 0]);
    assert_eq!(
        pipe("SELECT count() AS c FROM hits WHERE user = {{ String(user, 'x') }}"),
        [""; 0]
    );
}

/// The plan of an endpoint over `hits`, and what is found of one code.
fn found_in(sql: &str, code: &str) -> (Plan, Vec<Diagnostic>) {
    let pipe = format!("NODE n\nSQL >\n    {sql}\n\nTYPE endpoint\n");
    let hits = HITS.replace("{engine}", "MergeTree");
    let files = [("hits.datasource", hits), ("p.pipe", pipe)];
    let files = files.map(|(name, text)| (name.to_owned(), text));
    let (plan, mut found) = crate::check(SourceTree::new(files));
    found.retain(|found| found.code.name() == code);
    (plan, found)
}

#[test]
fn final_that_the_engine_refuses_is_an_error_unless_a_request_has_to_ask_for_it() {
    let severity = |sql: &str| {
        let (_, found) = found_in(&format!("%\n    {sql}"), "useless-final");
        found.first().map(|found| found.severity)
    };
    assert_eq!(severity("SELECT n FROM hits FINAL"), Some(Severity::Error));
    assert_eq!(
        severity("SELECT n FROM hits {% if defined(x) %} FINAL {% end %}"),
        Some(Severity::Warning)
    );
}

#[test]
fn tags_in_sql_that_is_no_template_are_found_and_the_fix_makes_it_one() {
    let of = |sql: &str| {
        let (plan, found) = found_in(sql, "missing-percent");
        let file = &plan.project.sources[found.first()?.primary()?.source];
        Some((
            file.slice(found[0].primary()?).to_owned(),
            apply_fixes(file, &found),
        ))
    };
    let fixed = |sql: &str| format!("NODE n\nSQL >\n    %\n    {sql}\n\nTYPE endpoint\n");
    for (sql, tag) in [
        ("SELECT {{Int32(x, 1)}} AS x FROM hits", "{{"),
        (
            "SELECT 1 FROM hits {% if defined(x) %} WHERE n = {{Int32(x)}} {% end %}",
            "{%",
        ),
        ("-- all\n    SELECT {{Int32(x, 1)}} AS x", "{{"),
    ] {
        assert_eq!(of(sql), Some((tag.to_owned(), fixed(sql))), "{sql}");
    }
    // What is in quotes would change its meaning, and a tag that cannot be read would be another error: shown, but not applied by itself.
    for sql in [
        "SELECT '{{ name }}' AS text, {{Int32(x, 1)}} AS x",
        "SELECT {{ String(x) }} AS x, 'a",
        "SELECT {{Int32(x, 1} AS x",
    ] {
        let (tag, text) = of(sql).expect("a finding");
        assert_eq!((tag.as_str(), text.contains('%')), ("{{", false), "{sql}");
    }
    for sql in [
        "SELECT '{{ name }} {% if %}' AS text, \"{{\" FROM (SELECT 1 AS \"{{\")",
        "SELECT 1 -- {{Int32(x)}}",
        "SELECT map('a', 1)['a'], n % 2 AS m, {'a': {'b': 1}}['a'] FROM hits",
        "%\n    SELECT {{Int32(x, 1)}} AS x",
    ] {
        assert_eq!(of(sql), None, "{sql}");
    }
}

#[test]
fn the_time_of_a_job_is_a_good_name_in_a_copy_alone() {
    let of = |kind: &str| {
        let pipe = format!(
            "NODE n\nSQL >\n    %\n    SELECT day, user FROM web WHERE user > {{{{String(job_timestamp)}}}}\n\nNODE m\nSQL >\n    SELECT * FROM n\n\nTYPE {kind}\n"
        );
        findings(&[WEB, ("p.pipe", &pipe)])
    };
    assert_eq!(of("copy\nTARGET_DATASOURCE web"), [""; 0]);
    assert_eq!(
        of("endpoint"),
        [
            "template-reserved-name: `job_timestamp` has another meaning in requests; choose another name"
        ]
    );
}

/// What is said of the sides of `IN` in a pipe whose last node has this SQL; nodes `pair` and `one` give two columns and one.
fn sides(sql: &str) -> Vec<String> {
    let pipe = format!(
        "NODE pair\nSQL >\n    SELECT *, lower(user) AS small FROM web\n\nNODE one\nSQL >\n    SELECT small FROM pair\n\nNODE n\nSQL >\n    %\n    {sql}\n\nTYPE endpoint\n"
    );
    let tuples = "SCHEMA >\n    `both` Tuple(Date, String)\n";
    let all = [WEB, ("tuples.datasource", tuples), ("p.pipe", &pipe)];
    let found = findings(&all).into_iter();
    let found = found.filter_map(|found| Some(found.strip_prefix("set-columns: ")?.to_owned()));
    found.collect()
}

#[test]
fn sides_of_in_that_the_engine_can_compare_are_passed() {
    for sql in [
        // Its items may be tuples.
        "SELECT user FROM web ARRAY JOIN user WHERE user IN (SELECT day, user FROM web)",
        "SELECT user FROM web ARRAY JOIN user WHERE user IN pair",
        // The engine takes a column before a table.
        "SELECT both FROM tuples WHERE 'a' IN both",
        "SELECT user FROM web AS both, both AS web WHERE user IN both",
        "SELECT user FROM web WHERE concat((day, user), (1, 2)) IN (SELECT day, user, 1, 2 FROM web)",
    ] {
        assert_eq!(sides(sql), [""; 0], "{sql}");
    }
}

#[test]
fn sides_of_in_that_cannot_be_compared_are_found() {
    for (sql, said) in [
        (
            "SELECT user FROM web WHERE user IN web",
            "`IN` compares one value with 2 columns",
        ),
        (
            "SELECT w.user FROM web AS w WHERE w.day NOT IN (web)",
            "`IN` compares one value with 2 columns",
        ),
        (
            "SELECT user FROM web WHERE user IN pair",
            "`IN` compares one value with 3 columns",
        ),
        (
            "SELECT small FROM pair WHERE small IN web",
            "`IN` compares one value with 2 columns",
        ),
        (
            "SELECT small FROM one WHERE small IN web",
            "`IN` compares one value with 2 columns",
        ),
        (
            "SELECT user FROM web WHERE (day, user, 1) IN web",
            "`IN` compares a tuple of 3 values with 2 columns",
        ),
        (
            "SELECT user FROM web WHERE toDate(day) IN (SELECT day, user FROM web)",
            "`IN` compares one value with 2 columns",
        ),
        (
            "SELECT user FROM web WHERE {{String(u, 'x')}} IN web",
            "`IN` compares one value with 2 columns",
        ),
    ] {
        assert_eq!(sides(sql), [said], "{sql}");
    }
}

#[test]
fn sides_of_in_that_may_fit_are_left_alone() {
    for sql in [
        "SELECT user FROM web WHERE (day, user) IN web",
        "SELECT user FROM web WHERE user IN one",
        "SELECT user FROM web WHERE (day, user) IN tuples",
        "SELECT both FROM tuples WHERE both IN web",
        "SELECT both FROM tuples, web WHERE both IN web",
        "SELECT (day, user) AS pairs, pairs IN web FROM web",
        "SELECT user FROM web WHERE user IN (SELECT user FROM web)",
        "SELECT user FROM web WHERE user IN (SELECT * FROM one)",
        "WITH web AS (SELECT user FROM one) SELECT user FROM one WHERE small IN web",
    ] {
        assert_eq!(sides(sql), [""; 0], "{sql}");
    }
}

/// What is said of nodes that are read twice in a pipe of a node `part` with this SQL, which `small` and `great` read, which `both` reads.
fn twice(part: &str, both: &str) -> Vec<String> {
    let pipe = format!(
        "NODE part\nSQL >\n    {part}\n\nNODE small\nSQL >\n    SELECT * FROM part WHERE user = 'a'\n\nNODE great\nSQL >\n    SELECT * FROM part WHERE user = 'b'\n\nNODE both\nSQL >\n    {both}\n\nNODE end\nSQL >\n    SELECT * FROM both UNION ALL SELECT * FROM both\n\nTYPE endpoint\n"
    );
    let lints = "[lints]\ncomputed-twice = \"warning\"\n";
    let found = findings(&[WEB, ("p.pipe", &pipe), ("pipewright.toml", lints)]).into_iter();
    let found = found.filter_map(|found| Some(found.strip_prefix("computed-twice: ")?.to_owned()));
    found.collect()
}

#[test]
fn what_differs_each_time_is_found_where_one_statement_reads_it_twice() {
    let united = "SELECT * FROM small UNION ALL SELECT * FROM great";
    assert_eq!(
        twice("SELECT * FROM web LIMIT 5", united),
        [
            "node `part` is read twice in one statement, and its `LIMIT` takes any rows",
            "node `part` is read twice in one statement, and its `LIMIT` takes any rows",
        ]
    );
    assert_eq!(
        twice(
            "SELECT day, toString(rand()) AS user FROM web",
            "SELECT * FROM small"
        ),
        ["node `part` is read twice in one statement, and `rand` gives other values each time"]
    );
    assert_eq!(
        twice("SELECT * FROM web ORDER BY day LIMIT 5", united),
        [""; 0]
    );
    assert_eq!(twice("SELECT day, user FROM web", united), [""; 0]);
    let one_row = "SELECT max(day) AS day, max(user) AS user FROM web LIMIT 1";
    assert_eq!(twice(one_row, united), [""; 0]);
    assert_eq!(
        findings(&[
            WEB,
            (
                "p.pipe",
                "NODE part\nSQL >\n    SELECT * FROM web LIMIT 5\n\nNODE end\nSQL >\n    SELECT * FROM part WHERE user = 'a'\n\nTYPE endpoint\n"
            )
        ]),
        [""; 0]
    );
}
