//! Files of events that an earlier process left: what the engine has of them is not known, and they go in under the same token.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

use pipewright_compiler::plan::Plan;

use super::super::IngestError;
use super::Events;

impl Events {
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
            let _together = self.ingest.together(table).await?;
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
                    // What was found out about the rows of a file, which may have gone with it.
                    Some("refused") if path.with_extension("ndjson").exists() || !path.exists() => {
                    }
                    _ => std::fs::remove_file(&path)?,
                }
            }
        }
        Ok(files)
    }
}

/// A folder for a data source. Names are identifiers, with a dot in those of another workspace.
pub(in crate::ingest) fn folder_name(name: &str) -> String {
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

/// The token under which a file goes into the engine.
pub(in crate::ingest) fn token(path: &Path) -> String {
    format!(
        "events:{}",
        path.file_stem().unwrap_or_default().to_string_lossy()
    )
}

/// Cuts a line off whose end was never written, which nobody was told of; returns how many lines there are. Blocks.
pub(in crate::ingest) fn cut_torn_line(path: &Path) -> io::Result<u64> {
    let bytes = std::fs::read(path)?;
    let end = memchr::memrchr(b'\n', &bytes).map_or(0, |at| at + 1);
    if end < bytes.len() {
        OpenOptions::new()
            .write(true)
            .open(path)?
            .set_len(end as u64)?;
    }
    Ok(memchr::memchr_iter(b'\n', &bytes[..end]).count() as u64)
}
