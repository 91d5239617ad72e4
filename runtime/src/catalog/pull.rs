//! Writes what the API changed back into the project's folder, where it can be read, compared and committed.

use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf};

use super::hash;
use crate::state::{State, StateError, StoredFile};

/// What a pull did, as paths in the project.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// Files that were written.
    pub written: Vec<String>,
    /// Files that were deleted.
    pub deleted: Vec<String>,
    /// Files that were left alone because both the API and someone else changed them.
    pub kept: Vec<String>,
}

/// Why nothing more could be pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The state cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// A file cannot be read or written.
    #[error("cannot write `{path}`: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// Brings the folder up to what the API says. A file that was changed on disk since is left alone, unless `force`.
pub fn pull(state: &State, root: &Path, force: bool) -> Result<Pulled, PullError> {
    let mut pulled = Pulled::default();
    for file in state.catalog().files()? {
        let failed = |source| PullError::File {
            path: file.path.clone(),
            source,
        };
        let target = inside(root, &file.path).map_err(failed)?;
        let found = read(&target).map_err(failed)?;
        if found == file.text {
            continue;
        }
        if found.as_deref().map(hash) != file.base && !force {
            pulled.kept.push(file.path.clone());
            continue;
        }
        put(&target, &file).map_err(failed)?;
        match &file.text {
            Some(_) => pulled.written.push(file.path.clone()),
            None => pulled.deleted.push(file.path.clone()),
        }
        let base = file.text.as_deref().map(hash);
        state.catalog().rebase(&file.path, base.as_deref())?;
    }
    Ok(pulled)
}

/// Writes files of a project that nobody but its author knows; those that hold another text than `known` are left alone.
pub fn write_down(
    root: &Path,
    files: &[(String, String)],
    known: impl Fn(&str) -> Option<String>,
) -> Result<Pulled, PullError> {
    let mut pulled = Pulled::default();
    for (path, text) in files {
        let failed = |source| PullError::File {
            path: path.clone(),
            source,
        };
        let target = inside(root, path).map_err(failed)?;
        if read(&target).map_err(failed)? != known(path) {
            pulled.kept.push(path.clone());
            continue;
        }
        write(&target, text).map_err(failed)?;
        pulled.written.push(path.clone());
    }
    Ok(pulled)
}

/// The place of a path, which must be below the root.
fn inside(root: &Path, path: &str) -> io::Result<PathBuf> {
    let path = Path::new(path);
    if path
        .components()
        .all(|part| matches!(part, Component::Normal(_)))
    {
        return Ok(root.join(path));
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "the path leaves the project",
    ))
}

fn read(path: &Path) -> io::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn put(target: &Path, file: &StoredFile) -> io::Result<()> {
    match &file.text {
        Some(text) => write(target, text),
        None => std::fs::remove_file(target),
    }
}

/// Writes a file whole or not at all.
fn write(target: &Path, text: &str) -> io::Result<()> {
    let folder = target.parent().unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut unfinished = tempfile::NamedTempFile::new_in(folder)?;
    unfinished.write_all(text.as_bytes())?;
    unfinished.as_file().sync_all()?;
    unfinished.persist(target).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Origin;

    #[test]
    fn files_are_written_deleted_or_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::in_memory().unwrap();
        let on_disk = |path: &str| read(&folder.path().join(path)).unwrap();
        for (path, text) in [
            ("old.pipe", "old"),
            ("gone.pipe", "gone"),
            ("both.pipe", "changed by hand"),
        ] {
            std::fs::write(folder.path().join(path), text).unwrap();
        }
        let file = |path: &str, text: Option<&str>, base: Option<&str>| StoredFile {
            path: path.to_owned(),
            text: text.map(ToOwned::to_owned),
            base: base.map(hash),
            origin: Origin::Changed,
        };
        let files = [
            file("pipes/new.pipe", Some("new"), None),
            file("old.pipe", Some("changed"), Some("old")),
            file("gone.pipe", None, Some("gone")),
            file("both.pipe", Some("changed by the API"), Some("before")),
        ];
        state.catalog().write(&files, &[], &[], &[]).unwrap();
        let pulled = pull(&state, folder.path(), false).unwrap();
        assert_eq!(pulled.written, ["old.pipe", "pipes/new.pipe"]);
        assert_eq!(
            (pulled.deleted, pulled.kept),
            (vec!["gone.pipe".to_owned()], vec!["both.pipe".to_owned()])
        );
        assert_eq!(
            (on_disk("old.pipe").as_deref(), on_disk("gone.pipe")),
            (Some("changed"), None)
        );
        assert_eq!(on_disk("both.pipe").as_deref(), Some("changed by hand"));
        assert_eq!(
            pull(&state, folder.path(), true).unwrap().written,
            ["both.pipe"]
        );
        assert_eq!(
            pull(&state, folder.path(), false).unwrap(),
            Pulled::default()
        );
    }

    #[test]
    fn no_file_outside_of_the_project_is_touched() {
        for path in ["../x", "/etc/x", "a/../../x", "./x"] {
            assert!(inside(Path::new("/project"), path).is_err(), "{path}");
        }
    }
}
