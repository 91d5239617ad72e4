mod each;
mod queries;
mod through;
mod views;

use crate::project::SourceTree;

/// The findings of a project as `code: message`.
fn findings(files: &[(&str, &str)]) -> Vec<String> {
    let files = files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    let (_, diagnostics) = crate::check(SourceTree::new(files));
    diagnostics
        .iter()
        .map(|found| format!("{}: {}", found.code, found.message))
        .collect()
}

const WEB: (&str, &str) = (
    "web.datasource",
    "SCHEMA >\n    `day` Date,\n    `user` String\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"day\"\n",
);

const DAYS: (&str, &str) = (
    "days.datasource",
    "SCHEMA >\n    `day` Date,\n    `users` AggregateFunction(uniq, String)\n\nENGINE \"AggregatingMergeTree\"\nENGINE_SORTING_KEY \"day\"\n",
);

/// The findings of a materialized node with this SQL that fills `days` from `web`.
fn of_view(sql: &str) -> Vec<String> {
    let pipe = format!("NODE n\nSQL >\n    {sql}\n\nTYPE materialized\nDATASOURCE days\n");
    findings(&[WEB, DAYS, ("v.pipe", &pipe)])
}

const GOOD: &str = "SELECT day, uniqState(user) AS users FROM web GROUP BY day";

#[test]
fn a_view_as_it_should_be_has_no_findings() {
    assert_eq!(of_view(GOOD), [""; 0]);
    assert_eq!(
        of_view("SELECT * FROM (SELECT day, uniqState(user) AS users FROM web GROUP BY day)"),
        [""; 0]
    );
    assert_eq!(
        of_view("SELECT toDate(now()) AS day, uniqState(user) AS users FROM web"),
        [""; 0]
    );
}

#[test]
fn union_in_a_view_is_found_outside_of_parentheses_only() {
    assert_eq!(
        of_view(&format!("{GOOD} UNION ALL {GOOD}")),
        ["view-with-union: materialized node `n` joins several queries with `UNION`"]
    );
    let inner = "SELECT day, uniqState(user) AS users FROM (SELECT * FROM web UNION ALL SELECT * FROM web) GROUP BY day";
    assert_eq!(of_view(inner), [""; 0]);
}

#[test]
fn random_values_in_a_view_are_found() {
    assert_eq!(
        of_view("SELECT day, uniqState(toString(rand())) AS users FROM web GROUP BY day"),
        [
            "nondeterministic-view: materialized node `n` calls `rand`, which gives another value each time"
        ]
    );
    for name in [
        "generateULID",
        "generateSnowflakeID",
        "randNormal",
        "randConstant",
        "fuzzBits",
    ] {
        assert_eq!(
            of_view(&format!(
                "SELECT day, uniqState(toString({name}())) AS users FROM web GROUP BY day"
            )),
            [format!(
                "nondeterministic-view: materialized node `n` calls `{name}`, which gives another value each time"
            )]
        );
    }
}

#[test]
fn values_for_states_and_names_that_the_target_lacks_are_found() {
    assert_eq!(
        of_view("SELECT day, uniq(user) AS users FROM web GROUP BY day"),
        ["missing-state: `users` of `days` holds states, and `uniq` gives values"]
    );
    assert_eq!(
        of_view("SELECT day, uniqState(user) AS user FROM web GROUP BY day"),
        ["target-columns: data source `days` has no column `user`"]
    );
}

#[test]
fn a_comment_on_the_line_or_above_silences_a_finding() {
    let sql = "SELECT day, uniqState(user) AS user -- pipewright: allow(target-columns)\n    FROM web GROUP BY day";
    assert_eq!(of_view(sql), [""; 0]);
    let above = "SELECT day,\n    -- pipewright: allow(target-columns)\n    uniqState(user) AS user FROM web GROUP BY day";
    assert_eq!(of_view(above), [""; 0]);
    let other = "SELECT day, uniqState(user) AS user -- pipewright: allow(missing-state)\n    FROM web GROUP BY day";
    assert_eq!(of_view(other).len(), 1);
}

/// The findings of a pipe of two nodes.
fn of_pipe(first: &str, second: &str) -> Vec<String> {
    let pipe =
        format!("NODE a\nSQL >\n    {first}\n\nNODE b\nSQL >\n    {second}\n\nTYPE endpoint\n");
    findings(&[
        WEB,
        DAYS,
        ("p.pipe", &pipe),
        (
            "v.pipe",
            &format!("NODE n\nSQL >\n    {GOOD}\n\nTYPE materialized\nDATASOURCE days\n"),
        ),
    ])
}

#[test]
fn states_read_as_values_are_found() {
    assert_eq!(
        of_pipe(
            "SELECT day, uniq(users) AS c FROM days GROUP BY day",
            "SELECT * FROM a"
        ),
        ["missing-merge: `users` of `days` holds states, not values"]
    );
    assert_eq!(
        of_pipe(
            "SELECT day, uniqMerge(users) AS c, count(users) AS d FROM days GROUP BY day",
            "SELECT * FROM a"
        ),
        [""; 0]
    );
    assert_eq!(
        of_pipe(
            "SELECT uniq(users) AS c FROM (SELECT uniqMerge(users) users FROM days GROUP BY day)",
            "SELECT * FROM a"
        ),
        [""; 0]
    );
}

#[test]
fn order_without_limit_is_found_where_readers_do_not_keep_it() {
    let found = ["useless-order: node `a` sorts rows whose order its readers do not keep"];
    let sorted = "SELECT * FROM web ORDER BY day";
    for reader in [
        "SELECT * FROM a ORDER BY user LIMIT 5",
        "SELECT day, uniq(user) FROM a GROUP BY day",
    ] {
        assert_eq!(of_pipe(sorted, reader), found, "{reader}");
    }
    for reader in [
        "SELECT * FROM a",
        "SELECT * FROM a LIMIT 5",
        "SELECT day, groupArray(user) FROM a GROUP BY day",
        "SELECT day, any(user) FROM a GROUP BY day",
        "SELECT * FROM (SELECT * FROM a LIMIT 5) ORDER BY user",
        "SELECT *, row_number() OVER () AS r FROM a ORDER BY user",
        "SELECT * FROM web ANY LEFT JOIN a USING day ORDER BY user",
        "SELECT * FROM a UNION ALL SELECT * FROM web ORDER BY user",
    ] {
        assert_eq!(of_pipe(sorted, reader), [""; 0], "{reader}");
    }
    assert_eq!(
        of_pipe(
            "SELECT * FROM web ORDER BY day WITH FILL",
            "SELECT * FROM a ORDER BY user"
        ),
        [""; 0]
    );
    assert_eq!(
        of_pipe(
            "SELECT *, row_number() OVER (ORDER BY day) AS r FROM web ORDER BY day LIMIT 3",
            "SELECT * FROM a"
        ),
        [""; 0]
    );
}

#[test]
fn one_name_with_two_types_is_found() {
    assert_eq!(
        of_pipe(
            "%\n    SELECT * FROM web WHERE user = {{ String(u, '') }}",
            "%\n    SELECT * FROM a LIMIT {{ Int32(u, 1) }}"
        ),
        ["parameter-types: parameter `u` is `Int32` here and `String` before"]
    );
    assert_eq!(
        of_pipe(
            "%\n    SELECT * FROM web WHERE user = {{ String(u, '') }}",
            "%\n    SELECT * FROM a WHERE user = {{ String(u, 'x') }}"
        ),
        [""; 0]
    );
}

#[test]
fn columns_and_data_sources_that_are_of_no_use_are_found() {
    let datasource = |engine: &str, extra: &str| {
        let text = format!(
            "TOKEN t READ\n\nSCHEMA >\n    `a` Nullable(Int32),\n    `b` String\n\nENGINE \"{engine}\"\nENGINE_SORTING_KEY \"a\"\n{extra}"
        );
        findings(&[("x.datasource", &text)])
    };
    assert_eq!(
        datasource("AggregatingMergeTree", ""),
        [
            "nullable-key: column `a` of the sorting key of `x` may be NULL",
            "plain-column: column `b` of `x` is neither key nor state"
        ]
    );
    assert_eq!(
        findings(&[(
            "x.datasource",
            "TOKEN t READ\n\nSCHEMA >\n    `a` Nullable(Int32),\n    `d` Date,\n    `b` String ALIAS toString(a),\n    `c` String MATERIALIZED toString(d)\n\nENGINE \"AggregatingMergeTree\"\nENGINE_SORTING_KEY \"(d, ifNull(d, a), coalesce(d, a, d))\"\n"
        )]),
        [""; 0]
    );
    assert_eq!(
        datasource("MergeTree", "ENGINE_SETTINGS \"allow_nullable_key=1\"\n"),
        [""; 0]
    );
    let pipe = |table: &str| format!("NODE n\nSQL >\n    SELECT * FROM {table}\n\nTYPE standard\n");
    assert_eq!(
        findings(&[WEB, DAYS, ("a.pipe", &pipe("days"))]),
        ["unused-datasource: no node reads or fills data source `web`"]
    );
    assert_eq!(
        findings(&[WEB, ("a.pipe", &pipe("web_quarantine"))]),
        [""; 0]
    );
    assert_eq!(findings(&[WEB]), [""; 0]);
}

#[test]
fn every_rule_has_a_page_with_its_parts() {
    for rule in super::RULES {
        for part in [
            "# ",
            "## What it does",
            "## Why is this bad",
            "## Example",
            "## Use instead",
        ] {
            assert!(rule.page.contains(part), "{}: {part}", rule.code);
        }
        assert!(
            rule.page.starts_with(&format!("# {}\n", rule.code)),
            "{}",
            rule.code
        );
    }
}
