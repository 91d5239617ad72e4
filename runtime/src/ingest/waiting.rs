//! Rows that were taken, and that the engine does not take: a view throws, memory or disk is short.
//!
//! They stay on disk and are tried again, with growing pauses. When the engine refuses rows because of a view, they are in the data source already, under a token
//! that it knows for as long as it remembers its latest inserts. So what waits too long is held: kept, and not tried any more. What makes tables anew from
//! the data source must not have rows come once more either: it settles first what waits.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use pipewright_compiler::emit::Input;
use pipewright_compiler::plan::TablePlan;
use pipewright_compiler::sql::quote_literal;

use super::append::write_durably;
use super::events::{cut_torn_line, token};
use super::given::Contents;
use super::load::{Batch, Views, WHILE_OTHERS_WAIT};
use super::prepare::WINDOW;
use super::refused::remove_rows;
use super::{Ingest, IngestError, on_disk};

/// So many files of a data source wait at most; further events are refused.
const MOST: usize = 64;

/// The first and the longest pause between two tries.
const PAUSES: [Duration; 2] = [Duration::from_secs(10), Duration::from_mins(10)];

/// So many blocks may come to a data source before it may have forgotten a token.
const REMEMBERED: u64 = WINDOW as u64 / 2;

/// What waits and what is held.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Files of events and folders of appends, with where they go.
    files: BTreeMap<PathBuf, TablePlan>,
    /// How many are held, by data source.
    held: BTreeMap<String, usize>,
    /// Whether somebody tries again.
    is_tried: bool,
}

/// How many files of rows the engine has not taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Untaken {
    /// They are tried again.
    pub waiting: usize,
    /// They are kept, and nothing is done with them.
    pub held: usize,
}

impl Ingest {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many files of rows the engine has not taken, by data source.
    pub fn untaken(&self) -> BTreeMap<String, Untaken> {
        let waiting = self.waiting();
        let mut untaken: BTreeMap<String, Untaken> = BTreeMap::new();
        for table in waiting.files.values() {
            untaken.entry(table.name.to_string()).or_default().waiting += 1;
        }
        for (name, held) in &waiting.held {
            untaken.entry(name.clone()).or_default().held = *held;
        }
        untaken
    }

    /// How many files of a data source wait.
    pub(super) fn waiting_for(&self, name: &str) -> usize {
        let waiting = self.waiting();
        let tables = waiting.files.values();
        tables
            .filter(|table| table.name.to_string() == name)
            .count()
    }

    /// Whether a data source has so much waiting that no more is taken.
    pub(super) fn is_stuck(&self, name: &str) -> bool {
        self.waiting_for(name) >= MOST
    }

    /// Tries what waits for a data source no more; the files.
    pub(super) fn forget_waiting(&self, name: &str) -> Vec<PathBuf> {
        let mut waiting = self.waiting();
        let is_of = |table: &TablePlan| table.name.to_string() == name;
        let gone = waiting.files.extract_if(.., |_, table| is_of(table));
        let gone = gone.map(|(path, _)| path).collect();
        waiting.held.remove(name);
        gone
    }

    /// Notes a file that the engine did not take. For one who shares the data source since before the first try.
    pub(super) async fn let_wait(self: &Arc<Self>, table: &TablePlan, path: &Path, why: &str) {
        if self.is_thrown_away(table, path) {
            return;
        }
        let table = self.newest(table).into_owned();
        if let Err(error) = self.note_since(&table, path).await {
            tracing::warn!(%error, "cannot note since when rows wait");
        }
        tracing::error!(
            datasource = %table.name,
            file = %path.display(),
            "the engine does not take rows that were acknowledged; they are kept and tried again: {why}"
        );
        let begins = {
            let mut waiting = self.waiting();
            waiting.files.insert(path.to_owned(), table);
            !std::mem::replace(&mut waiting.is_tried, true)
        };
        if begins {
            tokio::spawn(keep_trying(Arc::downgrade(self)));
        }
    }

    /// Notes at which block a file began to wait, if that has not been done.
    async fn note_since(&self, table: &TablePlan, path: &Path) -> io::Result<()> {
        let to = path.to_owned();
        let since = on_disk(move || {
            let since = since_path(&to);
            Ok((!since.exists()).then_some(since))
        });
        if let Some(since) = since.await? {
            let blocks = self.blocks(table).await.unwrap_or_default();
            on_disk(move || write_durably(&since, blocks.to_string().as_bytes())).await?;
        }
        Ok(())
    }

    /// The number of the latest block of a data source, which counts up.
    async fn blocks(&self, table: &TablePlan) -> Result<u64, IngestError> {
        let sql = format!(
            "SELECT toUInt64(greatest(max(max_block_number), 0)) FROM system.parts WHERE database = currentDatabase() AND table = {}",
            quote_literal(&table.name.to_string())
        );
        Ok(self.count(&sql).await?)
    }

    /// Gives what waits to the engine once more. Returns how many files it took.
    pub async fn try_waiting(&self) -> usize {
        let files = self.waiting().files.clone();
        let mut taken = 0;
        for (path, table) in files {
            let Ok(_together) = self.together(&table).await else {
                continue;
            };
            // A deploy may have settled it meanwhile.
            if !self.waiting().files.contains_key(&path) {
                continue;
            }
            match self.take_again(&table, &path).await {
                Ok(()) => taken += 1,
                Err(error) if error.is_interruption() => return taken,
                Err(error) => {
                    tracing::warn!(datasource = %table.name, file = %path.display(), %error, "rows still wait");
                }
            }
        }
        taken
    }

    /// Gives one file to the engine that may have been given to it before. For one who shares the data source.
    pub(super) async fn take_again(
        &self,
        table: &TablePlan,
        path: &Path,
    ) -> Result<(), IngestError> {
        let to = path.to_owned();
        let since = on_disk(move || std::fs::read_to_string(since_path(&to))).await;
        let since: Option<u64> = since.ok().and_then(|text| text.trim().parse().ok());
        if let Some(since) = since
            && self
                .blocks(&self.newest(table))
                .await?
                .saturating_sub(since)
                > REMEMBERED
        {
            tracing::error!(
                datasource = %table.name,
                file = %path.display(),
                "rows have waited so long that nobody knows whether they are in the data source: they are kept and not tried any more"
            );
            return Ok(self.hold(table, path).await?);
        }
        self.write_waiting(table, path, Views::All).await?;
        self.forget(path).await?;
        Ok(())
    }

    async fn write_waiting(
        &self,
        table: &TablePlan,
        path: &Path,
        views: Views,
    ) -> Result<(), IngestError> {
        if path.is_dir() {
            return self.write_folder(table, path, views).await;
        }
        let to = path.to_owned();
        let rows = on_disk(move || cut_torn_line(&to)).await?;
        if rows > 0 {
            let given = self.give(path, Contents::Lines).await?;
            let batch = Batch {
                input: Input::Json(&given.rows),
                path,
                rows,
                token: &token(path),
                requests: &[],
                patience: WHILE_OTHERS_WAIT,
            };
            self.load_within(table, &batch, views).await?;
        }
        Ok(())
    }

    /// Removes a file whose rows are in.
    async fn forget(&self, path: &Path) -> io::Result<()> {
        let gone = path.to_owned();
        let removed = on_disk(move || {
            if gone.is_dir() {
                return super::append::remove(&gone);
            }
            remove_rows(&gone)?;
            _ = std::fs::remove_file(since_path(&gone));
            Ok(())
        });
        removed.await?;
        self.waiting().files.remove(path);
        Ok(())
    }

    /// Keeps a file, under a name by which nobody takes it up.
    async fn hold(&self, table: &TablePlan, path: &Path) -> io::Result<()> {
        let from = path.to_owned();
        let renamed = on_disk(move || {
            std::fs::rename(&from, from.with_extension("held"))?;
            _ = std::fs::remove_file(since_path(&from));
            Ok(())
        });
        renamed.await?;
        let mut waiting = self.waiting();
        waiting.files.remove(path);
        *waiting.held.entry(table.name.to_string()).or_default() += 1;
        Ok(())
    }

    /// Counts files that an earlier process held.
    pub(super) fn note_held(&self, name: &str) {
        *self.waiting().held.entry(name.to_owned()).or_default() += 1;
    }

    /// Makes certain that rows that wait for these data sources are in them, and will not come once more: views that throw on them do without them, and the
    /// files are held. For one who has the data sources alone, before their rows are counted for new tables.
    pub(crate) async fn settle(&self, names: &BTreeSet<String>) -> Result<(), IngestError> {
        let mut files = self.waiting().files.clone();
        files.retain(|_, table| names.contains(&self.newest(table).name.to_string()));
        for (path, table) in files {
            self.write_waiting(&table, &path, Views::ThatCan).await?;
            tracing::error!(
                datasource = %table.name,
                file = %path.display(),
                "rows that waited are in the data source, perhaps without those views that threw on them; they are kept and not tried any more"
            );
            self.hold(&table, &path).await?;
        }
        Ok(())
    }
}

/// Where it is noted at which block a file began to wait.
fn since_path(path: &Path) -> PathBuf {
    if path.is_dir() {
        path.join("since")
    } else {
        path.with_extension("since")
    }
}

async fn keep_trying(ingest: std::sync::Weak<Ingest>) {
    let mut pause = PAUSES[0];
    loop {
        tokio::time::sleep(pause).await;
        let Some(ingest) = ingest.upgrade() else {
            return;
        };
        let taken = ingest.try_waiting().await;
        pause = if taken > 0 {
            PAUSES[0]
        } else {
            PAUSES[1].min(pause * 2)
        };
        let mut waiting = ingest.waiting();
        if waiting.files.is_empty() {
            waiting.is_tried = false;
            return;
        }
    }
}
