//! Does a populate.
//!
//! For a moment no rows come to what the view reads; in that moment its parts are linked into a snapshot, which costs no copy. What is in the snapshot is the
//! job's, what comes later is the view's. The result is made in a table beside the target, partition by partition, and its parts are then moved into the
//! target. A process that dies on the way leaves notes from which the next one makes the table anew, or finishes moving.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pipewright_compiler::project::ResourceName;
use pipewright_compiler::sql::{quote_identifier, quote_literal, with_tables};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{OwnedMutexGuard, OwnedRwLockWriteGuard};

use super::PopulateRequest;
use crate::ingest::{Ingest, IngestError, Mark, readable_columns, table_id};
use crate::jobs::{Control, Job, Work, WorkError};

/// How many rows a share of them is at most, about.
const SUBSET_ROWS: f64 = 2_000_000.0;

/// So long it is waited after each try to put the rest of a populate into its target.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// How far a populate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    /// Nothing is there yet, or half of the snapshot.
    #[default]
    Starting,
    /// The snapshot is there; rows go to the table beside the target.
    Copying,
    /// The table is whole; its parts go to the target.
    Moving,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Progress {
    /// The target is being emptied, or has been.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    empties: bool,
    /// The engine's id of the table that takes the target's place, where the order of its rows counts.
    #[serde(skip_serializing_if = "String::is_empty")]
    whole: String,
    phase: Phase,
    rows: u64,
    rows_total: u64,
    bytes_total: u64,
    /// What the view's query made of them.
    written_rows: u64,
    written_bytes: u64,
    #[serde(rename = "progress_percentage")]
    percentage: f64,
    /// The partition that is being moved, noted before it is: partitions go in order, so that those before it are in the target and those after it are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    moving: Option<Moving>,
    /// How many rows there were to move.
    #[serde(skip_serializing_if = "Option::is_none")]
    unmoved: Option<u64>,
    /// Why not all could be moved yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// A partition of which a process that dies cannot say whether it has been moved.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Moving {
    partition: String,
    /// Parts of the target that hold what a part of the partition holds, and are not it.
    alike: BTreeSet<String>,
}

/// Work that populates what a materialized view fills.
#[derive(Debug)]
pub struct Populate(pub Arc<Ingest>);

#[async_trait]
impl Work for Populate {
    async fn run(&self, job: &Job, control: &Control) -> Result<Value, WorkError> {
        let request: PopulateRequest =
            serde_json::from_value(job.request.clone()).map_err(failed)?;
        let mut progress: Progress =
            serde_json::from_value(job.progress.clone()).unwrap_or_default();
        let begins = progress.phase == Phase::Starting;
        let _alone = self.alone(job, begins, control).await?;
        let id = job.id.replace('-', "");
        let run = Run {
            ingest: &self.0,
            control,
            snapshot: quote_identifier(
                &request
                    .snapshot
                    .clone()
                    .unwrap_or_else(|| format!("pw_from_{id}")),
            ),
            beside: quote_identifier(&format!("pw_to_{id}")),
            whole: format!("pw_whole_{id}"),
            request,
        };
        let done = run.run(&mut progress).await;
        if matches!(done, Err(WorkError::Failed(_) | WorkError::Cancelled)) {
            run.left_empty(&progress).await;
        }
        if !matches!(done, Err(WorkError::Interrupted)) {
            run.tidy().await;
        }
        done
    }

    fn resumes(&self) -> bool {
        true
    }
}

impl Populate {
    /// The right to rely on tables as they are. Two populates of one table, each of which empties it before, would fill it twice; so one goes on at a time,
    /// and one that an earlier process began goes on before others begin.
    async fn alone(
        &self,
        job: &Job,
        begins: bool,
        control: &Control,
    ) -> Result<OwnedMutexGuard<()>, WorkError> {
        loop {
            let alone = tokio::select! {
                alone = self.0.change_shapes() => alone,
                reason = control.stopped() => return Err(reason),
            };
            let has_begun = |other: &Job| {
                let phase = other.progress["phase"].as_str();
                other.kind == job.kind
                    && other.id != job.id
                    && matches!(phase, Some("copying" | "moving"))
            };
            if !begins || !control.unfinished()?.iter().any(has_begun) {
                return Ok(alone);
            }
            drop(alone);
            tokio::time::sleep(Duration::from_millis(100)).await;
            control.check()?;
        }
    }
}

fn failed(error: impl std::fmt::Display) -> WorkError {
    WorkError::Failed(error.to_string())
}

fn list(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| quote_identifier(name)).collect();
    names.join(", ")
}

struct Run<'a> {
    ingest: &'a Ingest,
    control: &'a Control,
    request: PopulateRequest,
    snapshot: String,
    beside: String,
    whole: String,
}

impl Run<'_> {
    async fn run(&self, progress: &mut Progress) -> Result<Value, WorkError> {
        if progress.phase == Phase::Starting {
            self.control.check()?;
            self.start(progress).await?;
        }
        if progress.phase == Phase::Copying {
            self.control.check()?;
            self.copy(progress).await?;
        }
        if self.request.heeds_order {
            self.put_before(progress).await?;
        } else {
            self.insist_on_moving(progress).await?;
        }
        (progress.percentage, progress.error) = (100.0, None);
        self.note(progress)?;
        Ok(json!({
            "rows": progress.rows,
            "bytes": progress.bytes_total,
            "read_rows": progress.rows,
            "read_bytes": progress.bytes_total,
            "written_rows": progress.written_rows,
            "written_bytes": progress.written_bytes,
        }))
    }

    /// What is in the target is not all that its views make any more, if it was emptied.
    async fn left_empty(&self, progress: &Progress) {
        let is_empty = progress.empties || progress.phase != Phase::Starting;
        if !is_empty || !self.request.truncate {
            return;
        }
        let name = &self.request.datasource.name;
        if let Err(error) = self.ingest.mark(Mark::Rewritten, name).await {
            tracing::warn!(%error, datasource = name, "cannot note that rows are missing");
        }
    }

    async fn execute(&self, sql: &str) -> Result<(), WorkError> {
        let done = self.ingest.engine.execute(sql).await;
        done.map_err(|error| self.control.failed(error))
    }

    async fn text(&self, sql: &str) -> Result<String, WorkError> {
        let found = self.ingest.text(sql).await;
        found.map_err(|error| self.control.failed(error))
    }

    fn note(&self, progress: &Progress) -> Result<(), WorkError> {
        self.control
            .progress(&serde_json::to_value(progress).map_err(failed)?)
    }

    /// A deploy may have come before: what would be put into the target is not what the view puts there now.
    async fn is_still_asked_for(&self) -> Result<(), WorkError> {
        let (pipe, node) = (&self.request.pipe_name, &self.request.node_name);
        let is_same = self.ingest.is_view_of(&self.request).await;
        if is_same.map_err(|error| self.control.failed(error))? {
            return Ok(());
        }
        Err(WorkError::Failed(format!(
            "the view of `{pipe}.{node}` has changed since this was asked for, and `{}` is as it was: ask again",
            self.request.datasource.name
        )))
    }

    /// Takes the snapshot. Nothing comes in while this goes on, which is a matter of milliseconds.
    async fn start(&self, progress: &mut Progress) -> Result<(), WorkError> {
        // What has emptied the target goes on, whatever came since: its rows are in nothing else.
        if !progress.empties {
            self.is_still_asked_for().await?;
        }
        let (source, target) = (
            quote_identifier(&self.request.source),
            quote_identifier(&self.request.datasource.name),
        );
        let mut alone = Vec::new();
        if self.request.snapshot.is_some() {
            return self.prepare(progress, &target).await;
        }
        self.tidy().await;
        let mut upstream = self.request.upstream.clone();
        upstream.extend(self.ingest.upstream_now(&self.request.source));
        for name in &upstream {
            alone.push(self.ingest.alone(&ResourceName::local(name)).await);
        }
        // What waits would come to the view once more.
        let settled = self.ingest.settle(&upstream).await;
        settled.map_err(|error| self.unsettled(error))?;
        self.execute(&format!("CREATE TABLE {} AS {source}", self.snapshot))
            .await?;
        self.execute(&format!(
            "ALTER TABLE {} ATTACH PARTITION ALL FROM {source}",
            self.snapshot
        ))
        .await?;
        self.prepare(progress, &target).await
    }

    /// Makes ready what the snapshot's rows go to.
    async fn prepare(&self, progress: &mut Progress, target: &str) -> Result<(), WorkError> {
        self.execute(&format!("DROP TABLE IF EXISTS {} SYNC", self.beside))
            .await?;
        self.execute(&format!("CREATE TABLE {} AS {target}", self.beside))
            .await?;
        // A query that the engine refuses must not have emptied the target.
        self.columns().await?;
        if self.request.truncate {
            // For later deploys: whether to make the target anew would give other rows than it has.
            let mark = if self.request.is_whole {
                Mark::Filled
            } else {
                Mark::Rewritten
            };
            let name = &self.request.datasource.name;
            self.ingest.mark(mark, name).await.map_err(failed)?;
            progress.empties = true;
            self.note(progress)?;
            self.execute(&format!("TRUNCATE TABLE {target}")).await?;
        }
        (progress.rows_total, progress.bytes_total) = self.size(&self.snapshot).await?;
        progress.phase = Phase::Copying;
        progress.empties = false;
        // Before anything may come in again: from here on a restart must not take another snapshot.
        self.note(progress)
    }

    /// Runs the view's query over the snapshot, one partition after the other.
    async fn copy(&self, progress: &mut Progress) -> Result<(), WorkError> {
        // What an earlier process copied may be half a partition.
        self.execute(&format!("TRUNCATE TABLE {}", self.beside))
            .await?;
        progress.rows = 0;
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let most = SUBSET_ROWS / progress.rows_total.max(1) as f64;
        let share = self.request.populate_subset.map(|share| share.min(most));
        let partitions = format!(
            "SELECT partition_id, sum(rows) FROM system.parts WHERE active AND database = currentDatabase() AND table = {} GROUP BY partition_id ORDER BY partition_id",
            Self::literal(&self.snapshot)
        );
        let columns = self.columns().await?;
        // One thread reads parts one after the other, as they were written.
        let in_order = if self.request.heeds_order {
            ", max_threads = 1, max_insert_threads = 1"
        } else {
            ""
        };
        let readable = self.readable().await?;
        for line in self.text(&partitions).await?.lines() {
            let Some((partition, rows)) = line.split_once('\t') else {
                continue;
            };
            self.control.check()?;
            self.execute(&format!(
                "INSERT INTO {} ({columns})\n{}\nSETTINGS max_partitions_per_insert_block = 0, insert_deduplicate = 0{in_order}",
                self.beside,
                self.query(&readable, partition, share)
            ))
            .await?;
            progress.rows += rows.parse::<u64>().unwrap_or(0);
            #[expect(clippy::cast_precision_loss, reason = "a percentage")]
            let share = progress.rows as f64 / progress.rows_total.max(1) as f64;
            progress.percentage = (share * 9900.0).round() / 100.0;
            self.note(progress)?;
        }
        (progress.written_rows, progress.written_bytes) = self.size(&self.beside).await?;
        progress.phase = Phase::Moving;
        self.note(progress)
    }

    /// What the view reads of its source: also what no insert gives.
    async fn readable(&self) -> Result<String, WorkError> {
        let engine = self.ingest.engine();
        let found = readable_columns(engine, self.snapshot.trim_matches('`')).await;
        let names = found.map_err(|error| self.control.failed(error))?;
        Ok(list(&names))
    }

    /// What the view's query gives.
    async fn columns(&self) -> Result<String, WorkError> {
        let query = self.query(&self.readable().await?, "", None);
        let given = self.ingest.engine.describe(&query).await;
        let given = given.map_err(|error| self.control.failed(error))?;
        let names: Vec<String> = given.into_iter().map(|column| column.name).collect();
        Ok(list(&names))
    }

    /// The rows and bytes of a table.
    async fn size(&self, table: &str) -> Result<(u64, u64), WorkError> {
        let size = self.text(&format!("SELECT sum(rows), sum(data_uncompressed_bytes) FROM system.parts WHERE active AND database = currentDatabase() AND table = {}", Self::literal(table))).await?;
        let mut numbers = size
            .split_whitespace()
            .filter_map(|number| number.parse().ok());
        Ok((numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)))
    }

    /// The view's query with the snapshot in place of the table that it follows.
    fn query(&self, readable: &str, partition: &str, share: Option<f64>) -> String {
        let mut conditions = vec![format!("_partition_id = {}", quote_literal(partition))];
        if let Some(condition) = &self.request.populate_condition {
            conditions.push(format!("(\n{condition}\n)"));
        }
        if let Some(share) = share {
            conditions.push(format!(
                "sipHash64(_part, _part_offset) % 1000000 < {:.0}",
                share * 1_000_000.0
            ));
        }
        let rows = format!(
            "SELECT {readable} FROM {} WHERE {}",
            self.snapshot,
            conditions.join(" AND ")
        );
        with_tables(&self.request.sql, &[(self.request.source.clone(), rows)])
    }

    /// Puts what was made before the rows that have come to the target since: another table, which has all of them in this order, takes the target's place. Links
    /// of parts alone, in a moment in which no rows come.
    async fn put_before(&self, progress: &mut Progress) -> Result<(), WorkError> {
        let name = &self.request.datasource.name;
        let _gates = self.target_alone().await?;
        let engine = self.ingest.engine();
        let id_of = async |name: &str| {
            let id = table_id(engine, name).await;
            id.map_err(|error| self.control.failed(error))
        };
        let there = id_of(name).await?;
        if there.is_empty() {
            return Err(WorkError::Failed(format!("there is no `{name}` any more")));
        }
        if !progress.whole.is_empty() && there == progress.whole {
            return Ok(());
        }
        let (target, whole) = (quote_identifier(name), quote_identifier(&self.whole));
        self.execute(&format!("DROP TABLE IF EXISTS {whole} SYNC"))
            .await?;
        self.execute(&format!("CREATE TABLE {whole} AS {target}"))
            .await?;
        for from in [&self.beside, &target] {
            self.execute(&format!(
                "ALTER TABLE {whole} ATTACH PARTITION ALL FROM {from}"
            ))
            .await?;
        }
        progress.whole = id_of(&self.whole).await?;
        self.note(progress)?;
        self.execute(&format!("EXCHANGE TABLES {target} AND {whole}"))
            .await?;
        self.ingest.tables_changed();
        Ok(())
    }

    /// The target alone, when it is certain what is in it: a table in its place would not know the tokens of what comes again.
    async fn target_alone(&self) -> Result<Vec<OwnedRwLockWriteGuard<()>>, WorkError> {
        let name = &self.request.datasource.name;
        let mut names = self.request.upstream_of_target.clone();
        names.extend(self.ingest.upstream_now(name));
        names.insert(name.clone());
        loop {
            self.control.check()?;
            let gates = self.ingest.all_alone(&names).await;
            let jobs = self.control.unfinished()?;
            if !self.ingest.is_in_doubt(&jobs, &names) {
                let settled = self.ingest.settle(&names).await;
                settled.map_err(|error| self.unsettled(error))?;
                return Ok(gates);
            }
            drop(gates);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn unsettled(&self, error: IngestError) -> WorkError {
        match error {
            IngestError::Engine(error) => self.control.failed(error),
            other => failed(other),
        }
    }

    /// Moves what was made into the target. When a part of it is there and the rest cannot follow now, nobody could tell one from the other later: what is to
    /// follow stays, and the next process goes on.
    async fn insist_on_moving(&self, progress: &mut Progress) -> Result<(), WorkError> {
        for pause in PAUSES {
            let why = match self.finish_moving(progress).await {
                Err(WorkError::Failed(why)) => why,
                done => return done,
            };
            let unmoved = self.size(&self.beside).await;
            if matches!(unmoved, Ok((rows, _)) if Some(rows) == progress.unmoved) {
                return Err(WorkError::Failed(why));
            }
            tracing::error!(
                datasource = self.request.datasource.name,
                "a part of a populate is in, and the rest cannot be put there; it is tried again: {why}"
            );
            progress.error = Some(why);
            self.note(progress)?;
            tokio::time::sleep(pause).await;
        }
        Err(WorkError::Interrupted)
    }

    /// Moves what was made into the target, one partition after the other.
    async fn finish_moving(&self, progress: &mut Progress) -> Result<(), WorkError> {
        let sql = format!(
            "SELECT DISTINCT partition_id FROM system.parts WHERE active AND database = currentDatabase() AND table = {} ORDER BY partition_id",
            Self::literal(&self.beside)
        );
        self.execute(&format!("SYSTEM STOP MERGES {}", self.beside))
            .await?;
        let cut_off = progress.moving.clone();
        if cut_off.is_none() {
            progress.unmoved = Some(self.size(&self.beside).await?.0);
        }
        for partition in self.text(&sql).await?.lines() {
            let at = cut_off.as_ref().map(|moving| moving.partition.as_str());
            if Some(partition) < at {
                // Moved, and listed again: the parts came back when the process that had moved them died.
                continue;
            }
            if let Some(moving) = cut_off.as_ref().filter(|_| Some(partition) == at) {
                if !self.forget_moved(moving).await? {
                    continue;
                }
            } else {
                progress.moving = Some(Moving {
                    partition: partition.to_owned(),
                    alike: self.alike(partition).await?,
                });
                self.note(progress)?;
            }
            self.execute(&format!(
                "ALTER TABLE {} MOVE PARTITION ID {} TO TABLE {}",
                self.beside,
                quote_literal(partition),
                quote_identifier(&self.request.datasource.name)
            ))
            .await?;
        }
        progress.moving = None;
        Ok(())
    }

    /// The names of the parts of the target that hold the same bytes as parts of a partition that is to be moved.
    async fn alike(&self, partition: &str) -> Result<BTreeSet<String>, WorkError> {
        let sql = format!(
            "SELECT name FROM system.parts WHERE database = currentDatabase() AND table = {} AND hash_of_all_files IN (SELECT hash_of_all_files FROM system.parts WHERE active AND database = currentDatabase() AND table = {} AND partition_id = {})",
            quote_literal(&self.request.datasource.name),
            Self::literal(&self.beside),
            quote_literal(partition)
        );
        Ok(self
            .text(&sql)
            .await?
            .lines()
            .map(ToOwned::to_owned)
            .collect())
    }

    /// Drops the parts of a partition that are in the target already, each of them for one there; says whether others are left.
    async fn forget_moved(&self, moving: &Moving) -> Result<bool, WorkError> {
        let parts = |table: String, filter: &str| {
            format!(
                "SELECT toString(hash_of_all_files), name, min_block_number FROM system.parts WHERE database = currentDatabase() AND table = {table} {filter}"
            )
        };
        let split = |text: &str| -> Vec<[String; 3]> {
            text.lines()
                .filter_map(|line| {
                    let fields: Vec<String> = line.split('\t').map(ToOwned::to_owned).collect();
                    fields.try_into().ok()
                })
                .collect()
        };
        // Also what the engine has merged since and keeps for a while. A part that was merged alone keeps the number of its block.
        let target = parts(quote_literal(&self.request.datasource.name), "");
        let mut there: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for [hash, name, block] in split(&self.text(&target).await?) {
            if !moving.alike.contains(&name) {
                there.entry(hash).or_default().insert(block);
            }
        }
        let filter = format!(
            "AND active AND partition_id = {}",
            quote_literal(&moving.partition)
        );
        let mut left = false;
        let beside = parts(Self::literal(&self.beside), &filter);
        for [hash, name, _] in split(&self.text(&beside).await?) {
            if there.get_mut(&hash).and_then(BTreeSet::pop_first).is_some() {
                self.execute(&format!(
                    "ALTER TABLE {} DROP PART {}",
                    self.beside,
                    quote_literal(&name)
                ))
                .await?;
            } else {
                left = true;
            }
        }
        Ok(left)
    }

    fn literal(name: &str) -> String {
        quote_literal(name.trim_matches('`'))
    }

    async fn tidy(&self) {
        for table in [&self.snapshot, &self.beside, &quote_identifier(&self.whole)] {
            if let Err(error) = self
                .ingest
                .engine
                .execute(&format!("DROP TABLE IF EXISTS {table} SYNC"))
                .await
            {
                tracing::warn!(%error, table, "cannot remove a table of a populate");
            }
        }
    }
}
