//! Rows that fit their columns and that the engine refuses for their values: they are in the quarantine with the reason, and no other row waits for them.

use pipewright::engine::Query;
use pipewright::ingest::{Counts, EventLimits, Events, Format, Ingest, json_lines};
use pipewright_compiler::plan::Plan;

use super::{append, engine, ingest, project, reasons, tsv};

const ROWS: &str = "SCHEMA >\n    `id` Int64 `json:$.id`,\n    `raw` String `json:$.raw`\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";

/// A data source with a view that throws on texts which are no days, and a second one that throws on a day that the first one makes of some.
async fn viewed(name: &str) -> Plan {
    let days = "SCHEMA >\n    `id` Int64,\n    `day` Date\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";
    let shares =
        "SCHEMA >\n    `share` Int64\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"share\"\n";
    let view = |query: &str, target: &str| {
        format!("NODE n\nSQL >\n    {query}\n\nTYPE materialized\nDATASOURCE {target}\n")
    };
    project(&[
        (&format!("{name}.datasource"), ROWS),
        (&format!("{name}_days.datasource"), days),
        (&format!("{name}_shares.datasource"), shares),
        (
            &format!("{name}_to_days.pipe"),
            &view(
                &format!("SELECT id, toDate(raw) AS day FROM {name}"),
                &format!("{name}_days"),
            ),
        ),
        (
            &format!("{name}_to_shares.pipe"),
            &view(
                &format!("SELECT intDiv(100, toDayOfMonth(day) - 13) AS share FROM {name}_days"),
                &format!("{name}_shares"),
            ),
        ),
    ])
    .await
}

fn counts(successful: u64, quarantined: u64) -> Counts {
    Counts {
        successful,
        quarantined,
    }
}

/// How many rows a data source of [`viewed`] has, and what its views made of them.
async fn three(name: &str) -> String {
    tsv(&format!("SELECT (SELECT groupArraySorted(100)(id) FROM {name}), (SELECT groupArraySorted(100)(id) FROM {name}_days), (SELECT count() FROM {name}_shares)")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_default_that_throws_sets_its_row_aside() {
    let schema = "SCHEMA >\n    `id` Int64 `json:$.id`,\n    `raw` String `json:$.raw`,\n    `at` DateTime DEFAULT parseDateTimeBestEffort(raw),\n    `part` Int64 MATERIALIZED intDiv(10, id)\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";
    let plan = project(&[("r_default.datasource", schema)]).await;
    let table = plan.table("r_default").unwrap();
    let events = Events::new(ingest(), EventLimits::default());
    let push = |rows: &'static str| async {
        let (lines, count) = json_lines(rows.into(), false).unwrap();
        events.push(table, lines, count, true).await.unwrap()
    };
    // Two senders at the same time: each is told of its own rows.
    let (good, bad) = tokio::join!(
        push("{\"id\":1,\"raw\":\"2026-01-02\"}\n{\"id\":2,\"raw\":\"2026-01-03\"}\n"),
        push(
            "{\"id\":3,\"raw\":\"soon\"}\n{\"id\":0,\"raw\":\"2026-01-04\"}\n{\"id\":5,\"raw\":\"2026-01-05\"}\n{\"id\":\"x\",\"raw\":\"2026-01-06\"}\n"
        ),
    );
    assert_eq!((good, bad), (counts(2, 0), counts(1, 3)));
    events.shutdown().await;
    assert_eq!(
        tsv("SELECT groupArraySorted(9)(id) FROM r_default").await,
        "[1,2,5]\n"
    );
    insta::assert_snapshot!(reasons("r_default").await, @r"
    : the engine refuses it: Cannot read DateTime: unexpected word (CANNOT_PARSE_DATETIME)
    : the engine refuses it: Division by zero (ILLEGAL_DIVISION)
    id: cannot read as Int64: x
    ");
    assert_eq!(
        tsv("SELECT groupArraySorted(9)((id, raw)) FROM r_default_quarantine").await,
        "[('0','2026-01-04'),('3','soon'),('x','2026-01-06')]\n"
    );
    assert!(!ingest().untaken().contains_key("r_default"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_a_view_throws_on_are_in_the_quarantine_and_nowhere_else() {
    let plan = viewed("r_view").await;
    let table = plan.table("r_view").unwrap();
    let events = Events::new(ingest(), EventLimits::default());
    let rows = "{\"id\":1,\"raw\":\"2026-01-02\"}\n{\"id\":2,\"raw\":\"never\"}\n{\"id\":3,\"raw\":\"2026-01-13\"}\n";
    for wait in [true, false] {
        let (lines, count) = json_lines(rows.into(), false).unwrap();
        let answered = events.push(table, lines, count, wait).await.unwrap();
        let expected = if wait { counts(1, 2) } else { counts(3, 0) };
        assert_eq!(answered, expected);
    }
    events.shutdown().await;
    assert_eq!(three("r_view").await, "[1,1]\t[1,1]\t2\n");
    insta::assert_snapshot!(reasons("r_view").await, @r"
    : the view `mv__r_view_to_days__n` throws on it: Cannot parse date: value is too short: Cannot parse Date from String (CANNOT_PARSE_DATE)
    : the view `mv__r_view_to_days__n` throws on it: Cannot parse date: value is too short: Cannot parse Date from String (CANNOT_PARSE_DATE)
    : the view `mv__r_view_to_shares__n` throws on it: Division by zero (ILLEGAL_DIVISION)
    : the view `mv__r_view_to_shares__n` throws on it: Division by zero (ILLEGAL_DIVISION)
    ");
    assert!(!ingest().untaken().contains_key("r_view"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_every_format_are_in_without_the_rows_that_a_view_throws_on() {
    let plan = viewed("r_files").await;
    let query = "SELECT id, if(id % 50 = 7, 'no day', '2026-01-02') AS raw FROM (SELECT number + 2 AS id FROM numbers(200)) ORDER BY id";
    for (at, (format, name)) in [
        (Format::Ndjson, "JSONEachRow"),
        (Format::Csv, "CSVWithNames"),
        (Format::Parquet, "Parquet"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = engine().query(Query::new(query, name)).await.unwrap();
        let file = answer.bytes().await.unwrap().to_vec();
        let appended = append(&plan, "r_files", format, file).await.unwrap();
        assert_eq!(appended.counts, counts(196, 4), "{name}");
        assert_eq!(appended.waits, None);
        let times = at + 1;
        let both = "SELECT (SELECT count() FROM r_files), (SELECT count() FROM r_files_days), (SELECT count() FROM r_files_shares), (SELECT (count(), groupUniqArraySorted(9)(id)) FROM r_files_quarantine)";
        let both = both.replace(
            "groupUniqArraySorted(9)(id)",
            "arraySort(groupUniqArray(id))",
        );
        assert_eq!(
            tsv(&both).await,
            format!(
                "{0}\t{0}\t{0}\t({1},['107','157','57','7'])\n",
                times * 196,
                times * 4
            )
        );
    }
    assert_eq!(
        tsv("SELECT uniqExact(raw), any(raw) FROM r_files_quarantine").await,
        "1\tno day\n"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_refused_rows_among_many_are_told_apart() {
    let plan = viewed("r_many").await;
    let row = |id: u64| {
        let raw = if id.is_multiple_of(9) {
            "x"
        } else {
            "2026-01-02"
        };
        format!("{id},{raw}\n")
    };
    let file: String = (1..=2000).map(row).collect();
    let appended = append(&plan, "r_many", Format::Csv, file).await.unwrap();
    assert_eq!(appended.counts, counts(1778, 222));
    assert_eq!(
        tsv("SELECT count(), countIf(id % 9 = 0) FROM r_many").await,
        "1778\t0\n"
    );
    assert_eq!(
        tsv("SELECT count(), uniqExact(id) FROM r_many_quarantine").await,
        "222\t222\n"
    );
    let left = "SELECT count() FROM system.tables WHERE startsWith(name, 'pw_numbered_')";
    // Other tests have theirs for a moment.
    let mut seen = String::new();
    for _ in 0..600 {
        seen = tsv(left).await;
        if seen == "0\n" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(seen, "0\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_that_is_broken_for_all_rows_takes_none_into_the_quarantine() {
    let plan = viewed("r_broken").await;
    let make = append(&plan, "r_broken", Format::Csv, "1,2026-01-02\n").await;
    assert_eq!(make.unwrap().counts, counts(1, 0));
    engine()
        .execute("ALTER TABLE r_broken_days RENAME COLUMN day TO other")
        .await
        .unwrap();
    ingest().tables_changed();
    let appended = append(&plan, "r_broken", Format::Csv, "2,2026-01-02\n").await;
    // Whatever it is answered, the row is not taken for one that is at fault.
    drop(appended);
    let quarantines =
        "SELECT count() FROM system.tables WHERE name = 'r_broken_quarantine' AND total_rows > 0";
    assert_eq!(tsv(quarantines).await, "0\n");
    // Not to be tried again beside other tests.
    engine()
        .execute("ALTER TABLE r_broken_days RENAME COLUMN other TO day")
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_which_a_key_cannot_be_made_are_set_aside_and_the_others_do_not_wait() {
    let schema = |columns: [&str; 2], keys: &str| {
        format!(
            "SCHEMA >\n    `id` UInt64{},\n    `d` String{}\n\nENGINE \"MergeTree\"\n{keys}",
            columns[0], columns[1]
        )
    };
    let paths = [" `json:$.id`", " `json:$.d`"];
    let plain = "ENGINE_SORTING_KEY \"id\"\n";
    let by_month =
        "ENGINE_SORTING_KEY \"id\"\nENGINE_PARTITION_KEY \"toYYYYMM(toDate(d))\"\n".to_owned();
    let view =
        "NODE n\nSQL >\n    SELECT id, d FROM r_source\n\nTYPE materialized\nDATASOURCE r_months\n";
    let plan = project(&[
        ("r_part.datasource", &schema(paths, &by_month)),
        (
            "r_sort.datasource",
            &schema(paths, "ENGINE_SORTING_KEY \"id, toDate(d)\"\n"),
        ),
        (
            "r_ttl.datasource",
            &schema(
                paths,
                &format!("{plain}ENGINE_TTL \"toDate(d) + INTERVAL 90 YEAR\"\n"),
            ),
        ),
        ("r_source.datasource", &schema(paths, plain)),
        ("r_months.datasource", &schema(["", ""], &by_month)),
        ("r_to_months.pipe", view),
    ])
    .await;
    let events = Events::new(ingest(), EventLimits::default());
    let rows = "{\"id\":1,\"d\":\"2026-01-01\"}\n{\"id\":2,\"d\":\"nonsense\"}\n{\"id\":3,\"d\":\"2026-02-01\"}\n";
    for name in ["r_part", "r_sort", "r_ttl", "r_source"] {
        let table = plan.table(name).unwrap();
        let (lines, count) = json_lines(rows.into(), false).unwrap();
        let answered = events.push(table, lines, count, true).await;
        assert_eq!(answered.ok(), Some(counts(2, 1)), "{name}");
        let appended = append(&plan, name, Format::Csv, "4,never\n5,2026-03-01\n").await;
        assert_eq!(
            appended.ok().map(|appended| appended.counts),
            Some(counts(1, 1)),
            "{name}"
        );
        assert_eq!(
            tsv(&format!("SELECT groupArraySorted(9)(id) FROM {name}")).await,
            "[1,3,5]\n"
        );
    }
    events.shutdown().await;
    assert_eq!(
        tsv("SELECT groupArraySorted(9)(id) FROM r_months").await,
        "[1,3,5]\n"
    );
    let mut said = String::new();
    for name in ["r_part", "r_sort", "r_ttl", "r_source"] {
        said.push_str(&reasons(name).await);
    }
    insta::assert_snapshot!(said, @r"
    : a key or a time to live of `r_part` cannot be made of it: Cannot parse date: value is too short: Cannot parse Date from String (CANNOT_PARSE_DATE)
    : a key or a time to live of `r_part` cannot be made of it: Cannot parse date: value is too short: Cannot parse Date from String (CANNOT_PARSE_DATE)
    : a key or a time to live of `r_sort` cannot be made of it: Cannot parse date: value is too short: Cannot parse Date from String (CANNOT_PARSE_DATE)
    : a key or a time to live of `r_sort` cannot be made of it: Cannot parse date: value is too short: Cannot parse Date from String (CANNOT_PARSE_DATE)
    : a key or a time to live of `r_ttl` cannot be made of it: Cannot parse date: value is too short: Cannot parse Date from String (CANNOT_PARSE_DATE)
    : a key or a time to live of `r_ttl` cannot be made of it: Cannot parse date: value is too short: Cannot parse Date from String (CANNOT_PARSE_DATE)
    : a key or a time to live of `r_months` cannot be made of it: Cannot parse date: value is too short: Cannot parse Date from String (CANNOT_PARSE_DATE)
    : a key or a time to live of `r_months` cannot be made of it: Cannot parse date: value is too short: Cannot parse Date from String (CANNOT_PARSE_DATE)
    ");
}

/// A request of many rows of which every second one is refused, beside one that is as it should be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_with_too_many_refused_rows_pays_for_itself_and_not_for_others() {
    const MANY: u64 = 20_000;
    let plan = viewed("r_flood").await;
    let table = plan.table("r_flood").unwrap();
    let events = Events::new(ingest(), EventLimits::default());
    let push = |rows: String| async {
        let (lines, count) = json_lines(rows.into(), false).unwrap();
        events.push(table, lines, count, true).await.unwrap()
    };
    let row = |id: u64, raw: &str| format!("{{\"id\":{id},\"raw\":\"{raw}\"}}\n");
    let flood = (0..MANY).map(|id| match id % 3 {
        0 => row(id, "x"),
        1 => row(id, "2026-01-02"),
        // It does not fit, so that nobody tries it.
        _ => format!("{{\"id\":\"no {id}\",\"raw\":\"2026-01-02\"}}\n"),
    });
    let begun = std::time::Instant::now();
    let (before, flooded, after) = tokio::join!(
        push(row(MANY, "2026-01-02")),
        push(flood.collect()),
        push(
            (MANY + 1..MANY + 5)
                .map(|id| row(id, if id == MANY + 3 { "x" } else { "2026-01-02" }))
                .collect()
        ),
    );
    let took = begun.elapsed();
    assert!(took < std::time::Duration::from_mins(1), "{took:?}");
    assert_eq!((before, after), (counts(1, 0), counts(3, 1)));
    // What has not been told apart is in the quarantine as a whole, and every row is somewhere, once.
    assert_eq!(flooded.successful + flooded.quarantined, MANY);
    assert!(flooded.quarantined >= 2 * (MANY / 3), "{flooded:?}");
    assert!(flooded.successful > 0, "{flooded:?}");
    events.shutdown().await;
    assert_eq!(
        tsv("SELECT (SELECT count() FROM r_flood), (SELECT countIf(raw = 'x') FROM r_flood), (SELECT count() FROM r_flood_days), (SELECT (count(), uniqExact(id)) FROM (SELECT toString(id) AS id FROM r_flood UNION ALL SELECT assumeNotNull(id) FROM r_flood_quarantine))").await,
        format!("{0}\t0\t{0}\t({1},{1})\n", flooded.successful + 4, MANY + 5)
    );
}

/// What a table asks of a column that tells a row from what takes it back, or says that it has gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_whose_sign_the_engine_does_not_take_are_set_aside_and_the_others_do_not_wait() {
    let schema = |path: bool, engine: &str| {
        let of = |name: &str| {
            if path {
                format!(" `json:$.{name}`")
            } else {
                String::new()
            }
        };
        format!(
            "SCHEMA >\n    `id` Int64{},\n    `s` Int8{},\n    `gone` UInt8{}\n\nENGINE_SORTING_KEY \"id\"\n{engine}",
            of("id"),
            of("s"),
            of("gone")
        )
    };
    let collapsing = "ENGINE \"CollapsingMergeTree\"\nENGINE_SIGN \"s\"\n";
    let replacing =
        "ENGINE \"ReplacingMergeTree\"\nENGINE_VER \"id\"\nENGINE_IS_DELETED \"gone\"\n";
    let plan = project(&[
        ("r_sign.datasource", &schema(true, collapsing)),
        (
            "r_sign_parts.datasource",
            &schema(
                true,
                &format!("{collapsing}ENGINE_PARTITION_KEY \"id % 5\"\n"),
            ),
        ),
        ("r_gone.datasource", &schema(true, replacing)),
        (
            "r_land.datasource",
            &schema(true, "ENGINE \"MergeTree\"\n"),
        ),
        ("r_land_last.datasource", &schema(false, replacing)),
        (
            "r_to_last.pipe",
            "NODE n\nSQL >\n    SELECT id, s, gone FROM r_land\n\nTYPE materialized\nDATASOURCE r_land_last\n",
        ),
    ])
    .await;
    let events = Events::new(ingest(), EventLimits::default());
    let rows = "{\"id\":1,\"s\":1,\"gone\":0}\n{\"id\":2,\"s\":-1,\"gone\":1}\n{\"id\":3,\"s\":0,\"gone\":7}\n{\"id\":4,\"s\":1,\"gone\":0}\n";
    let names = ["r_sign", "r_sign_parts", "r_gone", "r_land"];
    let mut said = String::new();
    for name in names {
        let table = plan.table(name).unwrap();
        let (lines, count) = json_lines(rows.into(), false).unwrap();
        let answered = events.push(table, lines, count, true).await;
        assert_eq!(answered.ok(), Some(counts(3, 1)), "{name}");
        let appended = append(&plan, name, Format::Csv, "5,3,2\n6,1,0\n").await;
        assert_eq!(
            appended.ok().map(|appended| appended.counts),
            Some(counts(1, 1)),
            "{name}"
        );
        assert_eq!(
            tsv(&format!("SELECT groupArraySorted(9)(id) FROM {name}")).await,
            "[1,2,4,6]\n",
            "{name}"
        );
        said.push_str(&reasons(name).await);
    }
    events.shutdown().await;
    assert_eq!(
        tsv("SELECT groupArraySorted(9)(id) FROM r_land_last").await,
        "[1,2,4,6]\n"
    );
    insta::assert_snapshot!(said, @r"
    : the engine refuses it for `r_sign`: ENGINE_SIGN `s` must be 1 or -1
    : the engine refuses it for `r_sign`: ENGINE_SIGN `s` must be 1 or -1
    : the engine refuses it for `r_sign_parts`: ENGINE_SIGN `s` must be 1 or -1
    : the engine refuses it for `r_sign_parts`: ENGINE_SIGN `s` must be 1 or -1
    : the engine refuses it for `r_gone`: ENGINE_IS_DELETED `gone` must be 1 or 0
    : the engine refuses it for `r_gone`: ENGINE_IS_DELETED `gone` must be 1 or 0
    : the engine refuses it for `r_land_last`: ENGINE_IS_DELETED `gone` must be 1 or 0
    : the engine refuses it for `r_land_last`: ENGINE_IS_DELETED `gone` must be 1 or 0
    ");
    assert!(
        names
            .iter()
            .all(|name| !ingest().untaken().contains_key(*name))
    );
}

/// A view that takes each row and not all of them together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_which_no_row_is_refused_alone_is_set_aside_as_a_whole() {
    let plan = project(&[
        ("r_together.datasource", ROWS),
        (
            "r_together_sums.datasource",
            "SCHEMA >\n    `rows` Int64\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"rows\"\n",
        ),
        (
            "r_to_sums.pipe",
            "NODE n\nSQL >\n    SELECT toInt64(count() + throwIf(count() > 2, 'too many at once')) AS rows FROM r_together\n\nTYPE materialized\nDATASOURCE r_together_sums\n",
        ),
    ])
    .await;
    let table = plan.table("r_together").unwrap();
    let events = Events::new(ingest(), EventLimits::default());
    let push = async |ids: &[&str]| {
        let row = |id: &&str| format!("{{\"id\":{id},\"raw\":\"r\"}}\n");
        let rows: String = ids.iter().map(row).collect();
        let (lines, count) = json_lines(rows.into(), false).unwrap();
        events.push(table, lines, count, true).await.ok()
    };
    let three = push(&["1", "2", "\"x\"", "3"]).await;
    assert_eq!(three, Some(counts(0, 4)));
    assert_eq!(push(&["4", "5"]).await, Some(counts(2, 0)));
    events.shutdown().await;
    assert_eq!(
        tsv("SELECT (SELECT groupArraySorted(9)(id) FROM r_together), (SELECT groupArray(rows) FROM r_together_sums), (SELECT groupArraySorted(9)(assumeNotNull(id)) FROM r_together_quarantine)").await,
        "[4,5]\t[2]\t['1','2','3','x']\n"
    );
    insta::assert_snapshot!(reasons("r_together").await, @r"
    : rows of one batch are refused together, and none of them alone: the view `mv__r_to_sums__n` throws on it: too many at once (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)
    : rows of one batch are refused together, and none of them alone: the view `mv__r_to_sums__n` throws on it: too many at once (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)
    : rows of one batch are refused together, and none of them alone: the view `mv__r_to_sums__n` throws on it: too many at once (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)
    id: cannot read as Int64: x
    ");
    assert!(!ingest().untaken().contains_key("r_together"));
}

/// What a process has found out and written down before it died, about rows that it could not tell apart too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_rows_are_noted_as_ranges_and_what_does_not_fit_in_them_is_set_aside_for_that() {
    let plan = project(&[("r_noted.datasource", ROWS)]).await;
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("ingest/events/r_noted");
    std::fs::create_dir_all(&events).unwrap();
    let row = |id: &str| format!("{{\"id\":{id},\"raw\":\"r\"}}\n");
    let rows: String = ["0", "1", "\"x\"", "3", "4", "5", "6"].map(row).concat();
    std::fs::write(events.join("1-noted.ndjson"), rows).unwrap();
    let noted = "{\"pw_number\":1,\"pw_rows\":3,\"pw_refused\":2,\"pw_error\":\"one of them\"}\n{\"pw_number\":5,\"pw_error\":\"alone\"}\n";
    std::fs::write(events.join("1-noted.refused"), noted).unwrap();
    let ingest = Ingest::open(engine(), folder.path()).unwrap();
    let events = Events::new(ingest, EventLimits::default());
    assert_eq!(events.replay(&plan).await.unwrap(), 1);
    assert_eq!(
        tsv("SELECT groupArraySorted(9)(id) FROM r_noted").await,
        "[0,4,6]\n"
    );
    assert_eq!(
        tsv(
            "SELECT arraySort(groupArray((assumeNotNull(id), c__error[1]))) FROM r_noted_quarantine"
        )
        .await,
        "[('1','one of them'),('3','one of them'),('5','alone'),('x','cannot read as Int64: x')]\n"
    );
}
