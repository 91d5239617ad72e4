//! ClickHouse inside this process.
//!
//! Statements come in from async callers and are handed to threads, each with a connection of its own, because the
//! library's calls block and one connection runs one statement at a time. Results come back as the library's own
//! buffers, without a copy. What must hold: a caller that goes away stops its statement, a setting never reaches the
//! next statement, and a second process on the same data folder is told who holds it.

pub mod ffi;
mod making;
mod outlet;
mod output;
mod pipe;
mod pool;
mod repair;
mod session;
mod statement;
mod streamed;
mod ticket;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use tokio::sync::{mpsc, oneshot};

use super::lock::FolderLock;
use super::{Answer, Engine, EngineError, Insert, Query, Rows, Written};
use pool::{Job, Pool, RowChunk};
use ticket::Ticket;

/// How the embedded engine is opened.
#[derive(Debug, Clone)]
pub struct Config {
    /// The state folder: data goes to `chdb` in it, the lock file is `lock` in it.
    pub state: PathBuf,
    /// The library; found by [`super::locate`] when not given.
    pub library: Option<PathBuf>,
    /// Statements that run at the same time; four for each core when not given: a small one spends much of its time waiting for threads of the engine.
    pub connections: Option<usize>,
    /// How long [`Engine::shutdown`] lets running statements go on.
    pub grace: Duration,
}

impl Config {
    /// The usual configuration for the state folder `state`.
    pub fn new(state: impl Into<PathBuf>) -> Self {
        Self {
            state: state.into(),
            library: None,
            connections: None,
            grace: Duration::from_secs(3),
        }
    }

    fn connection_count(&self) -> usize {
        self.connections
            .unwrap_or_else(|| {
                4 * std::thread::available_parallelism().map_or(4, std::num::NonZero::get)
            })
            .max(1)
    }
}

/// The embedded engine.
#[derive(Debug)]
pub struct Chdb {
    pool: Arc<Pool>,
    version: String,
    grace: Duration,
    /// Held until the data is let go of; never read.
    lock: Mutex<Option<FolderLock>>,
}

/// The folder this process has open: the library serves one at a time.
static OPENED: Mutex<Option<PathBuf>> = Mutex::new(None);

impl Chdb {
    /// Maps the library, takes the lock of the state folder and opens the data in it.
    pub fn open(config: &Config) -> Result<Self, EngineError> {
        let state = std::path::absolute(&config.state)?;
        std::fs::create_dir_all(&state)?;
        let library = config.library.clone().or_else(super::locate);
        let library = library.ok_or_else(|| EngineError::Unavailable(super::absence()))?;
        let lock = FolderLock::take(&state)?;
        let repaired = repair::repair(&state)?;
        if repaired > 0 {
            tracing::info!(
                repaired,
                "took back notes of inserts that a killed process never finished"
            );
        }
        claim(&state)?;
        let opened = Self::start(&library, &state, config);
        match opened {
            Ok((pool, version)) => Ok(Self {
                pool,
                version,
                grace: config.grace,
                lock: Mutex::new(Some(lock)),
            }),
            Err(error) => {
                release();
                Err(error)
            }
        }
    }

    fn start(
        library: &Path,
        state: &Path,
        config: &Config,
    ) -> Result<(Arc<Pool>, String), EngineError> {
        let data = state.join("chdb");
        std::fs::create_dir_all(&data)?;
        let path = data.to_str().ok_or_else(|| {
            EngineError::Unavailable(format!(
                "the engine needs a folder whose name is UTF-8: {}",
                data.display()
            ))
        })?;
        let unusable =
            |error: String| EngineError::Unavailable(format!("{}: {error}", library.display()));
        let library = ffi::Library::open(library).map_err(unusable)?;
        // On a terminal the library writes notes about its own threads among what the user reads; what is wrong comes back as errors.
        let arguments = vec![format!("--path={path}"), "--logger.console=0".to_owned()];
        let started = Pool::start(library, arguments, config.connection_count())?;
        *POOL.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&started.0);
        guard_exit();
        Ok(started)
    }

    /// Waits for `reply`; the statement is stopped when `ticket` is dropped unfinished, or when `limit` is over.
    async fn reply<T>(
        reply: oneshot::Receiver<Result<T, EngineError>>,
        limit: Option<Duration>,
    ) -> Result<T, EngineError> {
        let replied = match limit {
            None => reply.await,
            Some(limit) => match tokio::time::timeout(limit, reply).await {
                Ok(replied) => replied,
                Err(_elapsed) => return Err(EngineError::Timeout { limit }),
            },
        };
        // A job dropped without a reply was still waiting when the engine shut down.
        replied.unwrap_or(Err(EngineError::Cancelled))
    }
}

/// Notes that this process has `state` open, unless it has another folder open.
fn claim(state: &Path) -> Result<(), EngineError> {
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(other) = opened.as_ref() {
        let message = format!(
            "this process has the engine open for {} already",
            other.display()
        );
        return Err(EngineError::Unavailable(message));
    }
    *opened = Some(state.to_owned());
    Ok(())
}

/// The pool of this process, for the moment when the process ends.
static POOL: Mutex<Weak<Pool>> = Mutex::new(Weak::new());

/// Stops what runs before the library's destructors run: they crash under a running statement.
extern "C" fn stop_at_exit() {
    const PATIENCE: Duration = Duration::from_secs(2);
    // A panic must not cross into C, and there is nobody left to tell.
    let _ = std::panic::catch_unwind(|| {
        let pool = POOL
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .upgrade();
        if let Some(pool) = pool {
            pool.stop(Duration::ZERO, Some(PATIENCE));
        }
    });
}

/// Registers [`stop_at_exit`]. What was registered last runs first, and the library registers destructors whenever it
/// comes to some code for the first time; so this is done again now and then, more and more rarely.
fn guard_exit() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    if calls.is_power_of_two() && !ffi::at_exit(stop_at_exit) {
        tracing::warn!(
            "exiting in the middle of a query may crash: no exit handler could be registered"
        );
    }
}

fn release() {
    *OPENED.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

#[async_trait]
impl Engine for Chdb {
    async fn query(&self, query: Query) -> Result<Answer, EngineError> {
        let limit = query.timeout;
        let most = query.max_result_bytes;
        let deadline = limit.map(|limit| tokio::time::Instant::now() + limit);
        let (ticket, watch) = Ticket::issue(&self.pool.stopper());
        let (sender, receiver) = oneshot::channel();
        self.pool.submit(Job::Query {
            query,
            ticket,
            reply: sender,
        })?;
        let output = Self::reply(receiver, limit).await?;
        output.into_answer(watch, deadline.zip(limit)).limited(most)
    }

    async fn execute(&self, sql: &str) -> Result<(), EngineError> {
        let (sender, receiver) = oneshot::channel();
        self.pool.submit(Job::Execute {
            sql: sql.to_owned(),
            reply: sender,
        })?;
        Self::reply(receiver, None).await
    }

    async fn insert(&self, insert: Insert, mut rows: Rows) -> Result<Written, EngineError> {
        let (sender, receiver) = oneshot::channel();
        // One chunk may wait while another is being read: the engine's speed is the client's speed.
        let (chunks, queue) = mpsc::channel(1);
        self.pool.submit_insert(insert, queue, sender)?;
        let mut stopping = self.pool.stopping();
        let forward = async {
            while let Some(chunk) = rows.next().await {
                if chunks.send(RowChunk::Rows(chunk?)).await.is_err() {
                    // The engine refused the rows; why is in the reply.
                    return Ok(());
                }
            }
            let _ = chunks.send(RowChunk::End).await;
            Ok::<(), EngineError>(())
        };
        tokio::select! {
            forwarded = forward => forwarded?,
            _ = stopping.wait_for(|stop| *stop) => return Err(EngineError::Cancelled),
        }
        Self::reply(receiver, None).await
    }

    fn version(&self) -> &str {
        &self.version
    }

    async fn shutdown(&self) {
        let pool = Arc::clone(&self.pool);
        let grace = self.grace;
        // A failure to join means that the runtime itself is ending; the drop below then does the work.
        let _ = tokio::task::spawn_blocking(move || pool.stop(grace, None)).await;
        if self
            .lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .is_some()
        {
            release();
        }
    }
}

impl Drop for Chdb {
    fn drop(&mut self) {
        self.pool.stop(Duration::ZERO, None);
        if self
            .lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .is_some()
        {
            release();
        }
    }
}
