//! Data sources that a materialized node makes through the API: of states, where the node groups.

use insta::assert_snapshot;

use crate::harness::{ADMIN, Project, Server};

fn started() -> (Project, Server) {
    let sales = "SCHEMA >\n    `shop` String `json:$.shop`,\n    `buyer` Nullable(String) `json:$.buyer`,\n    `qty` Int32 `json:$.qty`\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"shop\"\n";
    let node = |name: &str, sql: &str| {
        (
            format!("{name}.pipe"),
            format!("NODE n\nSQL >\n    {sql}\n"),
        )
    };
    let pipes = [
        node("sums", "SELECT shop, buyer, sum(qty) AS total, count() FROM sales GROUP BY shop, buyer"),
        node("values", "SELECT shop, sum(qty) AS total FROM sales GROUP BY shop"),
        node("means", "SELECT shop, sum(qty) / count() AS mean FROM sales GROUP BY shop"),
        ("named.pipe".to_owned(), "NODE n\nSQL >\n    %\n    SELECT shop, {{symbol('sum')}}(qty) AS total FROM sales GROUP BY shop\n".to_owned()),
    ];
    let mut files = vec![("sales.datasource", sales)];
    // One that says what it is: so the others are not published.
    files.push((
        "said.pipe",
        "NODE n\nSQL >\n    SELECT 1 AS one\n\nTYPE endpoint\n",
    ));
    files.extend(
        pipes
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str())),
    );
    let project = Project::new(&files);
    let server = Server::start(&project);
    (project, server)
}

fn insert(server: &Server) {
    for row in [
        r#"{"shop":"a","buyer":"x","qty":1}"#,
        r#"{"shop":"a","buyer":null,"qty":2}"#,
        r#"{"shop":"a","buyer":"x","qty":3}"#,
    ] {
        let inserted = server.ask(ADMIN, "POST", "/v0/events?name=sales&wait=true", row);
        assert_eq!(inserted.status, 200, "{}", inserted.text());
    }
}

#[test]
fn a_node_that_groups_is_written_with_states_and_fills_a_table_that_merges_them() {
    let (_project, server) = started();
    let analysis = server.ask(
        ADMIN,
        "GET",
        "/v0/pipes/sums/nodes/n/analysis?datasource=totals",
        "",
    );
    let analysis = analysis.json();
    let made = &analysis["analysis"];
    let shown = [
        &made["sql"],
        &made["pipe"]["datafile"],
        &made["datasource"]["datafile"],
        &analysis["warnings"][0]["text"],
    ];
    let shown: Vec<&str> = shown.iter().map(|text| text.as_str().unwrap()).collect();
    assert_snapshot!(shown.join("\n--\n"), @r#"
    SELECT shop, buyer, sumState(qty) AS total, countState() AS `count()` FROM sales GROUP BY shop, buyer
    --
    NODE n
    SQL >
        SELECT shop, buyer, sumState(qty) AS total, countState() AS `count()` FROM sales GROUP BY shop, buyer

    TYPE materialized
    DATASOURCE totals

    --
    SCHEMA >
        `shop` String,
        `buyer` Nullable(String),
        `total` AggregateFunction(sum, Int32),
        `count()` AggregateFunction(count)

    ENGINE "AggregatingMergeTree"
    ENGINE_SORTING_KEY "shop, buyer"
    ENGINE_SETTINGS "allow_nullable_key = 1"

    --
    `totals` holds states, so that the groups of all inserts become one: read them with sumMerge(total), countMerge(`count()`)
    "#);
    let path = "/v0/pipes/sums/nodes/n/materialization?datasource=totals";
    let created = server.ask(ADMIN, "POST", path, "");
    assert_eq!(created.status, 200, "{}", created.text());
    assert_eq!(created.json()["warnings"], analysis["warnings"]);
    assert_eq!(created.json()["nodes"][0]["sql"], made["sql"]);
    insert(&server);
    let merged = "SELECT shop, buyer, sumMerge(total), countMerge(`count()`) FROM totals GROUP BY shop, buyer ORDER BY buyer FORMAT TSV";
    let rows = server.ask(ADMIN, "POST", "/v0/sql", merged).text();
    assert_eq!(rows, "a\tx\t4\t2\na\t\\N\t2\t1\n");
}

#[test]
fn an_engine_that_is_asked_for_is_taken_and_what_has_no_state_is_refused() {
    let (_project, server) = started();
    let create = |pipe: &str, rest: &str| {
        let path = format!("/v0/pipes/{pipe}/nodes/n/materialization?datasource={pipe}_mv{rest}");
        server.ask(ADMIN, "POST", &path, "")
    };
    let summed = create("values", "&engine=SummingMergeTree&engine_sorting_key=shop");
    assert_eq!(summed.status, 200, "{}", summed.text());
    assert!(!summed.text().contains("sumState"), "{}", summed.text());
    let refused = [create("means", ""), create("named", "")];
    let refused = refused.map(|answer| format!("{} {}", answer.status, answer.json()["error"]));
    assert_snapshot!(refused.join("\n"), @r#"
    400 "means.pipe:3:18: `sum(qty) / count()` is computed from `sum` of each insert alone, and cannot become a state; give each aggregate a column of its own, and compute with them where the data source is read"
    400 "the aggregates of the node are made by its template, and cannot be written as states: write them with `-State`, or say the `engine`"
    "#);
    let kept = create("means", "&engine=MergeTree&engine_sorting_key=shop");
    assert_eq!(kept.status, 200, "{}", kept.text());
    let sorted = create(
        "sums",
        "&engine=AggregatingMergeTree&engine_sorting_key=buyer,shop&engine_settings=allow_nullable_key%20%3D%201",
    );
    assert_eq!(sorted.status, 200, "{}", sorted.text());
    assert!(sorted.text().contains("sumState(qty)"), "{}", sorted.text());
    let described = server
        .ask(ADMIN, "GET", "/v0/datasources/sums_mv", "")
        .json();
    assert_eq!(
        described["engine"]["engine_sorting_key"], "buyer,shop",
        "{described:#}"
    );
}
