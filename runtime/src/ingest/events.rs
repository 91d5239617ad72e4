//! The Events API: many small bodies → few large inserts.
//!
//! Each data source has a writer. It appends what arrives to a file, syncs the file, and only then answers: from here on the rows survive the process. The file
//! goes into the engine when it is large or old enough, or when somebody waits for it, and is deleted after that. A file found at the start is what an earlier
//! process did not get in, or did not get to delete: it goes in under the same token, which the engine knows if the rows are there.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use pipewright_compiler::emit::Input;
use pipewright_compiler::plan::{Plan, TablePlan};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::certain::Certain;
use super::load::{Counts, Views, json_source};
use super::{Ingest, IngestError, unique};

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
    told: Told,
}

/// A body on its way.
struct Request {
    table: TablePlan,
    lines: Vec<u8>,
    rows: u64,
    /// Whether the answer is given only when the rows are in the engine.
    wait: bool,
    reply: oneshot::Sender<Result<Counts, IngestError>>,
    reserved: Reserved,
}

/// Bytes counted as being on their way, until dropped.
struct Reserved {
    pending: Arc<AtomicU64>,
    bytes: u64,
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
        lines: Vec<u8>,
        rows: u64,
        wait: bool,
    ) -> Result<Counts, IngestError> {
        if rows == 0 {
            return Ok(Counts::default());
        }
        if self.ingest.is_stuck(&table.name.to_string()) {
            return Err(IngestError::Busy);
        }
        let reserved = self.reserve(lines.len() as u64)?;
        let (reply, replied) = oneshot::channel();
        let request = Request {
            table: table.clone(),
            lines,
            rows,
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

    /// Writes what an earlier process left on disk. To be called before anything is pushed. What the engine does not take waits. Returns how many files were
    /// written.
    pub async fn replay(&self, plan: &Plan) -> Result<usize, IngestError> {
        let mut files = 0;
        let names = plan
            .tables
            .keys()
            .filter(|name| name.workspace.is_none())
            .map(ToString::to_string);
        for name in names.chain(self.ingest.old_names()) {
            let Some(table) = self.ingest.table_of(plan, &name) else {
                continue;
            };
            let folder = self.ingest.folder.join("events").join(folder_name(&name));
            let Ok(entries) = std::fs::read_dir(&folder) else {
                continue;
            };
            let mut paths: Vec<PathBuf> = entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<io::Result<_>>()?;
            paths.sort();
            let _together = self.ingest.together(&table.name).await;
            for path in paths {
                match path.extension().and_then(|ending| ending.to_str()) {
                    Some("ndjson") => match self.ingest.take_again(table, &path).await {
                        Ok(()) => files += 1,
                        Err(error) => {
                            let why = error.to_string();
                            self.ingest.let_wait(table, &path, &why).await;
                        }
                    },
                    Some("held") => self.ingest.note_held(&name),
                    Some("since") => {}
                    _ => std::fs::remove_file(&path)?,
                }
            }
        }
        Ok(files)
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

/// A folder for a data source. Names are identifiers, with a dot in those of another workspace.
fn folder_name(name: &str) -> String {
    name.chars()
        .map(|character| {
            if character.is_alphanumeric() || "_-.".contains(character) {
                character
            } else {
                '_'
            }
        })
        .collect()
}

pub(super) fn token(path: &Path) -> String {
    format!(
        "events:{}",
        path.file_stem().unwrap_or_default().to_string_lossy()
    )
}

/// Cuts a line off whose end was never written, which nobody was told of; returns how many lines there are.
pub(super) fn cut_torn_line(path: &Path) -> io::Result<u64> {
    let bytes = std::fs::read(path)?;
    let end = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    if end < bytes.len() {
        OpenOptions::new()
            .write(true)
            .open(path)?
            .set_len(end as u64)?;
    }
    Ok(bytes[..end].split(|byte| *byte == b'\n').skip(1).count() as u64)
}

/// Who waits for rows of a file: where the answer goes, the number of the first row and how many.
type Waiting = (oneshot::Sender<Result<Counts, IngestError>>, u64, u64);

/// A file that grows.
struct Segment {
    path: PathBuf,
    file: File,
    bytes: u64,
    rows: u64,
    born: Instant,
    certain: Option<Certain>,
    table: TablePlan,
    /// Who waits for its rows, with the number of the first and how many.
    waiting: Vec<Waiting>,
    reserved: Vec<Reserved>,
}

/// The writer of one data source.
struct Writer {
    ingest: Arc<Ingest>,
    limits: EventLimits,
    folder: PathBuf,
    requests: mpsc::Receiver<Request>,
    flushing: Option<JoinHandle<()>>,
    told: Told,
}

impl Writer {
    async fn run(mut self) {
        let mut segment: Option<Segment> = None;
        loop {
            let due = segment.as_ref().map(|segment| {
                if segment.waiting.is_empty() {
                    segment.born + self.limits.flush_after
                } else {
                    segment.born
                }
            });
            let request = match due {
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
            while group.len() < 256
                && let Ok(request) = self.requests.try_recv()
            {
                group.push(request);
            }
            segment = self.take(segment, group).await;
            if segment
                .as_ref()
                .is_some_and(|segment| segment.bytes >= self.limits.flush_bytes)
            {
                self.flush(segment.take()).await;
            }
        }
        self.flush(segment.take()).await;
        if let Some(flushing) = self.flushing {
            _ = flushing.await;
        }
    }

    /// Writes a group of requests down, and answers those who do not wait for more.
    async fn take(&self, segment: Option<Segment>, group: Vec<Request>) -> Option<Segment> {
        let table = group.last().map(|request| request.table.clone())?;
        let mut segment = match segment.map_or_else(|| Segment::create(&self.folder, table), Ok) {
            Ok(segment) => segment,
            Err(error) => {
                refuse(group, &error);
                return None;
            }
        };
        let mut lines = Vec::with_capacity(group.iter().map(|request| request.lines.len()).sum());
        for request in &group {
            lines.extend_from_slice(&request.lines);
        }
        let check = group.iter().any(|request| !request.wait);
        let written = tokio::task::spawn_blocking(move || {
            let written = segment.append(&lines);
            let certain = segment.certain.as_ref().filter(|_| check);
            let fit = certain.is_some_and(|certain| certain.fit(&lines));
            (segment, lines, written, fit)
        });
        let Ok((mut segment, lines, written, fit)) = written.await else {
            return None;
        };
        if let Err(error) = written {
            // What is in the file beyond this point was answered to nobody.
            refuse(group, &error);
            return segment.truncated().then_some(segment);
        }
        let bad = if check && !fit {
            self.bad_rows(&segment.table, &lines).await
        } else {
            Ok(Vec::new())
        };
        let mut first = 0;
        for request in group {
            let rows = first..first + request.rows;
            first = rows.end;
            let at = segment.rows;
            segment.rows += request.rows;
            segment.bytes += request.lines.len() as u64;
            segment.reserved.push(request.reserved);
            if request.wait {
                segment.waiting.push((request.reply, at, request.rows));
                continue;
            }
            // The rows are safe; when they cannot be looked at now, the engine will say later what fits.
            let bad = bad.as_ref().map_or(0, |bad| {
                bad.iter().filter(|row| rows.contains(row)).count() as u64
            });
            _ = request.reply.send(Ok(Counts {
                successful: request.rows - bad,
                quarantined: bad,
            }));
        }
        Some(segment)
    }

    /// Which of these lines do not fit.
    async fn bad_rows(&self, table: &TablePlan, lines: &[u8]) -> Result<Vec<u64>, IngestError> {
        let path = self.folder.join("check.tmp");
        std::fs::write(&path, lines)?;
        self.ingest.bad_rows(table, &path).await
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

fn refuse(group: Vec<Request>, error: &io::Error) {
    tracing::error!(%error, "cannot write events down");
    for request in group {
        _ = request.reply.send(Err(IngestError::Disk(io::Error::new(
            error.kind(),
            error.to_string(),
        ))));
    }
}

impl Segment {
    fn create(folder: &Path, table: TablePlan) -> io::Result<Self> {
        let path = folder.join(format!("{}.ndjson", unique()?));
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(&path)?;
        // The file's name must survive as well as its rows.
        File::open(folder)?.sync_all()?;
        Ok(Self {
            path,
            file,
            bytes: 0,
            rows: 0,
            born: Instant::now(),
            certain: Certain::new(&table),
            table,
            waiting: Vec::new(),
            reserved: Vec::new(),
        })
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.file.write_all(lines)?;
        self.file.sync_data()
    }

    /// Takes back what was written after the last answer; false when that fails as well.
    fn truncated(&self) -> bool {
        self.file.set_len(self.bytes).is_ok()
    }

    async fn into_engine(mut self, ingest: &Arc<Ingest>, told: &Told) {
        let mut pause = Duration::from_millis(100);
        // Until the file is gone: a table that is made anew in between would not know the rows' token.
        let _together = ingest.together(&self.table.name).await;
        let counts = loop {
            let started = Instant::now();
            let loaded = ingest
                .load_within(
                    &self.table,
                    &Input::Json(&json_source(&self.path)),
                    self.rows,
                    &token(&self.path),
                    Views::All,
                )
                .await;
            if let Some(listener) = told.0.get() {
                let error = loaded.as_ref().err().map(ToString::to_string);
                listener(&Flushed {
                    datasource: &self.table.name.name,
                    counts: *loaded.as_ref().unwrap_or(&Counts::default()),
                    elapsed: started.elapsed(),
                    error: error.as_deref(),
                });
            }
            match loaded {
                Ok(counts) => break counts,
                Err(error) => {
                    tracing::error!(%error, datasource = %self.table.name, "events are on disk, but the engine does not take them");
                    for (reply, _, _) in std::mem::take(&mut self.waiting) {
                        _ = reply.send(Err(IngestError::Engine(
                            crate::engine::EngineError::Unavailable(error.to_string()),
                        )));
                    }
                    if error.is_interruption() {
                        // The next start tries again.
                        return;
                    }
                    // One file after the other may have rows that a view throws on: the next ones are not kept waiting.
                    let others_wait = ingest.waiting_for(&self.table.name.to_string()) > 0;
                    if others_wait || pause > Duration::from_secs(20) {
                        let why = error.to_string();
                        ingest.let_wait(&self.table, &self.path, &why).await;
                        return;
                    }
                    tokio::time::sleep(pause).await;
                    pause *= 3;
                }
            }
        };
        self.answer(ingest, counts).await;
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, "cannot remove a file of events that are in the engine");
        }
    }

    async fn answer(&mut self, ingest: &Ingest, counts: Counts) {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return;
        }
        let bad = if counts.quarantined == 0 {
            Vec::new()
        } else {
            ingest
                .bad_rows(&self.table, &self.path)
                .await
                .unwrap_or_default()
        };
        for (reply, first, rows) in waiting {
            let quarantined = bad
                .iter()
                .filter(|row| (first..first + rows).contains(row))
                .count() as u64;
            _ = reply.send(Ok(Counts {
                successful: rows - quarantined,
                quarantined,
            }));
        }
    }
}
