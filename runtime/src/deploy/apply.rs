//! Runs steps, one after the other.

use pipewright_compiler::deploy::{Step, StepKind};

use super::Progress;
use crate::engine::{Engine, EngineError};

/// Why a deploy stopped.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// A materialized node has no SQL to make a view from.
    #[error("{0}")]
    NotCompiled(String),
    /// The engine did not say what it holds.
    #[error("cannot list the engine's tables")]
    Introspect {
        /// The engine's answer.
        source: EngineError,
    },
    /// A statement failed. What this deploy had created before it is taken away again.
    #[error("cannot create {what} `{name}`")]
    Step {
        /// `table`, `materialized view`, …
        what: &'static str,
        /// The object.
        name: String,
        /// The engine's answer.
        source: EngineError,
    },
    /// A fixture cannot be read or does not fit its data source; the data source is empty again.
    #[error("cannot load `{file}`")]
    Fixture {
        /// The file, relative to the project.
        file: String,
        /// Why.
        source: EngineError,
    },
}

/// Runs the steps. When one fails, what the ones before it made is dropped: it was not there before, so that nothing is lost and nothing is left
/// half-created.
pub(super) async fn apply(
    steps: &[Step],
    engine: &dyn Engine,
    progress: &dyn Progress,
) -> Result<Vec<String>, DeployError> {
    let mut created: Vec<&Step> = Vec::new();
    for step in steps {
        if step.kind != StepKind::CreateDatabase {
            progress.say(&format!("creating {} {}", what(step.kind), step.name));
        }
        if let Err(source) = engine.execute(&step.sql_with_comment()).await {
            undo(&created, engine, progress).await;
            return Err(DeployError::Step {
                what: what(step.kind),
                name: step.name.clone(),
                source,
            });
        }
        created.push(step);
    }
    Ok(created
        .into_iter()
        .filter(|step| step.kind != StepKind::CreateDatabase)
        .map(|step| step.name.clone())
        .collect())
}

async fn undo(created: &[&Step], engine: &dyn Engine, progress: &dyn Progress) {
    for step in created.iter().rev() {
        let Some(sql) = step.undo() else { continue };
        if let Err(error) = engine.execute(&sql).await {
            progress.say(&format!(
                "cannot take {} {} away again: {error}",
                what(step.kind),
                step.name
            ));
        }
    }
}

fn what(kind: StepKind) -> &'static str {
    match kind {
        StepKind::CreateDatabase => "database",
        StepKind::CreateTable => "table",
        StepKind::CreateMaterializedView => "materialized view",
    }
}
