//! The Events API: many small bodies → few large inserts.
//!
//! Each data source has a writer. It appends what arrives to a file, syncs the file, and only then answers: from here on the rows survive the process. The file
//! goes into the engine when it is large or old enough, or when somebody waits for it, and is deleted after that. A file found at the start is what an earlier
//! process did not get in, or did not get to delete: it goes in under the same token, which the engine knows if the rows are there.
//!
//! Rows are read as they arrive, by whoever brings them, as far as it is certain what the engine would make of them. If that is so of all rows of a file, the
//! engine is given what was read in place of the file.

mod left;
mod segment;
mod writer;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use pipewright_compiler::plan::TablePlan;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::certain::Columns;
use super::known::KnownTables;
use super::load::Counts;
use super::{Ingest, IngestError};
pub(super) use left::{cut_torn_line, folder_name, token};
use writer::{Request, Writer};

/// How events are batched and bounded.
#[derive(Debug, Clone, Copy)]
pub struct EventLimits {
    /// A file of this size goes into the engine at once.
    pub flush_bytes: u64,
    /// A file of this age goes into the engine.
    pub flush_after: Duration,
    /// Bytes that may be on their way, in memory and on disk; more are refused.
    pub pending_bytes: u64,
}

impl Default for EventLimits {
    fn default() -> Self {
        Self {
            flush_bytes: 16 * 1024 * 1024,
            flush_after: Duration::from_secs(1),
            pending_bytes: 256 * 1024 * 1024,
        }
    }
}

/// How a writer is reached, and when it has ended.
type RunningWriter = (mpsc::Sender<Request>, JoinHandle<()>);

/// A batch of events that was given to the engine.
#[derive(Debug)]
pub struct Flushed<'a> {
    /// The data source.
    pub datasource: &'a str,
    /// What became of the rows.
    pub counts: Counts,
    /// How long it took.
    pub elapsed: Duration,
    /// Why the engine did not take it; it will be given to it again.
    pub error: Option<&'a str>,
}

/// Who is told of every batch.
pub type Listener = Box<dyn Fn(&Flushed<'_>) + Send + Sync>;

/// A listener, once there is one.
#[derive(Clone, Default)]
struct Told(Arc<OnceLock<Listener>>);

impl std::fmt::Debug for Told {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Told")
    }
}

/// The writers of all data sources.
#[derive(Debug)]
pub struct Events {
    ingest: Arc<Ingest>,
    limits: EventLimits,
    writers: Mutex<BTreeMap<String, RunningWriter>>,
    pending: Arc<AtomicU64>,
    known: KnownTables,
    told: Told,
}

/// Bytes counted as being on their way, until dropped.
struct Reserved {
    pending: Arc<AtomicU64>,
    bytes: u64,
}

impl Reserved {
    /// Counts further bytes that are there because of these. They are not refused.
    fn add(&mut self, bytes: u64) {
        self.pending.fetch_add(bytes, Ordering::SeqCst);
        self.bytes += bytes;
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.pending.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

impl Events {
    /// Writers over `ingest`.
    pub fn new(ingest: Arc<Ingest>, limits: EventLimits) -> Arc<Self> {
        Arc::new(Self {
            ingest,
            limits,
            writers: Mutex::default(),
            pending: Arc::default(),
            known: KnownTables::default(),
            told: Told::default(),
        })
    }

    /// Tells `listener` of every batch from now on. There can be one.
    pub fn listen(&self, listener: Listener) {
        _ = self.told.0.set(listener);
    }

    /// Takes JSON lines, each with its line end. Returns when they will survive the process, or with `wait` when they are in the engine.
    pub async fn push(
        &self,
        table: &TablePlan,
        lines: impl Into<Bytes>,
        rows: u64,
        wait: bool,
    ) -> Result<Counts, IngestError> {
        let lines = lines.into();
        if rows == 0 {
            return Ok(Counts::default());
        }
        if self.ingest.is_stuck(&table.name.to_string()) {
            return Err(IngestError::Busy);
        }
        let table = &*self.ingest.as_it_is(table).await?;
        let mut reserved = self.reserve(lines.len() as u64)?;
        let known = self.known.of(&self.ingest, table).await;
        let (lines, read) = known.read(lines).await;
        let kept = read.as_ref().and_then(|fitting| fitting.columns.as_ref());
        reserved.add(kept.map_or(0, Columns::bytes));
        let (reply, replied) = oneshot::channel();
        let request = Request {
            known,
            lines,
            rows,
            read,
            wait,
            reply,
            reserved,
        };
        self.writer(&table.name.to_string())?
            .try_send(request)
            .map_err(|_| IngestError::Busy)?;
        replied.await.unwrap_or(Err(IngestError::Stopping))
    }

    fn reserve(&self, bytes: u64) -> Result<Reserved, IngestError> {
        let reserved = Reserved {
            pending: Arc::clone(&self.pending),
            bytes,
        };
        let before = self.pending.fetch_add(bytes, Ordering::SeqCst);
        // A body larger than the bound must pass when nothing else does.
        if before > 0 && before + bytes > self.limits.pending_bytes {
            Err(IngestError::Busy)
        } else {
            Ok(reserved)
        }
    }

    fn writer(&self, name: &str) -> Result<mpsc::Sender<Request>, IngestError> {
        let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((writer, _)) = writers.get(name).filter(|(writer, _)| !writer.is_closed()) {
            return Ok(writer.clone());
        }
        let folder = self.ingest.folder.join("events").join(folder_name(name));
        std::fs::create_dir_all(&folder)?;
        let (sender, requests) = mpsc::channel(1024);
        let writer = Writer {
            ingest: Arc::clone(&self.ingest),
            limits: self.limits,
            folder,
            requests,
            flushing: None,
            told: self.told.clone(),
        };
        writers.insert(
            name.to_owned(),
            (sender.clone(), tokio::spawn(writer.run())),
        );
        Ok(sender)
    }

    /// Takes no more, and waits until what was taken is in the engine, or at least on disk.
    pub async fn shutdown(&self) {
        let writers =
            std::mem::take(&mut *self.writers.lock().unwrap_or_else(PoisonError::into_inner));
        let mut running = Vec::new();
        for (writer, task) in writers.into_values() {
            drop(writer);
            running.push(task);
        }
        for task in running {
            _ = tokio::time::timeout(Duration::from_secs(30), task).await;
        }
    }
}
