//! `pipewright job` and `pipewright materialization`: what takes long.

use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::ExitStatus;
use super::arguments::{Job, JobCommand, Materialization, MaterializationCommand, OutputFormat};
use super::client::{Client, escaped};
use super::printer::Printer;
use super::serve::Does;
use super::session::{follow, run as with_server, table};

pub(super) fn run(
    arguments: &Job,
    project: Option<&Path>,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let format = arguments.format;
    let does = match &arguments.command {
        JobCommand::List | JobCommand::Show { .. } => Does::Nothing,
        JobCommand::Cancel { .. } => Does::All,
    };
    with_server(&arguments.remote, does, project, printer, async |client| {
        let answer = match &arguments.command {
            JobCommand::List => {
                let answer = client.call("GET", "/v0/jobs", None).await?;
                if format == OutputFormat::Text {
                    printer.data(&listed(&answer))?;
                    return Ok(ExitStatus::Success);
                }
                answer
            }
            JobCommand::Show { id } => {
                let path = format!("/v0/jobs/{}", escaped(id));
                client.call("GET", &path, None).await?
            }
            JobCommand::Cancel { id } => {
                let path = format!("/v0/jobs/{}/cancel", escaped(id));
                client.call("POST", &path, None).await?
            }
        };
        printer.data(&serde_json::to_string_pretty(&answer)?)?;
        Ok(ExitStatus::Success)
    })
}

fn listed(answer: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let found = answer["jobs"].as_array();
    let rows: Vec<Vec<String>> = found
        .into_iter()
        .flatten()
        .map(|job| {
            vec![
                text(&job["id"]),
                text(&job["kind"]),
                text(&job["status"]),
                text(&job["created_at"]),
                text(&job["error"]),
            ]
        })
        .collect();
    table(&["id", "kind", "status", "asked for", "error"], &rows)
}

/// Runs `materialization`.
pub(super) fn materialization(
    arguments: &Materialization,
    project: Option<&Path>,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let MaterializationCommand::Populate {
        target,
        truncate,
        condition,
        subset,
    } = &arguments.command;
    with_server(
        &arguments.remote,
        Does::All,
        project,
        printer,
        async |client| {
            let (pipe, node) = match target.split_once('.') {
                Some((pipe, node)) => (pipe.to_owned(), node.to_owned()),
                None => (target.clone(), materialized_node(&client, target).await?),
            };
            let mut path = format!(
                "/v0/pipes/{}/nodes/{}/population?truncate={truncate}",
                escaped(&pipe),
                escaped(&node)
            );
            if let Some(condition) = condition {
                path.push_str("&populate_condition=");
                path.push_str(&escaped(condition));
            }
            if let Some(subset) = subset {
                path.push_str("&populate_subset=");
                path.push_str(&subset.to_string());
            }
            let job = client.call("POST", &path, None).await?;
            let id = job["id"].as_str().context("the server names no job")?;
            let (status, job) = follow(&client, id, printer).await?;
            if arguments.format == OutputFormat::Json {
                printer.data(&serde_json::to_string_pretty(&job)?)?;
            } else if status == ExitStatus::Success {
                printer.note(&format!(
                    "populated from {} rows",
                    job["statistics"]["rows"]
                ));
            }
            Ok(status)
        },
    )
}

/// The one node of a pipe that is materialized.
async fn materialized_node(client: &Client, pipe: &str) -> anyhow::Result<String> {
    let path = format!("/v0/pipes/{}", escaped(pipe));
    let found = client.call("GET", &path, None).await?;
    let nodes: Vec<&str> = found["nodes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|node| node["node_type"] == "materialized")
        .filter_map(|node| node["name"].as_str())
        .collect();
    match nodes[..] {
        [node] => Ok(node.to_owned()),
        [] => bail!("pipe `{pipe}` has no materialized node"),
        _ => bail!(
            "pipe `{pipe}` has several materialized nodes: name one as {pipe}.NODE ({})",
            nodes.join(", ")
        ),
    }
}
