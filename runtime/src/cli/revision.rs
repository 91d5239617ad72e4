//! Versions of a project: a folder, or a revision of the git repository that a folder lies in.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, anyhow, bail};
use tempfile::TempDir;

/// A version of a project on disk; a revision lies in a temporary folder for as long as this is there.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) folder: PathBuf,
    checked_out: Option<TempDir>,
}

/// The version that a text names: a folder that is there, else a revision of the repository around `project`.
pub(super) fn version(text: &str, project: &Path) -> anyhow::Result<Version> {
    let folder = PathBuf::from(text);
    if folder.is_dir() {
        return Ok(Version {
            folder,
            checked_out: None,
        });
    }
    let checked_out = check_out(text, project)?;
    Ok(Version {
        folder: checked_out.path().to_path_buf(),
        checked_out: Some(checked_out),
    })
}

impl Version {
    /// Where its files are for who reads about them: those of a revision are where the project has them.
    pub(super) fn shown_at<'a>(&'a self, project: &'a Path) -> &'a Path {
        match &self.checked_out {
            Some(_) => project,
            None => &self.folder,
        }
    }
}

/// The working folder itself.
pub(super) fn working(project: &Path) -> Version {
    Version {
        folder: project.to_path_buf(),
        checked_out: None,
    }
}

/// Writes the project as it is in a revision into a temporary folder. Neither the work tree nor the index of the repository is touched.
fn check_out(revision: &str, project: &Path) -> anyhow::Result<TempDir> {
    // What is missing first is what matters.
    let or = |error: anyhow::Error, message: String| match error.downcast_ref::<Missing>() {
        Some(_) => error,
        None => anyhow!(message),
    };
    let root = git(project, &["rev-parse", "--show-toplevel"], revision).map_err(|error| {
        let folder = project.display();
        or(
            error,
            format!("`{revision}` is no folder, and `{folder}` is in no git repository where it could be a revision"),
        )
    })?;
    let prefix = git(project, &["rev-parse", "--show-prefix"], revision)?;
    let commit = format!("{revision}^{{commit}}");
    let arguments = [
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        &commit,
    ];
    let commit = git(project, &arguments, revision).map_err(|error| {
        or(
            error,
            format!("`{revision}` is neither a folder nor a revision of this repository"),
        )
    })?;
    let root = PathBuf::from(root);
    let checked_out = tempfile::tempdir().context("cannot make a temporary folder")?;
    let index = tempfile::tempdir().context("cannot make a temporary folder")?;
    let tree = match prefix.trim_end_matches('/') {
        "" => commit,
        prefix => format!("{commit}:{prefix}"),
    };
    let to = format!("--prefix={}/", checked_out.path().display());
    for arguments in [
        &["read-tree", &tree][..],
        &["checkout-index", "--all", "--force", &to],
    ] {
        let mut command = command(&root, arguments);
        command.env("GIT_INDEX_FILE", index.path().join("index"));
        run(&mut command, revision).with_context(|| {
            format!("the project is not in revision `{revision}`, or git cannot give it")
        })?;
    }
    Ok(checked_out)
}

/// git is not installed.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no folder, and git is not installed to look for a revision of that name")]
struct Missing(String);

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(arguments);
    command
}

fn git(folder: &Path, arguments: &[&str], revision: &str) -> anyhow::Result<String> {
    run(&mut command(folder, arguments), revision)
}

fn run(command: &mut Command, revision: &str) -> anyhow::Result<String> {
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!(Missing(revision.to_owned()))
        }
        Err(error) => return Err(error).context("git cannot be run"),
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("git says: {}", said.trim());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.trim_end_matches('\n').to_owned())
}
