//! Deploys by a running server: the files go there, the plan and the progress come back.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::StatusCode;
use serde_json::{Value, json};

use super::ExitStatus;
use super::bar::Bar;
use super::client::{Client, complaint};
use super::deploy::Wish;
use super::plan_text::{Shown, show};
use super::printer::Printer;
use crate::catalog::Drift;
use crate::deploy::{Action, DeployStep, ResourceChange};
use crate::workspace::SETTINGS;

/// So often the server is asked how far it is.
const EVERY: Duration = Duration::from_millis(200);

/// Sends a project to be planned or deployed.
pub(super) async fn deploy(
    client: &Client,
    mut files: BTreeMap<String, String>,
    wish: &Wish,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    // Those about the server stay here: where it listens, and passwords in addresses, are no part of a version.
    if let Some(text) = files.get_mut(SETTINGS) {
        let mut table: toml::Table = text.parse()?;
        if table.remove("server").is_some() {
            *text = table.to_string();
        }
    }
    let body = json!({ "files": files });
    run(client, "/v1/deploy", Some(&body), wish, printer).await
}

/// Asks for the version before.
pub(super) async fn rollback(
    client: &Client,
    wish: &Wish,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    run(client, "/v1/rollback", None, wish, printer).await
}

async fn run(
    client: &Client,
    path: &str,
    body: Option<&Value>,
    wish: &Wish,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let path = format!(
        "{path}?check={}&allow_destructive_operations={}",
        !wish.applies, wish.allow_destructive
    );
    let (status, answer) = client.ask("POST", &path, body).await?;
    let steps = answer["deployment"]["steps"].clone();
    // A server of before this was said has none.
    let drift = answer["deployment"]["drift"].clone();
    let drift: Vec<Drift> = serde_json::from_value(drift).unwrap_or_default();
    let resources = answer["deployment"]["resources"].clone();
    let resources: Vec<ResourceChange> = serde_json::from_value(resources).unwrap_or_default();
    let shown = |steps: &[DeployStep]| {
        let shown = Shown {
            steps,
            resources: &resources,
            drift: &drift,
        };
        show(&shown, wish.format, printer)
    };
    if !status.is_success() {
        if let Ok(steps) = serde_json::from_value::<Vec<DeployStep>>(steps) {
            shown(&steps)?;
        }
        printer.error(&as_flag(&complaint(status, &answer)));
        let known = [
            StatusCode::BAD_REQUEST,
            StatusCode::CONFLICT,
            StatusCode::FORBIDDEN,
        ];
        return Ok(if known.contains(&status) {
            ExitStatus::Findings
        } else {
            ExitStatus::Error
        });
    }
    let steps: Vec<DeployStep> = serde_json::from_value(steps)?;
    shown(&steps)?;
    if !wish.applies {
        return Ok(ExitStatus::Success);
    }
    if answer["result"] == "no_changes" {
        printer.note("no changes");
        return Ok(ExitStatus::Success);
    }
    let Some(id) = answer["deployment"]["id"].as_i64() else {
        anyhow::bail!("the server says nothing of the deployment");
    };
    let is_whole = steps.iter().all(|step| step.action != Action::LeaveOut);
    match follow(client, id, printer).await? {
        ExitStatus::Success if !is_whole => Ok(ExitStatus::Findings),
        status => Ok(status),
    }
}

/// The leave that a server names as its parameter is a flag here.
fn as_flag(said: &str) -> String {
    said.replace("allow_destructive_operations=true", "--allow-destructive")
}

/// Shows how far a deployment is until it has ended.
async fn follow(client: &Client, id: i64, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let mut bar = Bar::new(printer);
    loop {
        let answer = client
            .call("GET", &format!("/v1/deployments/{id}"), None)
            .await?;
        let deployment = &answer["deployment"];
        let progress = &deployment["job"]["progress"];
        bar.say(progress["step"].as_str().unwrap_or_default());
        bar.rows(
            progress["rows"].as_u64().unwrap_or(0),
            progress["rows_total"].as_u64().unwrap_or(0),
        );
        let ended = matches!(
            deployment["job"]["status"].as_str(),
            Some("done" | "error" | "cancelled") | None
        );
        if !ended {
            tokio::time::sleep(EVERY).await;
            continue;
        }
        drop(bar);
        let error = deployment["error"].as_str();
        if deployment["outcome"] == "failed" {
            printer.error(&as_flag(error.unwrap_or("the deploy failed")));
            return Ok(ExitStatus::Findings);
        }
        if let Some(error) = error {
            printer.note(&format!("warning: {error}"));
        }
        printer.note(&format!(
            "deployed at {} as deployment {id}",
            client.address()
        ));
        return Ok(ExitStatus::Success);
    }
}
