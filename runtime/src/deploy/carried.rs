//! What a change through the API means for the engine, in the journal of deploys: a process that dies in the middle of it has the next one take it back, and one
//! that dies when the change is written has it cleaned up.

use std::collections::BTreeMap;

use pipewright_compiler::deploy::{Statement, Step, StepKind};
use pipewright_compiler::sql::quote_identifier;

use super::journal::{Journal, Operation};
use super::names;
use super::shape::create_as;
use crate::engine::{Engine, EngineError};
use crate::ingest::table_id;
use crate::state::{
    CatalogWrite, DeploymentKind, DeploymentPhase, DeploymentStatus, NewDeployment, State,
    StateError,
};

/// One thing that a change does in the engine.
#[derive(Debug, Clone)]
pub(crate) enum Carry {
    /// A statement, and what takes it back.
    Run { sql: String, undo: Option<String> },
    /// A view or table gets another name.
    Rename { from: String, to: String },
    /// An empty table in the place of one with rows, which goes when the change is written.
    Anew(Step),
    /// A view that fills another table in the place of one, which goes when the change is written. In between both fill theirs, so that no row is missed.
    AnotherView(Step),
}

/// Why a change cannot be carried into the engine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CarryError {
    /// The engine refuses a statement.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The journal cannot be written.
    #[error(transparent)]
    State(#[from] StateError),
    /// What an earlier deploy or change has left holds rows that are nowhere else.
    #[error(
        "deployment {0} could neither be finished nor taken back: the next start of the server does one of them, and nothing is changed before"
    )]
    Unfinished(i64),
}

/// What has been done in the engine for a change that is not written yet.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    /// The place in the journal; none where there is nothing to do.
    id: Option<i64>,
    journal: Journal,
}

impl Carried {
    /// Does it, and takes all of it back when one thing cannot be done. `after` is for when the change is written, in which `gone` are no more.
    pub(crate) async fn carry(
        carries: &[Carry],
        after: &[String],
        gone: &[String],
        (state, engine): (&State, &dyn Engine),
    ) -> Result<Self, CarryError> {
        let mut carried = Self::default();
        if carries.is_empty() && after.is_empty() {
            return Ok(carried);
        }
        let running = state.deployments().running()?;
        let cut_off = running.iter().find(|other| {
            let phase = other.phase;
            matches!(phase, DeploymentPhase::Switching | DeploymentPhase::Undoing)
        });
        if let Some(other) = cut_off {
            return Err(CarryError::Unfinished(other.id));
        }
        let id = state.deployments().start(NewDeployment {
            artifact_hash: "",
            kind: DeploymentKind::Change,
            files: &BTreeMap::new(),
            before: None,
            steps: "[]",
        })?;
        carried.id = Some(id);
        carried.journal.after = after.to_vec();
        carried.journal.gone = gone.to_vec();
        for carry in carries {
            if let Err(error) = carried.one(carry, state, engine).await {
                carried.take_back(state, engine).await;
                return Err(error);
            }
        }
        Ok(carried)
    }

    async fn one(
        &mut self,
        carry: &Carry,
        state: &State,
        engine: &dyn Engine,
    ) -> Result<(), CarryError> {
        match carry {
            Carry::Run { sql, undo } => {
                let statement = Statement::new(sql.clone(), undo.clone());
                self.run(Operation::Run(statement), state, engine).await
            }
            Carry::Rename { from, to } => self.rename((from, to), state, engine).await,
            Carry::Anew(step) => {
                let with = names::next(&step.name);
                self.create(step, state, engine).await?;
                let exchange = Operation::Exchange {
                    new: table_id(engine, &with).await?,
                    old: table_id(engine, &step.name).await?,
                    table: step.name.clone(),
                    with: with.clone(),
                };
                self.run(exchange, state, engine).await?;
                let gone = format!("DROP TABLE IF EXISTS {} SYNC", quote_identifier(&with));
                self.journal.after.insert(0, gone);
                Ok(())
            }
            Carry::AnotherView(step) => {
                let (next, before) = (names::next(&step.name), names::before(&step.name));
                self.create(step, state, engine).await?;
                self.rename((&step.name, &before), state, engine).await?;
                self.rename((&next, &step.name), state, engine).await?;
                let gone = format!("DROP VIEW IF EXISTS {} SYNC", quote_identifier(&before));
                self.journal.after.insert(0, gone);
                Ok(())
            }
        }
    }

    /// Makes what takes the place of something under a name for a moment.
    async fn create(
        &mut self,
        step: &Step,
        state: &State,
        engine: &dyn Engine,
    ) -> Result<(), CarryError> {
        let name = names::next(&step.name);
        // An earlier one may not have been able to take its own away.
        let kind = match step.kind {
            StepKind::CreateMaterializedView => "VIEW",
            _ => "TABLE",
        };
        let sql = format!("DROP {kind} IF EXISTS {} SYNC", quote_identifier(&name));
        engine.execute(&sql).await?;
        let sql = create_as(step, &step.sql_with_comment(), &name);
        // Taken away with all that is there for a moment.
        let create = Operation::Run(Statement::new(sql, None));
        self.run(create, state, engine).await
    }

    async fn rename(
        &mut self,
        (from, to): (&str, &str),
        state: &State,
        engine: &dyn Engine,
    ) -> Result<(), CarryError> {
        let moved = Operation::Move {
            id: table_id(engine, from).await?,
            from: from.to_owned(),
            to: to.to_owned(),
        };
        self.run(moved, state, engine).await
    }

    /// Does one thing, with what takes it back on disk before.
    async fn run(
        &mut self,
        operation: Operation,
        state: &State,
        engine: &dyn Engine,
    ) -> Result<(), CarryError> {
        self.journal.switch.push(operation);
        if let Some(id) = self.id {
            let text = serde_json::to_string(&self.journal).map_err(StateError::from)?;
            state
                .deployments()
                .note(id, DeploymentPhase::Undoing, &text)?;
        }
        match self.journal.switch.last() {
            Some(operation) => Ok(operation.run(engine).await?),
            None => Ok(()),
        }
    }

    /// Writes the change. From then on it is in force, whatever happens.
    pub(crate) fn write(&self, state: &State, catalog: &CatalogWrite) -> Result<(), StateError> {
        let Some(id) = self.id else {
            return state.catalog().apply(catalog);
        };
        let text = serde_json::to_string(&self.journal)?;
        let phase = DeploymentPhase::Cleaning;
        state.deployments().bring(id, phase, &text, Some(catalog))
    }

    /// Does what is left when the change is written.
    pub(crate) async fn finish(&self, state: &State, engine: &dyn Engine) {
        for statement in &self.journal.after {
            if let Err(error) = engine.execute(statement).await {
                tracing::error!(%error, statement, "a table or view that is no longer needed cannot be dropped");
            }
        }
        self.end(state, DeploymentStatus::Done);
    }

    /// Takes everything back: the change could not be made or written.
    pub(crate) async fn take_back(&self, state: &State, engine: &dyn Engine) {
        match self.journal.take_back_switch(engine).await {
            Ok(()) => {
                let own = self.id.unwrap_or(super::journal::NONE);
                if let Err(error) = super::journal::sweep_own((state, own), engine).await {
                    tracing::warn!(%error, "a table that nobody needs stays until the next start");
                }
                self.end(state, DeploymentStatus::Failed);
            }
            Err(error) => {
                tracing::error!(%error, "a change of the catalog cannot be taken back in the engine; the next start does");
                if let Err(error) = self.leave(state, engine).await {
                    tracing::error!(%error, "what comes until then cannot be told from what was there");
                }
            }
        }
    }

    /// Takes down what the next start has to know of tables that are in places which are not theirs.
    async fn leave(&self, state: &State, engine: &dyn Engine) -> Result<(), CarryError> {
        let Some(id) = self.id else { return Ok(()) };
        let mut journal = self.journal.clone();
        journal.note_left(engine).await?;
        let text = serde_json::to_string(&journal).map_err(StateError::from)?;
        let undoing = DeploymentPhase::Undoing;
        Ok(state.deployments().note(id, undoing, &text)?)
    }

    fn end(&self, state: &State, status: DeploymentStatus) {
        let Some(id) = self.id else { return };
        if let Err(error) = state.deployments().finish(id, status, None) {
            tracing::warn!(%error, "the end of a change of the catalog cannot be noted; the next start does what is left");
        }
    }
}
