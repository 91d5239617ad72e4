//! `/v1/deploy`, `/v1/rollback` and `/v1/deployments`: a whole project into force while it is served.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::{Value, json};

use super::call::{Call, json_response};
use super::deploy_form;
use super::deploy_job::{DEPLOY, is_overtaken, refusal};
use super::deployment_shown::{self, live};
use super::error::ApiError;
use super::extract::Path;
use super::{App, Data, jobs};
use crate::catalog::{Author, ChangeError, Draft, Writer, format_micros};
use crate::deploy::{self, Action, DeployPlan, DeployStep};
use crate::ingest::Ingest;
use crate::jobs::{Job, SubmitError, Wanted};
use crate::state::{Deployment, DeploymentKind, DeploymentStatus, NewDeployment};

/// `POST /v1/deploy`: the files as parts of a form, each with its path as file name, or as JSON, `{"files": {path: text}}`.
pub(super) async fn create(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (uri, headers) = (request.uri().clone(), request.headers().clone());
    let call = Call::new(&app, &uri, &headers, &Bytes::new()).await?;
    require_admin(&call)?;
    let sent = deploy_form::read(&app, request, &headers).await?;
    // Clients for Forward say so when a version is to be in force as soon as it can be.
    let at_once = match call.parameters.given("auto_promote") {
        Some(_) => call.parameters.flag("auto_promote")?,
        None => !sent.is_of_forward,
    };
    let own = call.current();
    let files = deploy_form::checked(sent, own.files.get("pipewright.toml"))?;
    begin(call, files, Author::Files, None, !at_once).await
}

/// `POST /v1/rollback`: back to the version before the last deploy.
pub(super) async fn rollback(call: Call) -> Result<Response, ApiError> {
    require_admin(&call)?;
    let deployments = call.app.catalog.state().deployments();
    let done = deployments.done()?;
    let last = deploy::to_roll_back(&done).map_err(ApiError::Conflict)?;
    let (_, before) = deployments.files(last.id)?;
    let before = before.ok_or_else(|| {
        ApiError::Conflict(format!(
            "the version before deployment {} is not known",
            last.id
        ))
    })?;
    let author = Author::Earlier(deployments.files_of_api(last.id)?);
    let undoes = Some(last.id);
    begin(call, before, author, undoes, false).await
}

/// `GET /v1/deployments`: the one in force and what is on its way; with `include_deleted`, those of before as well. The oldest first.
pub(super) async fn list(call: Call) -> Result<Response, ApiError> {
    require_admin(&call)?;
    let everything = call.parameters.flag("include_deleted")?;
    let deployments = call.app.catalog.state().deployments().list()?;
    let live = live(&deployments);
    let shown: Vec<Value> = deployments
        .iter()
        .rev()
        .filter(|deployment| everything || deployment_shown::is_current(deployment, live))
        .map(|deployment| deployment_shown::body(deployment, live))
        .collect();
    Ok(json_response(&json!({ "deployments": shown })))
}

/// `GET /v1/deployments/<id>`.
pub(super) async fn get(Path(id): Path<String>, call: Call) -> Result<Response, ApiError> {
    require_admin(&call)?;
    answer(&call, number(&id)?)
}

fn answer(call: &Call, id: i64) -> Result<Response, ApiError> {
    let shown = shown(call, id)?;
    Ok(json_response(
        &json!({ "result": "success", "deployment": shown }),
    ))
}

fn shown(call: &Call, id: i64) -> Result<Value, ApiError> {
    let found = find(call, id)?;
    let deployments = call.app.catalog.state().deployments();
    let live = live(&deployments.done()?);
    let mut shown = deployment_shown::body(&found, live);
    if let (Some(job), Value::Object(fields)) = (job_of(call, id)?, &mut shown) {
        fields.insert("job".to_owned(), jobs::body(&job, &call.host));
    }
    Ok(shown)
}

fn find(call: &Call, id: i64) -> Result<Deployment, ApiError> {
    let found = call.app.catalog.state().deployments().find(id)?;
    found.ok_or_else(|| ApiError::NotFound(format!("there is no deployment {id}")))
}

fn job_of(call: &Call, id: i64) -> Result<Option<Job>, ApiError> {
    let jobs = call.app.data()?.jobs.list(&Wanted::of_kind(DEPLOY), 1000)?;
    let mut jobs = jobs.into_iter();
    Ok(jobs.find(|job| job.request["deployment_id"] == id))
}

/// `POST /v1/deployments/<id>/set-live`: a version that waits comes into force. One that did not wait is in force as soon as it is done.
pub(super) async fn set_live(Path(id): Path<String>, call: Call) -> Result<Response, ApiError> {
    require_admin(&call)?;
    let id = number(&id)?;
    let found = find(&call, id)?;
    if found.status == DeploymentStatus::Staged {
        return Call::finish(promote(call, found)).await;
    }
    let deployments = call.app.catalog.state().deployments();
    if live(&deployments.done()?) == Some(id) {
        return answer(&call, id);
    }
    Err(ApiError::Conflict(format!(
        "deployment {id} does not wait to be in force: `rollback` returns to the version before the latest"
    )))
}

/// Brings a version that waits into force, and answers when it is.
async fn promote(call: Call, staged: Deployment) -> Result<Response, ApiError> {
    let data = call.app.data()?.clone();
    refuse_busy(&data)?;
    let deployments = call.app.catalog.state().deployments();
    let Some(allowed) = deployments.promote(staged.id)? else {
        return Err(busy(None));
    };
    let request = json!({
        "deployment_id": staged.id,
        "deployment_kind": staged.kind.as_str(),
        "allow_destructive_operations": allowed,
    });
    let job = submit(&call, staged.id, &request)?;
    data.jobs.ended(&job.id).await?;
    refuse_overtaken(&call, staged.id)?;
    let ended = find(&call, staged.id)?;
    match (ended.status, ended.error) {
        (DeploymentStatus::Failed, error) => Err(ApiError::BadRequest(error.unwrap_or_default())),
        _ => answer(&call, staged.id),
    }
}

/// `DELETE /v1/deployments/<id>`: a version that waits does not come into force, and one that is on its way is stopped.
pub(super) async fn discard(Path(id): Path<String>, call: Call) -> Result<Response, ApiError> {
    require_admin(&call)?;
    let id = number(&id)?;
    let found = find(&call, id)?;
    let deployments = call.app.catalog.state().deployments();
    match found.status {
        DeploymentStatus::Staged => deployments.discard(id, "it was discarded")?,
        DeploymentStatus::Running => {
            if let Some(job) = job_of(&call, id)? {
                call.app.data()?.jobs.cancel(&job.id)?;
            }
        }
        DeploymentStatus::Done if live(&deployments.done()?) == Some(id) => {
            return Err(ApiError::Conflict(format!(
                "deployment {id} is in force: deploy another version, or `rollback` to the one before"
            )));
        }
        // Nothing of it is there any more.
        DeploymentStatus::Done | DeploymentStatus::Failed => {}
    }
    answer(&call, id)
}

fn number(id: &str) -> Result<i64, ApiError> {
    id.parse()
        .map_err(|_| ApiError::NotFound(format!("there is no deployment `{id}`")))
}

fn require_admin(call: &Call) -> Result<(), ApiError> {
    call.require_admin("deployments need")
}

/// Plans a version, and deploys it unless only the plan is asked for, or it is to wait.
async fn begin(
    call: Call,
    files: BTreeMap<String, String>,
    author: Author,
    undoes: Option<i64>,
    waits: bool,
) -> Result<Response, ApiError> {
    let (check, wait) = (
        call.parameters.flag("check")?,
        call.parameters.flag("wait")?,
    );
    let version = Version {
        files,
        author,
        undoes,
        check,
        waits,
        allowed: call.parameters.flag("allow_destructive_operations")?,
    };
    Call::finish(async move {
        // A deploy that goes on has the catalog until its end, and who asks for another is not to wait for that.
        refuse_busy(call.app.data()?)?;
        let writer = call.app.catalog.write().await;
        let (result, shown) = match version.begin(&call, writer).await? {
            Begun::Invalid(errors) => return Ok(deployment_shown::invalid(&errors)),
            Begun::Refused { error, shown } => return Ok(deployment_shown::refused(&error, shown)),
            Begun::Planned { result, shown, .. } => (result, shown),
            Begun::Staged { id, planned } => ("success", with_plan(shown(&call, id)?, planned)),
            Begun::Started {
                id, job, planned, ..
            } => {
                if wait {
                    call.app.data()?.jobs.ended(&job).await?;
                    refuse_overtaken(&call, id)?;
                }
                ("success", with_plan(shown(&call, id)?, planned))
            }
        };
        Ok(json_response(
            &json!({ "result": result, "deployment": shown }),
        ))
    })
    .await
}

/// A deployment with what its plan said of it.
fn with_plan(mut shown: Value, planned: Value) -> Value {
    let Value::Object(planned) = planned else {
        return shown;
    };
    // In answers to a deploy, each error is an object.
    let errors = shown["errors"].as_array().into_iter().flatten();
    let errors: Vec<Value> = errors.map(|error| json!({ "error": error })).collect();
    if let Value::Object(fields) = &mut shown {
        for (name, value) in planned {
            match (fields.get_mut(&name), name.as_str()) {
                (Some(Value::Array(said)), "feedback") => {
                    said.extend(value.as_array().into_iter().flatten().cloned());
                }
                (Some(_), _) => {}
                (None, _) => _ = fields.insert(name, value),
            }
        }
        fields.insert("errors".to_owned(), errors.into());
    }
    shown
}

/// An error if a deployment failed because others were faster.
fn refuse_overtaken(call: &Call, id: i64) -> Result<(), ApiError> {
    let found = call.app.catalog.state().deployments().find(id)?;
    match found.and_then(|deployment| deployment.error) {
        Some(error) if is_overtaken(&error) => Err(ApiError::Conflict(error)),
        _ => Ok(()),
    }
}

/// Changes the file at `path` as the API's and waits until that is in force; the steps. With `check`, only the steps. The files are those of the writer's moment, but for
/// what is to change.
pub(super) async fn apply(
    call: &Call,
    writer: Writer<'_>,
    path: String,
    files: BTreeMap<String, String>,
    check: bool,
    allowed: bool,
) -> Result<Vec<DeployStep>, ApiError> {
    let version = Version {
        files,
        author: Author::Api(path),
        undoes: None,
        check,
        waits: false,
        allowed,
    };
    match version.begin(call, writer).await? {
        Begun::Invalid(errors) => Err(ApiError::BadRequest(errors)),
        Begun::Planned { steps, .. } => Ok(steps),
        Begun::Refused { error, .. } => Err(ApiError::BadRequest(error)),
        Begun::Staged { .. } => Ok(Vec::new()),
        Begun::Started { id, job, steps, .. } => {
            call.app.data()?.jobs.ended(&job).await?;
            refuse_overtaken(call, id)?;
            let found = call.app.catalog.state().deployments().find(id)?;
            match found {
                Some(done) if done.status == DeploymentStatus::Done => Ok(steps),
                other => {
                    let error = other.and_then(|deployment| deployment.error);
                    Err(ApiError::BadRequest(error.unwrap_or_else(|| {
                        "the change has not come to its end".to_owned()
                    })))
                }
            }
        }
    }
}

/// A version that is to be planned or deployed.
struct Version {
    files: BTreeMap<String, String>,
    author: Author,
    undoes: Option<i64>,
    /// Whether only the plan is asked for.
    check: bool,
    /// Whether it is to wait, planned, until it is told to come into force.
    waits: bool,
    /// Whether rows and values may go, endpoints, and what the API made or changed.
    allowed: bool,
}

/// What became of it.
enum Begun {
    Invalid(String),
    Planned {
        result: &'static str,
        shown: Value,
        steps: Vec<DeployStep>,
    },
    Refused {
        error: String,
        shown: Value,
    },
    Staged {
        id: i64,
        planned: Value,
    },
    Started {
        id: i64,
        job: String,
        steps: Vec<DeployStep>,
        planned: Value,
    },
}

impl Version {
    /// Plans the version on what the writer sees, and lets others write from then on.
    async fn begin(self, call: &Call, writer: Writer<'_>) -> Result<Begun, ApiError> {
        let data = call.app.data()?.clone();
        refuse_busy(&data)?;
        let Ok(_planning) = data.deploys.planning.try_lock() else {
            return Err(busy(None));
        };
        let draft = match writer.draft(self.files.clone()).await {
            Ok(draft) => draft,
            Err(ChangeError::Invalid(errors)) => return Ok(Begun::Invalid(errors)),
            Err(error) => return Err(error.into()),
        };
        let plan = planned(&draft, &data.ingest).await?;
        let drift = writer.taken_back(&draft, &self.author)?;
        drop(writer);
        if let Author::Api(path) = &self.author
            && let Some(error) = cannot_be_made(path, &plan)
        {
            return Ok(Begun::Invalid(error));
        }
        let resources = deploy::resource_changes(Some(version_before(&draft)), version(&draft));
        let same = plan.is_empty() && draft.before().files == *draft.files();
        let shown = deployment_shown::plan(&draft, &plan, &drift, &resources);
        if self.check || same {
            return Ok(Begun::Planned {
                result: if same { "no_changes" } else { "success" },
                shown,
                steps: plan.steps,
            });
        }
        let asks = matches!(self.author, Author::Files);
        let ending = deploy::ending_endpoints(&resources).filter(|_| asks);
        if !self.allowed
            && let Some(error) = refusal(&plan, &drift, ending)
        {
            return Ok(Begun::Refused { error, shown });
        }
        self.start(call, &draft, plan, shown)
    }

    /// Writes the deployment down, and begins it unless it waits.
    fn start(
        self,
        call: &Call,
        draft: &Draft,
        plan: DeployPlan,
        planned: Value,
    ) -> Result<Begun, ApiError> {
        let kind = match self.author {
            Author::Files | Author::Api(_) => DeploymentKind::Deploy,
            Author::Earlier(_) => DeploymentKind::Rollback,
        };
        let deployments = call.app.catalog.state().deployments();
        if !matches!(self.author, Author::Api(_)) {
            deployments.discard_all("another deployment took its place")?;
        }
        let steps = serde_json::to_string(&plan.steps).map_err(crate::state::StateError::from)?;
        let new = NewDeployment {
            artifact_hash: &deploy::hash_of(draft.files()),
            kind,
            files: draft.files(),
            before: Some(&draft.before().files),
            steps: &steps,
        };
        if self.waits {
            let id = deployments.stage(new, self.allowed)?;
            return Ok(Begun::Staged { id, planned });
        }
        let id = deployments.start(new)?;
        let mut request = json!({
            "deployment_id": id,
            "deployment_kind": kind.as_str(),
            "allow_destructive_operations": self.allowed,
        });
        if let Author::Api(path) = self.author {
            request["changes"] = path.into();
        }
        if let Some(undoes) = self.undoes {
            request["undoes"] = undoes.into();
        }
        Ok(Begun::Started {
            id,
            job: submit(call, id, &request)?.id,
            steps: plan.steps,
            planned,
        })
    }
}

/// Why the data source that a request changes cannot be as it says.
fn cannot_be_made(path: &str, plan: &DeployPlan) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let name = file.strip_suffix(".datasource").unwrap_or(file);
    let step = plan
        .steps
        .iter()
        .find(|step| step.action == Action::LeaveOut && step.name == name)?;
    Some(format!(
        "the engine cannot make `{name}` so: {}",
        step.what.join("; ")
    ))
}

/// The job that runs a deployment which is written down.
fn submit(call: &Call, id: i64, request: &Value) -> Result<Job, ApiError> {
    let submitted = call.app.data()?.jobs.submit_within(DEPLOY, request, 1);
    submitted.or_else(|error| {
        let text = error.to_string();
        let deployments = call.app.catalog.state().deployments();
        deployments.finish(id, DeploymentStatus::Failed, Some(&text))?;
        Err(match error {
            SubmitError::TooManyOfKind(_) => busy(None),
            other => other.into(),
        })
    })
}

/// The version that a draft is to take the place of.
pub(super) fn version_before(draft: &Draft) -> deploy::Version<'_> {
    let before = draft.before();
    deploy::Version {
        files: &before.files,
        plan: &before.plan,
    }
}

/// The version that a draft is.
pub(super) fn version(draft: &Draft) -> deploy::Version<'_> {
    deploy::Version {
        files: draft.files(),
        plan: draft.plan(),
    }
}

async fn planned(draft: &Draft, ingest: &Ingest) -> Result<DeployPlan, ApiError> {
    let plan = deploy::plan(draft.plan(), Some(&draft.before().plan), ingest).await;
    plan.map_err(|error| ApiError::BadRequest(deploy::told(&error, draft.plan())))
}

fn refuse_busy(data: &Data) -> Result<(), ApiError> {
    match data.jobs.active(DEPLOY)?.first() {
        Some(job) => Err(busy(Some(job))),
        None => Ok(()),
    }
}

fn busy(job: Option<&Job>) -> ApiError {
    let which = job.map_or(String::new(), |job| {
        let began = format_micros(job.created_at.saturating_mul(1000));
        format!(" (job {}, asked for at {began})", job.id)
    });
    ApiError::Conflict(format!(
        "another deploy is going on{which}: one goes on at a time, try again when it has ended"
    ))
}
