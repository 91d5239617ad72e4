//! COMPATIBILITY.md and the list of diagnostics cannot rot: each row names tests that exist, and each code has its line.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Adds the names of the functions in every `.rs` file below a folder.
fn functions(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("the folder can be read") {
        let entry = entry.expect("the entry can be read");
        let path = entry.path();
        if path.is_dir() {
            let name = entry.file_name();
            let skipped = name == "target" || name.to_string_lossy().starts_with('.');
            if !skipped {
                functions(&path, names);
            }
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = std::fs::read_to_string(&path).expect("sources are text");
            names.extend(text.lines().filter_map(|line| {
                let line = line.trim_start();
                let line = line.strip_prefix("async ").unwrap_or(line);
                let name = line.strip_prefix("fn ")?.split_once('(')?.0;
                Some(name.to_owned())
            }));
        }
    }
}

/// The cells of each row of the tables of a page, without headings.
fn rows(page: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut in_table = false;
    for line in page.lines() {
        let Some(inner) = line
            .strip_prefix('|')
            .and_then(|rest| rest.strip_suffix('|'))
        else {
            in_table = false;
            continue;
        };
        if inner
            .chars()
            .all(|character| matches!(character, '-' | '|' | ' '))
        {
            in_table = true;
        } else if in_table {
            // `\|` is a bar inside a cell.
            let cells = inner.replace("\\|", "\u{0}");
            rows.push(
                cells
                    .split('|')
                    .map(|cell| cell.trim().replace('\u{0}', "|"))
                    .collect(),
            );
        }
    }
    rows
}

#[test]
fn every_row_of_the_compatibility_tables_is_tied_to_tests_that_exist() {
    let mut names = BTreeSet::new();
    for folder in ["grammar", "compiler", "runtime", "snapshots"] {
        functions(&root().join(folder), &mut names);
    }
    let page = read("COMPATIBILITY.md");
    let tables = page
        .find("\n## ")
        .map(|at| &page[at..])
        .expect("the page has sections");
    let rows = rows(tables);
    assert!(rows.len() > 150, "only {} rows were found", rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        let [what, status, _, tests] = row.as_slice() else {
            wrong.push(format!("{row:?} has not four cells"));
            continue;
        };
        if !matches!(
            status.as_str(),
            "supported" | "differs" | "kept" | "refused" | "added" | "missing"
        ) {
            wrong.push(format!("{what}: `{status}` is no status"));
        }
        if tests == "—" {
            continue;
        }
        for test in tests.split(',') {
            let test = test.trim().trim_matches('`');
            if !names.contains(test) {
                wrong.push(format!("{what}: there is no test `{test}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_code_has_its_line_in_the_list_of_diagnostics() {
    let page = read("book/src/diagnostics.md");
    let listed: BTreeSet<String> = rows(&page)
        .iter()
        .map(|row| row[0].trim_matches('`').to_owned())
        .collect();
    let codes: BTreeSet<String> = [
        pipewright_grammar::codes::ALL,
        pipewright_compiler::diagnostics::codes::ALL,
    ]
    .concat()
    .iter()
    .map(|code| code.name().to_owned())
    .collect();
    assert_eq!(listed, codes);
}
