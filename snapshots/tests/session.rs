//! A project that is checked again and again, beside the same files checked for the first time: each file of each example is changed in turn, in several ways, and
//! random projects are edited at random.

#[path = "session/edits.rs"]
mod edits;
#[path = "random/tape.rs"]
mod tape;

use std::path::Path;

use pipewright::workspace;
use pipewright_compiler::Session;
use pipewright_compiler::diagnostics::render::{self, Style};
use pipewright_compiler::emit;
use pipewright_compiler::plan::Plan;
use pipewright_compiler::project::SourceTree;
use pipewright_grammar::diagnostic::Diagnostic;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use similar_asserts::SimpleDiff;
use tape::Tape;

type Files = Vec<(String, String)>;

/// Everything that depends on a plan, as text.
fn outcome(plan: &Plan, diagnostics: &[Diagnostic]) -> String {
    let sources = plan.project.sources.files();
    let (artifacts, found) = emit::emit(plan);
    format!(
        "{}\n{}\n{:#?}",
        render::text(diagnostics, sources, Style::Plain),
        render::text(&found, sources, Style::Plain),
        artifacts.files
    )
}

/// The same files after a change: of the text of one, of which files there are, or of what their names mean.
fn changes(files: &Files, at: usize) -> Vec<Files> {
    let (name, text) = &files[at];
    let with = |text: String| {
        let mut changed = files.clone();
        changed[at].1 = text;
        changed
    };
    let half = text.chars().take(text.chars().count() / 2).collect();
    let mut without = files.clone();
    without.remove(at);
    let mut renamed = files.clone();
    renamed[at].0 = name.replacen('.', "_renamed.", 1);
    let mut more = files.clone();
    more.push((
        "aaa.pipe".to_owned(),
        "NODE n\nSQL >\n    SELECT 1\n".to_owned(),
    ));
    vec![
        with(format!(
            "{text}\nNODE added\nSQL >\n    SELECT * FROM nowhere\n"
        )),
        with(half),
        with(text.replacen("NODE ", "NODE another_", 1)),
        with(text.replacen("TYPE endpoint", "TYPE standard", 1)),
        without,
        renamed,
        more,
        files.clone(),
    ]
}

#[test]
fn a_check_after_a_change_finds_what_a_first_check_finds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut checks = 0;
    for example in ["logs-explorer"] {
        let workspace = workspace::read(&root.join(example)).expect("the example is there");
        let files: Files = workspace
            .sources
            .files()
            .iter()
            .map(|file| (file.name().to_owned(), file.text().to_owned()))
            .collect();
        let mut session = Session::default();
        for at in 0..files.len() {
            for changed in changes(&files, at) {
                let (plan, diagnostics) = session.check(SourceTree::new(changed.clone()));
                let again = outcome(plan, &diagnostics);
                let (plan, diagnostics) = pipewright_compiler::check(SourceTree::new(changed));
                similar_asserts::assert_eq!(again, outcome(&plan, &diagnostics), "{}", files[at].0);
                checks += 1;
            }
        }
    }
    assert!(checks > 60, "only {checks}");
}

/// The same edits each time; `PROPTEST_CASES` asks for that many new ones.
fn configuration() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES");
    let asked: Option<u32> = asked.ok().and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(120),
        rng_seed: asked.map_or(RngSeed::Fixed(1), |_| RngSeed::Random),
        failure_persistence: None,
        max_shrink_iters: 300,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(configuration())]

    #[test]
    fn a_check_after_any_edits_finds_what_a_first_check_finds(choices in proptest::collection::vec(any::<u16>(), 60..400)) {
        let mut session = Session::default();
        for (at, files) in edits::states(&mut Tape::new(choices)).into_iter().enumerate() {
            let (plan, diagnostics) = session.check(SourceTree::new(files.clone()));
            let again = outcome(plan, &diagnostics);
            let (plan, diagnostics) = pipewright_compiler::check(SourceTree::new(files.clone()));
            let first = outcome(&plan, &diagnostics);
            let difference = SimpleDiff::from_str(&again, &first, "again", "first");
            prop_assert!(again == first, "after edit {} of {:#?}\n{}", at, files, difference);
        }
    }
}
