//! What has been done to a data source, as far as a deploy has to know it: whether its rows are only what its views made of others, and whether rows went.
//!
//! A mark is an empty file in the state folder, so that it outlives the process; what happens while a deploy runs is counted beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{Ingest, on_disk};

/// What is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mark {
    /// Rows came to it otherwise than through a view.
    Direct,
    /// Rows were taken away from it, or replaced.
    Rewritten,
    /// All its rows were made anew by its views.
    Filled,
    /// A view that fills it was made, changed or populated without all rows of before.
    Partial,
}

/// How often a data source has been marked in this process.
#[derive(Debug, Default)]
pub(super) struct Counted {
    times: u64,
    /// Whether the file of the mark has been written, and is there.
    is_written: bool,
}

impl Counted {
    fn set(&mut self) {
        self.times += 1;
        self.is_written = true;
    }
}

/// What marks are from the moment on in which a deploy comes into force: noted with it, so that another process can say so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MarksAfter(Vec<(Mark, String, Option<SystemTime>)>);

impl Mark {
    const ALL: [Self; 4] = [Self::Direct, Self::Rewritten, Self::Filled, Self::Partial];

    fn folder(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Rewritten => "rewritten",
            Self::Filled => "filled",
            Self::Partial => "partial",
        }
    }
}

impl Ingest {
    fn mark_path(&self, mark: Mark, name: &str) -> PathBuf {
        self.folder.join("marks").join(mark.folder()).join(name)
    }

    fn counted(&self) -> MutexGuard<'_, BTreeMap<(Mark, String), Counted>> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks a data source.
    pub(crate) async fn mark(&self, mark: Mark, name: &str) -> io::Result<()> {
        if name.starts_with("pw_") {
            // A table for a moment.
            return Ok(());
        }
        let key = (mark, name.to_owned());
        // That rows came is true until they are all taken away, once it has been written.
        if mark == Mark::Direct
            && let Some(counted) = self.counted().get_mut(&key)
            && counted.is_written
        {
            counted.times += 1;
            return Ok(());
        }
        let path = self.mark_path(mark, name);
        let written = tokio::task::spawn_blocking(move || set(&path, Some(SystemTime::now())));
        written.await.map_err(io::Error::other)??;
        // Not before: one that could not be written has to be tried again.
        self.counted().entry(key).or_default().set();
        Ok(())
    }

    /// What marks are when data sources have other names, others have been filled by their views, or not with all rows, and others are gone.
    pub(crate) fn marks_after<'a>(
        &self,
        renames: &'a [(String, String)],
        (filled, partial): (impl Iterator<Item = &'a str>, &BTreeSet<String>),
        dropped: impl Iterator<Item = &'a str>,
    ) -> MarksAfter {
        let mut after = BTreeMap::new();
        for name in dropped.chain(renames.iter().map(|(from, _)| from.as_str())) {
            after.extend(Mark::ALL.map(|mark| ((mark, name.to_owned()), None)));
        }
        for (from, to) in renames {
            let marked = |mark| ((mark, to.clone()), self.marked(mark, from));
            after.extend(Mark::ALL.map(marked));
        }
        for name in filled {
            after.insert((Mark::Direct, name.to_owned()), None);
            after.insert((Mark::Filled, name.to_owned()), Some(SystemTime::now()));
        }
        for name in partial {
            after.insert((Mark::Partial, name.clone()), Some(SystemTime::now()));
        }
        let marks = after.into_iter();
        MarksAfter(marks.map(|((mark, name), at)| (mark, name, at)).collect())
    }

    /// Sets marks as they are after a deploy. Doing so again changes nothing.
    pub(crate) async fn set_marks(&self, after: &MarksAfter) -> io::Result<()> {
        for (mark, name, at) in &after.0 {
            let (key, at) = ((*mark, name.clone()), *at);
            if at.is_none() {
                self.counted().remove(&key);
            }
            let path = self.mark_path(*mark, name);
            on_disk(move || set(&path, at)).await?;
            if at.is_some() {
                self.counted().entry(key).or_default().set();
            }
        }
        Ok(())
    }

    /// Takes all marks of a data source away that has gone: another of that name begins without them. Blocks.
    pub(super) fn forget_marks(&self, name: &str) -> io::Result<()> {
        for mark in Mark::ALL {
            self.counted().remove(&(mark, name.to_owned()));
            set(&self.mark_path(mark, name), None)?;
        }
        Ok(())
    }

    /// Forgets that rows came to a data source otherwise than through views: it has been emptied. For one who has it alone since before that.
    pub(super) async fn forget_direct(&self, name: &str) -> io::Result<()> {
        let key = (Mark::Direct, name.to_owned());
        // How often rows have come goes on being counted: a deploy must not find a number of before again.
        if let Some(counted) = self.counted().get_mut(&key) {
            counted.is_written = false;
        }
        let path = self.mark_path(Mark::Direct, name);
        on_disk(move || set(&path, None)).await
    }

    /// When a data source was marked for the last time.
    pub(crate) fn marked(&self, mark: Mark, name: &str) -> Option<SystemTime> {
        std::fs::metadata(self.mark_path(mark, name))
            .and_then(|found| found.modified())
            .ok()
    }

    /// How often a data source has been marked in this process.
    pub(crate) fn marks(&self, mark: Mark, name: &str) -> u64 {
        let counted = self.counted();
        let key = (mark, name.to_owned());
        counted.get(&key).map_or(0, |counted| counted.times)
    }
}

/// Writes the file of a mark, or takes it away, such that a power cut does not undo it.
fn set(path: &Path, at: Option<SystemTime>) -> io::Result<()> {
    let Some(folder) = path.parent() else {
        return Ok(());
    };
    let Some(at) = at else {
        return match std::fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => File::open(folder)?.sync_all(),
        };
    };
    std::fs::create_dir_all(folder)?;
    let file = File::create(path)?;
    file.set_modified(at)?;
    file.sync_all()?;
    File::open(folder)?.sync_all()
}
