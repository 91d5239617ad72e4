//! A version that waits to be promoted, asked by who names it in `__tb__deployment`: its endpoints, over the tables that are there.
//!
//! Nothing of such a version is made in the engine. What it reads of tables that are the same in the version in force can be answered; of any other it is said that
//! they are made when it is promoted, and rows and changes are not taken at all, lest they go to the version in force.

use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{Method, Uri};
use pipewright_compiler::plan::{Compiled, Plan, TablePlan};

use super::deployment_shown::live;
use super::error::ApiError;
use super::parameters::Parameters;
use super::{App, Served};
use crate::state::DeploymentStatus;

/// The parameter in which clients name a deployment: its number, `staging` or `live`.
pub(super) const PARAMETER: &str = "__tb__deployment";

const LIVE: &str = "live";
const STAGING: &str = "staging";

/// The version that was asked for last, compiled.
#[derive(Debug, Default)]
pub(super) struct Staged(Mutex<Option<(i64, Arc<Plan>)>>);

/// What is served to this request: what is in force, unless it names a deployment that waits.
pub(super) async fn served(
    app: &App,
    served: Arc<Served>,
    parameters: &Parameters,
) -> Result<Arc<Served>, ApiError> {
    let Some(wanted) = parameters.given(PARAMETER).filter(|name| *name != LIVE) else {
        return Ok(served);
    };
    let deployments = app.catalog.state().deployments().list()?;
    let waiting = deployments
        .iter()
        .find(|deployment| deployment.status == DeploymentStatus::Staged)
        .map(|deployment| deployment.id);
    let number = wanted.parse().ok();
    match waiting {
        Some(id) if wanted == STAGING || number == Some(id) => Ok(Arc::new(Served {
            plan: plan(app, id).await?,
            tokens: Arc::clone(&served.tokens),
            secrets: served.secrets.clone(),
            staged: Some(id),
        })),
        _ if number.is_some() && number == live(&deployments) => Ok(served),
        _ => Err(ApiError::NotFound(format!(
            "there is no deployment `{wanted}` that is in force or waits to be promoted"
        ))),
    }
}

async fn plan(app: &App, id: i64) -> Result<Arc<Plan>, ApiError> {
    let kept = || app.staged.0.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, plan)) = kept().as_ref().filter(|(kept, _)| *kept == id) {
        return Ok(Arc::clone(plan));
    }
    let (files, _) = app.catalog.state().deployments().files(id)?;
    let plan = Arc::new(
        app.catalog
            .compiled_aside(files.unwrap_or_default())
            .await?,
    );
    *kept() = Some((id, Arc::clone(&plan)));
    Ok(plan)
}

/// Fails where a version that waits reads a table that is not as it will be.
pub(super) fn require_made(
    app: &App,
    served: &Served,
    compiled: &Compiled,
) -> Result<(), ApiError> {
    let Some(id) = served.staged else {
        return Ok(());
    };
    let in_force = app.served.load();
    for name in &compiled.datasources {
        let table = |plan: &Plan| plan.tables.get(name).cloned();
        let is_made = match (table(&in_force.plan), table(&served.plan)) {
            (Some(there), Some(wanted)) => are_same(&there, &wanted),
            // Of another workspace, which no version here makes.
            (there, wanted) => there.is_none() && wanted.is_none(),
        };
        if !is_made {
            return Err(ApiError::Conflict(format!(
                "deployment {id} waits, and data source `{name}` is made or changed when it is promoted: until then this cannot be asked of it"
            )));
        }
    }
    Ok(())
}

fn are_same(one: &TablePlan, other: &TablePlan) -> bool {
    one.columns.len() == other.columns.len()
        && one
            .columns
            .iter()
            .zip(&other.columns)
            .all(|(one, other)| one.name == other.name && one.data_type == other.data_type)
}

/// Refuses rows and changes for a version that waits, where the address names it. Lists and descriptions are those of the version in force.
pub(super) fn refuse_changes(method: &Method, uri: &Uri, is_data: bool) -> Result<(), ApiError> {
    let only_reads = is_data || only_reads(method);
    if only_reads || uri.query().is_none_or(str::is_empty) {
        return Ok(());
    }
    refuse_changes_of(method, &Parameters::of_address(uri))
}

/// The same where the body may name it.
pub(super) fn refuse_changes_of(method: &Method, parameters: &Parameters) -> Result<(), ApiError> {
    match parameters.given(PARAMETER) {
        Some(wanted) if wanted != LIVE && !only_reads(method) => {
            Err(ApiError::BadRequest(format!(
                "`{PARAMETER}={wanted}`: rows and changes go to the version in force; one that waits can only be asked for data"
            )))
        }
        _ => Ok(()),
    }
}

fn only_reads(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}
