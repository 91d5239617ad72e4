//! Stage *type*: the statements of a [`Plan`] × an engine → findings about columns, functions and types.
//!
//! The engine is opened in a throw-away folder, gets an empty table for each data source and plans every statement; it never sees the project's data.
//! Its answers are kept by the hash of all that they depend on, so that a project that has not changed is checked without opening an engine at all.

mod cache;
mod columns;
mod inserts;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use pipewright_compiler::check::{
    Refusal, Statement, breaks_inserts, insertions, statements, statements_of, target_types,
    wholes, without_consequences,
};
use pipewright_compiler::contract::Described;
use pipewright_compiler::deploy::{self, Step, StepKind};
use pipewright_compiler::plan::{Column, Plan};
use pipewright_compiler::project::{Limits, ResourceName};
use pipewright_grammar::diagnostic::Diagnostic;

use self::cache::{Cache, Key};
use crate::engine::{self, Config, DATABASE, Engine, EngineError, Query};
use crate::service;

/// No statement is looked at for longer: a scalar subquery is run where it stands.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What a typed check found, and what it took.
#[derive(Debug, Default)]
pub struct Typed {
    /// The findings.
    pub diagnostics: Vec<Diagnostic>,
    /// Statements that were looked at, also those whose answer was known.
    pub statements: usize,
    /// Statements that the engine was asked about, or is to be.
    pub asked: usize,
}

/// Checks plans one after the other, with one engine that is opened when the first answer is not known.
#[derive(Debug)]
pub struct Typist {
    folder: tempfile::TempDir,
    engine: Option<Arc<dyn Engine>>,
    identity: String,
}

impl Typist {
    /// `None` if there is no engine on this machine.
    pub fn new() -> std::io::Result<Option<Self>> {
        let Some(identity) = cache::identity() else {
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        Ok(Some(Self {
            folder,
            engine: None,
            identity,
        }))
    }

    /// Checks a plan; answers are kept in `cache`.
    pub async fn check(&mut self, plan: &Plan, cache: &Path) -> Result<Typed, EngineError> {
        let mut asked = Asked::of(plan, &self.identity, Cache::read(cache));
        let missing = asked.missing();
        let known = asked.known();
        let (refused_steps, refused_rows, described) = match known {
            Some((steps, rows)) if missing.is_empty() => (steps, rows, 0),
            _ => {
                let engine = self.engine().await?;
                asked.ask(engine, &missing).await?
            }
        };
        let diagnostics = asked.findings(plan, refused_steps, refused_rows);
        if let Err(error) = asked.cache.write(&asked.keys) {
            tracing::warn!(%error, "what the engine said cannot be kept");
        }
        Ok(Typed {
            diagnostics,
            statements: asked.statements.len(),
            asked: described,
        })
    }

    /// What is known of a plan from checks before this one, without opening an engine: statements whose answers are not in `cache` are passed over, and counted as
    /// those to ask about. `None` where nothing is known.
    pub fn known(&self, plan: &Plan, cache: &Path) -> Option<Typed> {
        let asked = Asked::of(plan, &self.identity, Cache::read_if_there(cache)?);
        // Without what became of the tables, nothing can be said of what reads them.
        let (refused_steps, refused_rows) = asked.known()?;
        let missing = asked.missing();
        Some(Typed {
            diagnostics: asked.findings(plan, refused_steps, refused_rows),
            statements: asked.statements.len(),
            asked: missing.len(),
        })
    }

    /// Lets go of the engine.
    pub async fn finish(self) {
        if let Some(engine) = self.engine {
            engine.shutdown().await;
        }
    }

    async fn engine(&mut self) -> Result<Arc<dyn Engine>, EngineError> {
        if let Some(engine) = &self.engine {
            return Ok(Arc::clone(engine));
        }
        let engine = engine::open(Config::embedded(self.folder.path())).await?;
        self.engine = Some(Arc::clone(&engine));
        Ok(engine)
    }
}

/// Refusals by the place of what was refused.
type Refused = Vec<(usize, Refusal)>;

/// All that an engine is asked about a plan, with the answers that are known.
struct Asked {
    steps: Vec<Step>,
    statements: Vec<Statement>,
    /// Of the statements.
    keys: Vec<Key>,
    /// Of all steps together.
    tables: Key,
    rows: Vec<(ResourceName, String)>,
    cache: Cache,
}

impl Asked {
    fn of(plan: &Plan, identity: &str, cache: Cache) -> Self {
        let (steps, _) = deploy::desired(plan);
        let statements = statements(plan);
        let tables = Key::new(identity, steps.iter().map(|step| step.sql.as_str()));
        let keys = statements
            .iter()
            .map(|statement| key(identity, statement, &steps, &tables))
            .collect();
        Self {
            steps,
            statements,
            keys,
            tables,
            rows: insertions(plan),
            cache,
        }
    }

    /// The statements whose answers are not known.
    fn missing(&self) -> Vec<usize> {
        let places = 0..self.statements.len();
        places
            .filter(|at| {
                let key = &self.keys[*at];
                let answer = self.cache.answer(key);
                let has_columns = !self.statements[*at].fills || self.cache.columns(key).is_some();
                answer.is_none_or(|answer| answer.is_none() && !has_columns)
            })
            .collect()
    }

    /// What is known of the tables and of rows that go through their views.
    fn known(&self) -> Option<(Refused, Refused)> {
        let steps = self.cache.steps(&self.tables)?;
        Some((steps, self.cache.rows(&self.tables)?))
    }

    /// Asks about everything but the statements that are not missing; gives what was refused, and how many statements the engine had to look at.
    async fn ask(
        &mut self,
        engine: Arc<dyn Engine>,
        missing: &[usize],
    ) -> Result<(Refused, Refused, usize), EngineError> {
        let refused = create(engine.as_ref(), &self.steps).await?;
        self.cache.keep_steps(&self.tables, &refused);
        let (said, described) = describe_all(&engine, &self.statements, missing).await?;
        for (at, said) in said {
            let key = &self.keys[at];
            let refusal = match said {
                Said::Refused(refusal) => Some(refusal),
                Said::Fine(columns) if self.statements[at].fills => {
                    self.cache.keep_columns(key, columns);
                    None
                }
                Said::Fine(_) | Said::Nothing => None,
            };
            self.cache.keep(key, refusal);
        }
        // Last, so that every statement is described on empty tables.
        let refused_rows = inserts::insert(engine.as_ref(), &self.rows).await?;
        self.cache.keep_rows(&refused_rows);
        Ok((refused, refused_rows, described))
    }

    /// The findings of all answers that are known.
    fn findings(&self, plan: &Plan, steps: Refused, rows: Refused) -> Vec<Diagnostic> {
        let steps: Vec<(Step, Refusal)> = steps
            .into_iter()
            .filter_map(|(at, refusal)| Some((self.steps.get(at)?.clone(), refusal)))
            .collect();
        let refused: Vec<(&Statement, Refusal)> = self
            .statements
            .iter()
            .zip(&self.keys)
            .filter_map(|(statement, key)| Some((statement, self.cache.answer(key)?.clone()?)))
            .collect();
        let rows: Vec<(ResourceName, Refusal)> = rows
            .into_iter()
            .filter_map(|(at, refusal)| Some((self.rows.get(at)?.0.clone(), refusal)))
            .collect();
        let mut diagnostics = without_consequences(plan, &steps, &refused);
        diagnostics.extend(breaks_inserts(plan, &rows));
        let known = self.statements.iter().zip(&self.keys);
        let described: Vec<(&Statement, &Described)> = known
            .filter(|(statement, _)| statement.fills)
            .filter_map(|(statement, key)| Some((statement, self.cache.columns(key)?)))
            .collect();
        diagnostics.extend(target_types(plan, &described));
        diagnostics
    }
}

/// A statement's answer depends on its text, on the tables that it reads, and on the engine.
fn key(identity: &str, statement: &Statement, steps: &[Step], tables: &Key) -> Key {
    let compiled = &statement.compiled;
    let names: BTreeSet<String> = compiled
        .datasources
        .iter()
        .map(ToString::to_string)
        .collect();
    let read: Vec<&Step> = steps
        .iter()
        .filter(|step| step.kind == StepKind::CreateTable && names.contains(&step.name))
        .collect();
    // A table that is made from a query depends on more than its own statement.
    let has_query = read.iter().any(|step| step.sql.contains("\nEMPTY AS\n"));
    let all = has_query.then(|| tables.text());
    let parts = read.iter().map(|step| step.sql.as_str()).chain(all);
    Key::new(identity, parts.chain([compiled.sql.text()]))
}

/// Two for each core: a connection waits while another is planned.
fn parallel() -> usize {
    2 * std::thread::available_parallelism().map_or(2, std::num::NonZero::get)
}

/// What the engine says of statements, and how many it had to look at: what stands in a statement that is fine is fine, so that of a chain of nodes only the last is
/// looked at as a rule.
async fn describe_all(
    engine: &Arc<dyn Engine>,
    statements: &[Statement],
    missing: &[usize],
) -> Result<(BTreeMap<usize, Said>, usize), EngineError> {
    let wholes = wholes(statements);
    let asked: BTreeSet<usize> = missing.iter().copied().collect();
    let mut said: BTreeMap<usize, Said> = BTreeMap::new();
    let (mut open, mut described) = (missing.to_vec(), 0);
    while !open.is_empty() {
        let (mut next, mut later) = (Vec::new(), Vec::new());
        for at in open {
            let mut wholes = wholes[at].iter().filter(|whole| asked.contains(whole));
            if wholes
                .clone()
                .any(|whole| matches!(said.get(whole), Some(Said::Fine(_))))
                && !statements[at].fills
            {
                said.insert(at, Said::Fine(Described::new()));
            } else if wholes.all(|whole| said.contains_key(whole)) {
                next.push(at);
            } else {
                later.push(at);
            }
        }
        let answers: Vec<(usize, Result<Said, EngineError>)> = futures::stream::iter(next)
            .map(|at| {
                let (engine, statement) = (Arc::clone(engine), &statements[at]);
                async move { (at, ask_about(engine.as_ref(), statement).await) }
            })
            .buffer_unordered(parallel())
            .collect()
            .await;
        described += answers.len();
        // A statement stands in longer ones only, so that the longest of those that are open can always be asked about.
        for (at, answer) in answers {
            said.insert(at, answer?);
        }
        open = later;
    }
    Ok((said, described))
}

/// Makes the project's tables and views in an empty database; gives the steps that were refused, by their place.
async fn create(engine: &dyn Engine, steps: &[Step]) -> Result<Vec<(usize, Refusal)>, EngineError> {
    // Another project may have been here before.
    for step in steps
        .iter()
        .filter(|step| step.kind == StepKind::CreateDatabase)
    {
        let database = pipewright_compiler::sql::quote_identifier(&step.name);
        engine
            .execute(&format!("DROP DATABASE IF EXISTS {database} SYNC"))
            .await?;
    }
    engine
        .execute(&format!("DROP DATABASE IF EXISTS {DATABASE} SYNC"))
        .await?;
    engine
        .execute(&format!("CREATE DATABASE IF NOT EXISTS {DATABASE}"))
        .await?;
    service::tables::create(engine).await?;
    let mut refused = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        if let Err(error) = engine.execute(&step.sql).await
            && let Some(refusal) = refusal(error)?
        {
            refused.push((at, refusal));
        }
    }
    Ok(refused)
}

/// The nodes of these pipes that an engine is to be asked about, where that is no matter of a request's values. It has the tables of `before`: what reads others is left
/// out, and so is what has not changed.
pub fn changed(before: &Plan, plan: &Plan, pipes: &BTreeSet<ResourceName>) -> Vec<Statement> {
    let is_there = |name: &ResourceName| {
        let (old, new) = (before.tables.get(name), plan.tables.get(name));
        old.zip(new)
            .is_some_and(|(old, new)| same_columns(&old.columns, &new.columns))
    };
    let earlier: BTreeSet<String> = statements_of(before, pipes)
        .into_iter()
        .map(|statement| statement.compiled.sql.into_text())
        .collect();
    let mut statements = statements_of(plan, pipes);
    statements.retain(|statement| {
        !earlier.contains(statement.compiled.sql.text())
            && statement.compiled.datasources.iter().all(is_there)
    });
    statements
}

/// A statement with what an engine has against it.
pub type RefusedStatement = (Statement, Refusal);

/// What an engine's error to a [`question`] says against the statement; an error where it says nothing about it.
pub fn refused(
    statement: Statement,
    error: EngineError,
) -> Result<Option<RefusedStatement>, EngineError> {
    let text = statement.compiled.sql.text();
    let refusal = refusal(error.shifted(before(text).len(), text.len()))?;
    Ok(refusal.map(|refusal| (statement, refusal)))
}

/// The findings of what was refused, without those that follow from others.
pub fn findings(plan: &Plan, refused: &[RefusedStatement]) -> Vec<Diagnostic> {
    let refused: Vec<(&Statement, Refusal)> = refused
        .iter()
        .map(|(statement, refusal)| (statement, refusal.clone()))
        .collect();
    without_consequences(plan, &[], &refused)
}

fn same_columns(old: &[Column], new: &[Column]) -> bool {
    old.len() == new.len()
        && old
            .iter()
            .zip(new)
            .all(|(old, new)| old.name == new.name && old.data_type == new.data_type)
}

/// What the engine says of a statement.
enum Said {
    /// It has nothing against it; these are the columns, of a statement that fills a data source.
    Fine(Described),
    Refused(Refusal),
    /// It was not done in time.
    Nothing,
}

/// What an engine is asked about a statement, within the memory and the time of a query.
pub fn question(statement: &Statement, limits: &Limits) -> Query {
    planned(statement)
        .within_memory(limits.memory_bytes)
        .timeout(TIMEOUT.min(Duration::from_millis(limits.query_timeout_ms)))
}

fn planned(statement: &Statement) -> Query {
    let text = statement.compiled.sql.text();
    let before = before(text);
    let mut query = Query::new(format!("{before}{text}\n)"), "Null").timeout(TIMEOUT);
    for name in &statement.compiled.secrets {
        query.parameters.push((name.clone(), String::new()));
    }
    query
}

async fn ask_about(engine: &dyn Engine, statement: &Statement) -> Result<Said, EngineError> {
    let text = statement.compiled.sql.text();
    let answered = match engine.query(planned(statement)).await {
        Ok(answer) => answer.bytes().await.map(|_| ()),
        Err(error) => Err(error),
    };
    if let Err(error) = answered {
        let refusal = refusal(error.shifted(before(text).len(), text.len()))?;
        return Ok(refusal.map_or(Said::Nothing, Said::Refused));
    }
    if !statement.fills {
        return Ok(Said::Fine(Described::new()));
    }
    let columns = columns::describe(engine, &statement.compiled).await?;
    Ok(columns.map_or(Said::Nothing, Said::Fine))
}

/// What goes before a statement that the engine is asked about: what it refuses to plan, it refuses at every call, while a description leaves out what only the plan
/// needs, such as a common type of the two sides of a `JOIN`. The closing parenthesis has its own line because the text may end in a `--` comment.
///
/// That `WITH FILL` cannot fill a column shows only when the steps of the plan are made into ones that run, which takes longer: not so for other statements.
fn before(text: &str) -> &'static str {
    let fills = text
        .as_bytes()
        .windows(FILL.len())
        .any(|word| word.eq_ignore_ascii_case(FILL));
    if fills {
        "EXPLAIN PIPELINE (\n"
    } else {
        "EXPLAIN PLAN (\n"
    }
}

const FILL: &[u8] = b"fill";

/// What the engine says against a statement; `None` where it says nothing about it, an error where it does not work.
fn refusal(error: EngineError) -> Result<Option<Refusal>, EngineError> {
    match error {
        EngineError::Exception {
            name,
            message,
            position,
            ..
        } => Ok(Some(Refusal {
            name,
            message,
            offset: position.map(|position| position.offset),
        })),
        EngineError::Timeout { .. } => Ok(None),
        error => Err(error),
    }
}
