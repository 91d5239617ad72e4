use std::fmt::Write as _;

use super::{ColumnId, Lineage, find, impact, lineage, unused};
use crate::plan::Plan;
use crate::project::SourceTree;

const WEB: (&str, &str) = (
    "web.datasource",
    "SCHEMA >\n    `day` Date,\n    `user` String,\n    `page` String,\n    `agent` String,\n    `bot` UInt8 MATERIALIZED agent LIKE '%bot%',\n    `spare` String\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"day\"\n",
);

const DAYS: (&str, &str) = (
    "days.datasource",
    "SCHEMA >\n    `day` Date,\n    `users` AggregateFunction(uniq, String)\n\nENGINE \"AggregatingMergeTree\"\nENGINE_SORTING_KEY \"day\"\n",
);

const FILL: (&str, &str) = (
    "fill.pipe",
    "NODE people\nSQL >\n    SELECT * FROM web WHERE bot = 0\n\nNODE fill\nSQL >\n    SELECT day, uniqState(user) AS users FROM people GROUP BY day\n\nTYPE materialized\nDATASOURCE days\n",
);

const DAILY: (&str, &str) = (
    "daily.pipe",
    "NODE daily\nSQL >\n    %\n    SELECT day, uniqMerge(users) AS users FROM days\n    {% if defined(from_day) %} WHERE day >= {{ Date(from_day) }} {% end %}\n    GROUP BY day\n\nTYPE endpoint\n",
);

const PAGES: (&str, &str) = (
    "pages.pipe",
    "NODE named\nSQL >\n    SELECT page, user, agent FROM web\n\nNODE pages\nSQL >\n    %\n    SELECT {% if defined(by_user) %} user AS key {% else %} page AS key {% end %}, count() AS hits FROM named GROUP BY key\n\nTYPE endpoint\n",
);

fn planned(files: &[(&str, &str)]) -> (Plan, Lineage) {
    let files = files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    let (plan, diagnostics) = crate::compile(SourceTree::new(files));
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let found = lineage(&plan);
    (plan, found)
}

fn all() -> (Plan, Lineage) {
    planned(&[WEB, DAYS, FILL, DAILY, PAGES])
}

fn shown<'a>(ids: impl IntoIterator<Item = &'a ColumnId>) -> String {
    let texts: Vec<String> = ids.into_iter().map(ToString::to_string).collect();
    texts.join(" ")
}

fn column(plan: &Plan, found: &Lineage, text: &str) -> ColumnId {
    find(plan, found, text).expect("a column")
}

#[test]
fn columns_are_followed_through_nodes_views_and_every_branch() {
    let (plan, found) = all();
    let mut text = String::new();
    for name in [
        "daily.day",
        "daily.users",
        "pages.key",
        "pages.hits",
        "web.bot",
        "days.users",
    ] {
        let id = column(&plan, &found, name);
        let origins = found.origins(&id);
        _ = writeln!(
            text,
            "{name} <- {} <<- {}",
            shown(&found.sources(&id)),
            shown(&origins)
        );
    }
    for node in ["daily.daily", "fill.fill", "fill.people", "pages.pages"] {
        let columns = found.nodes.iter().find(|(id, _)| id.to_string() == node);
        let (_, columns) = columns.expect("a node");
        _ = writeln!(text, "{node} | {}", shown(&columns.filters));
    }
    insta::assert_snapshot!(text, @r"
    daily.day <- days.day <<- days.day web.day
    daily.users <- days.users <<- days.users web.user
    pages.key <- pages.named.page pages.named.user <<- web.page web.user
    pages.hits <-  <<- 
    web.bot <- web.agent <<- web.agent
    days.users <- fill.fill.users <<- web.user
    daily.daily | days.day
    fill.fill | fill.people.day
    fill.people | web.bot
    pages.pages | pages.named.page pages.named.user
    ");
}

#[test]
fn a_column_that_nothing_published_depends_on_is_unused() {
    let (plan, found) = all();
    // `agent` is named by a node whose column no one reads, and `bot` is made from it, which decides about rows.
    let unused = unused(&plan, &found);
    let texts: Vec<String> = unused.iter().map(|one| one.column.to_string()).collect();
    assert_eq!(texts, ["web.spare"]);
    let (plan, found) = planned(&[WEB, PAGES]);
    let unused = super::unused(&plan, &found);
    let texts: Vec<String> = unused
        .iter()
        .map(|one| format!("{} {:?} {:?}", one.column, one.kept_by, one.named_in))
        .collect();
    assert_eq!(
        texts,
        [
            "web.day [\"sorting key\"] []",
            "web.agent [\"default\"] [\"pages.named\"]",
            "web.bot [] []",
            "web.spare [] []"
        ]
    );
}

#[test]
fn what_is_filled_and_read_by_no_node_counts_as_used() {
    let (plan, found) = planned(&[WEB, DAYS, FILL]);
    let texts: Vec<String> = unused(&plan, &found)
        .iter()
        .map(|one| one.column.to_string())
        .collect();
    assert_eq!(texts, ["web.page", "web.spare"]);
}

#[test]
fn what_breaks_without_a_column_is_told() {
    let (plan, found) = all();
    let breaks = |name: &str| {
        let impact = impact(&plan, &found, &column(&plan, &found, name));
        let refused: Vec<&str> = impact.refused.keys().map(String::as_str).collect();
        let published: Vec<&str> = impact.breaks().collect();
        format!("{} | {}", refused.join(" "), published.join(" "))
    };
    insta::assert_snapshot!(breaks("web.user"), @"fill.fill pages.named pages.pages | fill.fill pages.pages");
    insta::assert_snapshot!(breaks("web.agent"), @"pages.named pages.pages | pages.pages");
    insta::assert_snapshot!(breaks("web.bot"), @"fill.fill fill.people | fill.fill");
    insta::assert_snapshot!(breaks("web.spare"), @" | ");
    insta::assert_snapshot!(breaks("days.users"), @"daily.daily | daily.daily");
    insta::assert_snapshot!(breaks("pages.named.page"), @"pages.pages | pages.pages");
    insta::assert_snapshot!(breaks("pages.hits"), @" | pages.pages");
}

#[test]
fn an_endpoint_that_gives_every_column_loses_one() {
    let pipe = "NODE a\nSQL >\n    SELECT * FROM web\n\nNODE b\nSQL >\n    SELECT * FROM a\n\nTYPE endpoint\n";
    let (plan, found) = planned(&[WEB, ("p.pipe", pipe)]);
    let impact = impact(&plan, &found, &column(&plan, &found, "web.spare"));
    assert!(impact.refused.is_empty());
    assert_eq!(
        impact.changed.into_iter().collect::<Vec<_>>(),
        [("p.b".to_owned(), vec!["spare".to_owned()])]
    );
}

#[test]
fn sql_that_cannot_be_read_may_use_everything() {
    let pipe = "NODE a\nSQL >\n    SELECT day, user FROM web\n\nNODE b\nSQL >\n    SELECT day, user AS who FROM a PIVOT STRANGELY (x) FOR y\n\nTYPE endpoint\n";
    let (plan, found) = planned(&[WEB, ("p.pipe", pipe)]);
    let (_, columns) = found.nodes.iter().nth(1).expect("a node");
    assert!(columns.unknown);
    assert_eq!(shown(&columns.columns[1].from), "p.a.*");
    let texts: Vec<String> = unused(&plan, &found)
        .iter()
        .map(|one| one.column.to_string())
        .collect();
    assert_eq!(texts, ["web.page", "web.agent", "web.bot", "web.spare"]);
    let impact = impact(&plan, &found, &column(&plan, &found, "p.a.day"));
    assert_eq!(impact.unknown.keys().collect::<Vec<_>>(), ["p.b"]);
}

#[test]
fn columns_of_service_data_sources_are_taken_as_they_are_named() {
    let pipe = "NODE a\nSQL >\n    SELECT pipe_name, count() AS n FROM tinybird.pipe_stats_rt WHERE error GROUP BY pipe_name\n\nTYPE endpoint\n";
    let (_, found) = planned(&[("p.pipe", pipe)]);
    let (_, columns) = found.nodes.iter().next().expect("a node");
    assert_eq!(
        shown(&columns.columns[0].from),
        "tinybird.pipe_stats_rt.pipe_name"
    );
    assert_eq!(
        shown(&columns.filters),
        "tinybird.pipe_stats_rt.error tinybird.pipe_stats_rt.pipe_name"
    );
}

#[test]
fn a_name_that_is_no_column_gets_a_suggestion() {
    let (plan, found) = all();
    let wrong = |text: &str| {
        let error = find(&plan, &found, text).expect_err("no column");
        format!("{}; {}", error.message, error.help)
    };
    insta::assert_snapshot!(wrong("web.usr"), @"data source `web` has no column `usr`; did you mean `web.user`?");
    insta::assert_snapshot!(wrong("webb.user"), @"there is no data source or pipe `webb`; did you mean `web.user`?");
    insta::assert_snapshot!(wrong("zzz"), @"there is no data source or pipe `zzz`; write `datasource.column`, `pipe.column` or `pipe.node.column`");
    insta::assert_snapshot!(wrong("days"), @"`days` is no column; name one of its columns: days.day, days.users");
    insta::assert_snapshot!(wrong("pages.named.zzz"), @"node `pages.named` has no column `zzz`; it has: page, user, agent");
}
