//! `lineage`: where columns come from and go.

use super::harness::{Project, regex_of, snapshot};

fn project() -> Project {
    Project::new(&[
        (
            "web.datasource",
            "SCHEMA >\n    `day` Date,\n    `user` String,\n    `spare` String\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"day\"\n",
        ),
        (
            "days.datasource",
            "SCHEMA >\n    `day` Date,\n    `users` AggregateFunction(uniq, String)\n\nENGINE \"AggregatingMergeTree\"\nENGINE_SORTING_KEY \"day\"\n",
        ),
        (
            "fill.pipe",
            "NODE fill\nSQL >\n    SELECT day, uniqState(user) AS users FROM web GROUP BY day\n\nTYPE materialized\nDATASOURCE days\n",
        ),
        (
            "daily.pipe",
            "NODE days_of_users\nSQL >\n    SELECT day, uniqMerge(users) AS users FROM days GROUP BY day\n\nNODE daily\nSQL >\n    SELECT * FROM days_of_users ORDER BY day LIMIT 100\n\nTYPE endpoint\n",
        ),
    ])
}

#[test]
fn a_column_is_followed_both_ways() {
    let project = project();
    snapshot!("lineage_of_source", project, ["lineage", "web.user"]);
    snapshot!("lineage_of_answer", project, ["lineage", "daily.users"]);
    snapshot!(
        "lineage_breaks",
        project,
        ["lineage", "days.users", "--breaks"]
    );
    snapshot!(
        "lineage_json",
        project,
        ["lineage", "web.day", "--format", "json"]
    );
}

#[test]
fn the_summary_names_what_is_not_used() {
    let project = project();
    snapshot!("lineage", project, ["lineage"]);
    snapshot!("lineage_unused", project, ["lineage", "--unused"]);
}

#[test]
fn a_column_that_is_not_there_gets_a_suggestion() {
    snapshot!("lineage_unknown", project(), ["lineage", "web.usr"]);
}
