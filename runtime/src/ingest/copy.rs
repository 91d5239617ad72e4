//! Copies: the rows of a query into a data source, as a job, exactly once.
//!
//! The query's rows go into a table of the job's own first, so that a query that fails, is cancelled or makes too many rows leaves the data source as it was.
//! From there they are inserted under the job's token, which the engine knows when a later process inserts them again, or the tables change places, of which
//! the engine's id of the new table tells whether it has happened.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pipewright_compiler::project::ResourceName;
use pipewright_compiler::sql::{quote_identifier, quote_literal};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::load::{Views, is_of_view, once_in_blocks};
use super::{Ingest, Mark, table_id, unsorted};
use crate::engine::{EngineError, Query, Statistics};
use crate::jobs::{Control, Job, Work, WorkError};
use crate::secrets::Secrets;
use crate::state::State;

/// The kind of the jobs.
pub const COPY: &str = "copy";

/// How often a copy says how far it is.
const EVERY: Duration = Duration::from_millis(500);

/// What a copy does with the rows that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CopyInto {
    /// Adds to them.
    Append,
    /// Takes their place.
    Replace,
}

/// A data source as jobs name it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Target {
    /// The id.
    pub id: String,
    /// The name.
    pub name: String,
}

/// What a copy needs to know, so that it can be done by a later process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CopyRequest {
    /// Where the rows go.
    pub datasource: Target,
    /// An id for the query.
    pub query_id: String,
    /// The query, with placeholders for secrets.
    pub query_sql: String,
    /// The id of the pipe.
    pub pipe_id: String,
    /// The name of the pipe.
    pub pipe_name: String,
    /// Append or replace.
    pub mode: CopyInto,
    /// `on_demand` or `scheduled`.
    pub trigger: String,
    /// What the request gave for the template's parameters.
    pub parameters: BTreeMap<String, Value>,
    /// The columns of the query, in its order.
    pub columns: Vec<String>,
    /// The names of the secrets that the query binds.
    pub secrets: Vec<String>,
    /// Whether a token's row filter is part of the query, which is then not shown.
    #[serde(default)]
    pub hides_rows: bool,
    /// The engine's settings for the query.
    pub settings: Vec<(String, String)>,
    /// The memory that the query may use; 0 for no limit.
    #[serde(default)]
    pub memory_bytes: u64,
    /// How many rows it may have.
    pub max_rows: u64,
}

impl Ingest {
    /// Whether a view follows the inserts into a table.
    pub async fn is_followed(&self, name: &str) -> Result<bool, EngineError> {
        let sql = format!(
            "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = {} AND notEmpty(dependencies_table)",
            quote_literal(name)
        );
        Ok(self.count(&sql).await? > 0)
    }

    /// Why a table's rows cannot be replaced as a whole; nothing when they can.
    pub async fn not_replaceable(&self, name: &str) -> Result<Option<String>, EngineError> {
        let keeps = format!(
            "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = {} AND engine LIKE '%MergeTree'",
            quote_literal(name)
        );
        if self.count(&keeps).await? == 0 {
            return Ok(Some(format!(
                "`{name}` keeps no rows, so that there is nothing to replace"
            )));
        }
        // What follows is made anew by a deploy, which has not been shown to hold there.
        let cannot_follow = self.on_server && self.is_followed(name).await?;
        Ok(cannot_follow.then(|| would_not_follow(name)))
    }
}

fn would_not_follow(name: &str) -> String {
    format!(
        "a materialized view reads `{name}`, and would not follow: replace is for data sources that no view reads"
    )
}

/// Puts rows in place of those of a data source that views read, with all that follows from them. It belongs to a server, which it changes.
#[async_trait]
pub trait Replaces: std::fmt::Debug + Send + Sync {
    /// Puts the rows of the table `staging` there, and says before anything happens what [`Self::has_replaced`] can be asked by. Returns false when the table is not
    /// of the data source's kind any more.
    async fn replace(
        &self,
        name: &str,
        staging: &str,
        begins: &(dyn Fn(i64) -> Result<(), WorkError> + Send + Sync),
        control: &Control,
    ) -> Result<bool, WorkError>;

    /// Whether an earlier attempt, in an earlier process, came to its end, which has been put in order since.
    fn has_replaced(&self, number: i64) -> Result<bool, WorkError>;

    /// Nobody will ask for it any more.
    fn forget(&self, number: i64);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    /// The query's rows go to the job's own table.
    #[default]
    Copying,
    /// They go from there to the data source.
    Writing,
    /// They take the place of the data source's, with all that follows from them: another journal says how far that is.
    Following,
    /// They are there; the job's own table goes.
    Written,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Progress {
    phase: Phase,
    rows: u64,
    bytes: u64,
    read_rows: u64,
    read_bytes: u64,
    /// The engine's id of the table that takes the place of the data source's.
    #[serde(skip_serializing_if = "String::is_empty")]
    table: String,
    /// What the journal knows the replacement by that takes along what follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    replacement: Option<i64>,
}

/// Work that copies.
#[derive(Debug)]
pub struct CopyRows {
    /// The way into the engine.
    pub ingest: Arc<Ingest>,
    /// Secrets of the environment by name, which win over stored ones; jobs on disk have names only.
    pub environment: Secrets,
    /// Where the other secrets are.
    pub state: Arc<State>,
    /// What replaces rows that views read; without it they are not replaced.
    pub replaces: Option<Arc<dyn Replaces>>,
}

#[async_trait]
impl Work for CopyRows {
    async fn run(&self, job: &Job, control: &Control) -> Result<Value, WorkError> {
        let request: CopyRequest = serde_json::from_value(job.request.clone()).map_err(failed)?;
        let progress = serde_json::from_value(job.progress.clone()).unwrap_or_default();
        let name = format!("pw_copy_{}", job.id.replace('-', ""));
        let run = Run {
            work: self,
            control,
            token: format!("copy:{}", job.id),
            beside: quote_identifier(&name),
            target: quote_identifier(&request.datasource.name),
            name,
            request,
        };
        let (started, done) = (Instant::now(), run.run(progress).await);
        if !matches!(done, Err(WorkError::Interrupted)) {
            run.tidy().await;
        }
        let progress = done?;
        Ok(json!({
            "rows": progress.rows,
            "bytes": progress.bytes,
            "read_rows": progress.read_rows,
            "read_bytes": progress.read_bytes,
            "elapsed_time": started.elapsed().as_secs_f64(),
        }))
    }

    fn resumes(&self) -> bool {
        true
    }
}

fn failed(error: impl std::fmt::Display) -> WorkError {
    WorkError::Failed(error.to_string())
}

struct Run<'a> {
    work: &'a CopyRows,
    control: &'a Control,
    request: CopyRequest,
    token: String,
    name: String,
    beside: String,
    target: String,
}

impl Run<'_> {
    async fn run(&self, mut progress: Progress) -> Result<Progress, WorkError> {
        while !self.step(&mut progress).await? {}
        Ok(progress)
    }

    /// Whether it is done; if not, the progress says with what to go on.
    async fn step(&self, progress: &mut Progress) -> Result<bool, WorkError> {
        if progress.phase == Phase::Copying {
            self.control.check()?;
            self.fill(progress).await?;
            self.control.check()?;
            progress.phase = Phase::Writing;
            // From here on a restart must not run the query again.
            self.note(progress)?;
        }
        if progress.phase == Phase::Writing {
            return match self.request.mode {
                CopyInto::Append => self.append(progress).await.map(|()| true),
                CopyInto::Replace => self.replace(progress).await,
            };
        }
        if progress.phase == Phase::Following {
            return self.replace_with_what_follows(progress).await;
        }
        Ok(true)
    }

    /// The data source has become another since the rows were made for it: they are made again.
    fn begin_again(&self, progress: &mut Progress) -> Result<bool, WorkError> {
        progress.phase = Phase::Copying;
        self.note(progress)?;
        Ok(false)
    }

    async fn replace_with_what_follows(&self, progress: &mut Progress) -> Result<bool, WorkError> {
        let name = &self.request.datasource.name;
        let Some(replaces) = &self.work.replaces else {
            return Err(WorkError::Failed(would_not_follow(name)));
        };
        if let Some(number) = progress.replacement {
            if replaces.has_replaced(number)? {
                self.note_written(progress)?;
                replaces.forget(number);
                return Ok(true);
            }
            replaces.forget(number);
        }
        let number = AtomicI64::new(0);
        let begins = |began| {
            number.store(began, Ordering::SeqCst);
            let mut begun = progress.clone();
            begun.replacement = Some(began);
            self.note(&begun)
        };
        let replaced = replaces.replace(name, &self.name, &begins, self.control);
        let replaced = replaced.await;
        let number = number.into_inner();
        match replaced {
            Ok(true) => self.note_written(progress)?,
            Ok(false) => return self.begin_again(progress),
            Err(error) => {
                replaces.forget(number);
                return Err(error);
            }
        }
        replaces.forget(number);
        Ok(true)
    }

    /// Notes that the rows are in the data source. While it is shared or had alone: a deploy that comes in between would make a table that does not know their
    /// token. And before the job's own table goes: a restart after that would miss it.
    fn note_written(&self, progress: &mut Progress) -> Result<(), WorkError> {
        progress.phase = Phase::Written;
        self.note(progress)
    }

    fn ingest(&self) -> &Ingest {
        &self.work.ingest
    }

    async fn execute(&self, sql: &str) -> Result<(), WorkError> {
        self.ingest()
            .engine
            .execute(sql)
            .await
            .map_err(|error| self.control.failed(error))
    }

    fn note(&self, progress: &Progress) -> Result<(), WorkError> {
        self.control
            .progress(&serde_json::to_value(progress).map_err(failed)?)
    }

    /// Runs the query into the job's own table.
    async fn fill(&self, progress: &mut Progress) -> Result<(), WorkError> {
        self.execute(&format!("DROP TABLE IF EXISTS {} SYNC", self.beside))
            .await?;
        let (beside, target) = (&self.beside, &self.target);
        let unsorted = unsorted(&*self.ingest().engine, &self.request.datasource.name).await;
        let unsorted = unsorted.map_err(|error| self.control.failed(error))?;
        self.execute(&match self.request.mode {
            CopyInto::Replace => format!("CREATE TABLE {beside} AS {target}"),
            // Parts that are never merged are read in the same blocks each time.
            CopyInto::Append => format!(
                "CREATE TABLE {beside} AS {target} {unsorted} SETTINGS max_bytes_to_merge_at_max_space_in_pool = 1, max_bytes_to_merge_at_min_space_in_pool = 1"
            ),
        })
        .await?;
        let statistics = {
            let insert = self.insert_query();
            tokio::pin!(insert);
            loop {
                tokio::select! {
                    done = &mut insert => break done.map_err(|error| self.control.failed(self.shown(error)))?,
                    reason = self.control.stopped() => return Err(reason),
                    () = tokio::time::sleep(EVERY) => {
                        (progress.rows, progress.bytes) = self.size().await?;
                        self.within_limit(progress.rows)?;
                        self.look(progress).await;
                        self.note(progress)?;
                    }
                }
            }
        };
        (progress.read_rows, progress.read_bytes) = (statistics.rows_read, statistics.bytes_read);
        (progress.rows, progress.bytes) = self.size().await?;
        self.within_limit(progress.rows)?;
        if self.request.mode == CopyInto::Replace {
            let id = table_id(&*self.ingest().engine, &self.name).await;
            progress.table = id.map_err(|error| self.control.failed(error))?;
        }
        Ok(())
    }

    /// Takes over what the engine says of the query while it runs: rows are in a part of the table long after they have been read, some hundred thousand together.
    async fn look(&self, progress: &mut Progress) {
        let sql = format!(
            "SELECT max(read_rows), max(read_bytes), max(written_rows), max(written_bytes) FROM system.processes WHERE startsWith(query, {})",
            quote_literal(&self.insert_head())
        );
        // A server may not show this. It is no part of the copy.
        let text = self.ingest().text(&sql).await.unwrap_or_default();
        let numbers: Result<Vec<u64>, _> = text.split_whitespace().map(str::parse).collect();
        let Ok([read_rows, read_bytes, rows, bytes]) = numbers.as_deref() else {
            return;
        };
        progress.read_rows = progress.read_rows.max(*read_rows);
        progress.read_bytes = progress.read_bytes.max(*read_bytes);
        progress.rows = progress.rows.max(*rows);
        progress.bytes = progress.bytes.max(*bytes);
    }

    fn insert_head(&self) -> String {
        format!("INSERT INTO {} ({})", self.beside, self.columns())
    }

    /// An error without what its reader is not to see.
    fn shown(&self, error: EngineError) -> EngineError {
        if self.request.hides_rows {
            error.without_statement()
        } else {
            error
        }
    }

    async fn insert_query(&self) -> Result<Statistics, EngineError> {
        let sql = format!(
            "{}\nSELECT * FROM (\n{}\n)",
            self.insert_head(),
            self.request.query_sql
        );
        let mut query = Query::new(sql, "Null");
        query.settings.clone_from(&self.request.settings);
        query = query
            .within_memory(self.request.memory_bytes)
            .setting("max_partitions_per_insert_block", "0")
            .setting("insert_deduplicate", "0");
        let secrets = self.work.environment.or(self.stored_secrets()?);
        for name in &self.request.secrets {
            query = query.secret(name.clone(), secrets.get(name).unwrap_or_default());
        }
        let answer = self.ingest().engine.query(query).await?;
        let statistics = answer.statistics().unwrap_or_default();
        answer.bytes().await?;
        Ok(statistics)
    }

    fn stored_secrets(&self) -> Result<Secrets, EngineError> {
        if self.request.secrets.is_empty() {
            return Ok(Secrets::default());
        }
        let stored = self.work.state.variables().values();
        stored.map_err(|error| EngineError::from(std::io::Error::other(error)))
    }

    fn columns(&self) -> String {
        let names: Vec<String> = self
            .request
            .columns
            .iter()
            .map(|name| quote_identifier(name))
            .collect();
        names.join(", ")
    }

    fn within_limit(&self, rows: u64) -> Result<(), WorkError> {
        let most = self.request.max_rows;
        if rows <= most {
            return Ok(());
        }
        Err(WorkError::Failed(format!(
            "job limits exceeded: the copy has more than {most} rows; nothing was copied"
        )))
    }

    /// Rows and bytes in the job's own table.
    async fn size(&self) -> Result<(u64, u64), WorkError> {
        let sql = format!(
            "SELECT sum(rows), sum(data_uncompressed_bytes) FROM system.parts WHERE active AND database = currentDatabase() AND table = {}",
            quote_literal(&self.name)
        );
        let text = self.text(&sql).await?;
        let mut numbers = text
            .split_whitespace()
            .map(|number| number.parse().unwrap_or(0));
        Ok((numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)))
    }

    async fn text(&self, sql: &str) -> Result<String, WorkError> {
        let text = self
            .ingest()
            .text(sql)
            .await
            .map_err(|error| self.control.failed(error))?;
        Ok(text.trim().to_owned())
    }

    /// Inserts the rows; views that follow the data source get them too.
    async fn append(&self, progress: &mut Progress) -> Result<(), WorkError> {
        let name = &self.request.datasource.name;
        let local = ResourceName::local(name);
        let together = self.ingest().together_named(&local).await;
        let _together = together.map_err(|_| WorkError::Interrupted)?;
        // Not before: a table that a deploy makes in between would not remember the token.
        self.ingest()
            .prepare_named(name)
            .await
            .map_err(|error| self.control.failed(error))?;
        self.ingest()
            .mark(Mark::Direct, name)
            .await
            .map_err(failed)?;
        let missed = match self.insert(Views::All).await {
            // Its rows are in, or some blocks of them: the rest and the other views follow.
            Err(error) if is_of_view(&error) => {
                let done = self.insert(Views::ThatCan).await;
                done.map_err(|error| self.control.failed(error))?;
                Some(error)
            }
            done => done
                .map(|()| None)
                .map_err(|error| self.control.failed(error))?,
        };
        self.note_written(progress)?;
        match missed {
            None => Ok(()),
            Some(error) => Err(WorkError::Failed(format!(
                "the {} rows are in `{name}`, and another copy would add them again; a view has thrown on them, and has not got all: {}",
                progress.rows,
                self.shown(error)
            ))),
        }
    }

    /// Inserts the rows under the job's token: those that are in already do not come again.
    async fn insert(&self, views: Views) -> Result<(), EngineError> {
        let columns = self.columns();
        let sql = format!(
            "INSERT INTO {} ({columns})\nSELECT {columns} FROM {}",
            self.target, self.beside
        );
        let mut query = Query::new(sql, "Null");
        query.settings = once_in_blocks(&self.token, views)
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        self.ingest().engine.query(query).await?.bytes().await?;
        Ok(())
    }

    /// Lets the job's own table and the data source's change places, unless they have; false when they are not of one kind any more.
    async fn replace(&self, progress: &mut Progress) -> Result<bool, WorkError> {
        let name = &self.request.datasource.name;
        let alone = self.ingest().alone(&ResourceName::local(name)).await;
        let _alone = alone.map_err(|_| WorkError::Interrupted)?;
        let reason = self
            .ingest()
            .not_replaceable(name)
            .await
            .map_err(|error| self.control.failed(error))?;
        if let Some(reason) = reason {
            return Err(WorkError::Failed(reason));
        }
        let id = table_id(&*self.ingest().engine, name).await;
        if id.map_err(|error| self.control.failed(error))? == progress.table {
            self.note_written(progress)?;
            return Ok(true);
        }
        // Another job has put its table in the place of this one's since: what is beside is what this one has replaced.
        let beside = table_id(&*self.ingest().engine, &self.name).await;
        if beside.map_err(|error| self.control.failed(error))? != progress.table {
            self.note_written(progress)?;
            return Ok(true);
        }
        let alike = self.ingest().are_alike(name, &self.name).await;
        if !alike.map_err(|error| self.control.failed(error))? {
            return self.begin_again(progress);
        }
        let is_followed = self.ingest().is_followed(name).await;
        if is_followed.map_err(|error| self.control.failed(error))? {
            progress.phase = Phase::Following;
            self.note(progress)?;
            return Ok(false);
        }
        for mark in [Mark::Direct, Mark::Rewritten] {
            self.ingest().mark(mark, name).await.map_err(failed)?;
        }
        self.execute(&format!(
            "EXCHANGE TABLES {} AND {}",
            self.target, self.beside
        ))
        .await?;
        self.ingest().tables_changed();
        self.note_written(progress)?;
        Ok(true)
    }

    async fn tidy(&self) {
        let sql = format!("DROP TABLE IF EXISTS {} SYNC", self.beside);
        if let Err(error) = self.ingest().engine.execute(&sql).await {
            tracing::warn!(%error, table = self.name, "cannot remove the table of a copy");
        }
    }
}
