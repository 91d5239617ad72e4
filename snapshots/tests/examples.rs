//! Each example project, whole: its artifacts as snapshots beside it, and its endpoints' answers on the small fixture in `tests/fixtures`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pipewright::deploy::{self, Progress};
use pipewright::engine::{self, Config, Engine, Query};
use pipewright::ingest::Ingest;
use pipewright::workspace;
use pipewright_compiler::diagnostics::render::{self, Style};
use pipewright_compiler::emit::{self, Artifacts};
use pipewright_compiler::plan::{Plan, RequestContext};
use pipewright_compiler::template::{RenderContext, Values};
use serde::Deserialize;

/// Every folder below `examples/`, by name: a new example is covered as soon as it is there.
fn examples() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let folders = entries(&root);
    let folders: Vec<PathBuf> = folders.into_iter().filter(|path| path.is_dir()).collect();
    assert!(folders.len() >= 4, "only {} examples", folders.len());
    folders
}

/// What lies in a folder, sorted.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder can be read");
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn stem(file: &Path) -> String {
    let stem = file.file_stem().expect("a file has a name");
    stem.to_string_lossy().into_owned()
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
fn artifacts_of_every_example_are_as_committed() {
    for root in examples() {
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
}

#[test]
fn a_build_is_the_same_to_the_byte_from_another_folder() {
    for root in examples() {
        let first = artifacts(&compiled(&root));
        let copy = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in first
            .files
            .iter()
            .filter_map(|(name, text)| Some((name.strip_prefix("source/")?, text)))
        {
            let path = copy.path().join(name);
            let parent = path.parent().expect("a file is in a folder");
            std::fs::create_dir_all(parent).expect("a folder");
            std::fs::write(path, text).expect("a file");
        }
        assert_eq!(first, artifacts(&compiled(copy.path())));
    }
}

/// One case of a `tests/<pipe>.yaml` file.
#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    #[serde(default)]
    parameters: String,
    #[serde(default)]
    expected_result: String,
    /// What a request that is refused is told, in place of a result.
    expected_error: Option<String>,
}

struct Quiet;

impl Progress for Quiet {
    fn say(&self, _: &str) {}
}

/// The rows of an answer, or why the request cannot become a statement.
async fn answer(
    plan: &Plan,
    engine: &dyn Engine,
    pipe: &str,
    parameters: &str,
) -> Result<String, String> {
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
        .map_err(|error| error.to_string())?;
    let mut query = Query::new(compiled.sql.text(), "JSONEachRow");
    query.settings.push((
        "output_format_json_quote_64bit_integers".to_owned(),
        "0".to_owned(),
    ));
    let answer = engine.query(query).await.expect("the query runs");
    let bytes = answer.bytes().await.expect("the answer arrives");
    Ok(String::from_utf8(bytes.to_vec()).expect("JSON is UTF-8"))
}

/// The cases of one example, by pipe.
fn cases(root: &Path) -> Vec<(String, Vec<Case>)> {
    let files = entries(&root.join("tests"));
    let files = files
        .iter()
        .filter(|file| file.extension().is_some_and(|ending| ending == "yaml"));
    files
        .map(|file| {
            let text = std::fs::read_to_string(file).expect("a test file");
            (stem(file), yaml_serde::from_str(&text).expect("valid YAML"))
        })
        .collect()
}

/// Loads the small fixture of an example into an engine of its own and runs its cases there.
async fn answers_are_as_expected(root: &Path) {
    let plan = compiled(root);
    let state = tempfile::tempdir().expect("a temporary folder");
    let engine: Arc<dyn Engine> = engine::open(Config::embedded(state.path()))
        .await
        .expect("the engine opens");
    // The small fixture lies in `tests/fixtures`, as the big one does in `fixtures`.
    let ingest = Ingest::open(Arc::clone(&engine), state.path()).expect("the folder of rows");
    let deployed = deploy::deploy(&plan, &root.join("tests"), &ingest, &Quiet)
        .await
        .expect("the project deploys");
    assert_eq!(deployed.unloaded, [], "{}", root.display());
    let mut loaded = String::new();
    for (datasource, rows) in &deployed.loaded {
        _ = writeln!(loaded, "{datasource} {rows}");
    }
    assert_beside(root, "loaded", &loaded);
    for (pipe, cases) in cases(root) {
        for case in cases {
            let got = answer(&plan, engine.as_ref(), &pipe, &case.parameters).await;
            let expected = case.expected_error.map_or(Ok(case.expected_result), Err);
            similar_asserts::assert_eq!(
                got.as_deref().map(str::trim_end),
                expected.as_deref().map(str::trim_end),
                "{}: {pipe}: {}",
                root.display(),
                case.name
            );
        }
    }
    engine.shutdown().await;
}

#[test]
fn every_endpoint_of_every_example_has_a_case() {
    for root in examples() {
        let plan = compiled(&root);
        let cases = cases(&root);
        for (name, pipe) in &plan.pipes {
            let cases = cases.iter().filter(|(of, _)| *of == name.to_string());
            assert!(
                pipe.endpoint_node().is_none()
                    || cases.map(|(_, cases)| cases.len()).sum::<usize>() > 0,
                "{}: no case for {name}",
                root.display()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_of_every_example_answer_as_its_test_files_say() {
    assert!(
        engine::locate().is_some(),
        "the engine is not installed: run `cargo run -- engine install`"
    );
    for root in examples() {
        answers_are_as_expected(&root).await;
    }
}
