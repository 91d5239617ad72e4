//! Each example project, whole: its artifacts as snapshots beside it, and its endpoints' answers on the small fixture in `tests/fixtures`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pipewright::deploy::{self, Progress};
use pipewright::engine::{self, Config, Engine, Query};
use pipewright::workspace;
use pipewright_compiler::diagnostics::render::{self, Style};
use pipewright_compiler::emit::{self, Artifacts};
use pipewright_compiler::plan::{Plan, RequestContext};
use pipewright_compiler::template::{RenderContext, Values};
use serde::Deserialize;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples")
        .join(name)
}

fn compiled(folder: &Path) -> Plan {
    let workspace = workspace::read(folder).expect("the example is there");
    let (plan, diagnostics) = pipewright_compiler::check(workspace.sources);
    let shown = render::text(&diagnostics, plan.project.sources.files(), Style::Plain);
    assert!(
        diagnostics.is_empty(),
        "an example has no findings:\n{shown}"
    );
    plan
}

fn artifacts(plan: &Plan) -> Artifacts {
    let (artifacts, diagnostics) = emit::emit(plan);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    artifacts
}

/// The files of one folder of a build as one text.
fn folder(artifacts: &Artifacts, prefix: &str) -> String {
    let mut text = String::new();
    for (name, content) in artifacts
        .files
        .iter()
        .filter(|(name, _)| name.starts_with(prefix))
    {
        _ = writeln!(text, "==> {name}\n{content}");
    }
    text
}

fn assert_beside(folder: &Path, name: &str, text: &str) {
    insta::with_settings!({ snapshot_path => folder.join("snap"), prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, text);
    });
}

#[test]
fn web_analytics_artifacts_are_as_committed() {
    let root = example("web-analytics");
    let artifacts = artifacts(&compiled(&root));
    for group in [
        "endpoints/",
        "pipes/",
        "ddl/",
        "explain/",
        "lineage.json",
        "openapi.json",
        "manifest.json",
    ] {
        assert_beside(
            &root,
            group.trim_end_matches(['/']).trim_end_matches(".json"),
            &folder(&artifacts, group),
        );
    }
}

#[test]
fn a_build_is_the_same_to_the_byte_from_another_folder() {
    let root = example("web-analytics");
    let first = artifacts(&compiled(&root));
    let copy = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in first
        .files
        .iter()
        .filter_map(|(name, text)| Some((name.strip_prefix("source/")?, text)))
    {
        let path = copy.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }
    assert_eq!(first, artifacts(&compiled(copy.path())));
}

/// One case of a `tests/<pipe>.yaml` file.
#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    #[serde(default)]
    parameters: String,
    expected_result: String,
}

struct Quiet;

impl Progress for Quiet {
    fn say(&self, _: &str) {}
}

async fn answer(plan: &Plan, engine: &dyn Engine, pipe: &str, parameters: &str) -> String {
    let pairs = form_urlencoded::parse(parameters.as_bytes());
    let values: Values = pairs
        .map(|(name, value)| (name, value.into_owned().into()))
        .collect();
    let node = plan
        .pipe(pipe)
        .and_then(|pipe| pipe.endpoint_node())
        .expect("the test names an endpoint");
    let request = RequestContext {
        values: &values,
        render: RenderContext::default(),
    };
    let compiled = plan
        .compile_node(&node.id, request)
        .expect("the request compiles");
    let mut query = Query::new(compiled.sql.text(), "JSONEachRow");
    query.settings.push((
        "output_format_json_quote_64bit_integers".to_owned(),
        "0".to_owned(),
    ));
    let answer = engine.query(query).await.expect("the query runs");
    String::from_utf8(answer.bytes().await.expect("the answer arrives").to_vec())
        .expect("JSON is UTF-8")
}

#[tokio::test(flavor = "multi_thread")]
async fn web_analytics_endpoints_answer_as_its_test_files_say() {
    let root = example("web-analytics");
    let plan = compiled(&root);
    let state = tempfile::tempdir().expect("a temporary folder");
    assert!(
        engine::locate().is_some(),
        "the engine is not installed: run `cargo run -- engine install`"
    );
    let engine: Arc<dyn Engine> = engine::open(Config::embedded(state.path()))
        .await
        .expect("the engine opens");
    // The small fixture lies in `tests/fixtures`, as the big one does in `fixtures`.
    let deployed = deploy::deploy(&plan, &root.join("tests"), engine.as_ref(), &Quiet)
        .await
        .expect("the project deploys");
    assert_eq!(deployed.loaded, [("page_hits".to_owned(), 49)]);
    let mut cases = 0;
    let mut files: Vec<PathBuf> = std::fs::read_dir(root.join("tests"))
        .expect("tests")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    for file in files
        .iter()
        .filter(|file| file.extension().is_some_and(|ending| ending == "yaml"))
    {
        let pipe = file.file_stem().expect("a name").to_string_lossy();
        let text = std::fs::read_to_string(file).expect("a test file");
        for case in yaml_serde::from_str::<Vec<Case>>(&text).expect("valid YAML") {
            let got = answer(&plan, engine.as_ref(), &pipe, &case.parameters).await;
            similar_asserts::assert_eq!(
                got.trim_end(),
                case.expected_result.trim_end(),
                "{pipe}: {}",
                case.name
            );
            cases += 1;
        }
    }
    engine.shutdown().await;
    assert!(cases >= 8, "only {cases} cases were found");
}
