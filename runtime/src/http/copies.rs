//! `…/nodes/<node>/copy` and `/v0/pipes/<pipe>/copy`: a node becomes a copy node, its schedule and target change, it runs, rests, goes on or is stopped.

use axum::response::Response;
use futures::FutureExt as _;
use pipewright_compiler::emit;
use pipewright_compiler::graph::NodeId;
use pipewright_compiler::plan::{CopyMode, Plan, Role, Schedule};
use pipewright_compiler::project::{Pipe, ResourceName};
use pipewright_grammar::syntax::NodeKind;
use serde_json::Value;

use super::call::{Call, find_node, find_pipe, json_response, no_content};
use super::copy_job::{self, CopyNode, matched_columns};
use super::describe::{self, Wanted};
use super::error::ApiError;
use super::extract::Path;
use super::fixed;
use super::nodes::{edited, wrong_node};
use super::pipes::shown;
use crate::catalog::{Change, Current, NodeText, Writer};
use crate::ingest::COPY;
use crate::jobs::JobStatus;
use crate::schedule;

/// Makes a node a copy node. One that is one already gets the new settings.
pub(super) async fn create(
    Path((reference, node_reference)): Path<(String, String)>,
    call: Call,
) -> Result<Response, ApiError> {
    call.require_create_pipes()?;
    let asked = (reference, node_reference);
    call.change(asked, |call, writer, (pipe, node)| {
        created(call, writer, pipe, node).boxed()
    })
    .await
}

async fn created(
    call: &Call,
    writer: &Writer<'_>,
    reference: &str,
    node_reference: &str,
) -> Result<Response, ApiError> {
    let current = writer.current();
    let wish = Wish::of(call, &current)?.complete()?;
    require_target(call, wish.target()?, wish.replaces())?;
    let pipe = find_pipe(&current, reference)?;
    let node = find_node(&current, pipe, node_reference)?;
    refuse_other_uses(pipe, &node.name.value)?;
    let change = edited(&current, pipe, &node.name.value, |node| {
        node.make_standard();
        wish.write(node);
    })?;
    let names = (pipe.name.name.clone(), node.name.value.clone());
    let current = commit(call, writer, change, &names).await?;
    shown(call, &current, &names.0, false)
}

/// Changes what a copy node fills, when and how.
pub(super) async fn update(
    Path((reference, node_reference)): Path<(String, String)>,
    call: Call,
) -> Result<Response, ApiError> {
    call.require_create_pipes()?;
    let asked = (reference, node_reference);
    call.change(asked, |call, writer, (pipe, node)| {
        updated(call, writer, pipe, node).boxed()
    })
    .await
}

async fn updated(
    call: &Call,
    writer: &Writer<'_>,
    reference: &str,
    node_reference: &str,
) -> Result<Response, ApiError> {
    let current = writer.current();
    let pipe = find_pipe(&current, reference)?;
    let node = copy_node(&current, pipe, node_reference)?;
    let wish = Wish::of(call, &current)?;
    let present = copy_job::find(&current.plan, pipe)?;
    may_change(call, &present, &wish)?;
    let change = edited(&current, pipe, &node, |node| wish.write(node))?;
    let names = (pipe.name.name.clone(), node);
    let current = commit(call, writer, change, &names).await?;
    shown(call, &current, &names.0, false)
}

/// Another target has to be one that the token may fill, as when the copy was made. What was there is filled by leave of who made it: when is up to who may change
/// pipes; but that rows go which did not go before needs the right to take them away.
fn may_change(call: &Call, present: &CopyNode, wish: &Wish) -> Result<(), ApiError> {
    let mode = wish.mode.unwrap_or(present.mode);
    if let Some(target) = &wish.target {
        return require_target(call, target, mode == CopyMode::Replace);
    }
    if mode == CopyMode::Replace && present.mode != CopyMode::Replace {
        let target = &present.target.name;
        Call::require(
            call.access.drops_datasource(target),
            &format!("PIPES:CREATE and DATASOURCES:DROP:{target}"),
        )?;
    }
    Ok(())
}

/// Makes a copy node a plain one.
pub(super) async fn remove(
    Path((reference, node_reference)): Path<(String, String)>,
    call: Call,
) -> Result<Response, ApiError> {
    call.require_create_pipes()?;
    Call::finish(async move {
        let writer = call.app.catalog.write().await;
        let current = writer.current();
        let pipe = find_pipe(&current, &reference)?;
        let node = copy_node(&current, pipe, &node_reference)?;
        let change = edited(&current, pipe, &node, NodeText::make_standard)?;
        call.commit(&writer, change).await?;
        Ok(no_content())
    })
    .await
}

/// Runs a copy as a job.
pub(super) async fn run(
    Path(reference): Path<String>,
    mut call: Call,
) -> Result<Response, ApiError> {
    let current = call.current();
    let name = current.objects.pipe_name(&reference).unwrap_or(&reference);
    let reads = call.access.reads_pipe(name);
    let needed = format!("PIPES:READ:{name} and DATASOURCES:APPEND of what it fills");
    Call::require(reads, &needed)?;
    let pipe = find_pipe(&current, &reference)?;
    let copy = copy_job::find(&current.plan, pipe)?;
    Call::require(call.access.appends_to(&copy.target.name), &needed)?;
    fixed::fix(&mut call.parameters, &call.access, &current.plan, &copy.id)?;
    let asked = copy_job::Asked::now(&call.parameters)?;
    // A request that takes rows away needs the right to it; a pipe that replaces was given it by who made it.
    if asked.replaces() && copy.mode == CopyMode::Append {
        let target = &copy.target.name;
        Call::require(
            call.access.drops_datasource(target),
            &format!("DATASOURCES:DROP:{target}"),
        )?;
    }
    let request =
        copy_job::request(&call.app, &current, &copy, asked, &call.access.filters).await?;
    copy_job::refuse_too_many_rows(&call.app, &current.plan, &request).await?;
    let most = current.plan.project.config.limits.copies;
    let job = call.app.data()?.jobs.submit_within(
        COPY,
        &super::jobs::by(
            &call.access,
            serde_json::to_value(&request).map_err(internal)?,
        ),
        most,
    )?;
    let node = pipe.node(&copy.id.node).ok_or_else(|| {
        ApiError::NotFound(format!("there is no node `{}` in this pipe", copy.id.node))
    })?;
    let mut out = describe::node(&current, pipe, node, call.app.workspace(), true);
    out["job"] = super::jobs::body(&job, &call.host);
    Ok(json_response(&out))
}

fn internal(error: impl std::fmt::Display) -> ApiError {
    ApiError::Internal(error.to_string())
}

/// Lets the times of a schedule pass without a run.
pub(super) async fn pause(Path(reference): Path<String>, call: Call) -> Result<Response, ApiError> {
    set_paused(&call, &reference, true)
}

/// Follows a schedule again.
pub(super) async fn resume(
    Path(reference): Path<String>,
    call: Call,
) -> Result<Response, ApiError> {
    set_paused(&call, &reference, false)
}

fn set_paused(call: &Call, reference: &str, paused: bool) -> Result<Response, ApiError> {
    call.require_create_pipes()?;
    let current = call.current();
    let pipe = find_pipe(&current, reference)?;
    let (pipe_id, cron) = scheduled(&current, pipe)?;
    let cron = cron.ok_or_else(|| not_scheduled(pipe))?;
    let schedules = call.app.catalog.state().schedules();
    schedules.pause(&pipe_id, &cron, paused, schedule::now())?;
    shown(call, &current, &pipe.name.name, false)
}

/// Stops the copies of a pipe that wait or run, and pauses its schedule.
pub(super) async fn cancel(
    Path(reference): Path<String>,
    call: Call,
) -> Result<Response, ApiError> {
    call.require_create_pipes()?;
    let current = call.current();
    let pipe = find_pipe(&current, &reference)?;
    let (pipe_id, cron) = scheduled(&current, pipe)?;
    let state = call.app.catalog.state();
    // First, so that no other begins meanwhile.
    if let Some(cron) = &cron {
        let schedules = state.schedules();
        schedules.pause(&pipe_id, cron, true, schedule::now())?;
    }
    let jobs = &call.app.data()?.jobs;
    let mut active = jobs.active(COPY)?;
    active.retain(|job| job.request["pipe_id"] == pipe_id);
    if active.is_empty() && cron.is_none() {
        return Err(not_scheduled(pipe));
    }
    let before = active.len();
    active.retain(|job| job.status != JobStatus::Cancelling);
    if active.is_empty() && before > 0 {
        return Err(ApiError::BadRequest(
            "the job is already being cancelled".to_owned(),
        ));
    }
    let mut cancelled = Vec::new();
    for job in active {
        if let Some(job) = jobs.cancel(&job.id)? {
            cancelled.push(super::jobs::body(&job, &call.host));
        }
    }
    let mut out = describe::pipe(&current, pipe, &call.host, state, &Wanted::all());
    out["cancelled_jobs"] = cancelled.into();
    Ok(json_response(&out))
}

fn not_scheduled(pipe: &Pipe) -> ApiError {
    ApiError::NotFound(format!(
        "there is no scheduled copy for pipe `{}`",
        pipe.name.name
    ))
}

/// The id of a copy pipe, with its cron expression where it has one.
fn scheduled(current: &Current, pipe: &Pipe) -> Result<(String, Option<String>), ApiError> {
    let copy = copy_job::find(&current.plan, pipe)?;
    let id = current
        .objects
        .pipe(&pipe.name.name)
        .map(|object| object.id.clone())
        .unwrap_or_default();
    let cron = match copy.schedule {
        Schedule::Cron(cron) => Some(cron),
        Schedule::OnDemand => None,
    };
    Ok((id, cron))
}

/// The name of the node that a reference means, if it is a copy node.
fn copy_node(current: &Current, pipe: &Pipe, reference: &str) -> Result<String, ApiError> {
    let node = find_node(current, pipe, reference).map_err(|_| wrong_node(reference))?;
    if node.kind != NodeKind::Copy {
        return Err(ApiError::BadRequest(format!(
            "wrong node id: node `{}` is not a copy node",
            node.name.value
        )));
    }
    Ok(node.name.value.clone())
}

/// A pipe copies, is served or fills a view's target, but one of these.
pub(super) fn refuse_other_uses(pipe: &Pipe, node: &str) -> Result<(), ApiError> {
    for other in &pipe.nodes {
        let name = &other.name.value;
        let reason = match other.kind {
            NodeKind::Materialized => format!(
                "node `{name}` of the pipe is being materialized: remove its materialization first"
            ),
            NodeKind::Endpoint => {
                format!("node `{name}` of the pipe is an endpoint: unpublish it first")
            }
            NodeKind::Copy if name != node => {
                format!("node `{name}` of the pipe is a copy node already: a pipe has one")
            }
            _ => continue,
        };
        return Err(ApiError::BadRequest(reason));
    }
    Ok(())
}

/// What a request says of a copy node.
#[derive(Debug, Default)]
pub(super) struct Wish {
    target: Option<String>,
    schedule: Option<Schedule>,
    mode: Option<CopyMode>,
}

impl Wish {
    /// Reads `target_datasource`, `schedule_cron` and `mode`.
    pub(super) fn of(call: &Call, current: &Current) -> Result<Self, ApiError> {
        let parameters = &call.parameters;
        let first = |names: [&str; 2]| {
            let [name, other] = names;
            parameters.given(name).or_else(|| parameters.given(other))
        };
        let target = first(["target_datasource", "target"])
            .map(|reference| {
                let name = current.objects.datasource_name(reference);
                let name = name.unwrap_or(reference).to_owned();
                let exists = current.plan.project.datasource(&name).is_some();
                let missing =
                    || ApiError::NotFound(format!("there is no target data source `{reference}`"));
                exists.then_some(name).ok_or_else(missing)
            })
            .transpose()?;
        let none = |text: &str| text.eq_ignore_ascii_case("none") || text == "null";
        let written = ["schedule_cron", "copy_schedule"];
        let schedule = match written.iter().find_map(|name| parameters.value_of(name)) {
            None => None,
            Some(Value::Null) => Some(Schedule::OnDemand),
            // The API's document writes it in quotes.
            Some(value) => match value.as_str().map(|text| text.trim().trim_matches('\'')) {
                Some(text) if none(text) => Some(Schedule::OnDemand),
                Some(text) => Some(
                    Schedule::parse(text)
                        .map_err(|error| ApiError::BadRequest(error.to_string()))?,
                ),
                None => {
                    return Err(ApiError::BadRequest(
                        "`schedule_cron` takes a crontab expression".to_owned(),
                    ));
                }
            },
        };
        let mode = first(["mode", "copy_mode"]).map(mode_of).transpose()?;
        Ok(Self {
            target,
            schedule,
            mode,
        })
    }

    /// All that a new copy node needs.
    pub(super) fn complete(self) -> Result<Self, ApiError> {
        self.target()?;
        Ok(Self {
            schedule: self.schedule.or(Some(Schedule::OnDemand)),
            ..self
        })
    }

    /// The name of the data source that is to be filled.
    pub(super) fn target(&self) -> Result<&str, ApiError> {
        self.target.as_deref().ok_or_else(|| {
            ApiError::BadRequest(
                "parameter `target_datasource` is missing: the data source to fill".to_owned(),
            )
        })
    }

    /// Whether rows of the target are to go.
    pub(super) fn replaces(&self) -> bool {
        self.mode == Some(CopyMode::Replace)
    }

    /// Writes what is wanted into a node.
    pub(super) fn write(&self, node: &mut NodeText) {
        node.kind = Some("copy".to_owned());
        if let Some(target) = &self.target {
            node.set_directive("DATASOURCE", None);
            node.set_directive("TARGET_DATASOURCE", Some(target.clone()));
        }
        match &self.schedule {
            Some(Schedule::Cron(cron)) => node.set_directive("COPY_SCHEDULE", Some(cron.clone())),
            Some(Schedule::OnDemand) => node.set_directive("COPY_SCHEDULE", None),
            None => {}
        }
        if let Some(mode) = self.mode {
            node.set_directive("MODE", None);
            let replaces = mode == CopyMode::Replace;
            node.set_directive("COPY_MODE", replaces.then(|| "replace".to_owned()));
        }
    }
}

pub(super) fn mode_of(text: &str) -> Result<CopyMode, ApiError> {
    match text.to_ascii_lowercase().as_str() {
        "append" => Ok(CopyMode::Append),
        "replace" => Ok(CopyMode::Replace),
        _ => Err(ApiError::BadRequest(format!(
            "`{text}` is no copy mode: use append or replace"
        ))),
    }
}

/// Whether the token may fill this data source; one whose rows go needs the right to take them away.
pub(super) fn require_target(call: &Call, target: &str, replaces: bool) -> Result<(), ApiError> {
    Call::require(
        call.access.appends_to(target),
        &format!("PIPES:CREATE and DATASOURCES:APPEND:{target}"),
    )?;
    if replaces {
        Call::require(
            call.access.drops_datasource(target),
            &format!("DATASOURCES:DROP:{target}"),
        )?;
    }
    Ok(())
}

/// Whether the token may make these copy nodes: what they fill, they add rows to.
pub(super) fn require_targets<'a>(
    call: &Call,
    nodes: impl IntoIterator<Item = &'a NodeText>,
) -> Result<(), ApiError> {
    let copies = nodes
        .into_iter()
        .filter(|node| node.kind.as_deref() == Some("copy"));
    for node in copies {
        let target = node
            .directive("TARGET_DATASOURCE")
            .or_else(|| node.directive("DATASOURCE"))
            .unwrap_or_default();
        let mode = node
            .directive("COPY_MODE")
            .or_else(|| node.directive("MODE"));
        let replaces = mode.is_some_and(|mode| mode.trim().eq_ignore_ascii_case("replace"));
        require_target(call, target, replaces)?;
    }
    Ok(())
}

/// Makes a change after a look whether the node's columns are those of its target.
pub(super) async fn commit(
    call: &Call,
    writer: &Writer<'_>,
    change: Change,
    (pipe, node): &(String, String),
) -> Result<std::sync::Arc<Current>, ApiError> {
    let plan = writer.compile(change.clone()).await?;
    let id = NodeId {
        pipe: ResourceName::local(pipe),
        node: node.clone(),
    };
    fits(call, writer, &plan, &id).await?;
    call.commit(writer, change).await
}

async fn fits(call: &Call, writer: &Writer<'_>, plan: &Plan, id: &NodeId) -> Result<(), ApiError> {
    let role = plan
        .pipes
        .get(&id.pipe)
        .and_then(|pipe| pipe.node(&id.node))
        .map(|node| &node.role);
    let Some(Role::Copy { target, mode, .. }) = role else {
        return Err(ApiError::BadRequest(format!("`{id}` is not a copy node")));
    };
    let table = plan
        .table(&target.name)
        .ok_or_else(|| ApiError::NotFound(format!("there is no target data source `{target}`")))?;
    let compiled = emit::default_sql(plan, id).map_err(|error| ApiError::query(plan, error))?;
    let described = writer
        .describe(call.app.engine.as_ref(), plan, &compiled)
        .await?;
    matched_columns(&call.app, plan, &compiled, table, described).await?;
    if *mode == CopyMode::Replace
        && let Ok(data) = call.app.data()
        && let Some(reason) = data
            .ingest
            .not_replaceable(&target.name)
            .await
            .map_err(crate::ingest::IngestError::from)?
    {
        return Err(ApiError::BadRequest(reason));
    }
    Ok(())
}
