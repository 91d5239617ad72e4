//! Runs steps, one after the other.

use std::collections::BTreeMap;

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
    /// A statement failed, and not because the engine refuses it.
    #[error("cannot create {what} `{name}`")]
    Step {
        /// `table`, `materialized view`, …
        what: &'static str,
        /// The object.
        name: String,
        /// The engine's answer.
        source: EngineError,
    },
    /// A statement of a plan failed. What was done before it is taken back.
    #[error("this statement of the deploy failed, and nothing has changed: {sql}")]
    Statement {
        /// The statement.
        sql: String,
        /// The engine's answer.
        source: EngineError,
    },
    /// A connector needs a secret that nobody gave.
    #[error("cannot connect `{name}`")]
    Secret {
        /// The object that needs it.
        name: String,
        /// Which.
        source: pipewright_compiler::connect::MissingSecret,
    },
    /// Rows could not be put into a new table. It is gone again.
    #[error("`{name}` cannot be filled, and nothing has changed")]
    Fill {
        /// The data source.
        name: String,
        /// The engine's answer.
        source: EngineError,
    },
    /// Rows came to a table whose rows would be made anew from others.
    #[error(
        "rows came to `{0}` that its views did not make, and would be lost: nothing has changed"
    )]
    Direct(String),
    /// What views have made of rows cannot follow when others take their place.
    #[error("`{name}` cannot be replaced, and nothing has changed: {why}")]
    Follows {
        /// The data source.
        name: String,
        /// Why.
        why: String,
    },
    /// Rows came to a table that was empty, and goes.
    #[error(
        "rows came to `{0}`, which was empty when the deploy was planned and would take them with it: nothing has changed"
    )]
    Arrived(String),
    /// Rows were taken that the engine does not take, and a new table would count them twice.
    #[error("rows that were acknowledged are not in the engine, and nothing has changed: {0}")]
    Waiting(String),
    /// Rows are replaced or deleted again and again.
    #[error(
        "rows of the tables that change are replaced or deleted faster than new tables can be filled: nothing has changed"
    )]
    Restless,
    /// It was told to stop.
    #[error("the deploy was stopped, and nothing has changed")]
    Stopped,
    /// Half of the switch is done and can neither be finished nor taken back now.
    #[error("the engine could not finish the deploy; the next start does")]
    Recover {
        /// The engine's answer.
        source: EngineError,
    },
    /// What is done after the point of no return could not be written down.
    #[error(
        "what the deploy has done could not be written down; the next start finishes it or takes it back"
    )]
    Unnoted {
        /// What failed.
        source: crate::state::StateError,
    },
    /// An earlier deploy waits for the next start.
    #[error(
        "deployment {0} could neither be finished nor taken back: the next start of the server does one of them, and nothing is deployed before; nothing has changed"
    )]
    Unfinished(i64),
    /// The journal could not be written or read.
    #[error(transparent)]
    State(#[from] crate::state::StateError),
    /// Whether a data source has rows already could not be found out.
    #[error("cannot load `{file}`")]
    Fixture {
        /// The fixture, relative to the project.
        file: String,
        /// The engine's answer.
        source: EngineError,
    },
}

/// Runs the steps that the engine takes; the others are told, with what it says. For the start of a server: one data source that cannot be made is no reason not to
/// serve the rest.
pub(super) async fn apply(
    steps: &[Step],
    engine: &dyn Engine,
    progress: &dyn Progress,
) -> Result<(Vec<String>, BTreeMap<String, String>), DeployError> {
    let (mut created, mut refused) = (Vec::new(), BTreeMap::new());
    for step in steps {
        let (what, name) = (what(step.kind), step.name.clone());
        if step.kind != StepKind::CreateDatabase {
            progress.say(&format!("creating {what} {name}"));
        }
        match engine.execute(&step.sql_with_comment()).await {
            Ok(()) if step.kind == StepKind::CreateDatabase => {}
            Ok(()) => created.push(name),
            Err(EngineError::Exception { message, .. })
                if step.kind != StepKind::CreateDatabase =>
            {
                refused.insert(name, message);
            }
            Err(source) => return Err(DeployError::Step { what, name, source }),
        }
    }
    Ok((created, refused))
}

fn what(kind: StepKind) -> &'static str {
    match kind {
        StepKind::CreateDatabase => "database",
        StepKind::CreateTable => "table",
        StepKind::CreateMaterializedView => "materialized view",
    }
}
