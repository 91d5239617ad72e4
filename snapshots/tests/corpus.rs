//! The scoreboard over public projects: `check` without an engine on projects that no one here wrote.
//!
//! The projects are not in this repository. `PIPEWRIGHT_CORPUS` names a folder with one folder for each of them (`owner+name`); with it, the counts are
//! compared with the committed ones. Without it there is nothing to count, and only the committed scoreboard is looked at.

mod folders;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use folders::sorted;
use pipewright::workspace;
use pipewright_grammar::diagnostic::Severity;

const SCOREBOARD: &str = include_str!("corpus.txt");

/// Errors that are true: what they say of the project is so, and a deploy would stumble over it too.
const TRUE_ERRORS: &[(&str, usize, &str)] = &[(
    "tinybirdco+use-case-examples",
    8,
    "eight pipes of one project exist in two files with different contents",
)];

#[test]
fn public_projects_check_without_a_false_error() {
    if let Some(corpus) = std::env::var_os("PIPEWRIGHT_CORPUS") {
        let counted = scoreboard(&PathBuf::from(corpus));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(
                Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus.txt"),
                &counted,
            )
            .expect("the scoreboard is written");
            return;
        }
        similar_asserts::assert_eq!(counted, SCOREBOARD, "UPDATE=1 rewrites the scoreboard");
    }
    let mut projects = 0;
    for line in SCOREBOARD.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let errors: usize = fields[4].parse().expect("a count");
        let expected = TRUE_ERRORS
            .iter()
            .find(|(name, ..)| *name == fields[0])
            .map_or(0, |(_, count, _)| *count);
        assert_eq!(errors, expected, "{line}");
        projects += 1;
    }
    assert!(projects >= 8, "the scoreboard has {projects} projects");
}

fn scoreboard(corpus: &Path) -> String {
    let mut text = format!(
        "{:<55} {:>6} {:>6} {:>6} {:>6} {:>8}\n",
        "repository", "files", "pipes", "nodes", "errors", "warnings"
    );
    for folder in sorted(corpus) {
        let workspace = workspace::read(&folder).expect("the project can be read");
        if workspace.sources.files().is_empty() {
            continue;
        }
        let (mut files, mut pipes, mut nodes, mut errors, mut warnings) = (0, 0, 0, 0, 0);
        for project in workspace::projects(&workspace.sources) {
            let (plan, diagnostics) = pipewright_compiler::check(project);
            files += plan.project.sources.files().len();
            pipes += plan.project.pipes.len();
            nodes += plan
                .project
                .pipes
                .values()
                .map(|pipe| pipe.nodes.len())
                .sum::<usize>();
            errors += diagnostics
                .iter()
                .filter(|diagnostic| diagnostic.severity == Severity::Error)
                .count();
            warnings += diagnostics
                .iter()
                .filter(|diagnostic| diagnostic.severity == Severity::Warning)
                .count();
        }
        let name = folder.file_name().expect("a name").to_string_lossy();
        _ = writeln!(
            text,
            "{name:<55} {files:>6} {pipes:>6} {nodes:>6} {errors:>6} {warnings:>8}"
        );
    }
    text
}
