//! What has been done to a data source, as far as a deploy has to know it: whether its rows are only what its views made of others, and whether rows went.
//!
//! A mark is an empty file in the state folder, so that it outlives the process; what happens while a deploy runs is counted beside it.

use std::io;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::SystemTime;

use super::Ingest;

/// What is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Rows came to it otherwise than through a view.
    Direct,
    /// Rows were taken away from it, or replaced.
    Rewritten,
    /// All its rows were made anew by its views.
    Filled,
}

impl Mark {
    fn folder(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Rewritten => "rewritten",
            Self::Filled => "filled",
        }
    }
}

impl Ingest {
    fn mark_path(&self, mark: Mark, name: &str) -> PathBuf {
        self.folder.join("marks").join(mark.folder()).join(name)
    }

    /// Marks a data source.
    pub(crate) fn mark(&self, mark: Mark, name: &str) -> io::Result<()> {
        if name.starts_with("pw_") {
            // A table for a moment.
            return Ok(());
        }
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counted.entry((mark.folder(), name.to_owned())).or_default();
        *count += 1;
        // That rows came is true for good once it has been written.
        if *count > 1 && mark == Mark::Direct {
            return Ok(());
        }
        let path = self.mark_path(mark, name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::File::create(path)?.set_modified(SystemTime::now())
    }

    /// Takes a mark away: what it says is not so any more.
    pub(crate) fn unmark(&self, mark: Mark, name: &str) {
        self.counted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&(mark.folder(), name.to_owned()));
        _ = std::fs::remove_file(self.mark_path(mark, name));
    }

    /// When a data source was marked for the last time.
    pub(crate) fn marked(&self, mark: Mark, name: &str) -> Option<SystemTime> {
        std::fs::metadata(self.mark_path(mark, name))
            .and_then(|found| found.modified())
            .ok()
    }

    /// How often a data source has been marked in this process.
    pub(crate) fn marks(&self, mark: Mark, name: &str) -> u64 {
        self.counted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&(mark.folder(), name.to_owned()))
            .copied()
            .unwrap_or(0)
    }
}
