//! What the runtime has to remember: ids, tokens, the journal of deployments.
//!
//! Small facts go in and are on disk when the call returns. They live in one SQLite file in the state folder, which
//! anyone can open, and which survives a crash at any moment (write-ahead log, full synchronisation). Only this module
//! knows SQL for it. Reads take well under a
//! millisecond, writes as long as the disk takes to have them for good. Calls block; one that has to wait for another process
//! or thread lets the tasks of its own thread go on elsewhere. Callers on a request's path keep what they read.

mod catalog;
mod deployment;
mod deployments;
mod jobs;
mod migrations;
mod random;
mod schedules;
mod scopes;
mod seal;
mod tags;
mod tokens;
mod variables;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, Params, TransactionBehavior, params};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

pub use catalog::{
    CatalogStore, CatalogWrite, NewJob, ObjectKind, Origin, StoredFile, StoredObject,
};
pub use deployment::{
    Deployment, DeploymentKind, DeploymentPhase, DeploymentStatus, NewDeployment,
};
pub use deployments::Deployments;
pub use jobs::{Job, JobStatus, Jobs, Keep, Wanted};
pub use random::uuid;
pub use schedules::{Schedules, Slot, StoredSchedule};
pub use scopes::{Fates, ScopeChanges};
pub use tags::Tags;
pub use tokens::{AdminToken, Declared, NewToken, SecretHasher, Token, Tokens};
pub use variables::{MAX_VALUE, Variable, Variables};

/// Why the state could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// SQLite failed.
    #[error("the state file could not be used: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The file was written by a newer Pipewright.
    #[error(
        "the state file has layout {found}, this version of pipewright knows up to {known}: use a newer one"
    )]
    TooNew {
        /// Layout of the file.
        found: usize,
        /// Newest layout known here.
        known: usize,
    },
    /// A token with this name exists.
    #[error("there is a token named `{0}` already")]
    TokenExists(String),
    /// The stored scopes of a token are not JSON.
    #[error("a stored value is not valid JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The file could not be made, or the system gave no random numbers.
    #[error("the state file could not be used: {0}")]
    Io(#[from] std::io::Error),
}

/// The open state file.
#[derive(Debug)]
pub struct State {
    connection: Mutex<Connection>,
    workspace: String,
    hasher: SecretHasher,
    sealer: seal::Sealer,
}

impl State {
    /// Opens the state file at `path`, making or upgrading it as needed.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        make_private(path)?;
        let sealer = seal::Sealer::open(&path.with_file_name("tokens.key"))?;
        Self::prepare(Connection::open(path)?, sealer)
    }

    /// A state that is gone when dropped, for tests.
    pub fn in_memory() -> Result<Self, StateError> {
        Self::prepare(Connection::open_in_memory()?, seal::Sealer::random()?)
    }

    fn prepare(mut connection: Connection, sealer: seal::Sealer) -> Result<Self, StateError> {
        connection.busy_handler(Some(wait_for_others))?;
        // Who changes the journal's mode at the same time is not waited for by SQLite itself.
        let mut tries = 0;
        while let Err(error) = connection.pragma_update(None, "journal_mode", "WAL") {
            tries += 1;
            if error.sqlite_error_code() != Some(rusqlite::ErrorCode::DatabaseBusy) || tries > 500 {
                return Err(error.into());
            }
            std::thread::sleep(PAUSE);
        }
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        migrations::migrate(&mut connection)?;
        // All that is changed is read first: a transaction that takes the right to write only then fails when another process has written in between.
        connection.set_transaction_behavior(TransactionBehavior::Immediate);
        let workspace = made_once(&connection, "workspace_id", || Ok(uuid()?.into_bytes()))?;
        let key = made_once(&connection, "token_key", || {
            Ok(random::bytes::<32>()?.to_vec())
        })?;
        let damaged = || {
            std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                "the key of the tokens is damaged",
            )
        };
        Ok(Self {
            connection: Mutex::new(connection),
            workspace: String::from_utf8_lossy(&workspace).into_owned(),
            hasher: SecretHasher::new(key.try_into().map_err(|_| damaged())?),
            sealer,
        })
    }

    /// The id this workspace got when its state was made.
    pub fn workspace_id(&self) -> &str {
        &self.workspace
    }

    /// The access tokens.
    pub fn tokens(&self) -> Tokens<'_> {
        Tokens::new(self)
    }

    /// What the API changed of the sources, and the ids of resources.
    pub fn catalog(&self) -> CatalogStore<'_> {
        CatalogStore::new(self)
    }

    /// The journal of deployments.
    pub fn deployments(&self) -> Deployments<'_> {
        Deployments::new(self)
    }

    /// The jobs.
    pub fn jobs(&self) -> Jobs<'_> {
        Jobs::new(self)
    }

    /// The tags of resources.
    pub fn tags(&self) -> Tags<'_> {
        Tags::new(self)
    }

    /// The workspace's own secrets.
    pub fn variables(&self) -> Variables<'_> {
        Variables::new(self)
    }

    /// The schedules of copies.
    pub fn schedules(&self) -> Schedules<'_> {
        Schedules::new(self)
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        match self.connection.try_lock() {
            Ok(connection) => connection,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => aside(|| {
                let held = self.connection.lock();
                held.unwrap_or_else(PoisonError::into_inner)
            }),
        }
    }
}

impl State {
    /// Runs a statement that is a transaction of its own. It waits for the disk.
    fn execute(&self, sql: &str, parameters: impl Params) -> rusqlite::Result<usize> {
        let connection = self.connection();
        aside(|| connection.execute(sql, parameters))
    }
}

/// How long another process that writes is waited for at a time, and how often: five seconds in all.
const PAUSE: Duration = Duration::from_millis(10);
const PAUSES: i32 = 500;

/// Waits until another process has written.
fn wait_for_others(waited: i32) -> bool {
    if waited < PAUSES {
        aside(|| std::thread::sleep(PAUSE));
    }
    waited < PAUSES
}

/// Waits, and lets another thread do meanwhile what this one would have to do: there may be only one for all requests.
fn aside<T>(wait: impl FnOnce() -> T) -> T {
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => block_in_place(wait),
        _ => wait(),
    }
}

/// The stored value of `key`, made by `make` the first time, also when two processes begin together.
fn made_once(
    connection: &Connection,
    key: &str,
    make: impl FnOnce() -> std::io::Result<Vec<u8>>,
) -> Result<Vec<u8>, StateError> {
    let read = || {
        connection
            .query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| {
                row.get(0)
            })
            .optional()
    };
    if let Some(value) = read()? {
        return Ok(value);
    }
    connection.execute(
        "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        params![key, make()?],
    )?;
    Ok(read()?.unwrap_or_default())
}

/// Makes the file readable by its owner only: it holds what tokens are checked with.
fn make_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Milliseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_once_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/state.sqlite");
        let first = State::open(&path).unwrap();
        let hashed = |state: &State| state.tokens().hasher().hash("p.secret");
        let (id, hash) = (first.workspace_id().to_owned(), hashed(&first));
        // A second process may read while the first has the file open.
        let second = State::open(&path).unwrap();
        assert_eq!(
            (second.workspace_id(), hashed(&second)),
            (id.as_str(), hash)
        );
        assert_eq!(id.len(), 36);
        assert_ne!(State::in_memory().unwrap().workspace_id(), id);
    }

    #[test]
    fn processes_may_begin_together() {
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("state.sqlite");
            let ids: Vec<String> = std::thread::scope(|scope| {
                let begun: Vec<_> = (0..4)
                    .map(|_| scope.spawn(|| State::open(&path).unwrap().workspace))
                    .collect();
                begun.into_iter().map(|one| one.join().unwrap()).collect()
            });
            assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        }
    }

    #[test]
    fn a_file_of_a_newer_version_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.sqlite");
        drop(State::open(&path).unwrap());
        Connection::open(&path)
            .unwrap()
            .pragma_update(None, "user_version", 99)
            .unwrap();
        let error = State::open(&path).unwrap_err();
        assert!(
            matches!(error, StateError::TooNew { found: 99, .. }),
            "{error}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_the_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.sqlite");
        let _state = State::open(&path).unwrap();
        for name in ["state.sqlite", "state.sqlite-wal"] {
            let mode = std::fs::metadata(folder.path().join(name))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o077, 0, "{name}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_waits_for_the_disk_keeps_no_other_task_waiting() {
        let state = std::sync::Arc::new(State::in_memory().unwrap());
        // As slow as a disk can be.
        let slow = "CREATE TEMP TRIGGER slow AFTER INSERT ON tags BEGIN
            INSERT INTO slowness SELECT count(*) FROM (
                WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 3000000) SELECT n FROM numbers
            );
        END";
        let table = "CREATE TABLE slowness (n INTEGER);";
        let prepared = state.connection().execute_batch(&format!("{table} {slow}"));
        prepared.unwrap();
        let written = std::sync::Arc::clone(&state);
        let writing = tokio::spawn(async move {
            let started = std::time::Instant::now();
            written.tags().keep("a").unwrap();
            started.elapsed()
        });
        let mut beats = 0;
        while !writing.is_finished() {
            tokio::spawn(tokio::time::sleep(Duration::from_millis(5)))
                .await
                .unwrap();
            beats += 1;
        }
        let took = writing.await.unwrap();
        assert!(beats > 10, "{beats} beats in {took:?}");
    }

    #[test]
    fn commits_are_durable() {
        let state = State::in_memory().unwrap();
        let level: i64 = state
            .connection()
            .pragma_query_value(None, "synchronous", |row| row.get(0))
            .unwrap();
        assert_eq!(level, 2);
    }
}
