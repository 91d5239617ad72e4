//! The columns of statements with their types, as an engine describes them on empty tables.

use std::collections::BTreeMap;

use pipewright_compiler::contract::Described;
use pipewright_compiler::deploy;
use pipewright_compiler::emit;
use pipewright_compiler::plan::{Compiled, Plan};

use super::{TIMEOUT, Typist, create, refusal};
use crate::engine::{Engine, EngineError, Query};

impl Typist {
    /// The columns of each endpoint, by the name of its pipe. An endpoint that the engine does not describe is left out.
    pub async fn columns(
        &mut self,
        plan: &Plan,
    ) -> Result<BTreeMap<String, Described>, EngineError> {
        let (steps, _) = deploy::desired(plan);
        let engine = self.engine().await?;
        create(engine.as_ref(), &steps).await?;
        let mut described = BTreeMap::new();
        for pipe in plan.pipes.values() {
            let Some(endpoint) = pipe.endpoint_node() else {
                continue;
            };
            let Ok(compiled) = emit::default_sql(plan, &endpoint.id) else {
                continue;
            };
            if let Some(columns) = describe(engine.as_ref(), &compiled).await? {
                described.insert(pipe.name.to_string(), columns);
            }
        }
        Ok(described)
    }
}

/// What goes before a statement that is described. The closing parenthesis has its own line because the text may end in a `--` comment.
const DESCRIBE: &str = "DESCRIBE TABLE (\n";

/// The columns that a statement gives; `None` where the engine refuses it.
pub(super) async fn describe(
    engine: &dyn Engine,
    compiled: &Compiled,
) -> Result<Option<Described>, EngineError> {
    let text = format!("{DESCRIBE}{}\n)", compiled.sql.text());
    let mut query = Query::new(text, "JSONEachRow").timeout(TIMEOUT);
    for name in &compiled.secrets {
        query.parameters.push((name.clone(), String::new()));
    }
    let answered = match engine.query(query).await {
        Ok(answer) => answer.bytes().await,
        Err(error) => Err(error),
    };
    let bytes = match answered {
        Ok(bytes) => bytes,
        Err(error) => return refusal(error).map(|_| None),
    };
    let text = String::from_utf8_lossy(&bytes);
    let rows = text.lines().map(|line| {
        let row: serde_json::Value = serde_json::from_str(line).ok()?;
        let field = |name: &str| row.get(name)?.as_str().map(str::to_owned);
        Some((field("name")?, field("type")?))
    });
    Ok(rows.collect())
}
