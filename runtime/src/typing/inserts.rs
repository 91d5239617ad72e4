//! One row of default values through every view of a data source.

use pipewright_compiler::check::Refusal;
use pipewright_compiler::project::ResourceName;

use super::refusal;
use crate::engine::{Engine, EngineError};

/// Inserts the rows; gives those that were refused.
pub(super) async fn insert(
    engine: &dyn Engine,
    insertions: &[(ResourceName, String)],
) -> Result<Vec<(usize, Refusal)>, EngineError> {
    let mut refused = Vec::new();
    for (at, (_, sql)) in insertions.iter().enumerate() {
        if let Err(error) = engine.execute(sql).await
            && let Some(refusal) = refusal(error)?
        {
            refused.push((at, refusal));
        }
    }
    Ok(refused)
}
