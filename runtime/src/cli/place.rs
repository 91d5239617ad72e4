//! Where the files of a project are, as somebody outside of it needs to know: a terminal opens paths from the current folder, GitHub from the root of a repository.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use pipewright_grammar::source::SourceFile;

/// The files of a project under paths from the current folder.
pub(super) fn from_here<'a>(files: &'a [SourceFile], folder: &Path) -> Cow<'a, [SourceFile]> {
    below(files, &prefix(folder, std::env::current_dir().ok()))
}

/// The same under paths from the root of the repository around the project; from the current folder where there is none.
pub(super) fn from_repository<'a>(files: &'a [SourceFile], folder: &Path) -> Cow<'a, [SourceFile]> {
    let whole = folder
        .canonicalize()
        .unwrap_or_else(|_| folder.to_path_buf());
    let is_root = |folder: &&Path| folder.join(".git").exists();
    match whole.ancestors().find(is_root) {
        Some(root) => below(files, &prefix(folder, Some(root.to_path_buf()))),
        None => from_here(files, folder),
    }
}

fn below<'a>(files: &'a [SourceFile], prefix: &str) -> Cow<'a, [SourceFile]> {
    if prefix.is_empty() {
        return Cow::Borrowed(files);
    }
    let placed = |file: &SourceFile| {
        SourceFile::new(file.id(), format!("{prefix}{}", file.name()), file.text())
    };
    files.iter().map(placed).collect()
}

/// What leads from a folder to the project, with a slash at its end.
fn prefix(folder: &Path, from: Option<PathBuf>) -> String {
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let as_given = || with_slash(folder);
    let Some(from) = from.map(|from| whole(&from)) else {
        return as_given();
    };
    let folder = whole(folder);
    if let Ok(inner) = folder.strip_prefix(&from) {
        return with_slash(inner);
    }
    match from.strip_prefix(&folder) {
        Ok(deeper) => "../".repeat(deeper.components().count()),
        Err(_) => as_given(),
    }
}

fn with_slash(path: &Path) -> String {
    let text = path.to_string_lossy().replace('\\', "/");
    match text.as_str() {
        "" | "." => String::new(),
        text if text.ends_with('/') => text.to_owned(),
        text => format!("{text}/"),
    }
}
