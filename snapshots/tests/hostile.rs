//! Projects that no one would write: deep, large, broken or circular. Each must end in findings, soon, and without a crash.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use pipewright::workspace;
use pipewright_compiler::diagnostics::render;
use pipewright_compiler::emit;
use pipewright_compiler::plan::Plan;
use pipewright_compiler::project::SourceTree;
use pipewright_grammar::diagnostic::{Diagnostic, Severity};

const HITS: &str = "SCHEMA >\n    `k` Int64\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"k\"\n";

/// Far more than any of these takes on a slow and busy machine.
const SOON: Duration = Duration::from_mins(1);

fn checked(files: &[(&str, &str)]) -> (Plan, Vec<Diagnostic>) {
    let files = files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    pipewright_compiler::check(SourceTree::new(files))
}

/// The codes of the errors, each once.
fn codes(diagnostics: &[Diagnostic]) -> Vec<&str> {
    let mut codes: Vec<&str> = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error)
        .map(|diagnostic| diagnostic.code.name())
        .collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

fn emitted(plan: &Plan) -> Vec<String> {
    let (_, diagnostics) = emit::emit(plan);
    diagnostics
        .iter()
        .map(|diagnostic| diagnostic.message.to_string())
        .collect()
}

fn chain(length: usize) -> String {
    let mut text = String::from("NODE n0\nSQL >\n    SELECT * FROM hits\n\n");
    for at in 1..length {
        let _ = write!(text, "NODE n{at}\nSQL >\n    SELECT * FROM n{}\n\n", at - 1);
    }
    text.push_str("TYPE endpoint\n");
    text
}

#[test]
fn a_chain_of_ten_thousand_nodes_is_refused_and_not_followed() {
    let started = Instant::now();
    let (plan, diagnostics) = checked(&[("hits.datasource", HITS), ("a.pipe", &chain(10_000))]);
    assert_eq!(codes(&diagnostics), [""; 0]);
    assert_eq!(
        emitted(&plan),
        ["more than 200 nodes read one another in a chain down to `a.n9799`"]
    );
    // The tree of the explanation ends too.
    let explained = emit::explain(&plan, plan.pipe("a").expect("the pipe"));
    assert!(explained.contains('…'), "{explained:.200}");
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

#[test]
fn a_chain_as_long_as_may_be_compiles() {
    let (plan, diagnostics) = checked(&[("hits.datasource", HITS), ("a.pipe", &chain(200))]);
    assert_eq!(codes(&diagnostics), [""; 0]);
    assert_eq!(emitted(&plan), [""; 0]);
}

#[test]
fn a_circle_of_ten_thousand_nodes_is_found() {
    let started = Instant::now();
    let text = chain(10_000).replacen("FROM hits", "FROM n9999", 1);
    let (_, diagnostics) = checked(&[("a.pipe", &text)]);
    assert_eq!(codes(&diagnostics), ["dependency-cycle"]);
    assert!(diagnostics[0].message.len() < 1_000);
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

#[test]
fn a_diamond_of_forty_levels_is_refused_by_its_size() {
    let started = Instant::now();
    let mut text = String::from("NODE n0\nSQL >\n    SELECT * FROM hits\n\n");
    for at in 1..40 {
        let before = at - 1;
        let _ = write!(
            text,
            "NODE n{at}\nSQL >\n    SELECT * FROM n{before} UNION ALL SELECT * FROM n{before}\n\n"
        );
    }
    text.push_str("TYPE endpoint\n");
    let (plan, diagnostics) = checked(&[("hits.datasource", HITS), ("a.pipe", &text)]);
    assert_eq!(codes(&diagnostics), [""; 0]);
    let messages = emitted(&plan);
    assert_eq!(messages.len(), 1);
    assert!(
        messages[0].starts_with("the statement grows past 16777216 bytes"),
        "{}",
        messages[0]
    );
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

#[test]
fn a_hundred_thousand_parentheses_are_refused() {
    let deep = format!(
        "NODE n\nSQL >\n    SELECT {}1{}\n\nTYPE endpoint\n",
        "(".repeat(100_000),
        ")".repeat(100_000)
    );
    let (_, diagnostics) = checked(&[("a.pipe", &deep)]);
    assert_eq!(codes(&diagnostics), ["sql-syntax"]);
    assert_eq!(diagnostics[0].message, "the brackets are nested too deeply");
}

#[test]
fn a_node_of_ten_megabytes_is_compiled() {
    let started = Instant::now();
    let list = "12345678, ".repeat(1_000_000);
    let text =
        format!("NODE n\nSQL >\n    SELECT k FROM hits WHERE k IN ({list}1)\n\nTYPE endpoint\n");
    let (plan, diagnostics) = checked(&[("hits.datasource", HITS), ("a.pipe", &text)]);
    assert_eq!(codes(&diagnostics), [""; 0]);
    assert_eq!(emitted(&plan), [""; 0]);
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

#[test]
fn two_pipes_that_read_each_other_are_a_circle() {
    let endpoint =
        |from: &str| format!("NODE n\nSQL >\n    SELECT * FROM {from}\n\nTYPE endpoint\n");
    let (plan, diagnostics) = checked(&[("a.pipe", &endpoint("b")), ("b.pipe", &endpoint("a"))]);
    assert_eq!(codes(&diagnostics), ["dependency-cycle"]);
    assert_eq!(emitted(&plan).len(), 2, "neither compiles");
}

#[test]
fn includes_in_a_circle_are_named_once() {
    let (_, diagnostics) = checked(&[
        ("a.pipe", "INCLUDE \"x.incl\"\n"),
        ("x.incl", "INCLUDE \"y.incl\"\nINCLUDE \"y.incl\"\n"),
        ("y.incl", "INCLUDE \"x.incl\"\nINCLUDE \"y.incl\"\n"),
    ]);
    let mut messages: Vec<&str> = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.code.name() == "missing-include")
        .map(|diagnostic| &*diagnostic.message)
        .collect();
    messages.sort_unstable();
    messages.dedup();
    assert_eq!(
        messages,
        [
            "included file `x.incl` includes itself",
            "included file `y.incl` includes itself"
        ]
    );
}

#[test]
fn includes_that_double_at_each_level_are_bounded() {
    let started = Instant::now();
    let names: Vec<String> = (0..16).map(|at| format!("i{at}.incl")).collect();
    let mut files = vec![("a.pipe", "INCLUDE \"i0.incl\"\n".to_owned())];
    for (at, name) in names.iter().enumerate() {
        let line = format!("INCLUDE \"i{}.incl\"\n", at + 1);
        files.push((name, line.repeat(2)));
    }
    files.push(("i16.incl", "NODE n\nSQL >\n    SELECT 1\n".to_owned()));
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, &**text)).collect();
    let (_, diagnostics) = checked(&files);
    assert!(codes(&diagnostics).contains(&"missing-include"));
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

fn shown(files: &[(&str, &[u8])], prepare: impl Fn(&Path)) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).expect("a file");
    }
    prepare(folder.path());
    let workspace = workspace::read(folder.path()).expect("the folder can be read");
    let found = workspace.diagnostics;
    let (plan, mut diagnostics) = pipewright_compiler::check(workspace.sources);
    diagnostics.extend(found);
    render::concise(&diagnostics, plan.project.sources.files())
}

#[test]
fn what_is_no_datafile_is_passed_over() {
    let shown = shown(
        &[("a.pipe", b"NODE n\nSQL >\n    SELECT 1\nTYPE standard\n")],
        |folder| {
            std::fs::create_dir(folder.join("x.pipe")).expect("a folder");
            #[cfg(unix)]
            std::os::unix::fs::symlink("nowhere", folder.join("gone.pipe")).expect("a link");
        },
    );
    assert_eq!(shown, "");
}

#[test]
fn empty_and_binary_files_and_odd_names_are_findings() {
    let binary: Vec<u8> = (0..=255).cycle().take(4096).collect();
    let shown = shown(
        &[
            ("empty.pipe", b""),
            ("empty.datasource", b""),
            ("blank.pipe", b"\n \n\t\n"),
            ("binary.pipe", &binary),
            ("größe.pipe", b"NODE n\nSQL >\n    SELECT 1\n"),
            ("two words.datasource", HITS.as_bytes()),
        ],
        |_| {},
    );
    for name in ["binary.pipe", "größe.pipe", "two words.datasource"] {
        assert!(
            shown
                .lines()
                .any(|line| line.contains(name) && line.contains("error")),
            "{name} in\n{shown}"
        );
    }
}

#[test]
fn the_settings_file_is_checked_at_its_places() {
    let first = |text: &str| {
        let (_, diagnostics) = checked(&[("pipewright.toml", text)]);
        let found = diagnostics.first().expect("a finding");
        let place = found.primary().expect("a place");
        (found.code.name(), text[place.range()].to_owned())
    };
    assert_eq!(
        first("[server]\nprot = 1\n"),
        ("bad-config", "prot".to_owned())
    );
    assert_eq!(
        first("[server]\nport = \"x\"\n"),
        ("bad-config", "\"x\"".to_owned())
    );
    assert_eq!(
        first("[lints]\nno-such-code = \"off\"\n"),
        ("unknown-lint", "no-such-code".to_owned())
    );
    assert_eq!(
        first("[lints]\nbad-type = \"loud\"\n"),
        ("unknown-lint", "bad-type".to_owned())
    );
}
