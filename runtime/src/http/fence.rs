//! What a caller's own query may read, as the engine keeps to it.
//!
//! Which tables a query reads is found out from its text, and rights and row filters go by that. Here the engine is told the same in its own words: of the data sources
//! that the query was not found to read it shows no rows, and of those of which the token sees some rows, these. So no data source that a text hides from us is shown,
//! whatever the next syntax of the engine is, unless a pipe of the query reads it.

use pipewright_compiler::emit;
use pipewright_compiler::plan::{Compiled, Plan, RowFilters};

use crate::fence::{Conditions, may_name};

/// The setting that keeps a query to what it was found to read, and whether it holds a row filter.
#[derive(Debug, Default)]
pub(super) struct Fence {
    pub(super) setting: Option<(String, String)>,
    pub(super) hides_rows: bool,
}

/// The fence around a query.
pub(super) fn around(plan: &Plan, compiled: &Compiled, filters: &RowFilters) -> Fence {
    let text = compiled.sql.text();
    let mut conditions = Conditions::default();
    let mut hides_rows = false;
    for name in plan.tables.keys() {
        let database = name.workspace.as_deref().unwrap_or(&plan.database);
        if !compiled.datasources.contains(name) {
            if may_name(text, &name.name) {
                conditions.add(database, &name.name, "0");
            }
        } else if let Some(filter) = filters.of(name) {
            hides_rows = true;
            conditions.add(database, &name.name, filter);
        }
        let quarantine = emit::quarantine_name(name);
        if may_name(text, &quarantine.name) && !compiled.datasources.contains(&quarantine) {
            conditions.add(database, &quarantine.name, "0");
        }
    }
    conditions.add_inner(plan, text, "0");
    Fence {
        setting: conditions.setting(),
        hides_rows,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pipewright_compiler::compile;
    use pipewright_compiler::mapped_text::{MappedText, PieceKind};
    use pipewright_compiler::project::{ResourceName, SourceTree};
    use pipewright_compiler::sql::Policy;
    use pipewright_compiler::template::Values;

    use super::super::Served;
    use super::super::access::{Access, Scope, TokenTable};
    use super::super::query::{authorize, request};
    use super::*;
    use crate::engine::{Config, Engine, Query, open};
    use crate::fence;
    use crate::state::State;

    /// The queries of the tests of the whole server: each counts rows that the token may not see.
    const HIDING: &str = include_str!("../../tests/serve/hiding.sql");

    /// A pipe whose rows depend on each setting by which the same text computes something else.
    const COMPUTED: &str = "NODE computed\nSQL >\n    SELECT e.org AS org, sum(e.value) AS value, any(o.org) AS joined, any(toString(e.org = 1)) AS flag, any((SELECT sum(number) FROM numbers(0))) AS nothing, any(e.value + 1) AS value2 FROM events AS e LEFT JOIN other AS o ON o.org = e.value GROUP BY org WITH ROLLUP ORDER BY ALL\n\nTYPE endpoint\n";

    /// Values that settings of different types have, others than the defaults among them.
    const SETTING_VALUES: &[&str] = &[
        "0",
        "1",
        "2",
        "1000000000",
        "'iso'",
        "'unix_timestamp'",
        "'partial_merge'",
        "'yes'",
    ];

    struct Bench {
        engine: Arc<dyn Engine>,
        served: Served,
        access: Access,
        _folder: tempfile::TempDir,
    }

    impl Bench {
        /// Tables in the real engine, and a token that sees one org of `events` and nothing of `other`.
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let engine = open(Config::embedded(folder.path())).await.unwrap();
            for statement in [
                "CREATE TABLE events (org Int32, value Int32) ENGINE = MergeTree ORDER BY org",
                "CREATE TABLE other (org Int32) ENGINE = MergeTree ORDER BY org",
                "INSERT INTO events SELECT number % 4, number FROM numbers(40)",
                "INSERT INTO other SELECT number FROM numbers(4)",
                "CREATE TABLE pw_moment AS other ENGINE = MergeTree ORDER BY org",
                "INSERT INTO pw_moment SELECT number FROM numbers(4)",
            ] {
                engine.execute(statement).await.unwrap();
            }
            let files = [
                (
                    "events.datasource",
                    "SCHEMA >\n    `org` Int32,\n    `value` Int32\n",
                ),
                ("other.datasource", "SCHEMA >\n    `org` Int32\n"),
                ("computed.pipe", COMPUTED),
            ];
            let files = files.map(|(name, text)| (name.to_owned(), text.to_owned()));
            let (plan, _) = compile(SourceTree::new(files));
            let state = State::open(&folder.path().join("state.sqlite")).unwrap();
            let served = Served {
                plan: Arc::new(plan),
                tokens: Arc::new(TokenTable::load(&state).unwrap()),
                secrets: crate::secrets::Secrets::default(),
                staged: None,
            };
            let mut scopes = Scope::parse("DATASOURCES:READ:events:org = 1").unwrap();
            scopes.extend(Scope::parse("PIPES:READ:computed").unwrap());
            Self {
                engine,
                served,
                access: Access::new(scopes),
                _folder: folder,
            }
        }

        fn compiled(&self, sql: &str, filters: &RowFilters) -> Result<Compiled, String> {
            let values = Values::new();
            let asked = request(&values, "2024-01-01 00:00:00", &[]);
            authorize(&self.served, &self.access, sql, None, asked)
                .map_err(|error| error.message())?;
            let compiled = self
                .served
                .plan
                .compile_query_for(sql, None, asked, filters);
            compiled.map_err(|error| error.to_string())
        }

        /// What the token gets for a query, as it is answered in earnest.
        async fn fenced(&self, sql: &str) -> Result<String, String> {
            let compiled = self.compiled(sql, &self.access.filters)?;
            let fence = around(&self.served.plan, &compiled, &self.access.filters);
            self.answer(&compiled, fence).await
        }

        /// What the engine answers; what it says against it.
        async fn answer(&self, compiled: &Compiled, fence: Fence) -> Result<String, String> {
            let mut query = Query::new(compiled.sql.text(), "TSV");
            query.settings.extend(fence.setting);
            let answer = self.engine.query(query).await;
            let bytes = match answer {
                Ok(answer) => answer.bytes().await,
                Err(error) => Err(error),
            };
            let bytes = bytes.map_err(|error| error.to_string())?;
            Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
        }
    }

    fn shows(answer: &Result<String, String>) -> bool {
        matches!(answer, Ok(text) if !matches!(text.as_str(), "0" | "" | "\\N"))
    }

    /// One test, because a process has one engine.
    #[tokio::test]
    async fn fence_and_scan_hold_each_without_the_other() {
        let bench = Bench::new().await;
        fence_holds_where_the_scan_has_seen_nothing(&bench).await;
        scan_holds_without_the_fence(&bench).await;
        a_condition_that_reads_more_is_not_planned(&bench).await;
        no_setting_shows_more(&bench).await;
    }

    async fn a_condition_that_reads_more_is_not_planned(bench: &Bench) {
        let events = ResourceName::local("events");
        let planned = async |condition: &str, is_fenced: bool| {
            let sql = format!("EXPLAIN PLAN SELECT count() FROM events WHERE (\n{condition}\n)");
            let mut query = Query::new(sql, "TSV");
            let fence = fence::alone(&bench.served.plan, &events, condition);
            query.settings.extend(fence.filter(|_| is_fenced));
            match bench.engine.query(query).await {
                Ok(answer) => answer.bytes().await.map(|_| ()),
                Err(error) => Err(error),
            }
        };
        for condition in [
            "org IN other",
            "org IN + other",
            "in(org, pipewright.other)",
            "org IN `oth\\x65r`",
            "org = (SELECT max(org) FROM other)",
            "org > 9 AND org IN (SELECT org FROM events UNION ALL SELECT org FROM other)",
            "org IN (WITH RECURSIVE other AS (SELECT * FROM other) SELECT org FROM other)",
            "(WITH other AS x SELECT countIf(number IN x) FROM numbers(5)) > org",
            "org IN pw_moment",
        ] {
            assert!(planned(condition, false).await.is_ok(), "{condition}");
            let refused = planned(condition, true).await.unwrap_err().to_string();
            assert!(fence::is_refused(&refused), "{condition}: {refused}");
        }
        for condition in ["org = 1", "org IN (SELECT org FROM events WHERE value > 1)"] {
            planned(condition, true).await.unwrap();
        }
    }

    async fn no_setting_shows_more(bench: &Bench) {
        let permitted = Policy::default().settings;
        let known = Query::new("SELECT name FROM system.settings", "TSV");
        let known = bench.engine.query(known).await.unwrap();
        let known = String::from_utf8(known.bytes().await.unwrap().to_vec()).unwrap();
        assert!(known.lines().count() > 500);
        for name in known.lines().filter(|name| !permitted.contains(*name)) {
            let sql = format!("SELECT count() FROM events SETTINGS {name} = 1");
            assert!(
                bench.compiled(&sql, &bench.access.filters).is_err(),
                "{name}"
            );
        }
        let mut ran = 0;
        for sql in [
            "SELECT count(), sum(value), countIf(org != 1), toString(any(value) = 1) FROM events",
            "SELECT * FROM computed",
        ] {
            let plain = bench.fenced(sql).await.unwrap();
            for name in &permitted {
                for value in SETTING_VALUES {
                    let text = format!("{sql} SETTINGS {name} = {value}");
                    // What is refused shows nothing, be it here or by the engine, which knows what values a setting has.
                    if let Ok(answer) = bench.fenced(&text).await {
                        ran += 1;
                        // It may be written otherwise, but of the caller's own rows.
                        let counts = |text: &str| {
                            text.split('\t')
                                .take(3)
                                .map(str::to_owned)
                                .collect::<Vec<_>>()
                        };
                        if sql.contains("FROM events") {
                            assert_eq!(counts(&answer), counts(&plain), "{text}");
                        } else {
                            assert_eq!(answer, plain, "{text}");
                        }
                    }
                }
            }
        }
        assert!(ran > 2 * permitted.len(), "{ran}");
    }

    async fn fence_holds_where_the_scan_has_seen_nothing(bench: &Bench) {
        let plain = [
            "SELECT count() FROM other",
            "SELECT count() FROM pipewright.other",
            "SELECT count() FROM `oth\\x65r`",
            "SELECT count() FROM events AS e INNER JOIN other AS o ON e.org = o.org",
            "SELECT (SELECT count() FROM other)",
            "SELECT countIf(number IN other) FROM numbers(5)",
            "SELECT count() FROM (SELECT 1 WHERE 0 UNION ALL SELECT org FROM other)",
            "SELECT count() FROM pw_moment",
            "SELECT count() FROM pipewright.`p\\x77_moment`",
        ];
        let hiding = HIDING.lines().filter(|line| !line.starts_with("--"));
        let mut shown_without = 0;
        for sql in plain.into_iter().chain(hiding) {
            // As if the scan had found `events` alone, and had put no filter into it.
            let mut compiled = bench.compiled("SELECT 1", &bench.access.filters).unwrap();
            let mut text = MappedText::new();
            text.push(sql, PieceKind::Inserted, None);
            compiled.sql = text;
            compiled.datasources.insert(ResourceName::local("events"));
            let without = bench.answer(&compiled, Fence::default()).await;
            shown_without += usize::from(shows(&without));
            let fence = around(&bench.served.plan, &compiled, &bench.access.filters);
            let fenced = bench.answer(&compiled, fence).await;
            assert!(!shows(&fenced), "{sql}: {fenced:?}");
        }
        assert!(shown_without > 15, "{shown_without}");
    }

    async fn scan_holds_without_the_fence(bench: &Bench) {
        for sql in HIDING.lines().filter(|line| !line.starts_with("--")) {
            let Ok(compiled) = bench.compiled(sql, &bench.access.filters) else {
                continue;
            };
            let answer = bench.answer(&compiled, Fence::default()).await;
            assert!(!shows(&answer), "{sql}: {answer:?}");
        }
        // It lets through what the token may see.
        let seen = "SELECT count(), countIf(org = 1) FROM events";
        let compiled = bench.compiled(seen, &bench.access.filters).unwrap();
        let answer = bench.answer(&compiled, Fence::default()).await;
        assert_eq!(answer.as_deref(), Ok("10\t10"));
    }
}
