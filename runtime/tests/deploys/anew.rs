//! What is made anew has the rows that it had, or the plan says that it will not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use pipewright::deploy::{DeployError, Nobody, Progress, Run};
use pipewright::ingest::{Append, Appended, Format, IngestError, Populate, PopulateOptions};
use pipewright::jobs::{JobStatus, Jobs, Limits, Work};
use pipewright::state::{DeploymentKind, NewDeployment, State};
use pipewright_compiler::graph::NodeId;
use pipewright_compiler::plan::Plan;
use pipewright_compiler::project::ResourceName;

use super::{Bench, KEYS, checked, datasource, shown, view};

const NULL: &str = "ENGINE \"Null\"\n";
const SOURCE: &str = "`id` UInt64 `json:$.id`,\n`v` Int64 `json:$.v`";

fn project(files: &[(&'static str, String)]) -> Plan {
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    checked(&files)
}

async fn deployed(bench: &Bench, wanted: &Plan, before: Option<&Plan>) -> String {
    let planned = bench.plan(wanted, before).await;
    bench.run(wanted, before, &planned).await.unwrap();
    shown(&planned)
}

async fn append(bench: &Bench, plan: &Plan, name: &str, rows: &'static str) -> Appended {
    let done = try_append(bench, plan, name, rows).await;
    done.unwrap()
}

async fn try_append(
    bench: &Bench,
    plan: &Plan,
    name: &str,
    rows: &'static str,
) -> Result<Appended, IngestError> {
    let append = Append {
        format: Format::Csv,
        delimiter: None,
    };
    let body = futures::stream::iter([Ok(Bytes::from_static(rows.as_bytes()))]);
    let table = plan.table(name).unwrap();
    bench.ingest.append(table, &append, body).await
}

#[tokio::test]
async fn a_view_that_spells_functions_its_own_way_is_not_another_view_for_ever() {
    let bench = Bench::new().await;
    let of = |query: &str| {
        project(&[
            ("src.datasource", datasource(SOURCE, KEYS)),
            (
                "sums.datasource",
                datasource("`n` UInt64,\n`most` Int64,\n`name` String", KEYS)
                    .replace("SORTING_KEY \"id\"", "SORTING_KEY \"n\""),
            ),
            ("to_sums.pipe", view(query, "sums")),
        ])
    };
    let shouted = of(
        "SELECT COUNT(*) AS n, MAX(IF(v > 0, v, 0)) AS most, concat('pipewright.', LOWER('X')) AS name FROM src",
    );
    deployed(&bench, &shouted, None).await;
    let again = bench.plan(&shouted, Some(&shouted)).await;
    assert!(again.is_empty(), "{}", shown(&again));

    // Another layout, and the same functions by other names: the same query.
    let quiet = of(
        "-- counted\nSELECT\n  count(*) AS n, max(if(v > 0, v, 0)) AS most,\n  concat('pipewright.', lower('X')) AS name\nFROM src",
    );
    assert_eq!(deployed(&bench, &quiet, Some(&shouted)).await, "");
    let again = bench.plan(&quiet, Some(&quiet)).await;
    assert!(again.is_empty(), "{}", shown(&again));

    let other = of(
        "SELECT count(*) AS n, max(if(v > 0, v, 0)) AS most, concat('pipewright:', lower('X')) AS name FROM src",
    );
    let planned = bench.plan(&other, Some(&quiet)).await;
    assert!(
        shown(&planned).starts_with("fill table sums Rewrites"),
        "{}",
        shown(&planned)
    );
    assert_eq!(bench.passing().await, "");
}

#[tokio::test]
async fn what_a_source_without_rows_has_made_is_not_emptied() {
    let bench = Bench::new().await;
    let of = |data_type: &str, query: &str| {
        project(&[
            (
                "landing.datasource",
                datasource(
                    &format!("`id` UInt64 `json:$.id`,\n`v` {data_type} `json:$.v`"),
                    NULL,
                ),
            ),
            (
                "facts.datasource",
                datasource("`id` UInt64,\n`v` Int64", KEYS),
            ),
            ("to_facts.pipe", view(query, "facts")),
        ])
    };
    let first = of("Int64", "SELECT id, v FROM landing");
    deployed(&bench, &first, None).await;
    bench
        .execute("INSERT INTO landing SELECT number, number FROM numbers(5)")
        .await;
    let second = of("String", "SELECT id, toInt64(v) AS v FROM landing");
    let planned = deployed(&bench, &second, Some(&first)).await;
    assert!(planned.contains("`landing` keeps none"), "{planned}");
    bench.execute("INSERT INTO landing VALUES (7, '7')").await;
    let rows = "SELECT count(), sum(v) FROM facts";
    assert_eq!(bench.tsv(rows).await, "6\t17\n");
}

#[tokio::test]
async fn what_came_through_a_table_without_rows_is_not_emptied() {
    let bench = Bench::new().await;
    let of = |query: &str| {
        project(&[
            ("a.datasource", datasource(SOURCE, KEYS)),
            ("n.datasource", datasource("`id` UInt64,\n`v` Int64", NULL)),
            ("t.datasource", datasource("`id` UInt64,\n`v` Int64", KEYS)),
            ("to_n.pipe", view(query, "n")),
            ("to_t.pipe", view("SELECT id, v FROM n", "t")),
        ])
    };
    let first = of("SELECT id, v FROM a");
    deployed(&bench, &first, None).await;
    bench
        .execute("INSERT INTO a SELECT number, number FROM numbers(5)")
        .await;
    let second = of("SELECT id, v * 10 AS v FROM a");
    let planned = deployed(&bench, &second, Some(&first)).await;
    assert!(planned.contains("`n` keeps no rows"), "{planned}");
    bench.execute("INSERT INTO a VALUES (5, 5)").await;
    let rows = "SELECT count(), sum(v) FROM t";
    assert_eq!(bench.tsv(rows).await, "6\t60\n");
}

#[tokio::test]
async fn what_a_view_made_that_goes_does_not_go_unasked() {
    let bench = Bench::new().await;
    let of = |views: &[(&'static str, &str)]| {
        let mut files = vec![
            ("a.datasource", datasource(SOURCE, KEYS)),
            ("b.datasource", datasource(SOURCE, KEYS)),
            ("t.datasource", datasource("`id` UInt64,\n`v` Int64", KEYS)),
        ];
        for (name, query) in views {
            files.push((name, view(query, "t")));
        }
        project(&files)
    };
    let both = of(&[
        ("from_a.pipe", "SELECT id, v FROM a"),
        ("from_b.pipe", "SELECT id, v FROM b"),
    ]);
    deployed(&bench, &both, None).await;
    for source in ["a", "b"] {
        let sql = format!("INSERT INTO {source} SELECT number, 1 FROM numbers(5)");
        bench.execute(&sql).await;
    }
    let one = of(&[("from_a.pipe", "SELECT id, v + 1 AS v FROM a")]);
    let planned = bench.plan(&one, Some(&both)).await;
    let text = shown(&planned);
    assert_eq!(planned.destructive().len(), 1, "{text}");
    assert!(
        text.contains("what `mv__from_b__n` made, which goes, is not made anew"),
        "{text}"
    );
    assert!(!text.contains("what it has made stays"), "{text}");

    // The view alone goes, and what it made stays.
    let alone = of(&[("from_a.pipe", "SELECT id, v FROM a")]);
    let planned = bench.plan(&alone, Some(&both)).await;
    let text = shown(&planned);
    assert!(planned.destructive().is_empty(), "{text}");
    assert!(text.contains("what it has made stays"), "{text}");

    // Under another name it is the same view with another query.
    let renamed = of(&[
        ("from_a.pipe", "SELECT id, v FROM a"),
        ("other.pipe", "SELECT id, v + 1 AS v FROM b"),
    ]);
    let planned = bench.plan(&renamed, Some(&both)).await;
    assert!(planned.destructive().is_empty(), "{}", shown(&planned));
}

#[tokio::test]
async fn rows_that_a_source_has_merged_are_not_counted_as_before() {
    let bench = Bench::new().await;
    let of = |engine: &str, query: &str| {
        let engine = KEYS.replace("MergeTree", engine);
        project(&[
            ("src.datasource", datasource(SOURCE, &engine)),
            (
                "t.datasource",
                datasource("`n` Int64", KEYS).replace("SORTING_KEY \"id\"", "SORTING_KEY \"n\""),
            ),
            ("to_t.pipe", view(query, "t")),
        ])
    };
    for (engine, destroys) in [
        ("ReplacingMergeTree", true),
        ("SummingMergeTree", false),
        ("MergeTree", false),
    ] {
        let first = of(engine, "SELECT sum(v) AS n FROM src");
        deployed(&bench, &first, None).await;
        let second = of(engine, "SELECT sum(v) + 0 AS n FROM src");
        let planned = bench.plan(&second, Some(&first)).await;
        let text = shown(&planned);
        assert_eq!(!planned.destructive().is_empty(), destroys, "{text}");
        assert_eq!(
            text.contains("`src` merges rows"),
            engine != "MergeTree",
            "{text}"
        );
        bench.execute("DROP VIEW mv__to_t__n SYNC").await;
        bench.execute("DROP TABLE src SYNC").await;
        bench.execute("DROP TABLE t SYNC").await;
    }
}

fn passed_on(query: &str) -> Plan {
    project(&[
        ("src.datasource", datasource(SOURCE, KEYS)),
        (
            "tgt.datasource",
            datasource("`id` UInt64,\n`v` Int64", KEYS),
        ),
        ("to_tgt.pipe", view(query, "tgt")),
    ])
}

#[tokio::test]
async fn rows_that_were_taken_away_do_not_come_back_unasked() {
    let bench = Bench::new().await;
    let first = passed_on("SELECT id, v FROM src");
    deployed(&bench, &first, None).await;
    append(&bench, &first, "src", "1,1\n2,2\n").await;
    let table = first.table("tgt").unwrap();
    bench.ingest.truncate(table).await.unwrap();
    let second = passed_on("SELECT id, v + 1 AS v FROM src");
    let planned = bench.plan(&second, Some(&first)).await;
    let text = shown(&planned);
    assert_eq!(planned.destructive().len(), 1, "{text}");
    assert!(
        text.contains("rows were taken away from `tgt`, and come back"),
        "{text}"
    );
    bench.run(&second, Some(&first), &planned).await.unwrap();
    let planned = bench.plan(&first, Some(&second)).await;
    assert!(planned.destructive().is_empty(), "{}", shown(&planned));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_populated_in_part_does_not_come_back_whole_unasked() {
    let bench = Bench::new().await;
    let first = passed_on("SELECT id, v FROM src");
    deployed(&bench, &first, None).await;
    append(&bench, &first, "src", "1,1\n2,2\n").await;
    let node = NodeId {
        pipe: ResourceName::local("to_tgt"),
        node: "n".to_owned(),
    };
    let work: Arc<dyn Work> = Arc::new(Populate(Arc::clone(&bench.ingest)));
    let state = Arc::new(State::in_memory().unwrap());
    let jobs = Jobs::new(state, [("populateview", work)], Limits::default());
    let second = passed_on("SELECT id, v + 1 AS v FROM src");
    for (condition, rows, destroyed) in [(Some("id = 1"), "1\n", 1), (None, "2\n", 0)] {
        let options = PopulateOptions {
            truncate: true,
            condition: condition.map(ToOwned::to_owned),
            subset: None,
        };
        let request = bench.ingest.plan_populate(&first, &node, options).await;
        let request = serde_json::to_value(request.unwrap()).unwrap();
        let job = jobs.submit("populateview", &request).unwrap();
        let ended = jobs.ended(&job.id).await.unwrap().unwrap();
        assert_eq!(ended.status, JobStatus::Done, "{ended:?}");
        assert_eq!(bench.tsv("SELECT count() FROM tgt").await, rows);
        let planned = bench.plan(&second, Some(&first)).await;
        let text = shown(&planned);
        assert_eq!(planned.destructive().len(), destroyed, "{text}");
    }
}

/// Does something once, when the first table is being filled.
struct Meanwhile<F>(AtomicBool, F);

impl<F: Fn() + Sync> Progress for Meanwhile<F> {
    fn say(&self, text: &str) {
        if text.starts_with("filling ") && !self.0.swap(true, Ordering::SeqCst) {
            (self.1)();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_come_directly_while_a_table_is_filled_are_not_lost() {
    let bench = Bench::new().await;
    let first = passed_on("SELECT id, v FROM src");
    deployed(&bench, &first, None).await;
    append(&bench, &first, "src", "1,1\n2,2\n").await;
    let second = passed_on("SELECT id, v + 1 AS v FROM src");
    let planned = bench.plan(&second, Some(&first)).await;
    let id = begin(&bench);
    let handle = tokio::runtime::Handle::current();
    let progress = Meanwhile(AtomicBool::new(false), || {
        tokio::task::block_in_place(|| {
            handle.block_on(async {
                append(&bench, &first, "tgt", "77,7\n").await;
                // Which lets the filling begin anew.
                let source = first.table("src").unwrap();
                bench.ingest.truncate(source).await.unwrap();
            });
        });
    });
    let run = Run {
        ingest: &bench.ingest,
        state: &bench.state,
        id,
        wanted: &second,
        before: Some(&first),
        catalog: None,
        undoes: None,
        audience: &Nobody,
        progress: &progress,
    };
    let done = run.run(&planned).await;
    assert!(matches!(done, Err(DeployError::Direct(_))), "{done:?}");
    assert_eq!(bench.tsv("SELECT count() FROM tgt").await, "3\n");
}

fn begin(bench: &Bench) -> i64 {
    let new = NewDeployment {
        artifact_hash: "",
        kind: DeploymentKind::Deploy,
        files: &std::collections::BTreeMap::new(),
        before: None,
        steps: "[]",
    };
    bench.state.deployments().start(new).unwrap()
}

#[tokio::test]
async fn a_change_that_was_taken_back_is_made_by_the_next_deploy() {
    let bench = Bench::new().await;
    let of = |columns: &str, view_of: Option<&str>| {
        let mut files = vec![
            ("t.datasource", datasource(columns, KEYS)),
            ("u.datasource", datasource("`id` UInt64", KEYS)),
        ];
        files.extend(view_of.map(|query| ("to_u.pipe", view(query, "u"))));
        project(&files)
    };
    let first = of(SOURCE, None);
    deployed(&bench, &first, None).await;
    let more = format!("{SOURCE},\n`b` Int64 `json:$.b`");
    // The engine makes no view of a function that it does not know.
    let broken = of(&more, Some("SELECT noSuchFunction(id) AS id FROM t"));
    let planned = bench.plan(&broken, Some(&first)).await;
    bench
        .run(&broken, Some(&first), &planned)
        .await
        .expect_err("a view that cannot be");
    let mended = of(&more, Some("SELECT id FROM t"));
    let planned = deployed(&bench, &mended, Some(&first)).await;
    assert!(planned.contains("new column b"), "{planned}");
    append(&bench, &mended, "t", "1,2,3\n").await;
    assert_eq!(bench.tsv("SELECT b FROM t").await, "3\n");
}

#[tokio::test]
async fn keys_and_calls_in_other_spellings_are_no_change() {
    let bench = Bench::new().await;
    let columns = "`a` String,\n`b` String,\n`c` UInt64,\n`d` Date";
    let with = |keys: &str| datasource(columns, &format!("ENGINE MergeTree\n{keys}"));
    let to = |query: &str| view(query, "totals");
    let totals = datasource(
        "`a` String,\n`n` AggregateFunction(count),\n`s` AggregateFunction(sum, UInt64)",
        "ENGINE AggregatingMergeTree\nENGINE_SORTING_KEY \"a\"\n",
    );
    let spelled = [
        (
            "ENGINE_SORTING_KEY \"a, lower(b)\"\nENGINE_PARTITION_KEY \"toYYYYMM(d)\"\nENGINE_PRIMARY_KEY \"a\"\n",
            "SELECT a, countState() AS n, sumState(c) AS s FROM rows WHERE c > 0 GROUP BY a HAVING count() > 0",
        ),
        (
            "ENGINE_SORTING_KEY \"(a, lower((b)))\"\nENGINE_PARTITION_KEY \"(toYYYYMM((d)))\"\nENGINE_PRIMARY_KEY \"(a)\"\n",
            "SELECT a, COUNTState(*) AS n, SUMState(c) AS s FROM rows WHERE c > 0 GROUP BY a HAVING count(*) > 0",
        ),
    ];
    let [first, second] = spelled.map(|(keys, query)| (with(keys), to(query)));
    let files = |of: &(String, String)| {
        [
            ("rows.datasource", of.0.clone()),
            ("totals.datasource", totals.clone()),
            ("to.pipe", of.1.clone()),
        ]
    };
    let borrowed =
        |files: &[(&'static str, String); 3]| -> Vec<(&'static str, String)> { files.to_vec() };
    let texts = [borrowed(&files(&first)), borrowed(&files(&second))];
    let [first, second] = texts.each_ref().map(|files| -> Vec<(&str, &str)> {
        files
            .iter()
            .map(|(name, text)| (*name, text.as_str()))
            .collect()
    });
    let (plan, _) = bench.deploy(&first, None).await;
    bench
        .execute("INSERT INTO rows VALUES ('x', 'Y', 1, '2026-01-01')")
        .await;
    let (again, shown) = bench.deploy(&second, Some(&plan)).await;
    assert_eq!(shown, "");
    assert_eq!(bench.deploy(&first, Some(&again)).await.1, "");
    // What is another key is one.
    let other = with(
        "ENGINE_SORTING_KEY \"a, (b, c)\"\nENGINE_PARTITION_KEY \"toYYYYMM(d)\"\nENGINE_PRIMARY_KEY \"a\"\n",
    );
    let changed = [("rows.datasource", other.as_str()), first[1], first[2]];
    let (plan, shown) = bench.deploy(&changed, Some(&plan)).await;
    assert!(shown.starts_with("rebuild table rows"), "{shown}");
    // A table that samples is made anew, too.
    for sampled in [
        with("ENGINE_SORTING_KEY \"a, intHash32(c)\"\nENGINE_SAMPLING_KEY \"intHash32(c)\"\n"),
        with("ENGINE_SORTING_KEY \"b, intHash32(c)\"\nENGINE_SAMPLING_KEY \"intHash32(c)\"\n"),
    ] {
        let changed = [("rows.datasource", sampled.as_str()), first[1], first[2]];
        bench.deploy(&changed, Some(&plan)).await;
        assert_eq!(
            bench.tsv("SELECT * FROM rows").await,
            "x\tY\t1\t2026-01-01\n"
        );
    }
}
