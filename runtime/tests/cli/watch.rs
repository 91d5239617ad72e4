//! `check --watch`.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use super::harness::Project;

/// Far longer than any change takes to be seen.
const PATIENCE: Duration = Duration::from_mins(1);

/// Ends the process, however the test ends.
struct Watching(Child);

impl Drop for Watching {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn watch(project: &Project) -> (Watching, Receiver<String>) {
    let mut command = project.command(&["check", "--watch", "--format", "concise"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let stdout = child.stdout.take().expect("its output");
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    (Watching(child), lines)
}

fn pipe(table: &str) -> String {
    format!("NODE n\nSQL >\n    SELECT 1 AS one FROM {table}\n\nTYPE endpoint\n")
}

#[test]
fn a_change_of_a_file_is_checked() {
    let project = Project::new(&[("pipes/a.pipe", &pipe("nowhere"))]);
    let (_watching, lines) = watch(&project);
    let next = || lines.recv_timeout(PATIENCE).expect("a finding in time");
    assert!(next().contains("`nowhere` is no node"));
    project.write("pipes/a.pipe", &pipe("elsewhere"));
    assert!(next().contains("`elsewhere` is no node"));
    // In a folder that was not there, and what is no datafile in between.
    project.write("notes.txt", "nothing");
    project.write("more/pipes/b.pipe", &pipe("a, somewhere"));
    let (first, second) = (next(), next());
    assert!(first.contains("`somewhere` is no node"), "{first}");
    assert!(second.contains("`elsewhere` is no node"), "{second}");
}
