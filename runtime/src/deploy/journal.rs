//! The journal of a deploy: enough to finish it, or to take it back, in another process.
//!
//! Before anything is done, what takes it back is on disk. The moment in which the new version comes into force is one transaction: before it the deploy is taken
//! back, after it it is finished, whatever happens. Every statement may be run again.

use serde::{Deserialize, Serialize};

use pipewright_compiler::sql::{quote_identifier, quote_literal};

use super::ask::text;
use super::names;
use super::{DeployError, Progress};
use crate::engine::{Engine, EngineError};
use crate::ingest::{Ingest, MarksAfter};
use crate::state::{DeploymentPhase, DeploymentStatus, State};

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
}

/// One operation of the moment in which the new version comes into force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Operation {
    /// A statement that may be run again.
    Run { sql: String, undo: Option<String> },
    /// Two tables change places, unless the first is the one with this id already.
    Exchange {
        table: String,
        with: String,
        new: String,
        old: String,
    },
    /// A table gets another name, unless it has it already.
    Rename { from: String, to: String },
}

impl Operation {
    pub(super) async fn run(&self, engine: &dyn Engine) -> Result<(), EngineError> {
        match self {
            Self::Run { sql, .. } => engine.execute(sql).await,
            Self::Exchange {
                table, with, new, ..
            } => exchange(engine, table, with, new).await,
            Self::Rename { from, to } => rename(engine, from, to).await,
        }
    }

    async fn take_back(&self, engine: &dyn Engine) -> Result<(), EngineError> {
        match self {
            Self::Run { undo: None, .. } => Ok(()),
            Self::Run {
                undo: Some(undo), ..
            } => engine.execute(undo).await,
            Self::Exchange {
                table, with, old, ..
            } => exchange(engine, table, with, old).await,
            Self::Rename { from, to } => rename(engine, to, from).await,
        }
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
    let (table, with) = (quote_identifier(table), quote_identifier(with));
    engine
        .execute(&format!("EXCHANGE TABLES {table} AND {with}"))
        .await
}

async fn rename(engine: &dyn Engine, from: &str, to: &str) -> Result<(), EngineError> {
    let there = |name: String| async move { Ok::<_, EngineError>(!name.is_empty()) };
    if !there(table_id(engine, from).await?).await? || there(table_id(engine, to).await?).await? {
        return Ok(());
    }
    let (from, to) = (quote_identifier(from), quote_identifier(to));
    engine
        .execute(&format!("RENAME TABLE {from} TO {to}"))
        .await
}

/// The engine's id of a table, which stays with the table whatever it is called; empty when there is none.
pub(super) async fn table_id(engine: &dyn Engine, name: &str) -> Result<String, EngineError> {
    let sql = format!(
        "SELECT toString(uuid) FROM system.tables WHERE database = currentDatabase() AND name = {}",
        quote_literal(name)
    );
    Ok(text(engine, &sql).await?.trim().to_owned())
}

impl Journal {
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

/// Finishes a deploy that an earlier process did not end, or takes it back. To be called before rows come in and anything is served. Returns whether there was one,
/// and whether it is in force now.
pub async fn recover(
    state: &State,
    ingest: &Ingest,
    progress: &dyn Progress,
) -> Result<Option<bool>, DeployError> {
    let (deployments, engine) = (state.deployments(), ingest.engine());
    let mut outcome = None;
    for deployment in deployments.running()? {
        let journal: Journal =
            serde_json::from_str(&deployment.journal).map_err(crate::state::StateError::from)?;
        let failed = |source| DeployError::Recover { source };
        let mut left = Vec::new();
        let in_force = match deployment.phase {
            DeploymentPhase::Preparing => {
                journal.take_back(engine, progress).await;
                false
            }
            DeploymentPhase::Undoing => {
                journal.take_back_switch(engine).await.map_err(failed)?;
                journal.take_back(engine, progress).await;
                false
            }
            DeploymentPhase::Switching => {
                for operation in &journal.switch {
                    operation.run(engine).await.map_err(failed)?;
                }
                let marked = ingest.set_marks(&journal.marks);
                marked.map_err(|error| failed(error.into()))?;
                left = journal.clean(ingest).await;
                true
            }
            DeploymentPhase::Cleaning => {
                left = journal.clean(ingest).await;
                true
            }
        };
        if in_force {
            for failure in &left {
                tracing::warn!(deployment = deployment.id, "cannot clean up: {failure}");
                progress.say(&format!("cannot clean up: {failure}"));
            }
            let left = (!left.is_empty()).then(|| left.join("\n"));
            deployments.finish_done(deployment.id, left.as_deref(), journal.undoes)?;
            progress.say("finished a deploy that had been cut off");
        } else {
            let error = "the process ended in the middle of it; what it had prepared is taken back";
            deployments.finish(deployment.id, DeploymentStatus::Failed, Some(error))?;
            progress.say("took back a deploy that had been cut off");
        }
        outcome = Some(in_force);
    }
    Ok(outcome)
}
