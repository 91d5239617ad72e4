//! The writer of one data source: requests → files, one after the other.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::super::certain::Fitting;
use super::super::known::Known;
use super::super::load::Counts;
use super::super::{Ingest, IngestError, on_disk};
use super::segment::Segment;
use super::{EventLimits, Reserved, Told};

/// Most requests that are written down together.
const GROUP: usize = 256;

/// A body on its way.
pub(super) struct Request {
    pub(super) known: Arc<Known>,
    pub(super) lines: Bytes,
    pub(super) rows: u64,
    /// What is known of the rows, if it is certain that all of them fit.
    pub(super) read: Option<Fitting>,
    /// Whether the answer is given only when the rows are in the engine.
    pub(super) wait: bool,
    pub(super) reply: oneshot::Sender<Result<Counts, IngestError>>,
    pub(super) reserved: Reserved,
}

impl Request {
    /// Whether the engine has to say which of its rows fit, before it is answered.
    fn is_asked(&self) -> bool {
        self.read.is_none() && !self.wait
    }
}

/// The writer of one data source.
pub(super) struct Writer {
    pub(super) ingest: Arc<Ingest>,
    pub(super) limits: EventLimits,
    pub(super) folder: PathBuf,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) flushing: Option<JoinHandle<()>>,
    pub(super) told: Told,
}

impl Writer {
    pub(super) async fn run(mut self) {
        let mut segment: Option<Segment> = None;
        loop {
            let request = match segment.as_ref().map(|segment| self.due(segment)) {
                None => self.requests.recv().await,
                Some(due) => {
                    // Those who wait get their rows written as soon as the writing before has ended; whoever comes until then is written with them.
                    let ready = async {
                        tokio::time::sleep_until(due).await;
                        if let Some(flushing) = &mut self.flushing {
                            _ = flushing.await;
                            self.flushing = None;
                        }
                    };
                    tokio::select! {
                        biased;
                        request = self.requests.recv() => request,
                        () = ready => {
                            self.flush(segment.take()).await;
                            continue;
                        }
                    }
                }
            };
            let Some(first) = request else { break };
            let mut group = vec![first];
            while group.len() < GROUP
                && let Ok(request) = self.requests.try_recv()
            {
                group.push(request);
            }
            segment = self.take(segment, group).await;
            if segment
                .as_ref()
                .is_some_and(|segment| self.is_full(segment))
            {
                self.flush(segment.take()).await;
            }
        }
        self.flush(segment.take()).await;
        if let Some(flushing) = self.flushing {
            _ = flushing.await;
        }
    }

    /// When a file is to go into the engine.
    fn due(&self, segment: &Segment) -> tokio::time::Instant {
        if segment.waiting.is_empty() && segment.bytes < self.limits.flush_bytes {
            segment.born + self.limits.flush_after
        } else {
            segment.born
        }
    }

    /// Whether nothing more may come to a file: while the one before goes into the engine it may grow somewhat.
    fn is_full(&self, segment: &Segment) -> bool {
        let is_idle = self.flushing.as_ref().is_none_or(JoinHandle::is_finished);
        let most = if is_idle { 1 } else { 2 } * self.limits.flush_bytes;
        segment.bytes >= most
    }

    /// Writes a group of requests down, and answers those who do not wait for more.
    async fn take(&self, segment: Option<Segment>, group: Vec<Request>) -> Option<Segment> {
        let folder = self.folder.clone();
        let written = tokio::task::spawn_blocking(move || write(segment, &folder, group));
        // Those who are not answered are told that it ended.
        let (segment, group, written) = written.await.ok()?;
        if let Err(error) = written {
            refuse(group, &error);
            return segment;
        }
        let mut segment = segment?;
        let bad = self.bad_rows(&group).await;
        let mut first = 0;
        for request in group {
            let at = segment.rows;
            segment.requests.push(at);
            segment.rows += request.rows;
            segment.bytes += request.lines.len() as u64;
            let is_asked = request.is_asked();
            segment.keep(&request.known, request.read);
            segment.reserved.push(request.reserved);
            if request.wait {
                segment.waiting.push((request.reply, at, request.rows));
                continue;
            }
            let mut quarantined = 0;
            if is_asked {
                let rows = first..first + request.rows;
                first = rows.end;
                // The rows are safe; when they cannot be looked at now, the engine will say later what fits.
                quarantined = bad.as_ref().map_or(0, |bad| {
                    bad.iter().filter(|row| rows.contains(row)).count() as u64
                });
            }
            _ = request.reply.send(Ok(Counts {
                successful: request.rows - quarantined,
                quarantined,
            }));
        }
        Some(segment)
    }

    /// Which rows do not fit, of those requests that wait for nothing else and of which that is not certain.
    async fn bad_rows(&self, group: &[Request]) -> Result<Vec<u64>, IngestError> {
        let asked = || group.iter().filter(|request| request.is_asked());
        let Some(last) = asked().last() else {
            return Ok(Vec::new());
        };
        let lines: Vec<Bytes> = asked().map(|request| request.lines.clone()).collect();
        let path = self.folder.join("check.tmp");
        let to = path.clone();
        on_disk(move || std::fs::write(to, lines.concat())).await?;
        self.ingest.bad_rows(&last.known.table, &path).await
    }

    /// Gives a file to the engine, after the one before.
    async fn flush(&mut self, segment: Option<Segment>) {
        if let Some(flushing) = self.flushing.take() {
            _ = flushing.await;
        }
        let Some(segment) = segment else { return };
        let (ingest, told) = (Arc::clone(&self.ingest), self.told.clone());
        self.flushing = Some(tokio::spawn(async move {
            segment.into_engine(&ingest, &told).await;
        }));
    }
}

/// A file, if there is one that more can be written to, and whether a group was written to it.
type Wrote = (Option<Segment>, Vec<Request>, io::Result<()>);

/// Writes the rows of a group into a file, a new one if there is none; all of them or none. Blocks.
fn write(segment: Option<Segment>, folder: &Path, group: Vec<Request>) -> Wrote {
    let segment = match (segment, group.last()) {
        (Some(segment), _) => Ok(segment),
        (None, Some(last)) => Segment::create(folder, Arc::clone(&last.known)),
        (None, None) => Err(io::ErrorKind::InvalidInput.into()),
    };
    let mut segment = match segment {
        Ok(segment) => segment,
        Err(error) => return (None, group, Err(error)),
    };
    let written = segment.append(group.iter().map(|request| &request.lines));
    // What is in the file beyond this point was answered to nobody.
    let is_whole = written.is_ok() || segment.truncated();
    (is_whole.then_some(segment), group, written)
}

fn refuse(group: Vec<Request>, error: &io::Error) {
    tracing::error!(%error, "cannot write events down");
    for request in group {
        _ = request.reply.send(Err(IngestError::Disk(io::Error::new(
            error.kind(),
            error.to_string(),
        ))));
    }
}
