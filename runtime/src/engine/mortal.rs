//! An engine that ends the process before, during or after a chosen statement, for the tests of crashes. It is there in builds with debug assertions only, and
//! does nothing unless the environment names a file to wait for.
//!
//! The file says which statement it is, counted from the moment at which the file is there: `<number> <before|during|after> <prefixes of statements that do not
//! count, separated by |>`. The process is killed from outside, as hard as can be, so that nothing is flushed, finished or taken back.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::{Answer, Engine, EngineError, Insert, Query, Rows, Written};

/// The variable of the environment that names the file.
const VARIABLE: &str = "PIPEWRIGHT_DIE_AT";

/// When the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Before,
    During,
    After,
}

/// What is still to come before the end.
#[derive(Debug)]
struct Countdown {
    left: u64,
    when: When,
    ignored: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Mortal {
    engine: Arc<dyn Engine>,
    file: PathBuf,
    countdown: Mutex<Option<Countdown>>,
}

/// The engine, mortal if the environment says so.
pub(super) fn maybe(engine: Arc<dyn Engine>) -> Arc<dyn Engine> {
    match std::env::var_os(VARIABLE) {
        Some(file) if cfg!(debug_assertions) => Arc::new(Mortal {
            engine,
            file: PathBuf::from(file),
            countdown: Mutex::new(None),
        }),
        _ => engine,
    }
}

fn read(file: &Path) -> Option<Countdown> {
    let text = std::fs::read_to_string(file).ok()?;
    std::fs::remove_file(file).ok()?;
    let mut words = text.trim().splitn(3, ' ');
    let left = words.next()?.parse().ok()?;
    let when = match words.next()? {
        "before" => When::Before,
        "during" => When::During,
        _ => When::After,
    };
    let ignored = words.next().unwrap_or("").split('|');
    let ignored = ignored.filter(|prefix| !prefix.is_empty());
    Some(Countdown {
        left,
        when,
        ignored: ignored.map(ToOwned::to_owned).collect(),
    })
}

impl Mortal {
    /// Whether this statement is the last one, and when the end comes.
    fn end(&self, sql: &str) -> Option<When> {
        let mut countdown = self
            .countdown
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if self.file.is_file() {
            *countdown = read(&self.file);
        }
        let running = countdown.as_mut()?;
        if running.ignored.iter().any(|prefix| sql.starts_with(prefix)) {
            return None;
        }
        running.left = running.left.saturating_sub(1);
        (running.left == 0).then_some(running.when)
    }
}

/// Has this process killed, after a pause.
fn kill(pause: Duration) {
    let script = format!(
        "sleep {}; kill -9 {}",
        pause.as_secs_f64(),
        std::process::id()
    );
    _ = std::process::Command::new("sh")
        .args(["-c", &script])
        .spawn();
}

#[async_trait]
impl Engine for Mortal {
    async fn query(&self, query: Query) -> Result<Answer, EngineError> {
        self.engine.query(query).await
    }

    async fn execute(&self, sql: &str) -> Result<(), EngineError> {
        let end = self.end(sql);
        match end {
            Some(When::Before) => {
                kill(Duration::ZERO);
                std::future::pending::<()>().await;
            }
            // About as long as a short statement takes, and less than a long one does.
            Some(When::During) => kill(Duration::from_micros(500)),
            _ => {}
        }
        let done = self.engine.execute(sql).await;
        if end.is_some() {
            if end == Some(When::After) {
                kill(Duration::ZERO);
            }
            std::future::pending::<()>().await;
        }
        done
    }

    async fn insert(&self, insert: Insert, rows: Rows) -> Result<Written, EngineError> {
        self.engine.insert(insert, rows).await
    }

    fn version(&self) -> &str {
        self.engine.version()
    }

    async fn shutdown(&self) {
        self.engine.shutdown().await;
    }
}
