//! Stage *apply*: `Vec<Step>` → engine, then fixtures into tables that are empty.

mod apply;
mod fixtures;
mod introspect;
mod plan;

use std::path::Path;

use pipewright_compiler::deploy as steps;
use pipewright_compiler::plan::Plan;
use pipewright_grammar::diagnostic::Diagnostic;

pub use apply::DeployError;
pub use introspect::{Actual, introspect};
pub use plan::{DeployPlan, PlannedChange, change, plan, sweep};

use crate::engine::Engine;

/// Who is told what a deploy does.
pub trait Progress: Sync {
    /// One line about what is going on.
    fn say(&self, text: &str);
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
}

/// Creates what the project needs and the engine has not, in order, and loads `fixtures/` into tables that are empty.
pub async fn deploy(
    plan: &Plan,
    root: &Path,
    engine: &dyn Engine,
    progress: &dyn Progress,
) -> Result<Deployed, DeployError> {
    let (desired, diagnostics) = steps::desired(plan);
    if let Some(diagnostic) = diagnostics.into_iter().next() {
        return Err(DeployError::NotCompiled(describe(plan, &diagnostic)));
    }
    sweep(engine).await?;
    let actual = introspect(engine, &plan.database).await?;
    let drifted = actual.drifted(&desired);
    let missing = steps::missing(desired, &actual.names());
    let created = apply::apply(&missing, engine, progress).await?;
    let loaded = fixtures::load(plan, root, engine, progress).await?;
    Ok(Deployed {
        created,
        loaded,
        drifted,
    })
}

fn describe(plan: &Plan, diagnostic: &Diagnostic) -> String {
    pipewright_compiler::diagnostics::render::concise(
        std::slice::from_ref(diagnostic),
        plan.project.sources.files(),
    )
    .trim_end()
    .to_owned()
}
