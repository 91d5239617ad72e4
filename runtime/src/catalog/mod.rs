//! The sources of a running server as a value that the API can change.
//!
//! In: the files on disk and the changes that the API made to them, kept in the state file as texts by path. Out: [`Current`], a compiled project with the
//! ids of its resources. A change is a set of texts; it is compiled like files, brought to the engine, written in one transaction and only then seen.
//! Changes go one after the other; readers never wait.

mod ahead;
mod bounds;
mod captured;
mod datafile;
mod datasource_text;
mod draft;
mod drift;
mod edition;
mod fates;
mod fits;
mod indent;
mod merge;
mod objects;
mod prepared;
mod pull;
mod references;
mod tables;
mod tags;
mod time;
mod wrong_sql;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arc_swap::ArcSwap;
use pipewright_compiler::diagnostics::render;
use pipewright_compiler::optimize::Rules;
use pipewright_compiler::plan::{self, Plan};
use pipewright_compiler::project::SourceTree;
use pipewright_grammar::diagnostic::{Diagnostic, Severity};
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, OwnedMutexGuard};

pub(crate) use ahead::{Ahead, Question, Said};
pub(crate) use bounds::refuse_long_name;
pub use datafile::{EditError, NodeText, PipeText};
pub use datasource_text::{DatasourceParts, DatasourceText, quoted_column};
pub use draft::Draft;
pub use drift::{Author, Drift};
pub use merge::merge;
pub use objects::{Object, Objects, Rename};
pub use prepared::Prepared;
pub use pull::{PullError, Pulled, pull, write_down};
pub(crate) use tags::{line as tags_line, with_tags};
pub use time::{format_micros, now_micros};

use self::ahead::Witness;
use self::references::Renamed;
use self::tables::Migration;
use crate::engine::{Column, Engine, EngineError, columns_of};
use crate::state::{State, StateError};

/// Why the catalog cannot be opened or changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The project would not compile: the first diagnostics.
    #[error("{0}")]
    Invalid(String),
    /// There would be more than there may be.
    #[error("{0}")]
    Beyond(String),
    /// The engine refused a table or view.
    #[error("{0}")]
    Refused(String),
    /// After a rename, something would read another thing than before.
    #[error("{0}")]
    Captured(String),
    /// The engine is to be asked something first, while others may change the catalog.
    #[error("the engine has not been asked yet")]
    Unasked,
    /// The engine did not answer.
    #[error("{0}")]
    Engine(String),
    /// An earlier change could neither be finished nor taken back.
    #[error("{0}")]
    Unfinished(String),
    /// Tables are made anew beside it.
    #[error(
        "rows that views read are being replaced, and no table or view is made, changed or taken away meanwhile: try again when that has ended"
    )]
    TablesHeld,
    /// The text of a file cannot be edited so.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The change could not be written.
    #[error(transparent)]
    State(#[from] StateError),
    /// The system gave no random numbers, or the compiler was stopped.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl From<EngineError> for ChangeError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error.to_string())
    }
}

/// What is in force.
#[derive(Debug)]
pub struct Current {
    /// The texts by path.
    pub files: BTreeMap<String, String>,
    /// The compiled project.
    pub plan: Arc<Plan>,
    /// The ids.
    pub objects: Objects,
    errors: BTreeSet<(String, String)>,
    /// How many deploys have been since the start: they may make tables anew of files that had changed before.
    deploys: u64,
}

/// A change of the sources.
#[derive(Debug, Default, Clone)]
pub struct Change {
    /// Texts by path; `None` takes a file away.
    pub files: BTreeMap<String, Option<String>>,
    /// Resources that keep their ids under other names.
    pub renames: Vec<Rename>,
    /// A file that may be left with errors.
    pub tolerated: Option<String>,
    /// A data source whose table is made anew, without its rows.
    pub anew: Option<String>,
}

impl Change {
    /// Another text for one file; `None` takes it away.
    pub fn of_file(path: String, text: Option<String>) -> Self {
        Self {
            files: BTreeMap::from([(path, text)]),
            ..Self::default()
        }
    }
}

/// The sources of a running server.
#[derive(Debug)]
pub struct Catalog {
    state: Arc<State>,
    base: BTreeMap<String, String>,
    current: ArcSwap<Current>,
    writer: Arc<Mutex<()>>,
    tables: Arc<Mutex<()>>,
}

impl Catalog {
    /// The files on disk with the changes of the API put over them. `plan` is what the files compile to.
    pub fn open(state: Arc<State>, base: &SourceTree, plan: Plan) -> Result<Self, ChangeError> {
        let base: BTreeMap<String, String> = base
            .files()
            .iter()
            .map(|file| (file.name().to_owned(), file.text().to_owned()))
            .collect();
        let overlay = state.catalog().files()?;
        let mut files = base.clone();
        for file in overlay.iter().cloned() {
            match file.text {
                Some(text) => _ = files.insert(file.path, text),
                None => _ = files.remove(&file.path),
            }
        }
        let (plan, errors) = if overlay.is_empty() {
            (plan, BTreeSet::new())
        } else {
            compile(&files, &plan.rules)
        };
        let before = Objects::restore(state.catalog().objects()?);
        let objects = before.of_project(&plan.project, &[])?;
        let (changed, removed) = objects.difference(&before);
        // What has been written to disk is no change any more.
        let same = overlay
            .iter()
            .filter(|file| base.get(&file.path) == file.text.as_ref());
        let same: Vec<String> = same.map(|file| file.path.clone()).collect();
        if !changed.is_empty() || !removed.is_empty() || !same.is_empty() {
            state.catalog().write(&[], &same, &changed, &removed)?;
        }
        let current = Current {
            files,
            plan: Arc::new(plan),
            objects,
            errors,
            deploys: 0,
        };
        Ok(Self {
            state,
            base,
            current: ArcSwap::from_pointee(current),
            writer: Arc::default(),
            tables: Arc::default(),
        })
    }

    /// What is in force.
    pub fn current(&self) -> Arc<Current> {
        self.current.load_full()
    }

    /// The state in which changes are kept.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// What files compile to that are not in force, whatever is wrong with them.
    pub async fn compiled_aside(
        &self,
        files: BTreeMap<String, String>,
    ) -> Result<Plan, ChangeError> {
        let rules = self.current().plan.rules.clone();
        let compiled = tokio::task::spawn_blocking(move || compile(&files, &rules).0);
        Ok(compiled.await.map_err(std::io::Error::other)?)
    }

    /// The right to change the catalog. Others wait.
    pub async fn write(&self) -> Writer<'_> {
        Writer {
            catalog: self,
            ahead: None,
            _guard: self.still().await,
        }
    }

    /// Nobody changes the catalog while this is held.
    pub(crate) async fn still(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.writer).lock_owned().await
    }

    /// The right to change the catalog, for a change that asks the engine before it has it.
    pub(crate) async fn write_after<'a>(&'a self, ahead: &'a Ahead) -> Writer<'a> {
        Writer {
            ahead: Some(ahead),
            ..self.write().await
        }
    }
}

/// Files, what they compile to, and what is wrong with them.
type Compiled = (BTreeMap<String, String>, Plan, BTreeSet<(String, String)>);

/// The one who may change the catalog.
#[derive(Debug)]
pub struct Writer<'a> {
    catalog: &'a Catalog,
    ahead: Option<&'a Ahead>,
    _guard: OwnedMutexGuard<()>,
}

impl Writer<'_> {
    /// What is in force; nobody else changes it while this writer lives.
    pub fn current(&self) -> Arc<Current> {
        self.catalog.current()
    }

    /// While this is held, also after this writer has gone, others change of the catalog what means nothing for tables and views.
    pub(crate) fn hold_tables(&self) -> Result<OwnedMutexGuard<()>, ChangeError> {
        let held = Arc::clone(&self.catalog.tables).try_lock_owned();
        held.map_err(|_| ChangeError::TablesHeld)
    }

    /// Refuses to change tables while somebody else does, who began as a writer: nobody begins while this one lives.
    pub(crate) fn refuse_held_tables(&self) -> Result<(), ChangeError> {
        self.hold_tables().map(drop)
    }

    /// Who is asked about statements.
    pub(crate) fn witness<'a>(&'a self, engine: &'a dyn Engine) -> Witness<'a> {
        Witness {
            ahead: self.ahead,
            engine,
        }
    }

    /// The columns of a statement of this plan, whatever its secrets are, or what the engine has against it. [`ChangeError::Unasked`] where that is to be asked first.
    pub(crate) async fn describe(
        &self,
        engine: &dyn Engine,
        plan: &Plan,
        compiled: &plan::Compiled,
    ) -> Result<Result<Vec<Column>, EngineError>, ChangeError> {
        let sql = compiled.sql.text();
        let question = Question::describing(plan, compiled);
        let asked = self.witness(engine).ask(question, &self.current()).await;
        let said = asked?.ok_or(ChangeError::Unasked)?;
        Ok(columns_of(sql, said))
    }

    /// What the project would be after a change, without making it.
    pub async fn compile(&self, mut change: Change) -> Result<Plan, ChangeError> {
        let before = self.current();
        bounds::refuse_beyond(&before, &change)?;
        let (_, plan, errors) = self.compiled(&before, &mut change).await?;
        refuse_new_errors(&errors, &before.errors, change.tolerated.as_deref())?;
        Ok(plan)
    }

    /// Compiles a change; ids that its SQL has in the place of names become names.
    async fn compiled(
        &self,
        before: &Current,
        change: &mut Change,
    ) -> Result<Compiled, ChangeError> {
        let mut compiled = Self::compiled_as_written(before, change).await?;
        let texts = change.files.values().flatten();
        if texts.into_iter().any(|text| references::has_id(text)) {
            let named = references::named(&compiled.1, &before.objects);
            if !named.is_empty() {
                change
                    .files
                    .extend(named.into_iter().map(|(path, text)| (path, Some(text))));
                compiled = Self::compiled_as_written(before, change).await?;
            }
        }
        if edition::amend(before, change, &compiled.0, &compiled.1)? {
            compiled = Self::compiled_as_written(before, change).await?;
        }
        Ok(compiled)
    }

    async fn compiled_as_written(
        before: &Current,
        change: &Change,
    ) -> Result<Compiled, ChangeError> {
        let mut files = before.files.clone();
        for (path, text) in &change.files {
            match text {
                Some(text) => _ = files.insert(path.clone(), text.clone()),
                None => _ = files.remove(path),
            }
        }
        let rules = before.plan.rules.clone();
        let compiled = tokio::task::spawn_blocking(move || {
            let (plan, errors) = compile(&files, &rules);
            (files, plan, errors)
        });
        Ok(compiled.await.map_err(std::io::Error::other)?)
    }

    /// Makes a change: compiled, brought to the engine, written, in force. On an error nothing has changed.
    pub async fn commit(
        &self,
        change: Change,
        engine: &dyn Engine,
    ) -> Result<Arc<Current>, ChangeError> {
        self.prepare(change, engine).await?.commit().await
    }

    /// Compiles a change and makes its tables and views: nothing is lost yet, and it is either committed or taken back.
    pub async fn prepare<'a>(
        &'a self,
        mut change: Change,
        engine: &'a dyn Engine,
    ) -> Result<Prepared<'a>, ChangeError> {
        let before = self.current();
        bounds::refuse_beyond(&before, &change)?;
        let (files, plan, errors) = self.compiled(&before, &mut change).await?;
        captured::refuse_captured(&before.plan, &plan, &change.renames)?;
        refuse_new_errors(&errors, &before.errors, change.tolerated.as_deref())?;
        let witness = self.witness(engine);
        wrong_sql::refuse_wrong_sql(&before, &plan, &change, &witness).await?;
        let objects = before.objects.of_project(&plan.project, &change.renames)?;
        let migration = Migration::plan(&before, &plan, &change, &witness).await?;
        if !migration.is_nothing() {
            self.refuse_held_tables()?;
        }
        witness.heard()?;
        let carried = migration.carry(&self.catalog.state, engine).await?;
        Ok(Prepared {
            catalog: self.catalog,
            engine,
            change,
            carried,
            gone: migration.gone().to_vec(),
            before: Arc::clone(&before),
            current: Arc::new(Current {
                files,
                plan: Arc::new(plan),
                objects,
                errors,
                deploys: before.deploys,
            }),
            job: None,
            views: migration.views().clone(),
        })
    }
}

impl Current {
    /// The path of the file that a pipe of the project itself is written in.
    pub fn pipe_path(&self, name: &str) -> Option<&str> {
        let pipe = self.plan.project.pipe(name)?;
        Some(self.plan.project.sources[pipe.span.source].name())
    }

    /// The path of the file that a data source of the project itself is written in.
    pub fn datasource_path(&self, name: &str) -> Option<&str> {
        let datasource = self.plan.project.datasource(name)?;
        Some(self.plan.project.sources[datasource.span.source].name())
    }

    /// Whether a pipe or data source has that name.
    pub fn is_taken(&self, name: &str) -> bool {
        self.plan.project.pipe(name).is_some() || self.plan.project.datasource(name).is_some()
    }

    /// The SQL of a node without the indentation of its file.
    pub fn node_sql(&self, node: &pipewright_compiler::project::Node) -> String {
        let span = node.body.span;
        let text = self.plan.project.sources[span.source].text();
        indent::dedent(
            text,
            span.start as usize..span.end as usize,
            indent::Text::Sql,
        )
    }

    /// The change that gives a pipe another name; what reads it follows.
    pub fn rename_pipe(&self, from: &str, to: &str) -> Option<Change> {
        let path = self.pipe_path(from)?;
        let mut files = self.followed(Renamed::Resource(from), to);
        let text = files
            .remove(path)
            .flatten()
            .or_else(|| self.files.get(path).cloned())?;
        files.insert(path.to_owned(), None);
        files.insert(sibling(path, to, "pipe"), Some(text));
        Some(Change {
            files,
            renames: vec![Rename::Pipe {
                from: from.to_owned(),
                to: to.to_owned(),
            }],
            ..Change::default()
        })
    }

    /// The texts in which the readers of a node name it anew; the node's own block is not among the changes.
    pub fn follow_node(
        &self,
        pipe: &str,
        from: &str,
        to: &str,
    ) -> BTreeMap<String, Option<String>> {
        self.followed(Renamed::Node(pipe, from), to)
    }

    /// The texts in which the readers of a pipe or data source name it anew.
    pub fn follow_resource(&self, from: &str, to: &str) -> BTreeMap<String, Option<String>> {
        self.followed(Renamed::Resource(from), to)
    }

    fn followed(&self, renamed: Renamed<'_>, to: &str) -> BTreeMap<String, Option<String>> {
        references::follow(&self.plan, renamed, to)
            .into_iter()
            .map(|(path, text)| (path, Some(text)))
            .collect()
    }

    /// A query with names in the place of ids: the same to a client, but only names are known to the compiler.
    /// `None` if there are no ids in it.
    pub fn with_names(&self, sql: &str) -> Option<String> {
        references::named_in(&self.plan, &self.objects, sql)
    }

    /// What reads or fills from a resource, by name.
    pub fn readers(&self, vertex: &pipewright_compiler::graph::Vertex) -> Vec<String> {
        references::readers(&self.plan, vertex)
    }
}

/// A file of another name in the same folder.
fn sibling(path: &str, name: &str, ending: &str) -> String {
    match path.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{name}.{ending}"),
        None => format!("{name}.{ending}"),
    }
}

/// The rules are those that the server was started with.
fn compile(files: &BTreeMap<String, String>, rules: &Rules) -> (Plan, BTreeSet<(String, String)>) {
    let tree = SourceTree::new(
        files
            .iter()
            .map(|(path, text)| (path.clone(), text.clone())),
    );
    let (mut plan, diagnostics) = pipewright_compiler::check(tree);
    plan.rules = rules.clone();
    let sources = plan.project.sources.files();
    let file_of = |diagnostic: &Diagnostic| {
        diagnostic
            .primary()
            .and_then(|span| sources.get(span.source.0 as usize))
            .map_or(String::new(), |file| file.name().to_owned())
    };
    let errors = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error);
    let errors = errors
        .map(|diagnostic| {
            (
                file_of(diagnostic),
                render::concise(std::slice::from_ref(diagnostic), sources)
                    .trim_end()
                    .to_owned(),
            )
        })
        .collect();
    (plan, errors)
}

/// A change is judged by what it breaks: an error that was there before is not its fault.
fn refuse_new_errors(
    errors: &BTreeSet<(String, String)>,
    before: &BTreeSet<(String, String)>,
    tolerated: Option<&str>,
) -> Result<(), ChangeError> {
    // A diagnostic's line may have moved; its words have not.
    let words = |text: &str| {
        text.split_once(": ")
            .map_or(text, |(_, words)| words)
            .to_owned()
    };
    let known: BTreeSet<(&String, String)> = before
        .iter()
        .map(|(file, text)| (file, words(text)))
        .collect();
    let new: Vec<&str> = errors
        .iter()
        .filter(|(file, text)| tolerated != Some(file) && !known.contains(&(file, words(text))))
        .map(|(_, text)| text.as_str())
        .take(3)
        .collect();
    if new.is_empty() {
        Ok(())
    } else {
        Err(ChangeError::Invalid(new.join("\n")))
    }
}

fn hash(text: &str) -> String {
    base16ct::lower::encode_string(&Sha256::digest(text.as_bytes())[..16])
}
