//! A file of events: it grows, goes into the engine, and is removed.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pipewright_compiler::emit::Input;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::certain::{Columns, Fitting};
use super::super::given::Contents;
use super::super::known::Known;
use super::super::load::{Batch, Counts, Views, WHILE_OTHERS_WAIT};
use super::super::refused::{Quarantined, remove_rows};
use super::super::{Ingest, IngestError, on_disk, unique};
use super::left::token;
use super::{Flushed, Reserved, Told};
use crate::engine::EngineError;

/// Who waits for rows of a file: where the answer goes, the number of the first row and how many.
type Waiting = (oneshot::Sender<Result<Counts, IngestError>>, u64, u64);

/// A file that grows.
pub(super) struct Segment {
    pub(super) path: PathBuf,
    file: File,
    pub(super) bytes: u64,
    pub(super) rows: u64,
    pub(super) born: Instant,
    pub(super) known: Arc<Known>,
    /// All its rows, read, as long as that is certain of all of them.
    columns: Option<Columns>,
    /// The number of the first row of each request.
    pub(super) requests: Vec<u64>,
    /// Who waits for its rows, with the number of the first and how many.
    pub(super) waiting: Vec<Waiting>,
    pub(super) reserved: Vec<Reserved>,
}

impl Segment {
    /// A file without rows. Blocks.
    pub(super) fn create(folder: &Path, known: Arc<Known>) -> io::Result<Self> {
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
            columns: known.certain.is_some().then(Columns::default),
            known,
            requests: Vec::new(),
            waiting: Vec::new(),
            reserved: Vec::new(),
        })
    }

    /// Writes lines down such that they survive the machine. Blocks.
    pub(super) fn append<'a>(&mut self, lines: impl Iterator<Item = &'a Bytes>) -> io::Result<()> {
        let mut file = BufWriter::with_capacity(1 << 16, &self.file);
        for lines in lines {
            file.write_all(lines)?;
        }
        file.flush()?;
        drop(file);
        self.file.sync_data()
    }

    /// Takes back what was written after the last answer; false when that fails as well. Blocks.
    pub(super) fn truncated(&self) -> bool {
        self.file.set_len(self.bytes).is_ok()
    }

    /// Keeps lines that were written as they have been read, if that is certain and they came to the same table.
    pub(super) fn keep(&mut self, known: &Arc<Known>, read: Option<Fitting>) {
        let more = read.and_then(|fitting| fitting.columns);
        match (&mut self.columns, more) {
            (Some(columns), Some(more)) if Arc::ptr_eq(known, &self.known) => columns.append(more),
            _ => self.columns = None,
        }
    }

    /// Has the engine take the rows, with ever longer pauses between tries, and answers those who wait.
    pub(super) async fn into_engine(mut self, ingest: &Arc<Ingest>, told: &Told) {
        let mut pause = Duration::from_millis(100);
        // Until the file is gone: a table that is made anew in between would not know the rows' token.
        let _together = match ingest.together(&self.known.table).await {
            Ok(together) => together,
            Err(error) => {
                let why = error.to_string();
                self.answer_kept(&why);
                ingest.let_wait(&self.known.table, &self.path, &why).await;
                return;
            }
        };
        let counts = loop {
            let started = Instant::now();
            let loaded = self.load(ingest).await;
            if let Some(listener) = told.0.get() {
                let error = loaded.as_ref().err().map(ToString::to_string);
                listener(&Flushed {
                    datasource: &self.known.table.name.name,
                    counts: *loaded.as_ref().unwrap_or(&Counts::default()),
                    elapsed: started.elapsed(),
                    error: error.as_deref(),
                });
            }
            match loaded {
                Ok(counts) => break counts,
                Err(error) => {
                    tracing::error!(%error, datasource = %self.known.table.name, "events are on disk, but the engine does not take them");
                    self.answer_kept(&error.to_string());
                    if error.is_interruption() {
                        // The next start tries again.
                        return;
                    }
                    // One file after the other may have rows that a view throws on: the next ones are not kept waiting.
                    let others_wait = ingest.waiting_for(&self.known.table.name.to_string()) > 0;
                    if ingest.is_thrown_away(&self.known.table, &self.path) {
                        return;
                    }
                    if others_wait || pause > Duration::from_secs(20) {
                        let why = error.to_string();
                        ingest.let_wait(&self.known.table, &self.path, &why).await;
                        return;
                    }
                    tokio::time::sleep(pause).await;
                    pause *= 3;
                }
            }
        };
        self.answer(ingest, counts).await;
        let path = self.path.clone();
        if let Err(error) = on_disk(move || remove_rows(&path)).await {
            // A table that is made anew would not know them, and a restart would bring them once more: who makes it settles what waits.
            let why = format!("they are in the engine, and their file cannot be removed: {error}");
            ingest.let_wait(&self.known.table, &self.path, &why).await;
        }
    }

    /// Tells those who wait that it takes longer.
    fn answer_kept(&mut self, why: &str) {
        for (reply, _, _) in std::mem::take(&mut self.waiting) {
            let why =
                format!("the rows are kept and written later, so do not send them again: {why}");
            _ = reply.send(Err(IngestError::Engine(EngineError::Unavailable(why))));
        }
    }

    /// Inserts the rows: as they have been read if they have, and else from the file. Both ways have the same token, so that the second one after the first one
    /// does no harm.
    async fn load(&mut self, ingest: &Ingest) -> Result<Counts, IngestError> {
        if let Some(columns) = self.columns.take() {
            match self.load_columns(ingest, columns).await {
                Ok(true) => {
                    return Ok(Counts {
                        successful: self.rows,
                        quarantined: 0,
                    });
                }
                Ok(false) => {}
                Err(error) if error.is_interruption() => return Err(error),
                Err(error) => tracing::debug!(%error, "rows that have been read are read again"),
            }
        }
        let given = ingest.give(&self.path, Contents::Lines).await?;
        let batch = Batch {
            input: Input::Json(&given.rows),
            path: &self.path,
            rows: self.rows,
            token: &token(&self.path),
            requests: &self.requests,
            patience: WHILE_OTHERS_WAIT,
        };
        let table = &self.known.table;
        ingest.load_within(table, &batch, Views::All).await
    }

    /// Inserts what has been read, unless the table is another one by now.
    async fn load_columns(&self, ingest: &Ingest, columns: Columns) -> Result<bool, IngestError> {
        let path = self.path.with_extension("native");
        let (known, to) = (Arc::clone(&self.known), path.clone());
        // No promise rests on this file: the next process reads the other one.
        on_disk(move || columns.write(known.types(), &mut File::create(to)?)).await?;
        let (known, token) = (&self.known, token(&self.path));
        let loaded = ingest
            .load_read(&known.table, &path, known.types(), &token)
            .await;
        on_disk(move || std::fs::remove_file(path)).await?;
        loaded
    }

    async fn answer(&mut self, ingest: &Ingest, counts: Counts) {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return;
        }
        let mut known = Quarantined::default();
        if counts.quarantined > 0 {
            let bad = ingest.bad_rows(&self.known.table, &self.path).await;
            let (bad, path) = (bad.unwrap_or_default(), self.path.clone());
            let read = on_disk(move || Quarantined::read(bad, &path)).await;
            known = read.unwrap_or_default();
        }
        for (reply, first, rows) in waiting {
            let quarantined = known.among(&(first..first + rows));
            _ = reply.send(Ok(Counts {
                successful: rows.saturating_sub(quarantined),
                quarantined,
            }));
        }
    }
}
