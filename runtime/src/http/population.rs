//! `POST /v0/pipes/<pipe>/nodes/<node>/population`: what was there before a materialized view, as a job.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use pipewright_compiler::graph::NodeId;
use serde_json::json;

use super::Json;
use super::call::{Call, find_node, find_pipe};
use super::error::ApiError;
use super::nodes::no_such_node;
use crate::ingest::PopulateOptions;

pub(super) async fn create(
    Path((reference, node_reference)): Path<(String, String)>,
    call: Call,
) -> Result<Response, ApiError> {
    call.require_create_pipes()?;
    let current = call.app.catalog.current();
    let pipe = find_pipe(&current, &reference)?;
    let node =
        find_node(&current, pipe, &node_reference).ok_or_else(|| no_such_node(&node_reference))?;
    let id = NodeId {
        pipe: pipe.name.clone(),
        node: node.name.value.clone(),
    };
    if call.parameters.flag("unlink_on_populate_error")? {
        return Err(ApiError::BadRequest("`unlink_on_populate_error` is not available: a populate that fails leaves the view as it was".to_owned()));
    }
    let subset = call
        .parameters
        .given("populate_subset")
        .map(|text| {
            text.parse().map_err(|_| {
                ApiError::BadRequest("`populate_subset` is a number from 0 to 1".to_owned())
            })
        })
        .transpose()?;
    let options = PopulateOptions {
        truncate: call.parameters.flag("truncate")?,
        condition: call
            .parameters
            .given("populate_condition")
            .map(ToOwned::to_owned),
        subset,
    };
    let data = call.app.data()?;
    let request = data
        .ingest
        .plan_populate(&current.plan, &id, options)
        .await?;
    let job = data.jobs.submit("populateview", &json!(request))?;
    Ok((StatusCode::OK, Json(super::jobs::body(&job, &call.host))).into_response())
}
