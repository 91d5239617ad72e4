//! What views fill, made anew: in order, without what cannot be made anew, and by the text that counts.

use super::{Bench, KEYS, checked, datasource, shown, view};

const SOURCE: &str = "`id` UInt64 `json:$.id`,\n`part` UInt8 `json:$.part`";
const TOTALS: &str = "SCHEMA >\n    `part` UInt8,\n    `rows` UInt64\n\nENGINE \"SummingMergeTree\"\nENGINE_SORTING_KEY \"part\"\n";
const ALL: &str =
    "SCHEMA >\n    `rows` UInt64\n\nENGINE \"SummingMergeTree\"\nENGINE_SORTING_KEY \"tuple()\"\n";

fn actions(text: &str) -> Vec<&str> {
    text.lines()
        .filter(|line| !line.starts_with("  "))
        .map(|line| {
            line.split(" reads")
                .next()
                .unwrap_or(line)
                .trim_end_matches(',')
        })
        .collect()
}

#[tokio::test]
async fn what_follows_a_table_follows_its_change() {
    let bench = Bench::new().await;
    let project = async |source: &str, query: &str, before| {
        let (source, first) = (datasource(SOURCE, source), view(query, "totals"));
        let second = view("SELECT sum(rows) AS rows FROM totals", "all_rows");
        let files = [
            ("src.datasource", source.as_str()),
            ("totals.datasource", TOTALS),
            ("all_rows.datasource", ALL),
            ("first.pipe", first.as_str()),
            ("second.pipe", second.as_str()),
        ];
        bench.deploy(&files, before).await
    };
    let one = "SELECT part, count() AS rows FROM src GROUP BY part";
    let two = "SELECT part, count() * 2 AS rows FROM src GROUP BY part";
    let keys =
        "ENGINE \"MergeTree\"\nENGINE_PARTITION_KEY \"part\"\nENGINE_SORTING_KEY \"part, id\"\n";
    let (old, _) = project(KEYS, one, None).await;
    bench
        .execute("INSERT INTO src SELECT number, number % 3 FROM numbers(900)")
        .await;
    let sums = "SELECT (SELECT sum(rows) FROM totals), (SELECT sum(rows) FROM all_rows)";
    assert_eq!(bench.tsv(sums).await, "900\t900\n");

    let (old, planned) = project(KEYS, two, Some(&old)).await;
    assert_eq!(
        actions(&planned),
        [
            "fill table totals Rewrites",
            "fill table all_rows Rewrites",
            "change view mv__first__n Nothing"
        ]
    );
    assert_eq!(bench.tsv(sums).await, "1800\t1800\n");

    // The key of the source and the query at once: the views' tables are filled from the new source.
    let (old, planned) = project(keys, one, Some(&old)).await;
    assert_eq!(
        actions(&planned)[..3],
        [
            "rebuild table src Rewrites",
            "fill table totals Rewrites",
            "fill table all_rows Rewrites"
        ]
    );
    assert_eq!(bench.tsv(sums).await, "900\t900\n");
    assert_eq!(bench.tsv("SELECT count() FROM src").await, "900\n");

    // The key alone changes nothing in what follows.
    let (_, planned) = project(KEYS, one, Some(&old)).await;
    assert_eq!(actions(&planned), ["rebuild table src Rewrites"]);
    bench
        .execute("INSERT INTO src SELECT number, number % 3 FROM numbers(100)")
        .await;
    assert_eq!(bench.tsv(sums).await, "1000\t1000\n");
}

#[tokio::test]
async fn a_new_view_counts_the_rows_of_before_and_layout_is_no_change() {
    let bench = Bench::new().await;
    let source = datasource(SOURCE, KEYS);
    let (old, _) = bench.deploy(&[("src.datasource", &source)], None).await;
    bench
        .execute("INSERT INTO src SELECT number, number % 3 FROM numbers(900)")
        .await;
    let project = async |target: &str, pipe: &str, before| {
        let files = [
            ("src.datasource", source.as_str()),
            ("totals.datasource", target),
            ("to.pipe", pipe),
        ];
        bench.deploy(&files, before).await
    };
    let pipe = view(
        "SELECT part, count() AS rows FROM src GROUP BY part",
        "totals",
    );
    let (old, planned) = project(TOTALS, &pipe, Some(&old)).await;
    assert_eq!(
        actions(&planned),
        ["fill table totals Nothing", "create view mv__to__n Nothing"]
    );
    assert_eq!(bench.tsv("SELECT sum(rows) FROM totals").await, "900\n");

    let laid_out = view(
        "-- how many\nSELECT\n  part,\n  count() AS rows\nFROM src\nGROUP BY part",
        "totals",
    );
    let (old, planned) = project(TOTALS, &laid_out, Some(&old)).await;
    assert_eq!(planned, "");

    let doubled = view(
        "SELECT part, 2 * count() AS rows FROM src GROUP BY part",
        "totals",
    );
    let altered = format!("{doubled}DEPLOYMENT_METHOD alter\n");
    let (old, planned) = project(TOTALS, &altered, Some(&old)).await;
    assert_eq!(actions(&planned), ["change view mv__to__n Nothing"]);
    assert_eq!(bench.tsv("SELECT sum(rows) FROM totals").await, "900\n");

    let skipped = format!("{TOTALS}BACKFILL skip\n");
    let (_, planned) = project(&skipped, &pipe, Some(&old)).await;
    assert_eq!(actions(&planned), ["change view mv__to__n Nothing"]);
    bench.execute("INSERT INTO src VALUES (1, 1)").await;
    assert_eq!(bench.tsv("SELECT sum(rows) FROM totals").await, "901\n");
}

#[tokio::test]
async fn rows_that_no_view_makes_again_are_not_taken_away_unasked() {
    let bench = Bench::new().await;
    let files = |query: &'static str, ttl: &str| {
        [
            (
                "src.datasource",
                datasource(
                    &format!("{SOURCE},\n`at` DateTime `json:$.at`"),
                    &format!("{KEYS}{ttl}"),
                ),
            ),
            ("totals.datasource", TOTALS.to_owned()),
            ("to.pipe", view(query, "totals")),
        ]
    };
    let (one, two) = (
        "SELECT part, count() AS rows FROM src GROUP BY part",
        "SELECT part, sum(1) AS rows FROM src GROUP BY part",
    );
    let borrowed = |files: &[(&'static str, String); 3]| {
        files
            .iter()
            .map(|(name, text)| (*name, text.clone()))
            .collect::<Vec<_>>()
    };
    let check = |files: &[(&'static str, String)]| {
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(name, text)| (*name, text.as_str()))
            .collect();
        checked(&files)
    };
    let plan = check(&borrowed(&files(one, "")));
    let planned = bench.plan(&plan, None).await;
    bench.run(&plan, None, &planned).await.unwrap();
    bench
        .execute("INSERT INTO src SELECT number, number % 3, now() FROM numbers(900)")
        .await;
    let append = pipewright::ingest::Append {
        format: pipewright::ingest::Format::Csv,
        delimiter: None,
    };
    let wanted = check(&borrowed(&files(two, "")));
    assert!(
        bench
            .plan(&wanted, Some(&plan))
            .await
            .destructive()
            .is_empty()
    );
    let body = futures::stream::iter([Ok(bytes::Bytes::from_static(b"7,5\n"))]);
    let table = plan.table("totals").unwrap();
    bench.ingest.append(table, &append, body).await.unwrap();
    let planned = bench.plan(&wanted, Some(&plan)).await;
    assert_eq!(planned.destructive().len(), 1);
    assert!(shown(&planned).contains("rows came to `totals` otherwise than through its views"));

    // With the query as it was the table stays, and so do its rows.
    assert!(bench.plan(&plan, Some(&plan)).await.is_empty());
    assert_eq!(bench.tsv("SELECT sum(rows) FROM totals").await, "905\n");
}

#[tokio::test]
async fn names_follow_where_nothing_else_can_be_meant() {
    let bench = Bench::new().await;
    let source = datasource(SOURCE, KEYS);
    let project = async |name: &str, columns: &str, before| {
        let file = format!("{name}.datasource");
        let (source, pipe) = (
            datasource(columns, KEYS),
            view(
                &format!("SELECT part, count() AS rows FROM {name} GROUP BY part"),
                "totals",
            ),
        );
        let files = [
            (file.as_str(), source.as_str()),
            ("totals.datasource", TOTALS),
            ("to.pipe", pipe.as_str()),
        ];
        bench.deploy(&files, before).await
    };
    let (old, _) = project("src", SOURCE, None).await;
    bench
        .execute("INSERT INTO src SELECT number, number % 3 FROM numbers(900)")
        .await;
    let (old, planned) = project("events", SOURCE, Some(&old)).await;
    assert_eq!(actions(&planned)[0], "rename table events Nothing",);
    assert!(!planned.contains("fill table"), "{planned}");
    bench.execute("INSERT INTO events VALUES (1, 1)").await;
    assert_eq!(
        bench
            .tsv("SELECT (SELECT count() FROM events), (SELECT sum(rows) FROM totals)")
            .await,
        "901\t901\n"
    );

    // A column whose values come from the same place is the same column.
    let renamed = SOURCE.replace("`id`", "`number`");
    let keys = KEYS.replace("id", "number");
    let text = datasource(&renamed, &keys);
    let pipe = view(
        "SELECT part, count() AS rows FROM events GROUP BY part",
        "totals",
    );
    let files = [
        ("events.datasource", text.as_str()),
        ("totals.datasource", TOTALS),
        ("to.pipe", pipe.as_str()),
    ];
    let (_, planned) = bench.deploy(&files, Some(&old)).await;
    assert!(
        planned.contains("column id is renamed to number"),
        "{planned}"
    );
    assert!(
        planned.starts_with("rebuild table events Rewrites"),
        "{planned}"
    );
    assert_eq!(
        bench.tsv("SELECT sum(number) FROM events").await,
        "404551\n"
    );

    // Two that could be meant are none.
    let two = [
        ("a.datasource", source.as_str()),
        ("b.datasource", source.as_str()),
    ];
    let plan = checked(&two);
    let planned = bench.plan(&plan, None).await;
    bench.run(&plan, None, &planned).await.unwrap();
    bench.execute("INSERT INTO a VALUES (1, 1)").await;
    let planned = bench
        .plan(&checked(&[("c.datasource", &source)]), Some(&plan))
        .await;
    let text = shown(&planned);
    assert_eq!(
        actions(&text),
        [
            "create table c Nothing",
            "drop table a Destroys",
            "drop table b Nothing"
        ]
    );
}

#[tokio::test]
async fn a_forward_query_may_name_columns_alone_and_is_run_once() {
    let bench = Bench::new().await;
    let before = datasource(SOURCE, KEYS);
    let forward =
        "FORWARD_QUERY >\n    SELECT part, CAST(id * 100, 'Float64') AS id -- of the table\n";
    let changed = |columns: &str, keys: &str| datasource(columns, &format!("{keys}{forward}"));
    let floats = SOURCE.replace("`id` UInt64", "`id` Float64");
    assert_ne!(floats, SOURCE);
    let (first, _) = bench.deploy(&[("src.datasource", &before)], None).await;
    bench
        .execute("INSERT INTO src (id, part) VALUES (5, 1)")
        .await;
    let (second, _) = bench
        .deploy(&[("src.datasource", &changed(&floats, KEYS))], Some(&first))
        .await;
    assert_eq!(bench.tsv("SELECT part, id FROM src").await, "1\t500\n");
    // It stays in the file, and other changes come.
    let more = format!("{floats},\n`more` UInt8 DEFAULT 7");
    let (third, _) = bench
        .deploy(&[("src.datasource", &changed(&more, KEYS))], Some(&second))
        .await;
    let keys = KEYS.replace("SORTING_KEY \"", "SORTING_KEY \"more, ");
    assert_ne!(keys, KEYS);
    bench
        .deploy(&[("src.datasource", &changed(&more, &keys))], Some(&third))
        .await;
    assert_eq!(
        bench.tsv("SELECT part, id, more FROM src").await,
        "1\t500\t7\n"
    );
}

#[tokio::test]
async fn a_forward_query_is_run_over_what_comes_meanwhile_too() {
    let bench = Bench::new().await;
    let before = datasource(SOURCE, KEYS);
    let after = datasource(
        &format!("{SOURCE},\n`twice` UInt64"),
        &format!("{KEYS}FORWARD_QUERY >\n    SELECT part, id, id * 2 AS twice FROM src\n"),
    );
    let (old, _) = bench.deploy(&[("src.datasource", &before)], None).await;
    bench
        .execute("INSERT INTO src SELECT number, number % 3 FROM numbers(900)")
        .await;
    bench
        .deploy(&[("src.datasource", &after)], Some(&old))
        .await;
    assert_eq!(
        bench
            .tsv("SELECT count(), sum(id), sum(twice), sum(part) FROM src")
            .await,
        "900\t404550\t809100\t900\n"
    );
}
