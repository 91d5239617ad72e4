//! Stage *apply*: what a project needs × what is there → steps, and running them while rows come in and queries are answered.
//!
//! [`deploy()`] is for the start of a server: it makes what is missing, and changes nothing. [`plan()`] and [`Run`] do the rest.

mod apply;
mod canonical;
mod carried;
mod connect;
mod fill;
mod fixtures;
mod inferred;
mod introspect;
mod journal;
mod left_out;
mod lost;
mod names;
mod plan;
mod planner;
mod renames;
mod replace;
mod resources;
mod run;
mod shadow;
mod shape;
mod standing;
mod told;
mod views;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use pipewright_compiler::deploy as steps;
use pipewright_compiler::diagnostics;
use pipewright_compiler::plan::Plan;
use pipewright_compiler::sql::quote_identifier;
use pipewright_grammar::diagnostic::Diagnostic;
use sha2::{Digest as _, Sha256};

pub use apply::DeployError;
pub(crate) use carried::{Carried, Carry, CarryError};
pub use connect::{connect, disconnect, left_out, pending};
pub use inferred::{Definition, UndefinedError, definitions};
pub use introspect::{Actual, ActualTable, introspect};
pub use journal::recover;
pub use plan::{Action, DeployPlan, DeployStep, Estimate, Size, destructive};
pub use planner::plan;
pub(crate) use planner::retag;
pub use replace::{Replacement, plan_replacement};
pub use resources::{
    Fate, ResourceChange, ResourceKind, Version, ending_endpoints, resource_changes,
};
pub use run::{Audience, Nobody, Run, Settled};
pub use standing::stand;
pub use told::{told, with_causes};

use crate::catalog::Rename;
use crate::engine::{Engine, ask};
use crate::ingest::Ingest;
use crate::state::{
    Deployment, DeploymentKind, DeploymentStatus, NewDeployment, State, StateError,
};

/// Who is told what a deploy does, and may stop it.
#[async_trait]
pub trait Progress: Sync {
    /// One line about what is going on.
    fn say(&self, text: &str);

    /// Of so many rows, so many have been put into new tables.
    fn rows(&self, _done: u64, _total: u64) {}

    /// Stops the deploy here if it is to stop.
    fn check(&self) -> Result<(), DeployError> {
        Ok(())
    }

    /// Done when the deploy is to stop.
    async fn stopped(&self) {
        std::future::pending::<()>().await;
    }
}

/// What a deploy did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Deployed {
    /// Tables and views that were made.
    pub created: Vec<String>,
    /// Data sources that a fixture filled, with the rows that they then held.
    pub loaded: Vec<(String, u64)>,
    /// Tables and views whose definition differs from the project's: they are left as they are.
    pub drifted: Vec<String>,
    /// Tables and views that the engine did not make, with what it said.
    pub refused: BTreeMap<String, String>,
    /// Fixtures of which not every row is in its data source, with why.
    pub unloaded: Vec<(String, String)>,
}

/// Creates what the project needs and the engine has not, in order, and loads `fixtures/` into tables that are empty. What the engine refuses to make is told and
/// left out: that is no reason not to serve the rest.
pub async fn deploy(
    plan: &Plan,
    root: &Path,
    ingest: &Arc<Ingest>,
    progress: &dyn Progress,
) -> Result<Deployed, DeployError> {
    let engine = ingest.engine();
    let (desired, _) = steps::desired(plan);
    let actual = introspect(engine, &plan.database).await?;
    let drifted = actual.drifted(&desired);
    let missing = steps::missing(desired, &actual.names());
    let (created, mut refused) = apply::apply(&missing, engine, progress).await?;
    for (name, diagnostic) in steps::uncompiled(plan) {
        refused.insert(name, describe(plan, &diagnostic));
    }
    let views = created.iter().cloned().collect();
    let marked = ingest.mark_partial(plan, &views).await;
    marked.map_err(|error| DeployError::Waiting(error.to_string()))?;
    let mut deployed = Deployed {
        created,
        drifted,
        refused,
        ..Deployed::default()
    };
    fixtures::load(plan, root, ingest, progress, &mut deployed).await?;
    Ok(deployed)
}

/// The file that a table or view of the project comes from.
pub fn file_of<'a>(plan: &'a Plan, name: &str) -> Option<&'a str> {
    let span = if let Some(table) = plan.table(name) {
        table.span
    } else {
        let nodes = plan.pipes.values().flat_map(|pipe| &pipe.nodes);
        let mut views = nodes.map(|node| &node.id);
        let id = views.find(|id| steps::view_name(&id.pipe, &id.node) == name)?;
        let pipe = plan.project.pipes.get(&id.pipe)?;
        pipe.node(&id.node)?.body.span
    };
    let files = plan.project.sources.files();
    let file = files.iter().find(|file| file.id() == span.source)?;
    Some(file.name())
}

/// Takes away what a deploy or a replace that was cut off left beside its tables. Not while the ways in for rows are open. What the engine does not drop is told: it
/// harms nobody, and is tried again at the next start.
pub async fn sweep(
    state: &State,
    engine: &dyn Engine,
    progress: &dyn Progress,
) -> Result<(), DeployError> {
    let failed = |source| DeployError::Introspect { source };
    let told = |error: &dyn std::error::Error| {
        let text = with_causes(error);
        progress.say(&format!("warning: a table that nobody needs stays: {text}"));
    };
    if let Err(error) = journal::sweep_own((state, journal::NONE), engine).await {
        told(&error);
    }
    let sql = "SELECT name FROM system.tables WHERE database = currentDatabase() AND (startsWith(name, 'pw_replace_') OR startsWith(name, 'pw_numbered_'))";
    for name in ask::lines(engine, sql).await.map_err(failed)? {
        let sql = format!("DROP TABLE IF EXISTS {} SYNC", quote_identifier(&name));
        if let Err(error) = engine.execute(&sql).await {
            told(&error);
        }
    }
    Ok(())
}

/// A name for a version of the project.
pub fn hash_of(files: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    for (path, text) in files {
        for text in [path, text] {
            hash.update(text.len().to_le_bytes());
            hash.update(text);
        }
    }
    base16ct::lower::encode_string(&hash.finalize())
}

/// The data sources that a plan gives other names, for their ids to follow.
pub fn renamed(plan: &DeployPlan) -> Vec<Rename> {
    rename_pairs(&plan.steps)
        .map(|(from, to)| Rename::Datasource { from, to })
        .collect()
}

/// The names that data sources got by deploys, with the names that they had.
pub fn renames(state: &State) -> Result<Vec<(String, String)>, StateError> {
    let mut renames = Vec::new();
    for deployment in state.deployments().done()? {
        let steps: Vec<DeployStep> = serde_json::from_str(&deployment.steps).unwrap_or_default();
        renames.extend(rename_pairs(&steps));
    }
    Ok(renames)
}

fn rename_pairs(steps: &[DeployStep]) -> impl Iterator<Item = (String, String)> {
    steps
        .iter()
        .filter(|step| step.action == Action::RenameTable)
        .filter_map(|step| Some((step.from.clone()?, step.name.clone())))
}

/// Notes the version that a server begins with, if it is another than the last.
pub fn note_start(state: &State, files: &BTreeMap<String, String>) -> Result<(), StateError> {
    let deployments = state.deployments();
    let hash = hash_of(files);
    let last = deployments.done()?.pop();
    if last.as_ref().is_some_and(|last| last.artifact_hash == hash) {
        return Ok(());
    }
    let before = match last {
        Some(last) => deployments.files(last.id)?.0,
        None => None,
    };
    let id = deployments.start(NewDeployment {
        artifact_hash: &hash,
        kind: DeploymentKind::Start,
        files,
        before: before.as_ref(),
        steps: "[]",
    })?;
    deployments.finish(id, DeploymentStatus::Done, None)
}

/// The deployment that a rollback takes back: the last that was asked for and is in force; an error says why there is none.
pub fn to_roll_back(done: &[Deployment]) -> Result<&Deployment, String> {
    let last = done
        .iter()
        .rev()
        .find(|deployment| deployment.kind != DeploymentKind::Rollback && !deployment.undone)
        .ok_or("there is no deployment to return from")?;
    let steps: Vec<DeployStep> = serde_json::from_str(&last.steps).unwrap_or_default();
    let lost: Vec<String> = destructive(&steps)
        .into_iter()
        .map(|step| {
            let words = step.action.words();
            format!("{words} `{}` ({})", step.name, step.what.join("; "))
        })
        .collect();
    if lost.is_empty() {
        Ok(last)
    } else {
        Err(format!(
            "deployment {} took rows or values away that no rollback brings back: {}",
            last.id,
            lost.join(", ")
        ))
    }
}

/// What is wrong and where; how grave it is follows from where it is said.
fn describe(plan: &Plan, diagnostic: &Diagnostic) -> String {
    let files = plan.project.sources.files();
    let text = diagnostics::render::concise(std::slice::from_ref(diagnostic), files);
    let code = format!("[{}]: ", diagnostic.code);
    let Some((place, message)) = text.trim_end().split_once(&code) else {
        return text.trim_end().to_owned();
    };
    let place = place.rsplit_once(' ').map_or("", |(place, _)| place);
    format!("{place} {message}").trim_start().to_owned()
}
