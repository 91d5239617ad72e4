//! Rows for data sources that a deploy takes away: those that come before it does stop it, those that come after it go.

use std::path::{Path, PathBuf};

use pipewright_compiler::plan::TablePlan;

use super::Ingest;
use super::events::folder_name;

impl Ingest {
    fn events_of(&self, name: &str) -> PathBuf {
        self.folder.join("events").join(folder_name(name))
    }

    /// Whether rows that were acknowledged are on their way to a data source.
    pub(crate) fn is_awaited(&self, name: &str) -> bool {
        self.waiting_for(name) > 0 || files(&self.events_of(name), &["ndjson"]).next().is_some()
    }

    /// Forgets a data source that has gone: another of that name must not get the rows on their way to it, and has not been through what it has.
    pub(crate) fn forget_gone(&self, name: &str) {
        self.forget_rows(name);
        if let Err(error) = self.forget_marks(name) {
            tracing::error!(datasource = name, %error, "cannot forget what was done to a data source that has gone");
        }
    }

    /// Forgets the rows on their way to a data source that has gone with a deploy, which says itself what has been done to those that are there.
    pub(crate) fn forget_rows(&self, name: &str) {
        for path in self.forget_waiting(name) {
            throw_away(&path);
        }
        for path in files(&self.events_of(name), &["ndjson", "since", "held"]) {
            throw_away(&path);
        }
    }

    /// Whether rows have nowhere to go any more; if so, they are thrown away.
    pub(super) fn is_thrown_away(&self, table: &TablePlan, path: &Path) -> bool {
        if path.exists() {
            if !self.is_gone(table) {
                return false;
            }
            tracing::error!(
                datasource = %table.name,
                file = %path.display(),
                "rows came when a deploy had taken their data source away; they go too"
            );
            throw_away(path);
        }
        true
    }
}

fn files(folder: &Path, endings: &'static [&'static str]) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| {
        let ending = path.extension().and_then(|ending| ending.to_str());
        ending.is_some_and(|ending| endings.contains(&ending))
    })
}

fn throw_away(path: &Path) {
    let removed = if path.is_dir() {
        super::append::remove(path)
    } else {
        std::fs::remove_file(path)
    };
    if let Err(error) = removed
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, file = %path.display(), "cannot remove rows whose data source has gone");
    }
}
