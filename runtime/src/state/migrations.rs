//! The numbered steps that bring a state file of any age to the present layout.
//!
//! A file's `user_version` is the number of steps it has been through. Each step and its number are written in one
//! transaction, so that an interrupted upgrade begins again where it stopped.

use rusqlite::{Connection, TransactionBehavior};

use super::StateError;

/// All steps, oldest first. A step that has been released is never edited: a new one is added.
const STEPS: &[&str] = &[
    include_str!("migrations/0001_initial.sql"),
    include_str!("migrations/0002_catalog.sql"),
    include_str!("migrations/0003_token_secrets.sql"),
    include_str!("migrations/0004_jobs.sql"),
    include_str!("migrations/0005_variables.sql"),
    include_str!("migrations/0006_schedules.sql"),
    include_str!("migrations/0007_deployments.sql"),
    include_str!("migrations/0008_tags.sql"),
    include_str!("migrations/0009_declared_scopes.sql"),
    include_str!("migrations/0010_token_scopes_before.sql"),
    include_str!("migrations/0011_guest_tokens.sql"),
    include_str!("migrations/0012_origin_of_files.sql"),
    include_str!("migrations/0013_jobs_found.sql"),
    include_str!("migrations/0014_staged.sql"),
];

/// Runs the steps that `connection` lacks. Others may run them at the same time: each step is looked for when nobody else writes.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StateError> {
    while version(connection)? != STEPS.len() {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = version(&transaction)?;
        let (Some(step), Ok(number)) = (STEPS.get(done), u32::try_from(done + 1)) else {
            continue;
        };
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(())
}

/// How many steps the file has been through.
fn version(connection: &Connection) -> Result<usize, StateError> {
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let found = version as usize;
    if found > STEPS.len() {
        let known = STEPS.len();
        return Err(StateError::TooNew { found, known });
    }
    Ok(found)
}
