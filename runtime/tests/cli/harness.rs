//! A project in a temporary folder, and the binary run in it.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

pub(crate) struct Project(TempDir);

impl Project {
    /// A project with these files.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let project = Self(tempfile::tempdir().expect("a temporary folder"));
        for (name, text) in files {
            project.write(name, text);
        }
        project
    }

    /// What `pipewright init` makes.
    pub(crate) fn initial() -> Self {
        let project = Self::new(&[]);
        assert!(
            project
                .command(&["init"])
                .output()
                .expect("the binary runs")
                .status
                .success()
        );
        project
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.path().join(name)).expect("the file is there")
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The binary with these arguments, run in the project's folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipewright"));
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env_clear()
            .env("NO_COLOR", "1");
        command
    }
}

/// Snapshots a run: exit code, stdout and stderr.
macro_rules! snapshot {
    ($name:literal, $project:expr, $arguments:expr) => {{
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(&regex_of($project.path()), "[project]");
        settings.bind(|| insta_cmd::assert_cmd_snapshot!($name, $project.command(&$arguments)));
    }};
}
pub(crate) use snapshot;

/// A pattern for a path, which may be shown with or without its symbolic links resolved.
pub(crate) fn regex_of(path: &Path) -> String {
    let escaped = |path: &Path| path.to_string_lossy().replace('.', r"\.");
    let resolved = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    format!("({}|{})", escaped(&resolved), escaped(path))
}
