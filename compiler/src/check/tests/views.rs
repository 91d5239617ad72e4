//! Rules about materialized views and their targets.

use super::{DAYS, WEB, findings, of_view};

const PEOPLE: (&str, &str) = (
    "people.datasource",
    "TOKEN t READ\n\nSCHEMA >\n    `user` String,\n    `country` String\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"user\"\n",
);

/// The findings of a materialized node that fills `days` from `web` and `people`.
fn joined(sql: &str) -> Vec<String> {
    let pipe = format!("NODE n\nSQL >\n    {sql}\n\nTYPE materialized\nDATASOURCE days\n");
    findings(&[WEB, DAYS, PEOPLE, ("v.pipe", &pipe)])
}

#[test]
fn a_data_source_right_of_a_join_does_not_fill_the_view() {
    assert_eq!(
        joined(
            "SELECT day, uniqState(country) AS users FROM web JOIN people USING user GROUP BY day"
        ),
        ["view-trigger: inserts into `people` do not reach the view of `n`"]
    );
    assert_eq!(
        joined(
            "SELECT w.day AS day, uniqState(p.country) AS users FROM (SELECT * FROM web) AS w LEFT JOIN (SELECT * FROM people) AS p ON p.user = w.user GROUP BY day"
        ),
        ["view-trigger: inserts into `people` do not reach the view of `n`"]
    );
    for sql in [
        // The subquery is no part of the join.
        "SELECT day, uniqState(user) AS users FROM web WHERE user IN (SELECT user FROM people) GROUP BY day",
        "SELECT day, uniqState(user) AS users FROM web AS a JOIN web AS b USING user GROUP BY day",
        "SELECT day, uniqState(x) AS users FROM web ARRAY JOIN [user] AS x GROUP BY day",
        "SELECT day, uniqState(user) AS users FROM web JOIN numbers(3) AS n ON n.number = length(web.user) GROUP BY day",
    ] {
        assert_eq!(joined(sql), [""; 0], "{sql}");
    }
    let silenced = "SELECT day, uniqState(country) AS users\n    -- pipewright: allow(view-trigger)\n    FROM web JOIN people USING user GROUP BY day";
    assert_eq!(joined(silenced), [""; 0]);
}

/// The findings of a materialized node over `day` and `user` that fills a target with this engine.
fn grouped(engine: &str, key: &str, sql: &str) -> Vec<String> {
    let target = format!(
        "SCHEMA >\n    `day` Date,\n    `user` String,\n    `hits` SimpleAggregateFunction(sum, UInt64)\n\nENGINE \"{engine}\"\nENGINE_SORTING_KEY \"{key}\"\n"
    );
    let pipe = format!("NODE n\nSQL >\n    {sql}\n\nTYPE materialized\nDATASOURCE sums\n");
    let mut found = findings(&[WEB, ("sums.datasource", &target), ("v.pipe", &pipe)]);
    found.retain(|found| found.starts_with("view-group-key"));
    found
}

#[test]
fn groups_that_the_target_does_not_keep_apart_are_found() {
    let both = "SELECT day, user, count() AS hits FROM web GROUP BY day, user";
    let found = ["view-group-key: `sums` merges rows of different groups"];
    assert_eq!(grouped("AggregatingMergeTree", "day", both), found);
    assert_eq!(
        grouped(
            "SummingMergeTree",
            "day",
            "SELECT day, user, count() AS hits FROM web GROUP BY 1, 2"
        ),
        found
    );
    assert_eq!(
        grouped(
            "SummingMergeTree",
            "day, user",
            "SELECT day, any(user) AS user, count() AS hits FROM web GROUP BY day"
        ),
        ["view-group-key: the rows of `sums` have more keys than their groups"]
    );
}

#[test]
fn groups_that_are_the_rows_of_the_target_are_not() {
    let both = "SELECT day, user, count() AS hits FROM web GROUP BY day, user";
    for (engine, key, sql) in [
        ("AggregatingMergeTree", "day, user", both),
        ("SummingMergeTree", "(user, day)", both),
        // It merges nothing.
        ("MergeTree", "day", both),
        // An expression is not compared.
        ("SummingMergeTree", "toYYYYMM(day)", both),
        (
            "SummingMergeTree",
            "day",
            "SELECT toDate(day) AS day, '' AS user, count() AS hits FROM web GROUP BY toDate(day)",
        ),
        ("SummingMergeTree", "day", "SELECT day, user FROM web"),
    ] {
        assert_eq!(grouped(engine, key, sql), [""; 0], "{engine} {key} {sql}");
    }
    assert_eq!(of_view(super::GOOD), [""; 0]);
}
