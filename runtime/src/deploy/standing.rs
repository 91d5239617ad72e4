//! Tables that were made from other files than the project has now: until a deploy changes them, rows go by the files that they were made from.

use std::collections::{BTreeMap, BTreeSet};

use pipewright_compiler::deploy as steps;
use pipewright_compiler::plan::{Plan, TablePlan};
use pipewright_compiler::project::SourceTree;

use super::{Actual, DeployError, introspect};
use crate::ingest::{Ingest, columns_there};
use crate::state::State;

/// So many versions are looked through for the one that a table was made from.
const VERSIONS: usize = 50;

/// Tells the way in for rows which tables are not what the project says. Before any row comes.
pub async fn stand(plan: &Plan, state: &State, ingest: &Ingest) -> Result<(), DeployError> {
    let engine = ingest.engine();
    let actual = introspect(engine, &plan.database).await?;
    let (desired, _) = steps::desired(plan);
    let drifted = actual.drifted(&desired).into_iter();
    let mut open: BTreeSet<String> = drifted.filter(|name| plan.table(name).is_some()).collect();
    let mut standing = made_from(&mut open, &actual, state)?;
    for name in open {
        let Some(table) = plan.table(&name) else {
            continue;
        };
        let mut table = table.clone();
        let mut columns = columns_there(engine, &table.name)
            .await
            .map_err(|source| DeployError::Introspect { source })?;
        let has_paths = table.columns.iter().any(|known| known.json_path.is_some());
        for column in columns.iter_mut().filter(|_| has_paths) {
            let known = table.columns.iter().find(|known| known.name == column.name);
            column.json_path = match known {
                Some(known) => known.json_path.clone(),
                None => Some(format!("$.{}", column.name)),
            };
        }
        table.columns = columns;
        standing.insert(name, table);
    }
    ingest.stand(standing);
    Ok(())
}

/// Those of the tables that an earlier version of the files made; what is left is of no version that is known.
fn made_from(
    open: &mut BTreeSet<String>,
    actual: &Actual,
    state: &State,
) -> Result<BTreeMap<String, TablePlan>, DeployError> {
    let mut found = BTreeMap::new();
    if open.is_empty() {
        return Ok(found);
    }
    let deployments = state.deployments();
    for deployment in deployments.done()?.iter().rev().take(VERSIONS) {
        let (Some(files), _) = deployments.files(deployment.id)? else {
            continue;
        };
        let (before, _) = pipewright_compiler::check(SourceTree::new(files));
        let (made, _) = steps::desired(&before);
        let differs = actual.drifted(&made);
        open.retain(|name| {
            let is_it = made.iter().any(|step| step.name == *name) && !differs.contains(name);
            match before.table(name).filter(|_| is_it) {
                Some(table) => {
                    found.insert(name.clone(), table.clone());
                    false
                }
                None => true,
            }
        });
        if open.is_empty() {
            break;
        }
    }
    Ok(found)
}
