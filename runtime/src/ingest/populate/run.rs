//! Does a populate.
//!
//! For a moment no rows come to what the view reads; in that moment its parts are linked into a snapshot, which costs no copy. What is in the snapshot is the
//! job's, what comes later is the view's. The result is made in a table beside the target, partition by partition, and its parts are then moved into the
//! target. A process that dies on the way leaves notes from which the next one makes the table anew, or finishes moving.

mod moving;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pipewright_compiler::sql::{quote_identifier, quote_literal, with_tables};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::OwnedMutexGuard;

use super::PopulateRequest;
use crate::ingest::{Ingest, IngestError, Mark, readable_columns, unsorted};
use crate::jobs::{Admission, Control, Job, JobStatus, Unfinished, Work, WorkError};

/// How many rows a share of them is at most, about.
const SUBSET_ROWS: f64 = 2_000_000.0;

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
    /// All is in the target; what was made for it goes.
    Moved,
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
            token: format!("populate:{}", job.id),
            whole: format!("pw_whole_{id}"),
            request,
        };
        let done = async {
            let _alone = match control.admission::<OwnedMutexGuard<()>>() {
                Some(alone) => alone,
                None => self.alone(job, control).await?,
            };
            run.run(&mut progress).await
        };
        let done = done.await;
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

    /// For the tables, which one populate at a time relies on, and no deploy changes meanwhile.
    fn waits_apart(&self) -> bool {
        true
    }

    async fn admitted(&self, job: &Job, unfinished: &Unfinished<'_>) -> Admission {
        loop {
            let alone = self.0.change_shapes().await;
            match unfinished() {
                Ok(others) if !must_wait(job, &others) => return Box::new(alone),
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "a populate waits"),
            }
            drop(alone);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Whether another populate goes on before this one, which an earlier process began.
fn must_wait(job: &Job, others: &[Job]) -> bool {
    let has_begun = |other: &Job| {
        let phase = other.progress["phase"].as_str();
        other.kind == job.kind && matches!(phase, Some("copying" | "moving"))
    };
    !has_begun(job)
        && job.status != JobStatus::Cancelling
        && others
            .iter()
            .any(|other| other.id != job.id && has_begun(other))
}

impl Populate {
    /// The right to rely on tables as they are. Two populates of one table, each of which empties it before, would fill it twice; so one goes on at a time,
    /// and one that an earlier process began goes on before others begin.
    async fn alone(&self, job: &Job, control: &Control) -> Result<OwnedMutexGuard<()>, WorkError> {
        loop {
            let alone = tokio::select! {
                alone = self.0.change_shapes() => alone,
                reason = control.stopped() => return Err(reason),
            };
            if !must_wait(job, &control.unfinished()?) {
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
    /// What the engine knows rows by that are inserted.
    token: String,
    whole: String,
}

impl Run<'_> {
    async fn run(&self, progress: &mut Progress) -> Result<Value, WorkError> {
        if progress.phase == Phase::Starting {
            self.control.check()?;
            if !progress.empties && self.ingest.is_filled_since(&self.request) {
                return self.nothing_to_do(progress);
            }
            self.start(progress).await?;
        }
        if progress.phase == Phase::Copying {
            self.control.check()?;
            self.copy(progress).await?;
        }
        if progress.phase == Phase::Moving {
            self.put_into_target(progress).await?;
            (progress.percentage, progress.error) = (100.0, None);
            // Before anything goes that a later process would miss.
            progress.phase = Phase::Moved;
            self.note(progress)?;
        }
        Ok(json!({
            "rows": progress.rows,
            "bytes": progress.bytes_total,
            "read_rows": progress.rows,
            "read_bytes": progress.bytes_total,
            "written_rows": progress.written_rows,
            "written_bytes": progress.written_bytes,
        }))
    }

    async fn put_into_target(&self, progress: &mut Progress) -> Result<(), WorkError> {
        if self.request.followed {
            self.insert_made(progress).await
        } else if self.request.heeds_order {
            self.put_before(progress).await
        } else {
            self.insist_on_moving(progress).await
        }
    }

    /// A deploy, or rows that took the place of others, have made the target anew while this waited: what was to be put into it is there.
    fn nothing_to_do(&self, progress: &mut Progress) -> Result<Value, WorkError> {
        progress.percentage = 100.0;
        self.note(progress)?;
        Ok(json!({
            "rows": 0,
            "bytes": 0,
            "read_rows": 0,
            "read_bytes": 0,
            "written_rows": 0,
            "written_bytes": 0,
            "note": format!(
                "`{}` has been made anew with all rows since this was asked for",
                self.request.datasource.name
            ),
        }))
    }

    /// What is in the target is not all that its views make any more, if it was emptied.
    async fn left_empty(&self, progress: &Progress) {
        let is_empty = progress.empties || progress.phase != Phase::Starting;
        if !is_empty || !self.request.truncate {
            return;
        }
        for name in self.filled() {
            if let Err(error) = self.ingest.mark(Mark::Rewritten, name).await {
                tracing::warn!(%error, datasource = name, "cannot note that rows are missing");
            }
        }
    }

    /// The target, and what follows from it.
    fn filled(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.request.datasource.name).chain(&self.request.followers)
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
            "the view of `{pipe}.{node}` has changed since this was asked for, and `{}` is as it was: ask again, with `truncate=true` if rows have come since, which would count twice",
            self.request.datasource.name
        )))
    }

    /// Takes the snapshot. Nothing comes in while this goes on, which is a matter of milliseconds.
    async fn start(&self, progress: &mut Progress) -> Result<(), WorkError> {
        // What has emptied the target goes on, whatever came since: its rows are in nothing else.
        if !progress.empties {
            self.is_still_asked_for().await?;
            self.is_still_followed().await?;
        }
        let source = quote_identifier(&self.request.source);
        if self.request.snapshot.is_some() && !self.request.truncate {
            return self.prepare(progress).await;
        }
        let names = self.touched();
        let gates = self.ingest.all_alone(&names).await;
        let _alone = gates.map_err(|_| WorkError::Interrupted)?;
        // What waits would come to the view once more, or be in what is emptied.
        let settled = self.ingest.settle(&names).await;
        settled.map_err(|error| self.unsettled(error))?;
        if self.request.truncate && !progress.empties {
            self.may_be_emptied().await?;
        }
        if self.request.snapshot.is_some() {
            return self.prepare(progress).await;
        }
        self.tidy().await;
        self.execute(&format!("CREATE TABLE {} AS {source}", self.snapshot))
            .await?;
        self.execute(&format!(
            "ALTER TABLE {} ATTACH PARTITION ALL FROM {source}",
            self.snapshot
        ))
        .await?;
        self.prepare(progress).await
    }

    /// The data sources to which no rows come while this begins: what leads to the source and, where the target is emptied, to the target, and what follows.
    fn touched(&self) -> BTreeSet<String> {
        let request = &self.request;
        let mut names = request.upstream.clone();
        names.extend(self.ingest.upstream_now(&request.source));
        if request.truncate {
            names.extend(request.upstream_of_target.iter().cloned());
            names.extend(self.ingest.upstream_now(&request.datasource.name));
            names.extend(self.filled().cloned());
        }
        names
    }

    /// Rows have come since this was asked for, and views: what follows from the target is emptied with it only if all of it comes back. For one who has all
    /// that alone.
    async fn may_be_emptied(&self) -> Result<(), WorkError> {
        let target = &self.request.datasource.name;
        let followers = self.ingest.followers(target).await;
        let followers = followers.map_err(|error| self.control.failed(error))?;
        match followers.reason_against_emptying(self.ingest, target) {
            Some(reason) => Err(WorkError::Failed(format!("{reason}; all is as it was"))),
            None => Ok(()),
        }
    }

    /// Views that came or went meanwhile are not those that were looked at.
    async fn is_still_followed(&self) -> Result<(), WorkError> {
        let name = &self.request.datasource.name;
        let now = self.ingest.followers(name).await;
        let now = now.map_err(|error| self.control.failed(error))?;
        if now.is_followed == self.request.followed && now.tables == self.request.followers {
            return Ok(());
        }
        let list = |tables: &BTreeSet<String>| {
            let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
            if tables.is_empty() {
                "nothing".to_owned()
            } else {
                format!("`{}`", tables.join("`, `"))
            }
        };
        Err(WorkError::Failed(format!(
            "other data sources follow from `{name}` than when this was asked for ({} now, {} then), and all is as it was: ask again",
            list(&now.tables),
            list(&self.request.followers)
        )))
    }

    /// Makes ready what the snapshot's rows go to.
    async fn prepare(&self, progress: &mut Progress) -> Result<(), WorkError> {
        self.make_beside().await?;
        // A query that the engine refuses must not have emptied the target.
        self.columns().await?;
        let is_part =
            self.request.populate_condition.is_some() || self.request.populate_subset.is_some();
        if is_part {
            for name in self.filled() {
                let marked = self.ingest.mark(Mark::Partial, name).await;
                marked.map_err(failed)?;
            }
        }
        if self.request.truncate {
            // For later deploys: whether to make the target anew would give other rows than it has.
            let mark = if self.request.is_whole {
                Mark::Filled
            } else {
                Mark::Rewritten
            };
            for name in self.filled() {
                self.ingest.mark(mark, name).await.map_err(failed)?;
            }
            progress.empties = true;
            self.note(progress)?;
            for name in self.filled() {
                let sql = format!("TRUNCATE TABLE {}", quote_identifier(name));
                self.execute(&sql).await?;
                self.ingest.forget_direct(name).await.map_err(failed)?;
            }
        }
        (progress.rows_total, progress.bytes_total) = self.size(&self.snapshot).await?;
        progress.phase = Phase::Copying;
        progress.empties = false;
        // Before anything may come in again: from here on a restart must not take another snapshot.
        self.note(progress)
    }

    /// An empty table beside the target.
    async fn make_beside(&self) -> Result<(), WorkError> {
        let target = quote_identifier(&self.request.datasource.name);
        self.execute(&format!("DROP TABLE IF EXISTS {} SYNC", self.beside))
            .await?;
        // Parts that are never merged are read in the same blocks each time.
        let inserted = if self.request.followed {
            let name = &self.request.datasource.name;
            let unsorted = unsorted(self.ingest.engine(), name).await;
            let unsorted = unsorted.map_err(|error| self.control.failed(error))?;
            format!(
                " {unsorted} SETTINGS max_bytes_to_merge_at_max_space_in_pool = 1, max_bytes_to_merge_at_min_space_in_pool = 1"
            )
        } else {
            String::new()
        };
        let sql = format!("CREATE TABLE {} AS {target}{inserted}", self.beside);
        self.execute(&sql).await
    }

    /// Runs the view's query over the snapshot, one partition after the other.
    async fn copy(&self, progress: &mut Progress) -> Result<(), WorkError> {
        // What an earlier process copied may be half a partition, and on a server its statement may still run: into a table that is gone then.
        self.make_beside().await?;
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
                "INSERT INTO {} ({columns})\n{}\nSETTINGS max_partitions_per_insert_block = 0, insert_deduplicate = 0, max_memory_usage = {}{in_order}",
                self.beside,
                self.query(&readable, partition, share),
                self.request.memory_bytes
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

    fn unsettled(&self, error: IngestError) -> WorkError {
        match error {
            IngestError::Engine(error) => self.control.failed(error),
            other => failed(other),
        }
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
