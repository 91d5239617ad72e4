//! Rows from outside → the engine: those that fit go to the data source, the others to its quarantine, each of them once.
//!
//! Rows are written to a file before the engine sees them, because the engine reads files at its own speed and in constant memory, and because a file is still
//! there after a crash. Each file goes in by one statement under a token of its own: the engine drops a block whose token it knows, in the table and in what
//! its materialized views fill, so that a file may be given to it again whenever it is not certain that it arrived.

mod analyze;
mod apart;
mod append;
mod certain;
mod copy;
mod events;
mod given;
mod gone;
mod kept;
mod keys;
mod known;
mod load;
mod marks;
mod numbers;
mod partial;
mod populate;
mod prepare;
mod refused;
mod rewrite;
mod shape;
mod shut;
mod split;
mod spool;
mod trial;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use analyze::{Analysis, AnalyzedColumn};
pub use append::{Append, Appended};
pub use copy::{COPY, CopyInto, CopyRequest, CopyRows, Replaces, Target};
pub use events::{EventLimits, Events, Flushed, Listener};
pub use kept::{Kept, is_allowed, without_query};
pub use load::Counts;
pub(crate) use marks::{Mark, MarksAfter};
pub(crate) use populate::upstream;
pub use populate::{Populate, PopulateOptions, PopulateRequest};
pub(crate) use prepare::{ON_DISK, REMEMBERS};
pub use rewrite::{DeleteData, Replace, Staged};
pub(crate) use rewrite::{left_over, reader};
pub(crate) use shape::{columns_there, readable_columns, stored_columns, table_id, unsorted};
pub use split::json_lines;
pub use spool::{Format, SpoolError};
pub use waiting::Untaken;

use crate::engine::{Engine, EngineError};
use pipewright_compiler::plan::TablePlan;
use pipewright_compiler::project::ResourceName;
use prepare::Prepared;
use tokio::sync::{
    OwnedRwLockReadGuard, OwnedRwLockWriteGuard, OwnedSemaphorePermit, RwLock, Semaphore,
};

/// Why rows were not taken.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The input as a whole cannot be read; nothing was changed.
    #[error("{0}")]
    Unreadable(String),
    /// The input is much longer when it is unpacked.
    #[error("{0}")]
    TooLong(String),
    /// Too much is waiting already.
    #[error("too many rows are waiting to be written; try again in a second")]
    Busy,
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A file could not be written or read.
    #[error("cannot keep rows on disk: {0}")]
    Disk(#[from] io::Error),
    /// The process is being stopped.
    #[error("the server is stopping")]
    Stopping,
    /// A deploy could neither be finished nor taken back.
    #[error(
        "no rows are taken for `{0}` until the server is started anew, which finishes a deploy or takes it back"
    )]
    Shut(String),
}

impl IngestError {
    /// Whether a view threw on rows that are in its data source already.
    fn is_of_view(&self) -> bool {
        matches!(self, Self::Engine(error) if load::is_of_view(error))
    }

    /// Whether the engine went away in the middle of it: a later process goes on.
    fn is_interruption(&self) -> bool {
        matches!(
            self,
            Self::Engine(EngineError::Cancelled | EngineError::Stopping)
        )
    }
}

/// The way of rows into one engine.
#[derive(Debug)]
pub struct Ingest {
    engine: Arc<dyn Engine>,
    /// Whether the engine is a ClickHouse server, with tables of others.
    on_server: bool,
    folder: PathBuf,
    prepared: Prepared,
    /// Inserts share a data source; what rewrites it has it alone.
    gates: Mutex<BTreeMap<String, Arc<RwLock<()>>>>,
    /// How often each mark was set in this process.
    counted: Mutex<BTreeMap<(Mark, String), marks::Counted>>,
    /// How many deletes go on in each data source.
    deleting: Mutex<BTreeMap<String, usize>>,
    /// Who relies on the shapes of tables, and who changes them, has this alone: populates and deploys.
    shapes: Arc<tokio::sync::Mutex<()>>,
    newest: Mutex<shape::Newest>,
    /// Appends go on at the same time, so many at most.
    appending: Arc<Semaphore>,
    waiting: Mutex<waiting::Waiting>,
    is_utc: tokio::sync::OnceCell<bool>,
    trials: trial::Trials,
    shut: shut::Shut,
}

/// Most appends at the same time; further ones wait for their turn before their rows are read.
const APPENDS: u32 = 64;

impl Ingest {
    /// Rows wait in `<state>/ingest` on their way into `engine`.
    pub fn open(engine: Arc<dyn Engine>, state: &Path) -> io::Result<Arc<Self>> {
        Self::of(engine, state, false)
    }

    /// The same for a ClickHouse server: no files of rows can be given to it, and not all its tables are the project's.
    pub fn open_on_server(engine: Arc<dyn Engine>, state: &Path) -> io::Result<Arc<Self>> {
        Self::of(engine, state, true)
    }

    fn of(engine: Arc<dyn Engine>, state: &Path, on_server: bool) -> io::Result<Arc<Self>> {
        // The engine runs in this process, but not in its working folder.
        let folder = std::path::absolute(state)?.join("ingest");
        std::fs::create_dir_all(folder.join("events"))?;
        std::fs::create_dir_all(folder.join("appends"))?;
        Ok(Arc::new(Self {
            engine,
            on_server,
            folder,
            prepared: Prepared::default(),
            gates: Mutex::default(),
            counted: Mutex::default(),
            deleting: Mutex::default(),
            shapes: Arc::default(),
            newest: Mutex::default(),
            appending: Arc::new(Semaphore::new(APPENDS as usize)),
            waiting: Mutex::default(),
            is_utc: tokio::sync::OnceCell::new(),
            trials: trial::Trials::default(),
            shut: shut::Shut::default(),
        }))
    }
}

impl Ingest {
    /// The engine that rows go to.
    pub fn engine(&self) -> &dyn Engine {
        self.engine.as_ref()
    }

    /// The right to append rows, until it is dropped.
    pub async fn place_for_append(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.appending).acquire_owned().await.ok()
    }

    /// Waits until no append goes on. For the time when no more come.
    pub async fn appends_ended(&self) {
        _ = self.appending.acquire_many(APPENDS).await;
    }

    /// Whether moments without a time zone of their own are in UTC. When the engine does not say so, they are not.
    async fn is_utc(&self) -> bool {
        let asked = self.is_utc.get_or_try_init(|| async {
            let found = self.text("SELECT timezone() IN ('UTC', 'Etc/UTC')").await?;
            Ok::<_, EngineError>(found.trim() == "1")
        });
        asked.await.is_ok_and(|is_utc| *is_utc)
    }

    fn gate(&self, name: &ResourceName) -> Arc<RwLock<()>> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(gates.entry(name.to_string()).or_default())
    }

    /// Inserting into a data source goes on beside other inserts while this is held. It is that of its newest name, which the rows go to.
    async fn together(&self, table: &TablePlan) -> Result<OwnedRwLockReadGuard<()>, IngestError> {
        loop {
            let name = self.newest(table).name.clone();
            let together = self.together_named(&name).await?;
            // Who had it alone before may have given it another name.
            if self.newest(table).name == name {
                return Ok(together);
            }
        }
    }

    async fn together_named(
        &self,
        name: &ResourceName,
    ) -> Result<OwnedRwLockReadGuard<()>, IngestError> {
        let names = BTreeSet::from([name.to_string()]);
        self.unless_shut(&names, self.gate(name).read_owned()).await
    }

    /// No rows come to a data source by this way while this is held.
    pub async fn alone(
        &self,
        name: &ResourceName,
    ) -> Result<OwnedRwLockWriteGuard<()>, IngestError> {
        let names = BTreeSet::from([name.to_string()]);
        self.unless_shut(&names, self.gate(name).write_owned())
            .await
    }
}

/// Does what waits for the disk beside the threads that answer requests.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(io::Error::other).flatten()
}

/// A name that no other file of this workspace has had.
fn unique() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let random = format!("{:024x}", u128::from_be_bytes(bytes) >> 32);
    Ok(format!("{:013}-{random}", since.as_millis()))
}

#[cfg(test)]
mod tests;
