//! `…/explain`: the whole statement of a node with a request's values, and the engine's plan for it.

use axum::response::Response;
use pipewright_compiler::graph::NodeId;
use pipewright_compiler::project::{Node, Pipe};
use serde_json::json;

use super::call::{Call, find_node, find_pipe, json_response};
use super::error::ApiError;
use super::extract::Path;
use super::fixed;
use super::query::{now, request, secret_names};
use crate::engine::{EngineError, Query};

/// What stands before the statement: the plan as one line for each step.
const EXPLAIN: &str = "EXPLAIN actions = 0, pretty = 0, compact = 0\n";

/// The most relevant node of a pipe.
pub(super) async fn pipe(Path(reference): Path<String>, call: Call) -> Result<Response, ApiError> {
    explain(call, &reference, None).await
}

/// One node.
pub(super) async fn node(
    Path((reference, node)): Path<(String, String)>,
    call: Call,
) -> Result<Response, ApiError> {
    explain(call, &reference, Some(&node)).await
}

async fn explain(
    mut call: Call,
    reference: &str,
    node_reference: Option<&str>,
) -> Result<Response, ApiError> {
    let current = call.current();
    let name = current.objects.pipe_name(reference).unwrap_or(reference);
    if !call.access.reads_pipe(name) {
        return Err(ApiError::Forbidden(format!(
            "the token may not explain pipe `{reference}`: it needs ADMIN or PIPES:READ and DATASOURCES:READ"
        )));
    }
    let pipe = find_pipe(&current, reference)?;
    let node = match node_reference {
        Some(reference) => find_node(&current, pipe, reference)?,
        None => most_relevant(pipe)?,
    };
    let served = call.app.served.load_full();
    let id = NodeId {
        pipe: pipe.name.clone(),
        node: node.name.value.clone(),
    };
    let mut parameters = std::mem::take(&mut call.parameters);
    fixed::fix(&mut parameters, &call.access, &current.plan, &id)?;
    let values = parameters.values();
    let (now, secrets) = (now(), secret_names(&served));
    // As its author wrote it, which is what clients of this route compare it with. `pipewright explain` shows what the rules make of it.
    let compiled = current.plan.compile_node_as_written(
        &id,
        request(&values, &now, &secrets),
        &call.access.filters,
    );
    let compiled = compiled.map_err(|error| ApiError::query(&current.plan, error))?;
    if compiled.hides_rows {
        return Err(ApiError::Forbidden(
            "the token may not explain this: it sees only some rows of what is read, and the plan shows by which condition".to_owned(),
        ));
    }
    for table in &compiled.datasources {
        if !call.access.reads_datasource(&table.to_string()) {
            return Err(ApiError::Forbidden(format!(
                "the token may not explain this: it may not read data source `{table}`"
            )));
        }
    }
    call.app
        .refuse_other_tables(&current.plan, &compiled)
        .await?;
    let sql = compiled.sql.text();
    let _place = call.app.admission.enter().ok_or(ApiError::TooMany)?;
    let mut query = Query::new(format!("{EXPLAIN}{sql}"), "TSVRaw")
        .timeout(call.app.timeout)
        .within(&current.plan.project.config.limits);
    for name in &compiled.secrets {
        query.parameters.push((name.clone(), String::new()));
    }
    let refused = |error: EngineError| {
        let error = error.shifted(EXPLAIN.len(), sql.len());
        ApiError::engine(&current.plan, &compiled.sql, error)
    };
    let answer = call.app.engine.query(query).await.map_err(refused)?;
    let bytes = answer.bytes().await.map_err(refused)?;
    let lines: Vec<String> = String::from_utf8_lossy(&bytes)
        .lines()
        .map(|line| line.trim().to_owned())
        .collect();
    Ok(json_response(
        &json!({ "debug_query": sql.trim(), "query_explain": lines.join(" ") }),
    ))
}

/// The endpoint, the node that fills a data source, the copy node, or the last.
fn most_relevant(pipe: &Pipe) -> Result<&Node, ApiError> {
    pipe.output().ok_or_else(|| {
        ApiError::BadRequest(
            "could not get a node to run the explain plan: the pipe has none".to_owned(),
        )
    })
}
