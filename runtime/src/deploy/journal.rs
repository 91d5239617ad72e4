//! The journal of a deploy: enough to finish it, or to take it back, in another process.
//!
//! Before anything is done, what takes it back is on disk. The moment in which the new version comes into force is one transaction: before it the deploy is taken
//! back, after it it is finished, whatever happens. Every statement may be run again: those that the engine would refuse then look first whether there is
//! something to do. What the engine refuses all the same is taken back and told, and the process begins.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use pipewright_compiler::deploy::Statement;
use pipewright_compiler::sql::quote_identifier;

use super::ask::text;
use super::names;
use super::{DeployError, Progress};
use crate::engine::{Engine, EngineError};
use crate::ingest::{Ingest, MarksAfter, table_id};
use crate::state::{Deployment, DeploymentPhase, DeploymentStatus, State};

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
    pub(super) async fn take_back(&self, engine: &dyn Engine, progress: &dyn Progress) {
        _ = sweep_own(engine).await;
        self.take_back_prepared(engine, progress).await;
    }

    /// Takes back everything that the engine lets be taken back; what it does not, is returned. For a process that begins: it is to serve whatever the engine refuses.
    async fn take_back_all(
        &self,
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
            self.take_back(engine, progress).await;
        } else {
            // What is called as a deploy calls it for a moment may have rows that are nowhere else.
            self.take_back_prepared(engine, progress).await;
        }
        Ok(refused)
    }

    async fn take_back_prepared(&self, engine: &dyn Engine, progress: &dyn Progress) {
        for statement in self.undo.iter().rev() {
            if let Err(error) = engine.execute(statement).await {
                progress.say(&format!("cannot take a step back: {statement}: {error}"));
            }
        }
    }

    /// Does what is left to do when the new version is in force; returns what could not be done.
    pub(super) async fn clean(&self, ingest: &Ingest) -> Vec<String> {
        let engine = ingest.engine();
        let mut failed = Vec::new();
        for statement in &self.after {
            if let Err(error) = engine.execute(statement).await {
                failed.push(format!("{statement}: {error}"));
            }
        }
        for name in &self.gone {
            ingest.forget_gone(name);
        }
        if let Err(error) = sweep_own(engine).await {
            failed.push(error.to_string());
        }
        failed
    }
}

/// Takes away what deploys make for a moment. Not while another deploy runs.
pub(super) async fn sweep_own(engine: &dyn Engine) -> Result<(), EngineError> {
    // Views first: what they fill must not go before them.
    let sql = format!(
        "SELECT if(engine LIKE '%View', 'VIEW', 'TABLE'), name FROM system.tables WHERE database = currentDatabase() AND {} ORDER BY engine LIKE '%View' DESC, name",
        names::of_deploys()
    );
    for line in text(engine, &sql).await?.lines() {
        let Some((kind, name)) = line.split_once('\t') else {
            continue;
        };
        engine
            .execute(&format!(
                "DROP {kind} IF EXISTS {} SYNC",
                quote_identifier(name)
            ))
            .await?;
    }
    Ok(())
}

/// What became of a deploy that had been cut off.
enum Recovered {
    /// It is in force; what could not be cleaned up.
    InForce(Vec<String>),
    /// It is not, for this reason.
    TakenBack(String),
}

/// Finishes a deploy that an earlier process did not end, or takes it back. To be called before rows come in and anything is served. Returns whether there was one,
/// and whether it is in force now.
pub async fn recover(
    state: &State,
    ingest: &Ingest,
    progress: &dyn Progress,
) -> Result<Option<bool>, DeployError> {
    let deployments = state.deployments();
    let mut outcome = None;
    for deployment in deployments.running()? {
        let journal: Journal =
            serde_json::from_str(&deployment.journal).map_err(crate::state::StateError::from)?;
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
        }
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
    let engine = ingest.engine();
    let failed = |source| DeployError::Recover { source };
    let mut why = "the process ended in the middle of it".to_owned();
    match deployment.phase {
        DeploymentPhase::Preparing => {
            journal.take_back(engine, progress).await;
            why.push_str("; what it had prepared is taken back");
            return Ok(Recovered::TakenBack(why));
        }
        DeploymentPhase::Undoing => {}
        DeploymentPhase::Switching => match journal.go_on(engine).await.map_err(failed)? {
            None => {
                let marked = ingest.set_marks(&journal.marks);
                marked.map_err(|error| failed(error.into()))?;
                return Ok(Recovered::InForce(journal.clean(ingest).await));
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
            return Ok(Recovered::InForce(journal.clean(ingest).await));
        }
    }
    let left = journal.take_back_all(engine, progress).await;
    let left = left.map_err(failed)?;
    why.push_str("; what it had prepared is taken back");
    if !left.is_empty() {
        let left = left.join("; ");
        tracing::error!(deployment = deployment.id, "cannot be taken back: {left}");
        progress.say(&format!("cannot be taken back: {left}"));
        _ = write!(
            why,
            ", but for this, which the engine refuses to take back: {left}. Tables that begin with `pw_next_` hold what was there before, until the next deploy"
        );
    }
    Ok(Recovered::TakenBack(why))
}
