//! The folders of a corpus of projects.

use std::path::{Path, PathBuf};

/// What lies in a folder, in an order that is always the same.
pub(crate) fn sorted(corpus: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(corpus)
        .expect("the corpus is a folder")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    folders.sort();
    folders
}
