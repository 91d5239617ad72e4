//! Reads the datafiles of a folder.

use std::io;
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;
use pipewright_compiler::project::{FileKind, SourceTree};
use pipewright_grammar::diagnostic::Diagnostic;
use pipewright_grammar::source::{SourceFile, SourceId};
use rayon::prelude::*;

/// Folders that never hold datafiles of the project. `build` is what `pipewright build` writes. Playgrounds are notes of the original's web interface: they are written
/// like pipes, are none, and may have the names of resources.
const SKIPPED: &[&str] = &["node_modules", "target", "__pycache__", "playgrounds"];

/// A project folder as read.
#[derive(Debug)]
pub struct Workspace {
    /// Where the sources lie.
    pub root: PathBuf,
    /// The datafiles.
    pub sources: SourceTree,
    /// Files that are not UTF-8.
    pub diagnostics: Vec<Diagnostic>,
}

/// Why a folder cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The path is not a folder.
    #[error("`{}` is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// A file or folder below cannot be read.
    #[error("cannot read `{}`: {source}", .path.display())]
    Unreadable {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Reads every datafile below `root`. A folder that `pipewright build` wrote is read from the sources in it.
pub fn read(root: &Path) -> Result<Workspace, ReadError> {
    if !root.is_dir() {
        return Err(ReadError::NotAFolder(root.to_path_buf()));
    }
    let built = root.join("source");
    let root = if root.join("manifest.json").is_file() && built.is_dir() {
        built
    } else {
        root.to_path_buf()
    };
    let paths = datafiles(&root)?;
    let contents: Vec<(String, Vec<u8>)> = paths
        .into_par_iter()
        .map(|(name, path)| {
            std::fs::read(&path)
                .map(|bytes| (name, bytes))
                .map_err(|source| ReadError::Unreadable { path, source })
        })
        .collect::<Result<_, _>>()?;
    let mut diagnostics = Vec::new();
    let mut files = Vec::with_capacity(contents.len());
    for (at, (name, bytes)) in contents.into_iter().enumerate() {
        let id = SourceId(u32::try_from(at).unwrap_or(u32::MAX));
        let (file, mut found) = SourceFile::from_bytes(id, name.clone(), bytes);
        diagnostics.append(&mut found);
        files.push((name, file.text().to_owned()));
    }
    Ok(Workspace {
        root,
        sources: SourceTree::new(files),
        diagnostics,
    })
}

/// The datafiles below `root` as (name with `/`, path), sorted by name.
fn datafiles(root: &Path) -> Result<Vec<(String, PathBuf)>, ReadError> {
    let walk = WalkBuilder::new(root)
        .git_ignore(false)
        .git_global(false)
        .git_exclude(false)
        .ignore(false)
        .follow_links(false)
        .filter_entry(|entry| {
            let name = entry.file_name().to_string_lossy();
            let is_build =
                entry.path().join("manifest.json").is_file() && entry.path().join("ddl").is_dir();
            !SKIPPED.contains(&name.as_ref())
                && (entry.depth() == 0
                    || !entry.file_type().is_some_and(|kind| kind.is_dir())
                    || !is_build)
        })
        .build();
    let mut files = Vec::new();
    for entry in walk {
        let entry = entry.map_err(|error| {
            let source = io::Error::other(error.to_string());
            ReadError::Unreadable {
                path: root.to_path_buf(),
                source: error.into_io_error().unwrap_or(source),
            }
        })?;
        let name = entry
            .path()
            .strip_prefix(root)
            .unwrap_or(entry.path())
            .to_string_lossy()
            .replace('\\', "/");
        if FileKind::of(&name).is_some() && entry.file_type().is_some_and(|kind| kind.is_file()) {
            files.push((name, entry.into_path()));
        }
    }
    files.sort();
    Ok(files)
}
