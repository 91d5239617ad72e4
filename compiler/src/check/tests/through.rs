//! Rules that look through nodes and subqueries: what stands in a node counts where it is read.

use super::{DAYS, WEB, findings};

const PEOPLE: (&str, &str) = (
    "people.datasource",
    "TOKEN t READ\n\nSCHEMA >\n    `day` Date,\n    `user` String\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"user\"\n",
);

/// The findings of these rules, which are on, for a pipe of these nodes of which the last fills `days`.
fn filled(rules: &[&str], nodes: &[&str]) -> Vec<String> {
    pipe(rules, nodes, "TYPE materialized\nDATASOURCE days\n")
}

/// The same for a pipe whose last node is an endpoint.
fn served(rules: &[&str], nodes: &[&str]) -> Vec<String> {
    pipe(rules, nodes, "TYPE endpoint\n")
}

fn pipe(rules: &[&str], nodes: &[&str], end: &str) -> Vec<String> {
    let nodes: Vec<String> = nodes
        .iter()
        .zip(["first", "second", "third"])
        .map(|(sql, name)| format!("NODE {name}\nSQL >\n    {sql}\n\n"))
        .collect();
    let lints: Vec<String> = rules
        .iter()
        .map(|rule| format!("{rule} = \"warning\"\n"))
        .collect();
    let lints = format!("[lints]\n{}", lints.concat());
    let text = format!("{}{end}", nodes.concat());
    let mut found = findings(&[
        WEB,
        DAYS,
        PEOPLE,
        ("p.pipe", &text),
        ("pipewright.toml", &lints),
    ]);
    found.retain(|found| rules.iter().any(|rule| found.starts_with(rule)));
    found
}

const STATES: &str = "SELECT day, uniqState(user) AS users FROM first GROUP BY day";

#[test]
fn clocks_and_random_values_in_nodes_that_a_view_reads_are_found() {
    assert_eq!(
        filled(
            &["clock-in-view"],
            &["SELECT * FROM web WHERE day > today() - 5", STATES]
        ),
        [
            "clock-in-view: `today` in node `first`, which materialized node `second` reads, is the time of the insert"
        ]
    );
    assert_eq!(
        filled(
            &["nondeterministic-view"],
            &[
                "SELECT day, toString(generateUUIDv4()) AS user FROM web",
                STATES
            ]
        ),
        [
            "nondeterministic-view: `generateUUIDv4` in node `first`, which materialized node `second` reads, gives another value each time"
        ]
    );
    let pure = ["SELECT day, lower(user) AS user FROM web", STATES];
    assert_eq!(
        filled(&["clock-in-view", "nondeterministic-view"], &pure),
        [""; 0]
    );
}

#[test]
fn unions_in_subqueries_and_nodes_of_a_view_are_found_where_they_read_another_data_source() {
    let found = [
        "view-with-union: materialized node `second` reads all of `people` with every insert into `web`",
    ];
    let rules = &["view-with-union"];
    let united = "SELECT day, user FROM web UNION ALL SELECT day, user FROM people";
    assert_eq!(filled(rules, &[united, STATES]), found);
    for inner in [
        format!("SELECT day, uniqState(user) AS users FROM ({united}) GROUP BY day"),
        format!(
            "WITH both AS ({united}) SELECT day, uniqState(user) AS users FROM both GROUP BY day"
        ),
        format!(
            "SELECT day, uniqState(user) AS users FROM (SELECT * FROM ({united}) WHERE user != '') GROUP BY day"
        ),
    ] {
        assert_eq!(
            filled(rules, &["SELECT 1 AS one", &inner]),
            found,
            "{inner}"
        );
    }
    let through = "SELECT day, uniqState(user) AS users FROM (SELECT day, user FROM web UNION ALL SELECT day, user FROM first) GROUP BY day";
    assert_eq!(
        filled(rules, &["SELECT day, user FROM people", through]),
        found
    );
    for fine in [
        // Each of them sees the rows of the insert.
        "SELECT day, user FROM web UNION ALL SELECT day, lower(user) AS user FROM web",
        "SELECT day, user FROM web UNION ALL SELECT toDate('2026-01-01') AS day, '' AS user",
        "SELECT day, user FROM web WHERE user IN (SELECT user FROM people UNION ALL SELECT 'x')",
    ] {
        assert_eq!(filled(rules, &[fine, STATES]), [""; 0], "{fine}");
    }
}

#[test]
fn what_a_view_joins_is_found_through_nodes_and_common_tables() {
    let found = ["view-trigger: inserts into `people` do not reach the view of `second`"];
    let rules = &["view-trigger"];
    let people = "SELECT user FROM people";
    for joined in [
        "SELECT day, uniqState(user) AS users FROM web JOIN first USING user GROUP BY day",
        "WITH known AS (SELECT user FROM people) SELECT day, uniqState(user) AS users FROM web JOIN known USING user GROUP BY day",
        "SELECT day, uniqState(web.user) AS users FROM web, first WHERE first.user = web.user GROUP BY day",
    ] {
        assert_eq!(filled(rules, &[people, joined]), found, "{joined}");
    }
    assert_eq!(
        filled(
            rules,
            &[
                "SELECT day, web.user AS user FROM web JOIN people ON people.user = web.user",
                STATES
            ]
        ),
        found
    );
    // The leftmost is what counts.
    assert_eq!(
        filled(
            rules,
            &[
                people,
                "WITH known AS (SELECT user FROM people) SELECT day, uniqState(user) AS users FROM known JOIN web USING user GROUP BY day"
            ]
        ),
        ["view-trigger: inserts into `web` do not reach the view of `second`"]
    );
    let own = "SELECT day, uniqState(user) AS users FROM web JOIN first USING user GROUP BY day";
    assert_eq!(filled(rules, &["SELECT user FROM web", own]), [""; 0]);
}

#[test]
fn columns_for_a_target_are_found_behind_a_star() {
    let star = "SELECT * FROM first";
    assert_eq!(
        filled(
            &["missing-state"],
            &[
                "SELECT day, uniq(user) AS users FROM web GROUP BY day",
                star
            ]
        ),
        ["missing-state: `users` of `days` holds states, and `uniq` gives values"]
    );
    assert_eq!(
        filled(
            &["target-columns"],
            &[
                "SELECT day, uniqState(user) AS people FROM web GROUP BY day",
                star
            ]
        ),
        ["target-columns: data source `days` has no column `people`"]
    );
}

#[test]
fn endpoints_that_pass_a_table_on_are_found() {
    let rules = &["star-endpoint", "unlimited-endpoint"];
    let star = "SELECT * FROM first";
    assert_eq!(
        served(rules, &["SELECT * FROM web", star]),
        [
            "star-endpoint: the endpoint gives every column of `web`",
            "unlimited-endpoint: endpoint `p` gives as many rows as `web` has"
        ]
    );
    for fine in [
        ["SELECT day FROM web LIMIT 10", star],
        ["SELECT max(day) AS day FROM web", star],
        ["SELECT * FROM web", "SELECT day FROM first LIMIT 10"],
    ] {
        assert_eq!(served(rules, &fine), [""; 0], "{fine:?}");
    }
}

#[test]
fn filters_over_nodes_that_pass_rows_on_are_found() {
    let rules = &["unkeyed-filter"];
    let count = "SELECT count() AS c FROM first WHERE user = 'x'";
    assert_eq!(
        served(rules, &["SELECT * FROM web", count]),
        ["unkeyed-filter: the conditions read all of `web`"]
    );
    for fine in [
        [
            "SELECT * FROM web",
            "SELECT count() AS c FROM first WHERE day = today()",
        ],
        ["SELECT * FROM web WHERE day = today()", count],
        ["SELECT user, count() AS n FROM web GROUP BY user", count],
        ["SELECT * FROM web LIMIT 10", count],
        [
            "SELECT toStartOfMonth(day) AS month, user FROM web",
            "SELECT count() AS c FROM first WHERE month = today()",
        ],
    ] {
        assert_eq!(served(rules, &fine), [""; 0], "{fine:?}");
    }
}

#[test]
fn states_are_found_through_nodes_and_in_answers() {
    let rules = &["missing-merge"];
    let found = ["missing-merge: `users` of `days` holds states, not values"];
    assert_eq!(
        served(
            rules,
            &[
                "SELECT day, users AS u FROM days",
                "SELECT uniq(u) AS c FROM first"
            ]
        ),
        found
    );
    assert_eq!(
        served(rules, &["SELECT day, users FROM days LIMIT 5"]),
        found
    );
    assert_eq!(
        served(
            rules,
            &[
                "SELECT day, users AS u FROM days",
                "SELECT day, u FROM first LIMIT 5"
            ]
        ),
        found
    );
    // Of two tables only one has the column.
    for joined in [
        "SELECT uniq(users) AS c FROM web JOIN days ON web.day = days.day",
        "SELECT uniq(d.users) AS c FROM web AS w JOIN days AS d ON w.day = d.day",
        "SELECT uniq(users) AS c FROM days WHERE day IN (SELECT day FROM web)",
    ] {
        assert_eq!(served(rules, &[joined]), found, "{joined}");
    }
    for fine in [
        vec!["SELECT uniqMerge(users) AS c FROM web JOIN days ON web.day = days.day"],
        vec!["SELECT uniq(user) AS c FROM web JOIN days ON web.day = days.day"],
        vec![
            "SELECT day, user AS users FROM web",
            "SELECT uniq(first.users) AS c FROM first JOIN days ON first.day = days.day",
        ],
        vec!["SELECT day, uniqMerge(users) AS users FROM days GROUP BY day"],
        vec!["SELECT day, finalizeAggregation(users) AS users FROM days"],
        vec![
            "SELECT day, users FROM days",
            "SELECT uniqMerge(users) AS c FROM first",
        ],
    ] {
        assert_eq!(served(rules, &fine), [""; 0], "{fine:?}");
    }
    // Another pipe reads it, and merges.
    let files = [
        WEB,
        DAYS,
        (
            "e.pipe",
            "NODE e\nSQL >\n    SELECT day, users FROM days\n\nTYPE endpoint\n",
        ),
        (
            "r.pipe",
            "NODE r\nSQL >\n    SELECT uniqMerge(users) AS c FROM e\n\nTYPE endpoint\n",
        ),
    ];
    let mut all = findings(&files);
    all.retain(|found| found.starts_with("missing-merge"));
    assert_eq!(all, [""; 0]);
}

#[test]
fn two_types_of_a_parameter_in_one_node_are_found() {
    let rules = &["parameter-types"];
    assert_eq!(
        served(
            rules,
            &["%\n    SELECT {{ Int32(m) }} AS a, {{ Int32(m, 5) }} AS b, {{ UInt8(m, 5) }} AS c"]
        ),
        ["parameter-types: parameter `m` is `UInt8` here and `Int32` before"]
    );
    assert_eq!(
        served(
            rules,
            &[
                "%\n    SELECT {{ Int32(m) }} AS a, {{ Int32(m, 5) }} AS b, {{ n }} AS c, {{ String(n) }} AS d"
            ]
        ),
        [""; 0]
    );
    // In a condition, a type says how to compare.
    assert_eq!(
        served(
            rules,
            &[
                "%\n    SELECT 1 AS one {% if String(m, '') > 'a' %} , {{ Int32(m, 5) }} AS b {% end %}"
            ]
        ),
        [""; 0]
    );
}

#[test]
fn a_sum_of_signs_needs_no_final() {
    let taken_back = (
        "balance.datasource",
        "SCHEMA >\n    `id` UInt64,\n    `n` Int64,\n    `sign` Int8\n\nENGINE \"CollapsingMergeTree\"\nENGINE_SORTING_KEY \"id\"\nENGINE_SIGN \"sign\"\n",
    );
    let lints = ("pipewright.toml", "[lints]\nmissing-final = \"warning\"\n");
    let of = |sql: &str| {
        let pipe = format!("NODE n\nSQL >\n    {sql}\n\nTYPE endpoint\n");
        let mut found = findings(&[taken_back, lints, ("p.pipe", &pipe)]);
        found.retain(|found| found.starts_with("missing-final"));
        found.len()
    };
    assert_eq!(of("SELECT sum(n) AS s FROM balance"), 1);
    assert_eq!(of("SELECT sum(sign) AS s FROM balance"), 0);
    assert_eq!(of("SELECT sum(n * sign) AS s FROM balance"), 0);
}
