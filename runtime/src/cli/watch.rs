//! `pipewright check --watch`: the project is checked again whenever one of its files changes.

use std::path::{Component, Path};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use notify::{Event, EventKind, RecursiveMode, Watcher as _};
use pipewright_compiler::Session;
use pipewright_compiler::project::{FileKind, SourceTree};
use pipewright_grammar::diagnostic::Diagnostic;

use super::ExitStatus;
use super::arguments::ReportFormat;
use super::check::{Shown, print};
use super::printer::Printer;
use crate::workspace;

/// Editors write a file in several steps, and a checkout many files: what comes this soon after a change belongs to it.
const QUIET: Duration = Duration::from_millis(30);

/// However long changes go on, a check comes after this.
const AT_MOST: Duration = Duration::from_millis(500);

/// Checks until the process is ended.
pub(super) fn run(
    format: ReportFormat,
    folder: &Path,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let (sender, events) = mpsc::channel();
    let mut watcher = notify::recommended_watcher(move |event| _ = sender.send(event))
        .context("changes of files cannot be watched")?;
    // Before the first look at the files, so that no change is missed.
    watcher
        .watch(folder, RecursiveMode::Recursive)
        .with_context(|| format!("`{}` cannot be watched", folder.display()))?;
    let mut projects = Projects::default();
    projects.check(format, folder, printer)?;
    printer.note("watching for changes; Ctrl+C ends it");
    while changed(&events, folder) {
        match projects.check(format, folder, printer) {
            Ok(()) => {}
            // A file can be gone again before it is read, and comes back with the next change.
            Err(error) => printer.error(&format!("{error:#}")),
        }
    }
    Ok(ExitStatus::Success)
}

/// The projects of a folder, each with what its last check is remembered by.
#[derive(Default)]
struct Projects {
    sessions: Vec<Session>,
    sources: Option<SourceTree>,
}

impl Projects {
    fn check(
        &mut self,
        format: ReportFormat,
        folder: &Path,
        printer: &Printer,
    ) -> anyhow::Result<()> {
        let workspace = workspace::read(folder)?;
        let is_same = self.sources.as_ref().is_some_and(|sources| {
            let files = sources
                .files()
                .iter()
                .map(|file| (file.name(), file.text()));
            files.eq(workspace
                .sources
                .files()
                .iter()
                .map(|file| (file.name(), file.text())))
        });
        if is_same {
            return Ok(());
        }
        let trees = workspace::projects(&workspace.sources);
        self.sessions.resize_with(trees.len(), Session::default);
        let mut found: Vec<(_, Vec<Diagnostic>)> = self
            .sessions
            .iter_mut()
            .zip(trees)
            .map(|(session, tree)| session.check(tree))
            .collect();
        if let [(_, diagnostics)] = found.as_mut_slice() {
            diagnostics.extend(workspace.diagnostics);
        }
        let shown: Vec<Shown<'_>> = found
            .iter()
            .map(|(plan, diagnostics)| (*plan, diagnostics.as_slice()))
            .collect();
        print(format, &shown, folder, printer)?;
        self.sources = Some(workspace.sources);
        Ok(())
    }
}

/// Waits for a change of a datafile, and then until changes pause. False when there is nothing more to wait for.
fn changed(events: &Receiver<notify::Result<Event>>, folder: &Path) -> bool {
    loop {
        match events.recv() {
            Ok(event) if concerns(&event, folder) => break,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    let first = Instant::now();
    while first.elapsed() < AT_MOST {
        match events.recv_timeout(QUIET) {
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => break,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
    true
}

/// Whether an event can be about a datafile. What is lost on the way could have been.
fn concerns(event: &notify::Result<Event>, folder: &Path) -> bool {
    let Ok(event) = event else {
        return true;
    };
    if matches!(event.kind, EventKind::Access(_)) {
        return false;
    }
    event.need_rescan() || event.paths.iter().any(|path| is_of_project(path, folder))
}

/// Whether a path is that of a datafile, or of a folder that may hold some.
fn is_of_project(path: &Path, folder: &Path) -> bool {
    let inside = path.strip_prefix(folder).unwrap_or(path);
    let is_hidden = inside.components().any(
        |part| matches!(part, Component::Normal(name) if name.to_string_lossy().starts_with('.')),
    );
    let name = inside.to_string_lossy().replace('\\', "/");
    !is_hidden && (FileKind::of(&name).is_some() || inside.extension().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_datafiles_and_folders_concern_the_project() {
        let folder = Path::new("/project");
        let concerns = |path: &str| is_of_project(&folder.join(path), folder);
        assert!(concerns("pipes/a.pipe"));
        assert!(concerns("pipewright.toml"));
        assert!(concerns("pipes"));
        assert!(!concerns("pipes/.a.pipe.swp"));
        assert!(!concerns(".pipewright/state.sqlite"));
        assert!(!concerns("README.md"));
    }
}
