//! The service data sources: what the server knows of its own work, as ordinary tables of the engine.
//!
//! In: one row for each request, operation or job, put into a bounded queue without waiting. Out: batches of rows in the tables of the database `tinybird`,
//! written in the background, so that no request waits for its own statistics. When the queue is full, rows are dropped and counted.

mod rows;
mod storage;
pub(crate) mod tables;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

pub use rows::{JobEvent, Operation, PipeRequest, Row};
pub use storage::StorageRow;

use crate::engine::{Engine, EngineError, Insert};

/// Rows that wait at most.
const QUEUE: usize = 16_384;

/// Rows of one batch at most.
const BATCH: usize = 4_096;

/// How long a row waits for others.
const PAUSE: Duration = Duration::from_millis(500);

/// Where rows are put.
#[derive(Debug, Clone)]
pub struct Service {
    sender: mpsc::Sender<Message>,
    dropped: Arc<AtomicU64>,
    ids: Arc<RequestIds>,
}

#[derive(Debug)]
enum Message {
    Row(Box<Row>),
    /// Write what is there, then answer.
    Flush(oneshot::Sender<()>),
}

impl Service {
    /// Makes the tables that are missing, and begins to write.
    pub async fn start(engine: Arc<dyn Engine>) -> Result<Self, EngineError> {
        tables::create(engine.as_ref()).await?;
        let (sender, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(write(engine, receiver));
        let ids = RequestIds::new().map_err(EngineError::from)?;
        Ok(Self {
            sender,
            dropped: Arc::default(),
            ids: Arc::new(ids),
        })
    }

    /// Puts a row into the queue. Never waits.
    pub fn record(&self, row: Row) {
        match self.sender.try_send(Message::Row(Box::new(row))) {
            Ok(()) | Err(TrySendError::Closed(_)) => {}
            Err(TrySendError::Full(_)) => _ = self.dropped.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// How many rows found the queue full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Writes all that was put into the queue before.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.sender.send(Message::Flush(done)).await.is_ok() {
            _ = written.await;
        }
    }

    /// An id for a request, unlike any other.
    pub fn request_id(&self) -> String {
        self.ids.next()
    }
}

async fn write(engine: Arc<dyn Engine>, mut receiver: mpsc::Receiver<Message>) {
    let mut messages = Vec::with_capacity(BATCH);
    while receiver.recv_many(&mut messages, BATCH).await > 0 {
        if !messages
            .iter()
            .any(|message| matches!(message, Message::Flush(_)))
            && messages.len() < BATCH
        {
            tokio::time::sleep(PAUSE).await;
            while messages.len() < BATCH
                && let Ok(message) = receiver.try_recv()
            {
                messages.push(message);
            }
        }
        let (mut batches, mut waiting) = (BTreeMap::<&'static str, Vec<u8>>::new(), Vec::new());
        for message in messages.drain(..) {
            match message {
                Message::Row(row) => row.write(batches.entry(row.table()).or_default()),
                Message::Flush(done) => waiting.push(done),
            }
        }
        for (table, rows) in batches {
            insert(engine.as_ref(), table, rows).await;
        }
        for done in waiting {
            _ = done.send(());
        }
    }
}

async fn insert(engine: &dyn Engine, table: &str, rows: Vec<u8>) {
    let insert = Insert {
        target: table.to_owned(),
        format: "JSONEachRow".to_owned(),
        settings: Vec::new(),
    };
    let rows = futures::stream::once(async { Ok(Bytes::from(rows)) }).boxed();
    if let Err(error) = engine.insert(insert, rows).await {
        tracing::warn!(%error, table, "statistics cannot be written");
    }
}

/// Numbers of requests, told apart from those of other runs by a random half.
#[derive(Debug)]
struct RequestIds {
    run: u64,
    next: AtomicU64,
}

impl RequestIds {
    fn new() -> std::io::Result<Self> {
        let mut run = [0; 8];
        getrandom::fill(&mut run).map_err(std::io::Error::other)?;
        Ok(Self {
            run: u64::from_le_bytes(run),
            next: AtomicU64::new(0),
        })
    }

    fn next(&self) -> String {
        let (run, number) = (self.run, self.next.fetch_add(1, Ordering::Relaxed));
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            run >> 32,
            (run >> 16) & 0xffff,
            run & 0xffff,
            (number >> 48) & 0xffff,
            number & 0xffff_ffff_ffff
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_requests_differ() {
        let ids = RequestIds::new().unwrap();
        let (one, two) = (ids.next(), ids.next());
        assert_eq!((one.len(), one != two), (36, true));
        assert!(one.ends_with("-0000-000000000000") && two.ends_with("-0000-000000000001"));
    }
}
