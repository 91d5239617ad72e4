//! `POST /v0/pipes/<pipe>/nodes/<node>/population`: what was there before a materialized view, as a job. A view may ask for it when it is made, and may
//! be taken away when it fails.

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use pipewright_compiler::deploy::view_name;
use pipewright_compiler::graph::NodeId;
use pipewright_compiler::plan::{Plan, Role};
use pipewright_compiler::project::ResourceName;
use pipewright_grammar::syntax::NodeKind;
use serde_json::{Value, json};

use super::App;
use super::call::{Call, find_node, find_pipe, json_response};
use super::error::ApiError;
use super::extract::Path;
use super::filtered::refuse_hidden_rows_of;
use super::nodes::edited;
use crate::catalog::{Change, ChangeError, Current, NodeText, Writer};
use crate::ingest::{PopulateOptions, PopulateRequest};
use crate::jobs::{Job, JobStatus, Wanted};
use crate::state::{NewJob, StateError};

/// The kind of the jobs.
pub(super) const POPULATE: &str = "populateview";

/// How many jobs are looked through for an earlier failure.
const EARLIER: u32 = 1000;

pub(super) async fn create(
    Path((reference, node_reference)): Path<(String, String)>,
    call: Call,
) -> Result<Response, ApiError> {
    call.require_create_pipes()?;
    let current = call.current();
    let pipe = find_pipe(&current, &reference)?;
    let node = find_node(&current, pipe, &node_reference)?;
    let id = NodeId {
        pipe: pipe.name.clone(),
        node: node.name.value.clone(),
    };
    let truncate = call.parameters.flag("truncate")?;
    if truncate && let Some(target) = filled_by(&current.plan, &id) {
        Call::require(
            call.access.drops_datasource(&target.name),
            &format!("PIPES:CREATE and DATASOURCES:DROP:{target}"),
        )?;
    }
    let wish = Wish::of(&call)?;
    let request = planned(&call, &current, &id, wish, truncate).await?;
    for name in request.followers.iter().filter(|_| truncate) {
        Call::require(
            call.access.drops_datasource(name),
            &format!("PIPES:CREATE and DATASOURCES:DROP:{name}"),
        )?;
    }
    let job = submit(&call, &current, &id, request)?;
    let mut out = super::jobs::body(&job, &call.host);
    // Command lines look for the job in a field, as where a view is made.
    out["job"] = out.clone();
    Ok(json_response(&out))
}

/// What a materialized node fills.
fn filled_by<'a>(plan: &'a Plan, id: &NodeId) -> Option<&'a ResourceName> {
    match &plan.pipes.get(&id.pipe)?.node(&id.node)?.role {
        Role::Materialized { target, .. } => Some(target),
        _ => None,
    }
}

/// What a request says of the rows of before.
#[derive(Debug)]
struct Wish {
    condition: Option<String>,
    subset: Option<f64>,
    unlinks: bool,
}

impl Wish {
    fn of(call: &Call) -> Result<Self, ApiError> {
        let wrong = || {
            ApiError::BadRequest(
                "`populate_subset` is a number greater than 0 and not greater than 0.1".to_owned(),
            )
        };
        let subset = match call.parameters.value_of("populate_subset") {
            None | Some(Value::Null) => None,
            Some(Value::Number(number)) => number.as_f64(),
            Some(_) => {
                let text = call.parameters.given("populate_subset").unwrap_or("");
                Some(text.parse().map_err(|_| wrong())?)
            }
        };
        if subset.is_some_and(|share: f64| !(share > 0.0 && share <= 0.1)) {
            return Err(wrong());
        }
        let condition = call.parameters.given("populate_condition");
        Ok(Self {
            // A share has precedence.
            condition: condition
                .filter(|_| subset.is_none())
                .map(ToOwned::to_owned),
            subset,
            unlinks: call.parameters.flag("unlink_on_populate_error")?,
        })
    }
}

/// Looks whether a view, which is in the engine, can be filled as wished.
async fn planned(
    call: &Call,
    current: &Current,
    id: &NodeId,
    wish: Wish,
    truncate: bool,
) -> Result<PopulateRequest, ApiError> {
    refuse_hidden_rows_of(&call.access, &current.plan, id)?;
    let data = call.app.data()?;
    let options = PopulateOptions {
        truncate,
        condition: wish.condition,
        subset: wish.subset,
    };
    let ingest = &data.ingest;
    let mut request = ingest.plan_populate(&current.plan, id, options).await?;
    request.unlinks = wish.unlinks;
    Ok(request)
}

fn submit(
    call: &Call,
    current: &Current,
    id: &NodeId,
    request: PopulateRequest,
) -> Result<Job, ApiError> {
    let request = named(call, current, id, request);
    Ok(call.app.data()?.jobs.submit(POPULATE, &request)?)
}

/// A populate as the job has it: with ids, and with who has asked for it.
fn named(call: &Call, current: &Current, id: &NodeId, mut request: PopulateRequest) -> Value {
    let id_of = |object: Option<&crate::catalog::Object>| object.map(|object| object.id.clone());
    request.pipe_id = id_of(current.objects.pipe(&id.pipe.name)).unwrap_or_default();
    let target = current.objects.datasource(&request.datasource.name);
    request.datasource.id = id_of(target).unwrap_or_default();
    super::jobs::by(&call.access, json!(request))
}

/// Makes a change by which a node is materialized, and populates what it fills if the request says so. What cannot be populated is not made.
pub(super) async fn commit(
    call: &Call,
    writer: &Writer<'_>,
    change: Change,
    id: &NodeId,
) -> Result<(Arc<Current>, Option<Job>), ApiError> {
    if !call.parameters.flag("populate")? {
        return Ok((call.commit(writer, change).await?, None));
    }
    let wish = Wish::of(call)?;
    let data = call.app.data()?;
    data.jobs.require_room()?;
    let after = writer.compile(change.clone()).await?;
    // What comes from the moment on in which the view is made is the view's, and what was there before is the job's.
    let gates = data.ingest.sources_alone(&after, id).await?;
    let prepared = call.prepare(writer, change).await?;
    let mut views = prepared.views().clone();
    if wish.condition.is_none() && wish.subset.is_none() {
        views.remove(&view_name(&id.pipe, &id.node));
    }
    let mut prepared = call.mark_partial(prepared, &views).await?;
    // A data source that is made anew loses its rows with the commit, so that what may go wrong goes wrong before it.
    let request = match put_aside(call, prepared.current(), id, wish).await {
        Ok(request) => request,
        Err(error) => {
            prepared.take_back().await;
            return Err(error);
        }
    };
    drop(gates);
    let job = NewJob {
        id: crate::state::uuid().map_err(StateError::from)?,
        kind: POPULATE.to_owned(),
        request: named(call, prepared.current(), id, request.clone()),
    };
    let job_id = job.id.clone();
    prepared.with_job(job);
    let committed = call.commit_prepared(prepared).await;
    if committed.is_err() {
        data.ingest.forget_aside(&request).await;
    }
    let current = committed?;
    let job = data.jobs.find(&job_id)?;
    if let Some(job) = &job {
        data.jobs.take_on(job.clone());
    }
    Ok((current, job))
}

/// Looks whether a view that has just been made can be filled as wished, and keeps the rows of before for that.
async fn put_aside(
    call: &Call,
    current: &Current,
    id: &NodeId,
    wish: Wish,
) -> Result<PopulateRequest, ApiError> {
    let mut request = planned(call, current, id, wish, false).await?;
    let ingest = &call.app.data()?.ingest;
    if let Err(error) = ingest.put_aside(&mut request).await {
        ingest.forget_aside(&request).await;
        return Err(error.into());
    }
    Ok(request)
}

/// The description of what was made, with the job that populates it.
pub(super) fn with_job(call: &Call, mut shown: Value, job: Option<&Job>) -> Response {
    if let (Some(job), Value::Object(map)) = (job, &mut shown) {
        map.insert("job".to_owned(), super::jobs::body(job, &call.host));
    }
    json_response(&shown)
}

/// Takes away what was put aside for a populate that has ended, and the view of one that has failed, if it is to be.
pub(super) fn ended(app: &Arc<App>, job: &Job) {
    if job.kind != POPULATE || !job.status.is_final() {
        return;
    }
    let Ok(request) = serde_json::from_value::<PopulateRequest>(job.request.clone()) else {
        return;
    };
    let (app, job) = (Arc::clone(app), job.clone());
    tokio::spawn(async move {
        if let Ok(data) = app.data() {
            data.ingest.forget_aside(&request).await;
            data.ingest.left_partial(&request, job.status).await;
        }
        if job.status != JobStatus::Error {
            return;
        }
        let unlinked = async {
            if request.unlinks || is_first_failure(&app, &job)? {
                unlink(&app, &request).await?;
            }
            Ok::<_, ApiError>(())
        };
        if let Err(error) = unlinked.await {
            tracing::error!(
                error = error.message(),
                pipe = request.pipe_name,
                node = request.node_name,
                "a view whose populate failed is still there"
            );
        }
    });
}

/// Whether no populate of this view has failed before this one. Those that waited when the first one failed are later ones.
fn is_first_failure(app: &App, job: &Job) -> Result<bool, ApiError> {
    let failed = Wanted {
        status: Some(JobStatus::Error.as_str()),
        ..Wanted::of_kind(POPULATE)
    };
    let others = app.data()?.jobs.list(&failed, EARLIER)?;
    let is_earlier = |other: &Job| {
        other.id != job.id
            && (other.updated_at, &other.id) < (job.updated_at, &job.id)
            && ["pipe_id", "node_name"]
                .iter()
                .all(|field| other.request[field] == job.request[field])
    };
    Ok(!others.iter().any(is_earlier))
}

async fn unlink(app: &App, request: &PopulateRequest) -> Result<(), ApiError> {
    loop {
        match unlink_now(app, request).await {
            Err(Stopped::Held) => tokio::time::sleep(HELD).await,
            Err(Stopped::Failed(error)) => return Err(error),
            Ok(()) => return Ok(()),
        }
    }
}

/// So long nobody asks whether tables can be changed again.
const HELD: Duration = Duration::from_secs(1);

/// Why a view is still there.
enum Stopped {
    /// Tables and views stay as they are for now.
    Held,
    Failed(ApiError),
}

impl<E: Into<ApiError>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

async fn unlink_now(app: &App, request: &PopulateRequest) -> Result<(), Stopped> {
    let node = request.node_name.as_str();
    let writer = app.catalog.write().await;
    // One that has come since has not failed.
    if !app.data()?.ingest.is_view_of(request).await? {
        return Ok(());
    }
    let current = writer.current();
    let pipe = find_pipe(&current, &request.pipe_id)?;
    let is_view = pipe
        .node(node)
        .is_some_and(|node| node.kind == NodeKind::Materialized);
    if !is_view {
        return Ok(());
    }
    let change = edited(&current, pipe, node, NodeText::make_standard)?;
    let current = match writer.commit(change, app.engine.as_ref()).await {
        Err(ChangeError::TablesHeld) => return Err(Stopped::Held),
        committed => committed?,
    };
    app.serve_plan(&current.plan);
    Ok(())
}
