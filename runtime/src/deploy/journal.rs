//! The journal of a deploy: enough to finish it, or to take it back, in another process.
//!
//! Before anything is done, what takes it back is on disk. The moment in which the new version comes into force is one transaction: before it the deploy is taken
//! back, after it it is finished, whatever happens. Every statement may be run again: those that the engine would refuse then look first whether there is
//! something to do. What the engine refuses all the same is taken back and told, and the process begins. What it does not let be taken back either stays
//! as it is, under the names that it has, for the next start.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use pipewright_compiler::deploy::Statement;
use pipewright_compiler::sql::{quote_identifier, quote_literal};

use super::names;
use super::{DeployError, Progress};
use crate::engine::ask::text;
use crate::engine::{Engine, EngineError};
use crate::ingest::{Ingest, MarksAfter, table_id};
use crate::state::{Deployment, DeploymentPhase, DeploymentStatus, State, StateError};

/// What is on disk of a deploy that is under way.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Journal {
    /// Statements that take back what was prepared, the last one first.
    pub(super) undo: Vec<String>,
    /// What brings the new version into force.
    pub(super) switch: Vec<Operation>,
    /// What is done when the old version is used by nobody any more.
    pub(super) after: Vec<String>,
    /// The data sources that are no more.
    pub(super) gone: Vec<String>,
    /// What is marked of data sources from then on.
    pub(super) marks: MarksAfter,
    /// The deployment that this one takes back.
    pub(super) undoes: Option<i64>,
    /// Whether the catalog changes with it.
    pub(super) writes_catalog: bool,
    /// What was in tables that the engine did not let be taken back.
    pub(super) left: BTreeMap<String, String>,
}

/// One operation of the moment in which the new version comes into force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Operation {
    /// A statement.
    Run(Statement),
    /// Two tables change places, unless the first is the one with this id already.
    Exchange {
        table: String,
        with: String,
        new: String,
        old: String,
    },
    /// A table gets another name, unless it has it already.
    Rename { from: String, to: String },
    /// The table or view with this id gets another name, unless it has it already.
    Move {
        id: String,
        from: String,
        to: String,
    },
}

impl Operation {
    /// The statement that does it.
    pub(super) fn sql(&self) -> String {
        match self {
            Self::Run(statement) => statement.sql.clone(),
            Self::Exchange { table, with, .. } => exchanging(table, with),
            Self::Rename { from, to } | Self::Move { from, to, .. } => renaming(from, to),
        }
    }

    pub(super) async fn run(&self, engine: &dyn Engine) -> Result<(), EngineError> {
        match self {
            Self::Run(statement) => {
                execute(engine, Some(&statement.sql), statement.only_if.as_deref()).await
            }
            Self::Exchange {
                table, with, new, ..
            } => exchange(engine, table, with, new).await,
            Self::Rename { from, to } => rename(engine, from, to).await,
            Self::Move { id, from, to } => move_to(engine, id, from, to).await,
        }
    }

    async fn take_back(&self, engine: &dyn Engine) -> Result<(), EngineError> {
        match self {
            Self::Run(Statement {
                undo, undo_only_if, ..
            }) => execute(engine, undo.as_deref(), undo_only_if.as_deref()).await,
            Self::Exchange {
                table, with, old, ..
            } => exchange(engine, table, with, old).await,
            Self::Rename { from, to } => rename(engine, to, from).await,
            Self::Move { id, from, to } => move_to(engine, id, to, from).await,
        }
    }
}

/// Runs a statement, unless it has nothing to do.
async fn execute(
    engine: &dyn Engine,
    sql: Option<&str>,
    only_if: Option<&str>,
) -> Result<(), EngineError> {
    if let Some(question) = only_if
        && text(engine, question).await?.trim() == "0"
    {
        return Ok(());
    }
    match sql {
        Some(sql) => engine.execute(sql).await,
        None => Ok(()),
    }
}

async fn exchange(
    engine: &dyn Engine,
    table: &str,
    with: &str,
    id: &str,
) -> Result<(), EngineError> {
    if table_id(engine, table).await? == id {
        return Ok(());
    }
    engine.execute(&exchanging(table, with)).await
}

fn exchanging(table: &str, with: &str) -> String {
    let (table, with) = (quote_identifier(table), quote_identifier(with));
    format!("EXCHANGE TABLES {table} AND {with}")
}

async fn rename(engine: &dyn Engine, from: &str, to: &str) -> Result<(), EngineError> {
    let there = |name: String| async move { Ok::<_, EngineError>(!name.is_empty()) };
    if !there(table_id(engine, from).await?).await? || there(table_id(engine, to).await?).await? {
        return Ok(());
    }
    engine.execute(&renaming(from, to)).await
}

async fn move_to(engine: &dyn Engine, id: &str, from: &str, to: &str) -> Result<(), EngineError> {
    if table_id(engine, from).await? != id {
        return Ok(());
    }
    engine.execute(&renaming(from, to)).await
}

fn renaming(from: &str, to: &str) -> String {
    let (from, to) = (quote_identifier(from), quote_identifier(to));
    format!("RENAME TABLE {from} TO {to}")
}

impl Journal {
    /// Does all operations of a switch that have not been done; the one that the engine refuses, and why.
    async fn go_on(&self, engine: &dyn Engine) -> Result<Option<String>, EngineError> {
        for operation in &self.switch {
            match operation.run(engine).await {
                Err(EngineError::Exception { message, .. }) => {
                    return Ok(Some(format!("{}: {message}", operation.sql())));
                }
                done => done?,
            }
        }
        Ok(None)
    }

    /// Takes back what a switch has done so far.
    pub(super) async fn take_back_switch(&self, engine: &dyn Engine) -> Result<(), EngineError> {
        for operation in self.switch.iter().rev() {
            operation.take_back(engine).await?;
        }
        Ok(())
    }

    /// Takes back what was prepared. What cannot be taken back is told and left.
    pub(super) async fn take_back(
        &self,
        place: (&State, i64),
        engine: &dyn Engine,
        progress: &dyn Progress,
    ) {
        _ = sweep_own(place, engine).await;
        self.take_back_prepared(engine, progress).await;
    }

    /// Takes back everything that the engine lets be taken back; what it does not, is returned. For a process that begins: it is to serve whatever the engine refuses.
    async fn take_back_all(
        &self,
        place: (&State, i64),
        engine: &dyn Engine,
        progress: &dyn Progress,
    ) -> Result<Vec<String>, EngineError> {
        let mut refused = Vec::new();
        for operation in self.switch.iter().rev() {
            match operation.take_back(engine).await {
                Err(EngineError::Exception { message, .. }) => {
                    refused.push(format!("{}: {message}", operation.sql()));
                }
                done => done?,
            }
        }
        if refused.is_empty() {
            self.keep_what_came(place.1, engine, progress).await?;
            self.take_back(place, engine, progress).await;
        }
        Ok(refused)
    }

    /// Takes down what is in the tables that are still in the places of others, for the process that takes them back: what comes until then is nowhere else.
    pub(super) async fn note_left(&mut self, engine: &dyn Engine) -> Result<(), EngineError> {
        for operation in &self.switch {
            let Operation::Exchange { table, new, .. } = operation else {
                continue;
            };
            if !self.left.contains_key(table) && table_id(engine, table).await? == *new {
                let extent = extent(engine, table).await?;
                self.left.insert(table.clone(), extent);
            }
        }
        Ok(())
    }

    /// Gives tables to which rows have come while they could not be taken back a name under which they stay.
    async fn keep_what_came(
        &self,
        id: i64,
        engine: &dyn Engine,
        progress: &dyn Progress,
    ) -> Result<(), EngineError> {
        for operation in &self.switch {
            let Operation::Exchange { table, with, .. } = operation else {
                continue;
            };
            let Some(before) = self.left.get(table) else {
                continue;
            };
            if extent(engine, with).await? == *before {
                continue;
            }
            let kept = names::kept(table, id);
            rename(engine, with, &kept).await?;
            let text = format!(
                "rows came to `{table}` while deployment {id} could not be taken back: the table that they came to is kept as `{kept}`"
            );
            tracing::error!("{text}");
            progress.say(&text);
        }
        Ok(())
    }

    async fn take_back_prepared(&self, engine: &dyn Engine, progress: &dyn Progress) {
        for statement in self.undo.iter().rev() {
            if let Err(error) = engine.execute(statement).await {
                progress.say(&format!("cannot take a step back: {statement}: {error}"));
            }
        }
    }

    /// Does what is left to do when the new version is in force; returns what could not be done.
    pub(super) async fn clean(&self, place: (&State, i64), ingest: &Ingest) -> Vec<String> {
        let engine = ingest.engine();
        let mut failed = Vec::new();
        for statement in &self.after {
            if let Err(error) = engine.execute(statement).await {
                failed.push(format!("{statement}: {error}"));
            }
        }
        for name in &self.gone {
            ingest.forget_rows(name);
        }
        if let Err(error) = sweep_own(place, engine).await {
            failed.push(super::with_causes(&error));
        }
        failed
    }

    /// The tables for a moment that its switch is about.
    fn passing(&self) -> impl Iterator<Item = &str> {
        let named = self.switch.iter().flat_map(|operation| match operation {
            Operation::Run(_) => [None, None],
            Operation::Exchange { table, with, .. } => [Some(table), Some(with)],
            Operation::Rename { from, to } | Operation::Move { from, to, .. } => {
                [Some(from), Some(to)]
            }
        });
        let named = named.flatten().map(String::as_str);
        named.filter(|name| names::is_passing(name))
    }
}

/// How many rows a table has, and which was the last block that came.
async fn extent(engine: &dyn Engine, table: &str) -> Result<String, EngineError> {
    let sql = format!(
        "SELECT sum(rows), max(max_block_number) FROM system.parts WHERE active AND database = currentDatabase() AND table = {}",
        quote_literal(table)
    );
    text(engine, &sql).await
}

/// What other deployments have left that could be neither finished nor taken back: rows may be in it that are nowhere else.
fn spared(state: &State, own: i64) -> Result<BTreeSet<String>, StateError> {
    let mut spared = BTreeSet::new();
    for other in state.deployments().running()? {
        let is_between = matches!(
            other.phase,
            DeploymentPhase::Switching | DeploymentPhase::Undoing
        );
        if other.id != own && is_between {
            let journal: Journal = serde_json::from_str(&other.journal)?;
            spared.extend(journal.passing().map(ToOwned::to_owned));
        }
    }
    Ok(spared)
}

/// No deployment at all.
pub(super) const NONE: i64 = -1;

/// Takes away what deploys make for a moment, for the deployment with this id. Not while another deploy runs. What the engine does not drop is told in the end.
pub(super) async fn sweep_own(
    (state, own): (&State, i64),
    engine: &dyn Engine,
) -> Result<(), DeployError> {
    let spared = spared(state, own)?;
    let swept = sweep_all_but(&spared, engine).await;
    swept.map_err(|source| DeployError::Introspect { source })
}

async fn sweep_all_but(spared: &BTreeSet<String>, engine: &dyn Engine) -> Result<(), EngineError> {
    // Views first: what they fill must not go before them.
    let sql = format!(
        "SELECT if(engine LIKE '%View', 'VIEW', 'TABLE'), name FROM system.tables WHERE database = currentDatabase() AND {} ORDER BY engine LIKE '%View' DESC, name",
        names::of_deploys()
    );
    let mut swept = Ok(());
    for line in text(engine, &sql).await?.lines() {
        let Some((kind, name)) = line.split_once('\t') else {
            continue;
        };
        if spared.contains(name) {
            continue;
        }
        let sql = format!("DROP {kind} IF EXISTS {} SYNC", quote_identifier(name));
        swept = swept.and(engine.execute(&sql).await);
    }
    swept
}

/// What became of a deploy that had been cut off.
enum Recovered {
    /// It is in force; what could not be cleaned up.
    InForce(Vec<String>),
    /// It is not, for this reason.
    TakenBack(String),
    /// It is not, and the engine does not let all of it be taken back now.
    Left,
}

/// Finishes a deploy that an earlier process did not end, or takes it back. To be called before rows come in and anything is served. Returns whether there was one,
/// and whether it is in force now.
pub async fn recover(
    state: &State,
    ingest: &Ingest,
    progress: &dyn Progress,
) -> Result<Option<bool>, DeployError> {
    let deployments = state.deployments();
    let (mut outcome, mut is_left) = (None, false);
    for deployment in deployments.running()? {
        let journal: Journal =
            serde_json::from_str(&deployment.journal).map_err(StateError::from)?;
        match recover_one(state, ingest, progress, &deployment, &journal).await? {
            Recovered::InForce(left) => {
                for failure in &left {
                    tracing::warn!(deployment = deployment.id, "cannot clean up: {failure}");
                    progress.say(&format!("cannot clean up: {failure}"));
                }
                let left = (!left.is_empty()).then(|| left.join("\n"));
                deployments.finish_done(deployment.id, left.as_deref(), journal.undoes)?;
                progress.say("finished a deploy that had been cut off");
                outcome = Some(true);
            }
            Recovered::TakenBack(why) => {
                deployments.finish(deployment.id, DeploymentStatus::Failed, Some(&why))?;
                progress.say("took back a deploy that had been cut off");
                outcome = Some(false);
            }
            Recovered::Left => (outcome, is_left) = (Some(false), true),
        }
    }
    if !is_left {
        ingest.open_up();
    }
    Ok(outcome)
}

async fn recover_one(
    state: &State,
    ingest: &Ingest,
    progress: &dyn Progress,
    deployment: &Deployment,
    journal: &Journal,
) -> Result<Recovered, DeployError> {
    let (engine, place) = (ingest.engine(), (state, deployment.id));
    let failed = |source| DeployError::Recover { source };
    let mut why = "the process ended in the middle of it".to_owned();
    match deployment.phase {
        DeploymentPhase::Preparing => {
            journal.take_back(place, engine, progress).await;
            why.push_str("; what it had prepared is taken back");
            return Ok(Recovered::TakenBack(why));
        }
        DeploymentPhase::Undoing => {}
        DeploymentPhase::Switching => match journal.go_on(engine).await.map_err(failed)? {
            None => {
                let marked = ingest.set_marks(&journal.marks).await;
                marked.map_err(|error| failed(error.into()))?;
                return Ok(Recovered::InForce(journal.clean(place, ingest).await));
            }
            Some(refused) => {
                _ = write!(
                    why,
                    ", and the engine refuses to let the next one finish it: {refused}"
                );
                state
                    .deployments()
                    .undo(deployment.id, journal.writes_catalog)?;
            }
        },
        DeploymentPhase::Cleaning => {
            return Ok(Recovered::InForce(journal.clean(place, ingest).await));
        }
    }
    let left = journal.take_back_all(place, engine, progress).await;
    let left = left.map_err(failed)?;
    why.push_str("; what it had prepared is taken back");
    if left.is_empty() {
        return Ok(Recovered::TakenBack(why));
    }
    let mut journal = journal.clone();
    journal.note_left(engine).await.map_err(failed)?;
    let text = serde_json::to_string(&journal).map_err(StateError::from)?;
    let undoing = DeploymentPhase::Undoing;
    state.deployments().note(deployment.id, undoing, &text)?;
    let said = format!(
        "deployment {} was cut off and cannot be taken back: {}. Tables that begin with `pw_next_` hold what was there before; the next start tries again, and nothing is deployed or changed until then",
        deployment.id,
        left.join("; ")
    );
    tracing::error!("{said}");
    progress.say(&said);
    Ok(Recovered::Left)
}
