//! One row of default values through every view of a data source.

use pipewright_compiler::check::{Refusal, view_that_refused};
use pipewright_compiler::project::ResourceName;
use pipewright_compiler::sql::quote_identifier;

use super::refusal;
use crate::engine::{DATABASE, Engine, EngineError};

/// Inserts the rows; gives those that were refused. A view that refuses one is taken away and the row goes in again, so that it does not hide what others say.
pub(super) async fn insert(
    engine: &dyn Engine,
    insertions: &[(ResourceName, String)],
) -> Result<Vec<(usize, Refusal)>, EngineError> {
    let mut refused = Vec::new();
    for (at, (_, sql)) in insertions.iter().enumerate() {
        while let Err(error) = engine.execute(sql).await {
            let Some(refusal) = refusal(error)? else {
                break;
            };
            let view = view_that_refused(&refusal.message);
            refused.push((at, refusal));
            let Some(view) = view else { break };
            let view = quote_identifier(&view);
            // Each time there is one view less; one that is none ends it.
            if engine
                .execute(&format!("DROP VIEW {DATABASE}.{view}"))
                .await
                .is_err()
            {
                break;
            }
        }
    }
    // Views run beside one another: which is the first to refuse is chance.
    refused.sort_by(|one, other| (one.0, &one.1.message).cmp(&(other.0, &other.1.message)));
    Ok(refused)
}
