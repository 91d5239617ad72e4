//! Runs a plan while rows come in and queries are answered.
//!
//! What the old version does not notice is done first. Tables that are made anew are filled beside the old ones ([`super::fill`]). Then, in one moment in which no
//! rows come in and no query begins, tables change places and the new version comes into force. What only the old version needed goes last.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pipewright_compiler::deploy::Statement;
use pipewright_compiler::plan::Plan;
use pipewright_compiler::project::ResourceName;
use pipewright_compiler::sql::{quote_identifier, quote_literal};
use tokio::sync::OwnedRwLockWriteGuard;

use super::fill::Filling;
use super::journal::{Journal, Operation};
use super::names;
use super::plan::{Blueprint, DeployPlan, Feed};
use super::told::told;
use super::{DeployError, Progress};
use crate::engine::{Engine, EngineError, ask};
use crate::ingest::{Ingest, MarksAfter, table_id, upstream};
use crate::state::{CatalogWrite, DeploymentPhase, DeploymentStatus, State, StateError};

/// Who answers queries while a deploy runs.
#[async_trait]
pub trait Audience: Send + Sync {
    /// Lets no query begin until what is returned is dropped; those that have begun have got hold of their tables when this returns.
    async fn hold(&self) -> Box<dyn Send>;
    /// Answers by the new version from now on.
    fn present(&self);
    /// Keeps the version that is in force as it is. Nothing where it stays so anyway.
    async fn settle(&self) -> Option<Settled> {
        None
    }
}

/// The version that is in force, which stays the same while this is held.
pub struct Settled {
    /// What it is by now: its tables and views are those that the deploy was planned on.
    pub plan: Arc<Plan>,
    /// What keeps it so.
    pub held: Box<dyn Send + Sync>,
}

/// Nobody asks anything.
#[derive(Debug)]
pub struct Nobody;

#[async_trait]
impl Audience for Nobody {
    async fn hold(&self) -> Box<dyn Send> {
        Box::new(())
    }

    fn present(&self) {}
}

/// A deploy that has begun: its place in the journal, and all that it works with.
pub struct Run<'a> {
    /// The way into the engine.
    pub ingest: &'a Ingest,
    /// Where the journal is.
    pub state: &'a State,
    /// The number of the deployment.
    pub id: i64,
    /// The new version.
    pub wanted: &'a Plan,
    /// The version that is in force, where it is known.
    pub before: Option<&'a Plan>,
    /// What is written when the new version comes into force.
    pub catalog: Option<CatalogWrite>,
    /// The deployment that this one takes back.
    pub undoes: Option<i64>,
    /// Who answers queries.
    pub audience: &'a dyn Audience,
    /// Who is told what is done.
    pub progress: &'a dyn Progress,
}

/// So often a table is filled from the beginning when its rows were replaced or deleted meanwhile.
const TRIES: u32 = 5;

/// So often the journal is written once more when that fails at a time when nothing can be taken back.
const INSISTENCE: u32 = 10;

impl Run<'_> {
    /// Runs the plan. On an error the old version is in force, and nothing has changed; after the moment of the switch errors are for the next start to deal with.
    pub async fn run(&self, plan: &DeployPlan) -> Result<(), DeployError> {
        let mut journal = Journal {
            undoes: self.undoes,
            ..Journal::default()
        };
        let done = match self.refuse_unfinished() {
            Ok(()) => self.attempt(&plan.blueprint, &mut journal).await,
            Err(error) => Err(error),
        };
        let deployments = self.state.deployments();
        match done {
            Ok(()) => {
                let failed = journal.clean((self.state, self.id), self.ingest).await;
                for failure in &failed {
                    self.progress.say(&format!("cannot clean up: {failure}"));
                }
                let failed = (!failed.is_empty()).then(|| failed.join("\n"));
                insist(|| deployments.finish_done(self.id, failed.as_deref(), self.undoes))
                    .await
                    .map_err(|source| DeployError::Unnoted { source })
            }
            // What has been begun cannot be taken back now; the next start goes on.
            Err(error @ (DeployError::Recover { .. } | DeployError::Unnoted { .. })) => Err(error),
            Err(error) => {
                // What another deploy has left is not this one's to take away.
                if !matches!(error, DeployError::Unfinished(_)) {
                    let place = (self.state, self.id);
                    journal.take_back(place, self.engine(), self.progress).await;
                }
                let text = told(&error, self.wanted);
                deployments.finish(self.id, DeploymentStatus::Failed, Some(&text))?;
                Err(error)
            }
        }
    }

    /// Tables that an earlier deploy has left for the next start hold rows that are nowhere else.
    fn refuse_unfinished(&self) -> Result<(), DeployError> {
        let running = self.state.deployments().running()?;
        let cut_off = running
            .iter()
            .find(|other| other.id != self.id && other.phase != DeploymentPhase::Preparing);
        match cut_off {
            Some(other) => Err(DeployError::Unfinished(other.id)),
            None => Ok(()),
        }
    }

    pub(super) fn engine(&self) -> &dyn Engine {
        self.ingest.engine()
    }

    fn note(&self, journal: &Journal) -> Result<(), DeployError> {
        let text = serde_json::to_string(journal).map_err(StateError::from)?;
        let noted = self
            .state
            .deployments()
            .note(self.id, DeploymentPhase::Preparing, &text);
        Ok(noted?)
    }

    async fn attempt(
        &self,
        blueprint: &Blueprint,
        journal: &mut Journal,
    ) -> Result<(), DeployError> {
        self.prepare(blueprint, journal).await?;
        for _ in 0..TRIES {
            self.progress.check()?;
            let swept = super::journal::sweep_own((self.state, self.id), self.engine()).await;
            if let Err(error) = swept {
                // Where it is in the way, what is to be made in its place says so.
                let error = super::with_causes(&error);
                self.progress
                    .say(&format!("a table that nobody needs stays: {error}"));
            }
            let mut filling = Filling::new(self, blueprint);
            filling.fill().await?;
            // Before the gates, which others wait for who change the catalog.
            let settled = self.audience.settle().await;
            let (names, gates) = self.gates(blueprint, &filling).await?;
            if !filling.still_holds().await? {
                self.progress
                    .say("rows were replaced or deleted meanwhile: beginning anew");
                continue;
            }
            self.still_empty(blueprint).await?;
            filling.finish().await?;
            let wanted = settled
                .as_ref()
                .map_or(self.wanted, |settled| &settled.plan);
            let switched = self.switch(blueprint, journal, wanted).await;
            // What came to tables now would go with them when the next start finishes the switch or takes it back.
            if matches!(
                switched,
                Err(DeployError::Recover { .. } | DeployError::Unnoted { .. })
            ) {
                self.ingest.shut(&names, gates);
            }
            return switched;
        }
        Err(DeployError::Restless)
    }

    /// What the old version does not notice, each step with what takes it back on disk before.
    async fn prepare(
        &self,
        blueprint: &Blueprint,
        journal: &mut Journal,
    ) -> Result<(), DeployError> {
        let engine = self.engine();
        for sql in &blueprint.databases {
            self.execute("database", "of another workspace", sql)
                .await?;
        }
        for step in &blueprint.creates {
            self.progress.say(&format!("creating table {}", step.name));
            journal.undo.extend(step.undo());
            self.note(journal)?;
            self.execute("table", &step.name, &step.sql_with_comment())
                .await?;
        }
        for Statement { sql, undo, .. } in &blueprint.before {
            self.progress.check()?;
            self.progress.say(sql);
            if let Some(undo) = undo {
                journal.undo.push(undo.clone());
                self.note(journal)?;
            }
            engine
                .execute(sql)
                .await
                .map_err(|source| DeployError::Statement {
                    sql: sql.clone(),
                    source,
                })?;
        }
        Ok(())
    }

    pub(super) async fn execute(
        &self,
        what: &'static str,
        name: &str,
        sql: &str,
    ) -> Result<(), DeployError> {
        let done = self.engine().execute(sql).await;
        done.map_err(|source| DeployError::Step {
            what,
            name: name.to_owned(),
            source,
        })
    }

    /// The right to change all that the deploy touches: no rows come in while it is held.
    async fn gates(
        &self,
        blueprint: &Blueprint,
        filling: &Filling<'_>,
    ) -> Result<(BTreeSet<String>, Vec<OwnedRwLockWriteGuard<()>>), DeployError> {
        let names = blueprint
            .touched
            .iter()
            .cloned()
            .chain(filling.roots().map(ToOwned::to_owned));
        let names = self.with_upstream(names);
        let gates = self.certain(&names).await?;
        filling.settle().await?;
        Ok((names, gates))
    }

    /// These data sources alone, when it is certain what is in them.
    pub(super) async fn certain(
        &self,
        names: &BTreeSet<String>,
    ) -> Result<Vec<OwnedRwLockWriteGuard<()>>, DeployError> {
        loop {
            self.progress.check()?;
            let gates = self.ingest.all_alone(names).await;
            let gates = gates.map_err(|error| DeployError::Waiting(error.to_string()))?;
            if !self.in_doubt(names)? {
                return Ok(gates);
            }
            drop(gates);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Refuses to take rows away that have come to a table since the plan found none in it. Nothing comes in while this goes on.
    async fn still_empty(&self, blueprint: &Blueprint) -> Result<(), DeployError> {
        for gone in blueprint.drops.iter().filter(|gone| gone.was_empty) {
            let tables = [&gone.name, &quarantine(&gone.name)].map(|name| quote_literal(name));
            let sql = format!(
                "SELECT sum(ifNull(total_rows, 0)) FROM system.tables WHERE database = currentDatabase() AND name IN ({})",
                tables.join(", ")
            );
            let rows = ask::text(self.engine(), &sql).await;
            let rows = rows.map_err(|source| DeployError::Introspect { source })?;
            if rows.trim() != "0" || self.ingest.is_awaited(&gone.name) {
                return Err(DeployError::Arrived(gone.name.clone()));
            }
        }
        Ok(())
    }

    /// The data sources with those from which rows reach them.
    pub(super) fn with_upstream(&self, names: impl Iterator<Item = String>) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for name in names {
            all.extend(upstream(self.wanted, &name));
            if let Some(before) = self.before {
                all.extend(upstream(before, &name));
            }
            all.insert(name);
        }
        all
    }

    /// Whether rows may be in one of these tables of which nobody knows for certain: those of a copy that was cut off and is not taken up yet, and of rows that
    /// are being deleted.
    fn in_doubt(&self, names: &BTreeSet<String>) -> Result<bool, DeployError> {
        let copies = self.state.jobs().unfinished()?;
        Ok(self.ingest.is_in_doubt(&copies, names))
    }

    /// The moment in which the new version comes into force.
    async fn switch(
        &self,
        blueprint: &Blueprint,
        journal: &mut Journal,
        wanted: &Plan,
    ) -> Result<(), DeployError> {
        let engine = self.engine();
        journal.switch = self
            .operations(blueprint)
            .await
            .map_err(|source| DeployError::Introspect { source })?;
        journal.after = cleaning(blueprint);
        journal.gone = blueprint
            .drops
            .iter()
            .map(|gone| gone.name.clone())
            .collect();
        journal.marks = self.marks(blueprint);
        journal.writes_catalog = self.catalog.is_some();
        let deployments = self.state.deployments();
        let text = serde_json::to_string(journal).map_err(StateError::from)?;
        let held = self.audience.hold().await;
        if let Err(source) = deployments.switch(self.id, &text, self.catalog.as_ref()) {
            let now = insist(|| deployments.find(self.id)).await;
            match now.map(|now| now.map(|now| now.phase)) {
                // It is written, whatever was said of it.
                Ok(Some(DeploymentPhase::Switching)) => {}
                Ok(Some(DeploymentPhase::Preparing)) => return Err(source.into()),
                _ => return Err(DeployError::Unnoted { source }),
            }
        }
        for operation in &journal.switch {
            let Err(source) = operation.run(engine).await else {
                continue;
            };
            insist(|| deployments.undo(self.id, self.catalog.is_some()))
                .await
                .map_err(|source| DeployError::Unnoted { source })?;
            if let Err(source) = journal.take_back_switch(engine).await {
                return Err(DeployError::Recover { source });
            }
            return Err(DeployError::Statement {
                sql: operation.sql(),
                source,
            });
        }
        self.ingest.let_go(&blueprint.left);
        self.ingest.adopt(wanted, &blueprint.renames);
        self.audience.present();
        drop(held);
        if let Err(error) = self.ingest.set_marks(&journal.marks).await {
            tracing::error!(%error, "cannot note what later deploys have to know of the rows");
        }
        // Without this note the next start does all of it again, which changes nothing; unless the engine refuses then what it has done now.
        let noted = insist(|| deployments.note(self.id, DeploymentPhase::Cleaning, &text));
        if let Err(error) = noted.await {
            tracing::warn!(%error, "cannot note that a deploy is in force");
        }
        Ok(())
    }

    async fn operations(&self, blueprint: &Blueprint) -> Result<Vec<Operation>, EngineError> {
        let run = |sql: String, undo: Option<String>| Operation::Run(Statement::new(sql, undo));
        let mut operations = Vec::new();
        for (name, create) in &blueprint.old_views {
            let undo = create.replacen(
                "CREATE MATERIALIZED VIEW ",
                "CREATE MATERIALIZED VIEW IF NOT EXISTS ",
                1,
            );
            operations.push(run(
                format!("DROP VIEW IF EXISTS {} SYNC", quote_identifier(name)),
                Some(undo),
            ));
        }
        for (from, to) in &blueprint.renames {
            for (from, to) in [
                (from.clone(), to.clone()),
                (quarantine(from), quarantine(to)),
            ] {
                operations.push(Operation::Rename { from, to });
            }
        }
        for build in &blueprint.builds {
            let (table, with) = (build.name.clone(), names::next(&build.name));
            operations.push(if build.exists {
                Operation::Exchange {
                    new: table_id(self.engine(), &with).await?,
                    old: table_id(self.engine(), blueprint.present_name(&table)).await?,
                    table,
                    with,
                }
            } else {
                Operation::Rename {
                    from: with,
                    to: table,
                }
            });
        }
        operations.extend(blueprint.during.iter().cloned().map(Operation::Run));
        for step in &blueprint.new_views {
            operations.push(run(step.sql_with_comment(), step.undo()));
        }
        Ok(operations)
    }

    /// What later deploys have to know of the rows.
    fn marks(&self, blueprint: &Blueprint) -> MarksAfter {
        let filled = blueprint
            .builds
            .iter()
            .filter(|build| matches!(build.feed, Feed::Views { .. }));
        self.ingest.marks_after(
            &blueprint.renames,
            (filled.map(|build| build.name.as_str()), &blueprint.partial),
            blueprint.drops.iter().map(|gone| gone.name.as_str()),
        )
    }
}

/// Tries to write something down that must be, several times.
async fn insist<T>(write: impl Fn() -> Result<T, StateError>) -> Result<T, StateError> {
    for _ in 0..INSISTENCE {
        match write() {
            Ok(written) => return Ok(written),
            Err(error) => tracing::warn!(%error, "the journal of a deploy cannot be written"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    write()
}

pub(super) fn quarantine(name: &str) -> String {
    pipewright_compiler::emit::quarantine_name(&ResourceName::local(name)).to_string()
}

/// What goes when the new version is in force. After an exchange the old table has the name of the new one; snapshots and what came since are swept away.
fn cleaning(blueprint: &Blueprint) -> Vec<String> {
    let mut statements = blueprint.after.clone();
    for gone in &blueprint.drops {
        for name in [gone.name.clone(), quarantine(&gone.name)] {
            statements.push(format!(
                "DROP TABLE IF EXISTS {} SYNC",
                quote_identifier(&name)
            ));
        }
    }
    statements
}
