//! Deployments as answers show them: in our words, and in the fields and statuses that clients of the existing service wait for.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};

use super::call::json_response;
use super::token_changes;
use crate::catalog::{Draft, Drift, format_micros};
use crate::deploy::{
    Action, DeployPlan, DeployStep, Fate, ResourceChange, ResourceKind, destructive,
};
use crate::state::{Deployment, DeploymentStatus};

/// The answer to a version with errors.
pub(super) fn invalid(errors: &str) -> Response {
    let listed: Vec<Value> = errors
        .lines()
        .map(|line| json!({ "error": line }))
        .collect();
    let answer = json!({
        "result": "failed",
        "error": format!("the project has errors and is not deployed:\n{errors}"),
        "deployment": { "status": "failed", "errors": listed, "feedback": [] },
    });
    (StatusCode::BAD_REQUEST, json_response(&answer)).into_response()
}

/// The answer to a version that takes away what nobody allowed it to.
pub(super) fn refused(error: &str, mut shown: Value) -> Response {
    shown["status"] = "failed".into();
    shown["errors"] = json!([{ "error": error }]);
    let answer = json!({ "result": "failed", "error": error, "deployment": shown });
    (StatusCode::BAD_REQUEST, json_response(&answer)).into_response()
}

/// What a version would do.
pub(super) fn plan(
    draft: &Draft,
    plan: &DeployPlan,
    drift: &[Drift],
    resources: &[ResourceChange],
) -> Value {
    let (old, new) = (&draft.before().files, draft.files());
    let paths = |wanted: &dyn Fn(&String) -> bool, of: &BTreeMap<String, String>| -> Vec<String> {
        of.keys().filter(|path| wanted(path)).cloned().collect()
    };
    let mut shown = json!({
        "status": "valid",
        "steps": plan.steps,
        "destructive": plan.destructive().len(),
        "drift": drift,
        "resources": resources,
        "token_changes": token_changes::of(&draft.before().plan.project, &draft.plan().project),
        "errors": [],
        "feedback": feedback(&plan.steps, drift),
        "new_files": paths(&|path| !old.contains_key(path), new),
        "changed_files": paths(&|path| old.get(path).is_some_and(|text| new.get(path) != Some(text)), new),
        "deleted_files": paths(&|path| !new.contains_key(path), old),
    });
    if let Value::Object(fields) = &mut shown {
        fields.extend(names(resources));
    }
    shown
}

/// Whether a resource belongs into a list.
type Belongs = fn(ResourceKind) -> bool;

/// The names of what comes, changes and goes, each list under the name that clients look for.
fn names(resources: &[ResourceChange]) -> Map<String, Value> {
    let fates = [
        ("new", Fate::Added),
        ("changed", Fate::Changed),
        ("deleted", Fate::Removed),
    ];
    let kinds: [(&str, Belongs); 3] = [
        ("datasource", |kind| kind == ResourceKind::Datasource),
        ("pipe", ResourceKind::is_pipe),
        ("data_connector", |kind| kind == ResourceKind::Connection),
    ];
    let mut lists = Map::new();
    for (word, fate) in fates {
        for (name, is_kind) in kinds {
            let found = resources.iter();
            let found = found.filter(|change| change.change == fate && is_kind(change.kind));
            let found: Vec<&str> = found.map(|change| change.name.as_str()).collect();
            lists.insert(format!("{word}_{name}_names"), json!(found));
        }
    }
    lists
}

/// What is said of a plan beside its steps: what it leaves out, and what the API has otherwise.
fn feedback(steps: &[DeployStep], drift: &[Drift]) -> Vec<Value> {
    let left_out = steps.iter().filter(|step| step.action == Action::LeaveOut);
    let left_out = left_out.map(|step| said("WARNING", Some(&step.name), &step.what.join("; ")));
    let drift = drift
        .iter()
        .map(|drift| said("WARNING", None, &drift.message));
    left_out.chain(drift).collect()
}

fn said(level: &str, resource: Option<&str>, message: &str) -> Value {
    json!({ "level": level, "resource": resource, "message": message })
}

/// The deployment whose version is in force.
pub(super) fn live(deployments: &[Deployment]) -> Option<i64> {
    deployments
        .iter()
        .filter(|deployment| deployment.status == DeploymentStatus::Done)
        .map(|deployment| deployment.id)
        .max()
}

/// Whether a deployment is in force, on its way there, or waits to be.
pub(super) fn is_current(deployment: &Deployment, live: Option<i64>) -> bool {
    live == Some(deployment.id)
        || matches!(
            deployment.status,
            DeploymentStatus::Running | DeploymentStatus::Staged
        )
}

/// A deployment. Its status is a word that clients wait for, its outcome what came of it.
pub(super) fn body(deployment: &Deployment, live: Option<i64>) -> Value {
    let time = |milliseconds: i64| format_micros(milliseconds.saturating_mul(1000));
    let steps: Vec<DeployStep> = serde_json::from_str(&deployment.steps).unwrap_or_default();
    let is_live = live == Some(deployment.id);
    let status = match deployment.status {
        DeploymentStatus::Running => "schema_ready",
        DeploymentStatus::Staged => "data_ready",
        DeploymentStatus::Done if is_live => "data_ready",
        DeploymentStatus::Done | DeploymentStatus::Failed => "deleted",
    };
    let error = deployment.error.as_deref();
    let failed = deployment.status == DeploymentStatus::Failed;
    let level = if failed { "ERROR" } else { "WARNING" };
    let feedback: Vec<Value> = error.iter().map(|error| said(level, None, error)).collect();
    let errors: Vec<&str> = error.into_iter().filter(|_| failed).collect();
    json!({
        "id": deployment.id,
        "kind": deployment.kind.as_str(),
        "status": status,
        "outcome": deployment.status.as_str(),
        "live": is_live,
        "phase": deployment.phase.as_str(),
        "created_at": time(deployment.started_at),
        "updated_at": deployment.finished_at.map(time),
        "rolled_back": deployment.undone,
        "error": error,
        "errors": errors,
        "feedback": feedback,
        "destructive": destructive(&steps).len(),
        "steps": steps,
    })
}
