//! New tables beside those that are used, with the rows that are there and those that go on arriving.
//!
//! In one short moment no rows come to what is read; in it the parts of each table are linked into a snapshot, which costs no copy, and a view begins to take
//! down what comes from then on, as it comes. The snapshot is worked on chunk by chunk, then what has come since, again and again until little is left; the last
//! of it is done in the moment in which tables change places. Each batch goes through all tables in order, so that what follows from a table's new rows follows.

use std::collections::BTreeMap;

use pipewright_compiler::sql::{quote_identifier, quote_literal};

use super::DeployError;
use super::names;
use super::plan::{Blueprint, Build, Feed};
use super::run::Run;
use super::shadow::{Shadow, names_table, with_shadows};
use super::shape::create_as;
use crate::engine::ask::{rows, text};
use crate::engine::{Engine, EngineError, Query};
use crate::ingest::{
    Mark, ON_DISK, REMEMBERS, readable_columns, stored_columns, table_id, unsorted,
};

/// Rows of a snapshot that one statement works on, about.
const CHUNK_ROWS: u64 = 20_000_000;
/// So few rows are left for the moment in which nothing else goes on.
const REST_ROWS: u64 = 20_000;
/// So often what has come meanwhile is worked on before that moment comes anyway.
const ROUNDS: u32 = 20;

/// A table that is read, as it was when its snapshot was taken.
#[derive(Debug, Default)]
struct Root {
    id: String,
    rewritten: u64,
    columns: Vec<String>,
}

/// Where a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Batch {
    /// The rows that were there.
    Snapshot,
    /// Rows that came since.
    Taken,
}

/// Rows that one statement reads.
struct Chunk {
    condition: String,
    rows: u64,
}

pub(super) struct Filling<'a> {
    run: &'a Run<'a>,
    blueprint: &'a Blueprint,
    /// By present name.
    roots: BTreeMap<String, Root>,
    /// How often rows had come to the tables that only views are to fill when the plan was made, by present name.
    direct: BTreeMap<String, u64>,
    done: u64,
    total: u64,
}

impl<'a> Filling<'a> {
    pub(super) fn new(run: &'a Run<'a>, blueprint: &'a Blueprint) -> Self {
        let mut roots = BTreeMap::new();
        let mut direct = BTreeMap::new();
        for build in &blueprint.builds {
            match &build.feed {
                Feed::Nothing
                | Feed::Replaced {
                    condition: None, ..
                } => {}
                Feed::Own { .. } | Feed::Forward { .. } | Feed::Replaced { .. } => {
                    roots.insert(build.name.clone(), Root::default());
                }
                Feed::Views {
                    feedings,
                    direct: count,
                } => {
                    let name = blueprint.present_name(&build.name);
                    direct.insert(name.to_owned(), *count);
                    for feeding in feedings {
                        if blueprint.build(&feeding.trigger).is_none() {
                            let name = blueprint.present_name(&feeding.trigger);
                            roots.insert(name.to_owned(), Root::default());
                        }
                    }
                }
            }
        }
        Self {
            run,
            blueprint,
            roots,
            direct,
            done: 0,
            total: 0,
        }
    }

    /// The tables that are read.
    pub(super) fn roots(&self) -> impl Iterator<Item = &str> {
        self.roots.keys().map(String::as_str)
    }

    fn engine(&self) -> &'a dyn Engine {
        self.run.ingest.engine()
    }

    async fn execute(&self, sql: &str) -> Result<(), DeployError> {
        let done = self.engine().execute(sql).await;
        done.map_err(|source| DeployError::Statement {
            sql: sql.to_owned(),
            source,
        })
    }

    /// Fills the new tables with all but the last rows.
    pub(super) async fn fill(&mut self) -> Result<(), DeployError> {
        if self.blueprint.builds.is_empty() {
            return Ok(());
        }
        for build in &self.blueprint.builds {
            let next = names::next(&build.name);
            self.execute(&create_as(
                &build.step,
                &build.step.sql_with_comment(),
                &next,
            ))
            .await?;
            if build.keeps_rows {
                self.remember(&next).await?;
            }
        }
        self.snapshot().await?;
        self.work(Batch::Snapshot).await?;
        for _ in 0..ROUNDS {
            if self.arrived().await? <= REST_ROWS {
                break;
            }
            let gates = self.alone().await?;
            self.take().await?;
            for name in self.roots.keys().cloned().collect::<Vec<_>>() {
                self.capture(&name).await?;
            }
            drop(gates);
            self.work(Batch::Taken).await?;
        }
        Ok(())
    }

    /// The last rows. Nothing comes in while this goes on.
    pub(super) async fn finish(&mut self) -> Result<(), DeployError> {
        if self.roots.is_empty() {
            return Ok(());
        }
        let arrived = self.arrived().await?;
        self.take().await?;
        if arrived > 0 {
            self.work(Batch::Taken).await?;
        }
        Ok(())
    }

    /// Whether what was read is still what is there, apart from what has come.
    pub(super) async fn still_holds(&self) -> Result<bool, DeployError> {
        let failed = |source| DeployError::Introspect { source };
        // First: who begins anew counts from what the plan found, too.
        for (name, count) in &self.direct {
            if self.run.ingest.marks(Mark::Direct, name) != *count {
                return Err(DeployError::Direct(name.clone()));
            }
        }
        for (name, root) in &self.roots {
            let rewritten = self.run.ingest.marks(Mark::Rewritten, name);
            let id = table_id(self.engine(), name).await.map_err(failed)?;
            if rewritten != root.rewritten || id != root.id {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn alone(&self) -> Result<impl Send + use<>, DeployError> {
        let names = self.run.with_upstream(self.roots.keys().cloned());
        let alone = self.run.certain(&names).await?;
        self.settle().await?;
        Ok(alone)
    }

    /// What waits for the tables that are read must not come once more, to new tables that do not know of it.
    pub(super) async fn settle(&self) -> Result<(), DeployError> {
        let names = self.run.with_upstream(self.roots.keys().cloned());
        let settled = self.run.ingest.settle(&names).await;
        settled.map_err(|error| DeployError::Waiting(error.to_string()))
    }

    /// Makes a table know the tokens of its inserts from its first row on.
    async fn remember(&self, name: &str) -> Result<(), DeployError> {
        self.execute(&format!(
            "ALTER TABLE {} MODIFY SETTING {REMEMBERS}, {ON_DISK}",
            quote_identifier(name)
        ))
        .await
    }

    async fn snapshot(&mut self) -> Result<(), DeployError> {
        let names: Vec<String> = self.roots.keys().cloned().collect();
        for name in &names {
            let (table, snapshot) = (
                quote_identifier(name),
                quote_identifier(&names::snapshot(name)),
            );
            self.execute(&format!("CREATE TABLE {snapshot} AS {table}"))
                .await?;
            self.execute(&format!("SYSTEM STOP MERGES {snapshot}"))
                .await?;
            let columns = stored_columns(self.engine(), name).await;
            let columns = columns.map_err(|source| DeployError::Introspect { source })?;
            self.roots.entry(name.clone()).or_default().columns = columns;
        }
        let gates = self.alone().await?;
        for name in &names {
            let (table, snapshot) = (
                quote_identifier(name),
                quote_identifier(&names::snapshot(name)),
            );
            self.execute(&format!(
                "ALTER TABLE {snapshot} ATTACH PARTITION ALL FROM {table}"
            ))
            .await?;
            self.capture(name).await?;
            let id = table_id(self.engine(), name).await;
            let id = id.map_err(|source| DeployError::Introspect { source })?;
            let rewritten = self.run.ingest.marks(Mark::Rewritten, name);
            let root = self.roots.entry(name.clone()).or_default();
            (root.id, root.rewritten) = (id, rewritten);
        }
        drop(gates);
        for build in &self.blueprint.builds {
            for (_, input, _) in self.inputs(build, Batch::Snapshot) {
                self.total += self.count(&input).await?;
            }
        }
        Ok(())
    }

    /// Begins to take down what comes to a table. Nothing comes in while this goes on.
    async fn capture(&self, name: &str) -> Result<(), DeployError> {
        let (table, delta, capture) = (
            quote_identifier(name),
            quote_identifier(&names::delta(name)),
            quote_identifier(&names::capture(name)),
        );
        let columns: Vec<String> = self.roots[name]
            .columns
            .iter()
            .map(|column| quote_identifier(column))
            .collect();
        let unsorted = unsorted(self.run.ingest.engine(), name).await;
        let unsorted = unsorted.map_err(|source| DeployError::Introspect { source })?;
        self.execute(&format!(
            "CREATE TABLE {delta} AS {table} {unsorted} SETTINGS {REMEMBERS}"
        ))
        .await?;
        self.execute(&format!(
            "CREATE MATERIALIZED VIEW {capture} TO {delta} AS SELECT {} FROM {table}",
            columns.join(", ")
        ))
        .await
    }

    /// Puts what has come aside. Nothing comes in while this goes on.
    async fn take(&self) -> Result<(), DeployError> {
        for name in self.roots.keys() {
            let (delta, taken, capture) = (
                quote_identifier(&names::delta(name)),
                quote_identifier(&names::taken(name)),
                quote_identifier(&names::capture(name)),
            );
            self.execute(&format!("DROP VIEW IF EXISTS {capture} SYNC"))
                .await?;
            self.execute(&format!("DROP TABLE IF EXISTS {taken} SYNC"))
                .await?;
            self.execute(&format!("RENAME TABLE {delta} TO {taken}"))
                .await?;
        }
        Ok(())
    }

    async fn arrived(&self) -> Result<u64, DeployError> {
        let mut arrived = 0;
        for name in self.roots.keys() {
            arrived += self.count(&names::delta(name)).await?;
        }
        Ok(arrived)
    }

    async fn count(&self, table: &str) -> Result<u64, DeployError> {
        let sql = format!("SELECT count() FROM {}", quote_identifier(table));
        let found = text(self.engine(), &sql).await;
        let found = found.map_err(|source| DeployError::Introspect { source })?;
        Ok(found.trim().parse().unwrap_or(0))
    }

    /// The table that a batch of a new table's rows goes to.
    fn output(build: &Build, batch: Batch) -> String {
        match batch {
            Batch::Taken if build.keeps_rows => names::batch(&build.name),
            _ => names::next(&build.name),
        }
    }

    /// What a new table is filled from: the name in the query, the table that is read, and the query.
    fn inputs<'b>(&self, build: &'b Build, batch: Batch) -> Vec<(String, String, Option<&'b str>)> {
        let of_root = |name: &str| match batch {
            Batch::Snapshot => names::snapshot(name),
            Batch::Taken => names::taken(name),
        };
        match &build.feed {
            Feed::Nothing => Vec::new(),
            Feed::Own { .. } => vec![(build.name.clone(), of_root(&build.name), None)],
            Feed::Forward { query } => {
                vec![(build.name.clone(), of_root(&build.name), Some(query))]
            }
            Feed::Replaced { staging, condition } => {
                let new = (batch == Batch::Snapshot).then(|| staging.clone());
                let old = condition.as_ref().map(|_| of_root(&build.name));
                // The new ones come last, as they have come last.
                let tables = old.into_iter().chain(new);
                tables
                    .map(|table| (build.name.clone(), table, None))
                    .collect()
            }
            Feed::Views { feedings, .. } => feedings
                .iter()
                .map(|feeding| {
                    let input = match self.blueprint.build(&feeding.trigger) {
                        Some(build) => Self::output(build, batch),
                        None => of_root(self.blueprint.present_name(&feeding.trigger)),
                    };
                    (feeding.trigger.clone(), input, Some(feeding.query.as_str()))
                })
                .collect(),
        }
    }

    /// Takes a batch through all new tables in order.
    async fn work(&mut self, batch: Batch) -> Result<(), DeployError> {
        if batch == Batch::Taken {
            for build in self
                .blueprint
                .builds
                .iter()
                .filter(|build| build.keeps_rows)
            {
                let (next, table) = (
                    quote_identifier(&names::next(&build.name)),
                    quote_identifier(&names::batch(&build.name)),
                );
                self.execute(&format!("DROP TABLE IF EXISTS {table} SYNC"))
                    .await?;
                self.execute(&format!("CREATE TABLE {table} AS {next}"))
                    .await?;
            }
        }
        for build in &self.blueprint.builds {
            for (name, input, query) in self.inputs(build, batch) {
                self.insert(build, batch, &name, &input, query).await?;
            }
        }
        if batch == Batch::Taken {
            for build in self
                .blueprint
                .builds
                .iter()
                .filter(|build| build.keeps_rows)
            {
                self.execute(&format!(
                    "ALTER TABLE {} ATTACH PARTITION ALL FROM {}",
                    quote_identifier(&names::next(&build.name)),
                    quote_identifier(&names::batch(&build.name))
                ))
                .await?;
            }
        }
        Ok(())
    }

    /// Puts what follows from one table into a new one, chunk by chunk.
    async fn insert(
        &mut self,
        build: &Build,
        batch: Batch,
        name: &str,
        input: &str,
        query: Option<&str>,
    ) -> Result<(), DeployError> {
        let failed = |source| DeployError::Fill {
            name: build.name.clone(),
            source,
        };
        let output = Self::output(build, batch);
        if batch == Batch::Snapshot {
            self.run
                .progress
                .say(&format!("filling {} from {name}", build.name));
        }
        let readable = readable_columns(self.engine(), input)
            .await
            .map_err(failed)?;
        let stored = stored_columns(self.engine(), &output)
            .await
            .map_err(failed)?;
        for chunk in chunks(self.engine(), input).await.map_err(failed)? {
            self.run.progress.check()?;
            let condition = &chunk.condition;
            let sql = match (query, &build.feed) {
                (None, Feed::Own { columns, values }) => format!(
                    "INSERT INTO {} ({})\nSELECT {} FROM {} WHERE {condition}",
                    quote_identifier(&output),
                    list(columns),
                    values.join(", "),
                    quote_identifier(input)
                ),
                (
                    None,
                    Feed::Replaced {
                        staging,
                        condition: named,
                    },
                ) => {
                    let columns = list(&stored);
                    let kept = named.as_ref().map_or_else(String::new, |named| {
                        let is_new = if input == staging { "" } else { "NOT " };
                        format!(" AND {is_new}ifNull((\n{named}\n), 0)")
                    });
                    format!(
                        "INSERT INTO {} ({columns})\nSELECT {columns} FROM {} WHERE {condition}{kept}",
                        quote_identifier(&output),
                        quote_identifier(input)
                    )
                }
                (Some(query), _) => {
                    let mut shadows = vec![(
                        name.to_owned(),
                        format!(
                            "SELECT {} FROM {} WHERE {condition}",
                            list(&readable),
                            quote_identifier(input)
                        ),
                    )];
                    shadows.extend(self.other_shadows(name, query).await.map_err(failed)?);
                    let query = with_shadows(query, &shadows);
                    let given = self.engine().describe(&query).await.map_err(failed)?;
                    let columns: Vec<String> = given
                        .into_iter()
                        .map(|column| column.name)
                        .filter(|name| stored.contains(name))
                        .collect();
                    let columns = list(&columns);
                    format!(
                        "INSERT INTO {} ({columns})\nSELECT {columns} FROM (\n{query}\n)",
                        quote_identifier(&output)
                    )
                }
                (None, _) => continue,
            };
            self.execute_long(build, &sql).await?;
            if batch == Batch::Snapshot {
                self.done += chunk.rows;
                self.run.progress.rows(self.done, self.total);
            }
        }
        Ok(())
    }

    /// Other tables that a query reads and that are made anew, or have another name as yet.
    async fn other_shadows(&self, trigger: &str, query: &str) -> Result<Vec<Shadow>, EngineError> {
        let mut shadows = Vec::new();
        let built = self
            .blueprint
            .builds
            .iter()
            .map(|build| (&build.name, names::next(&build.name)));
        let renamed = self
            .blueprint
            .renames
            .iter()
            .filter(|(_, to)| self.blueprint.build(to).is_none())
            .map(|(from, to)| (to, from.clone()));
        for (name, table) in built.chain(renamed) {
            if name != trigger && names_table(query, name) {
                let columns = readable_columns(self.engine(), &table).await?;
                shadows.push((
                    name.clone(),
                    format!(
                        "SELECT {} FROM {}",
                        list(&columns),
                        quote_identifier(&table)
                    ),
                ));
            }
        }
        Ok(shadows)
    }

    /// Runs a statement that may take long, and stops it when the deploy is to stop.
    async fn execute_long(&self, build: &Build, sql: &str) -> Result<(), DeployError> {
        let mut query = Query::new(sql, "Null")
            .setting("insert_deduplicate", "0")
            .setting("max_partitions_per_insert_block", "0");
        // Also where the order counts in what follows from this table alone.
        if self.blueprint.builds.iter().any(|build| build.heeds_order) {
            // One thread reads parts one after the other, as they were written.
            query = query
                .setting("max_threads", "1")
                .setting("max_insert_threads", "1");
        }
        let work = async {
            let answer = self.engine().query(query).await?;
            answer.bytes().await
        };
        tokio::select! {
            done = work => {
                done.map_err(|source| DeployError::Fill { name: build.name.clone(), source })?;
                Ok(())
            }
            () = self.run.progress.stopped() => Err(DeployError::Stopped),
        }
    }
}

fn list(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| quote_identifier(name)).collect();
    names.join(", ")
}

/// The rows of a table in pieces: parts of a snapshot, which stay as they are, and partitions of others. In the order in which they came, as far as their table
/// goes by it.
async fn chunks(engine: &dyn Engine, table: &str) -> Result<Vec<Chunk>, EngineError> {
    #[derive(serde::Deserialize)]
    struct Part {
        partition_id: String,
        name: String,
        rows: u64,
    }
    let sql = format!(
        "SELECT partition_id, name, rows FROM system.parts WHERE active AND database = currentDatabase() AND table = {} ORDER BY partition_id, min_block_number",
        quote_literal(table)
    );
    let parts: Vec<Part> = rows(engine, &sql).await?;
    let by_part = table.starts_with("pw_snap_");
    let mut chunks: Vec<(String, Vec<String>, u64)> = Vec::new();
    for part in parts {
        match chunks.last_mut() {
            Some((partition, names, rows))
                if *partition == part.partition_id && (!by_part || *rows < CHUNK_ROWS) =>
            {
                names.push(quote_literal(&part.name));
                *rows += part.rows;
            }
            _ => chunks.push((
                part.partition_id,
                vec![quote_literal(&part.name)],
                part.rows,
            )),
        }
    }
    Ok(chunks
        .into_iter()
        .map(|(partition, names, rows)| Chunk {
            condition: if by_part {
                format!("_part IN ({})", names.join(", "))
            } else {
                format!("_partition_id = {}", quote_literal(&partition))
            },
            rows,
        })
        .collect())
}
