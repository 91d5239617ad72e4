//! `/v1/deploy`, `/v1/rollback` and `/v1/deployments`: a whole project into force while it is served.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest as _, Multipart, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use pipewright_compiler::project::FileKind;
use serde_json::{Value, json};

use super::call::{Call, json_response};
use super::deploy_job::{DEPLOY, is_overtaken, refusal, with_causes};
use super::error::ApiError;
use super::extract::{Path, Whole};
use super::parameters::media_type;
use super::{App, Data, jobs};
use crate::catalog::{Author, ChangeError, Draft, Drift, Writer, format_micros};
use crate::deploy::{self, DeployPlan, DeployStep, destructive};
use crate::ingest::Ingest;
use crate::jobs::{Job, SubmitError, Wanted};
use crate::state::{Deployment, DeploymentKind, DeploymentStatus, NewDeployment};

/// The project's settings, of which those of the server are its own affair.
const SETTINGS: &str = "pipewright.toml";

/// `POST /v1/deploy`: the files as parts of a form, each with its path as file name, or as JSON, `{"files": {path: text}}`.
pub(super) async fn create(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (uri, headers) = (request.uri().clone(), request.headers().clone());
    let call = Call::new(&app, &uri, &headers, &Bytes::new()).await?;
    require_admin(&call)?;
    let files = read_files(&app, request, &headers).await?;
    let files = checked(&call, files)?;
    begin(call, files, Author::Files, None).await
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
    begin(call, before, author, Some(last.id)).await
}

/// `GET /v1/deployments`.
pub(super) async fn list(call: Call) -> Result<Response, ApiError> {
    require_admin(&call)?;
    let deployments = call.app.catalog.state().deployments().list()?;
    let live = live(&deployments);
    let shown: Vec<Value> = deployments
        .iter()
        .map(|deployment| body(deployment, live))
        .collect();
    Ok(json_response(&json!({ "deployments": shown })))
}

/// `GET /v1/deployments/<id>`.
pub(super) async fn get(Path(id): Path<String>, call: Call) -> Result<Response, ApiError> {
    require_admin(&call)?;
    let shown = shown(&call, number(&id)?)?;
    Ok(json_response(
        &json!({ "result": "success", "deployment": shown }),
    ))
}

fn shown(call: &Call, id: i64) -> Result<Value, ApiError> {
    let deployments = call.app.catalog.state().deployments();
    let found = deployments
        .find(id)?
        .ok_or_else(|| ApiError::NotFound(format!("there is no deployment {id}")))?;
    let live = live(&deployments.done()?);
    let mut shown = body(&found, live);
    let job = call.app.data()?.jobs.list(&Wanted::of_kind(DEPLOY), 1000)?;
    let job = job.iter().find(|job| job.request["deployment_id"] == id);
    if let (Some(job), Value::Object(fields)) = (job, &mut shown) {
        fields.insert("job".to_owned(), jobs::body(job, &call.host));
    }
    Ok(shown)
}

/// `POST /v1/deployments/<id>/set-live`: a deployment is in force as soon as it is done.
pub(super) async fn set_live(Path(id): Path<String>, call: Call) -> Result<Response, ApiError> {
    require_admin(&call)?;
    let id = number(&id)?;
    let deployments = call.app.catalog.state().deployments();
    if live(&deployments.done()?) == Some(id) {
        return get(Path(id.to_string()), call).await;
    }
    Err(ApiError::Conflict(format!(
        "deployment {id} is not the latest that is done: `rollback` returns to the version before it"
    )))
}

fn number(id: &str) -> Result<i64, ApiError> {
    id.parse()
        .map_err(|_| ApiError::NotFound(format!("there is no deployment `{id}`")))
}

fn require_admin(call: &Call) -> Result<(), ApiError> {
    call.require_admin("deployments need")
}

/// The files of a request.
async fn read_files(
    app: &Arc<App>,
    request: Request,
    headers: &HeaderMap,
) -> Result<BTreeMap<String, String>, ApiError> {
    if !media_type(headers).starts_with("multipart/") {
        #[derive(serde::Deserialize)]
        struct Body {
            files: BTreeMap<String, String>,
        }
        let Whole(bytes) = Whole::from_request(request, app).await?;
        let body: Body = serde_json::from_slice(&bytes).map_err(|error| {
            ApiError::BadRequest(format!(
                "send the files as a form, or as JSON, {{\"files\": {{path: text}}}}: {error}"
            ))
        })?;
        return Ok(body.files);
    }
    let bad =
        |error: axum::extract::multipart::MultipartError| ApiError::BadRequest(error.body_text());
    let mut form = Multipart::from_request(request, app)
        .await
        .map_err(|error| ApiError::BadRequest(error.body_text()))?;
    let mut files = BTreeMap::new();
    while let Some(field) = form.next_field().await.map_err(bad)? {
        let Some(path) = field.file_name().map(ToOwned::to_owned) else {
            continue;
        };
        files.insert(path, field.text().await.map_err(bad)?);
    }
    Ok(files)
}

/// The files as they would be in force: only datafiles, at places inside the project, and with the server's own settings.
fn checked(
    call: &Call,
    files: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, ApiError> {
    let mut kept = BTreeMap::new();
    for (path, text) in files {
        let inside = std::path::Path::new(&path)
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        if !inside || path.contains('\\') {
            return Err(ApiError::BadRequest(format!(
                "`{path}` is no path inside a project"
            )));
        }
        if FileKind::of(&path).is_none() {
            return Err(ApiError::BadRequest(format!("`{path}` is no datafile")));
        }
        kept.insert(path, text);
    }
    if kept.is_empty() {
        return Err(ApiError::BadRequest("there is no datafile".to_owned()));
    }
    let current = call.current();
    let own = current.files.get(SETTINGS);
    match settings(kept.remove(SETTINGS).as_deref(), own.map(String::as_str))? {
        Some(text) => _ = kept.insert(SETTINGS.to_owned(), text),
        None => _ = kept.remove(SETTINGS),
    }
    Ok(kept)
}

/// The settings of a version with the server's own about itself.
fn settings(sent: Option<&str>, own: Option<&str>) -> Result<Option<String>, ApiError> {
    let read = |text: Option<&str>| -> Result<toml::Table, ApiError> {
        text.unwrap_or("")
            .parse()
            .map_err(|error| ApiError::BadRequest(format!("{SETTINGS}: {error}")))
    };
    let (mut wanted, own_table) = (read(sent)?, read(own)?);
    wanted.remove("server");
    if let Some(server) = own_table.get("server") {
        wanted.insert("server".to_owned(), server.clone());
    }
    if wanted == own_table {
        return Ok(own.map(ToOwned::to_owned));
    }
    if sent.is_none() && wanted.is_empty() {
        return Ok(None);
    }
    Ok(Some(wanted.to_string()))
}

/// Plans a version, and deploys it unless only the plan is asked for.
async fn begin(
    call: Call,
    files: BTreeMap<String, String>,
    author: Author,
    undoes: Option<i64>,
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
        allowed: call.parameters.flag("allow_destructive_operations")?,
    };
    Call::finish(async move {
        // A deploy that goes on has the catalog until its end, and who asks for another is not to wait for that.
        refuse_busy(call.app.data()?)?;
        let writer = call.app.catalog.write().await;
        let shown = match version.begin(&call, writer).await? {
            Begun::Invalid(errors) => return Ok(invalid(&errors)),
            Begun::Planned { result, shown, .. } => {
                return Ok(json_response(
                    &json!({ "result": result, "deployment": shown }),
                ));
            }
            Begun::Refused { error, mut shown } => {
                shown["status"] = "failed".into();
                let answer = json!({ "result": "failed", "error": error, "deployment": shown });
                return Ok((StatusCode::BAD_REQUEST, json_response(&answer)).into_response());
            }
            Begun::Started { id, job, drift, .. } => {
                if wait {
                    call.app.data()?.jobs.ended(&job).await?;
                    refuse_overtaken(&call, id)?;
                }
                let mut shown = shown(&call, id)?;
                shown["drift"] = json!(drift);
                shown
            }
        };
        Ok(json_response(
            &json!({ "result": "success", "deployment": shown }),
        ))
    })
    .await
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
        allowed,
    };
    match version.begin(call, writer).await? {
        Begun::Invalid(errors) => Err(ApiError::BadRequest(errors)),
        Begun::Planned { steps, .. } => Ok(steps),
        Begun::Refused { error, .. } => Err(ApiError::BadRequest(error)),
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
    /// Whether rows and values may go, and what the API made or changed.
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
    Started {
        id: i64,
        job: String,
        steps: Vec<DeployStep>,
        drift: Vec<Drift>,
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
        let draft = match writer.draft(self.files).await {
            Ok(draft) => draft,
            Err(ChangeError::Invalid(errors)) => return Ok(Begun::Invalid(errors)),
            Err(error) => return Err(error.into()),
        };
        let plan = planned(&draft, &data.ingest).await?;
        let drift = writer.taken_back(&draft, &self.author)?;
        drop(writer);
        let same = plan.is_empty() && draft.before().files == *draft.files();
        let shown = shown_plan(&draft, &plan, &drift);
        if self.check || same {
            return Ok(Begun::Planned {
                result: if same { "no_changes" } else { "success" },
                shown,
                steps: plan.steps,
            });
        }
        if !self.allowed
            && let Some(error) = refusal(&plan, &drift)
        {
            return Ok(Begun::Refused { error, shown });
        }
        let kind = match self.author {
            Author::Files | Author::Api(_) => DeploymentKind::Deploy,
            Author::Earlier(_) => DeploymentKind::Rollback,
        };
        let id = start(call, &draft, &plan, kind)?;
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
        match data.jobs.submit_within(DEPLOY, &request, 1) {
            Ok(job) => Ok(Begun::Started {
                id,
                job: job.id,
                steps: plan.steps,
                drift,
            }),
            Err(error) => {
                let text = error.to_string();
                let deployments = call.app.catalog.state().deployments();
                deployments.finish(id, DeploymentStatus::Failed, Some(&text))?;
                Err(match error {
                    SubmitError::TooManyOfKind(_) => busy(None),
                    other => other.into(),
                })
            }
        }
    }
}

async fn planned(draft: &Draft, ingest: &Ingest) -> Result<DeployPlan, ApiError> {
    let plan = deploy::plan(draft.plan(), Some(&draft.before().plan), ingest).await;
    plan.map_err(|error| ApiError::BadRequest(with_causes(&error)))
}

fn start(
    call: &Call,
    draft: &Draft,
    plan: &DeployPlan,
    kind: DeploymentKind,
) -> Result<i64, ApiError> {
    let steps = serde_json::to_string(&plan.steps).map_err(crate::state::StateError::from)?;
    let new = NewDeployment {
        artifact_hash: &deploy::hash_of(draft.files()),
        kind,
        files: draft.files(),
        before: Some(&draft.before().files),
        steps: &steps,
    };
    Ok(call.app.catalog.state().deployments().start(new)?)
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

fn invalid(errors: &str) -> Response {
    let errors: Vec<Value> = errors
        .lines()
        .map(|line| json!({ "error": line }))
        .collect();
    let answer = json!({
        "result": "failed",
        "error": "the project has errors and is not deployed",
        "deployment": { "status": "failed", "errors": errors },
    });
    (StatusCode::BAD_REQUEST, json_response(&answer)).into_response()
}

fn shown_plan(draft: &Draft, plan: &DeployPlan, drift: &[Drift]) -> Value {
    let (old, new) = (&draft.before().files, draft.files());
    let paths = |wanted: &dyn Fn(&String) -> bool, of: &BTreeMap<String, String>| -> Vec<String> {
        of.keys().filter(|path| wanted(path)).cloned().collect()
    };
    json!({
        "status": "valid",
        "steps": plan.steps,
        "destructive": plan.destructive().len(),
        "drift": drift,
        "new_files": paths(&|path| !old.contains_key(path), new),
        "changed_files": paths(&|path| old.get(path).is_some_and(|text| new.get(path) != Some(text)), new),
        "deleted_files": paths(&|path| !new.contains_key(path), old),
    })
}

/// The deployment whose version is in force.
fn live(deployments: &[Deployment]) -> Option<i64> {
    deployments
        .iter()
        .filter(|deployment| deployment.status == DeploymentStatus::Done)
        .map(|deployment| deployment.id)
        .max()
}

fn body(deployment: &Deployment, live: Option<i64>) -> Value {
    let time = |milliseconds: i64| format_micros(milliseconds.saturating_mul(1000));
    let steps: Vec<DeployStep> = serde_json::from_str(&deployment.steps).unwrap_or_default();
    let is_live = live == Some(deployment.id);
    json!({
        "id": deployment.id,
        "kind": deployment.kind.as_str(),
        "status": match deployment.status {
            DeploymentStatus::Running => "deploying",
            DeploymentStatus::Done if is_live => "live",
            DeploymentStatus::Done => "done",
            DeploymentStatus::Failed => "failed",
        },
        "live": is_live,
        "phase": deployment.phase.as_str(),
        "created_at": time(deployment.started_at),
        "updated_at": deployment.finished_at.map(time),
        "rolled_back": deployment.undone,
        "error": deployment.error,
        "destructive": destructive(&steps).len(),
        "steps": steps,
    })
}
