//! A deploy as a job: the files of a version, which are on disk, into force.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::deployments::{version, version_before};
use super::{App, handover};
use crate::catalog::{self, Author, Draft, Drift, Writer};
use crate::deploy::{
    self, Audience, DeployError, DeployPlan, Progress, ResourceChange, with_causes,
};
use crate::jobs::{Control, Job, Jobs, Work, WorkError};
use crate::state::{Deployment, DeploymentStatus, State};

/// The kind of the jobs.
pub(super) const DEPLOY: &str = "deploy";

/// Work that deploys. It belongs to a server, which it changes.
#[derive(Debug, Default)]
pub struct Deploys {
    app: OnceLock<Weak<App>>,
    /// Plans are made one after the other.
    pub(super) planning: tokio::sync::Mutex<()>,
}

impl Deploys {
    pub(super) fn serve(&self, app: &Arc<App>) {
        _ = self.app.set(Arc::downgrade(app));
    }

    /// The server, as long as it is one.
    pub(super) fn app(&self) -> Result<Arc<App>, WorkError> {
        let app = self.app.get().and_then(Weak::upgrade);
        app.ok_or_else(|| WorkError::Failed("the server is stopping".to_owned()))
    }
}

/// What was asked for beside the files.
struct Wish {
    /// Whose the version is.
    author: Author,
    allows_destruction: bool,
    /// The deployment that this one takes back.
    undoes: Option<i64>,
}

/// The moment in which a version comes into force.
struct Switch<'a> {
    app: &'a Arc<App>,
    writer: &'a Writer<'a>,
    draft: &'a Draft,
}

#[async_trait]
impl Audience for Switch<'_> {
    async fn hold(&self) -> Box<dyn Send> {
        handover::hold(self.app).await
    }

    fn present(&self) {
        let current = self.writer.adopt(self.draft);
        self.app.serve_plan(&current.plan);
    }
}

#[async_trait]
impl Work for Deploys {
    async fn run(&self, job: &Job, control: &Control) -> Result<Value, WorkError> {
        let app = self.app()?;
        let id = job.request["deployment_id"].as_i64().unwrap_or_default();
        let found = app.catalog.state().deployments().find(id).map_err(failed)?;
        let Some(deployment) = found else {
            return Err(WorkError::Failed(format!("there is no deployment {id}")));
        };
        match deployment.status {
            // An earlier process came to its end, or this one at its start.
            DeploymentStatus::Done | DeploymentStatus::Staged => return Ok(result(&deployment)),
            DeploymentStatus::Failed => {
                let why = deployment.error.unwrap_or_default();
                return Err(WorkError::Failed(why));
            }
            DeploymentStatus::Running => {}
        }
        let undoes = job.request["undoes"].as_i64();
        let author = match (undoes, job.request["changes"].as_str()) {
            (Some(undone), _) => {
                let of_api = app.catalog.state().deployments().files_of_api(undone);
                Author::Earlier(of_api.map_err(failed)?)
            }
            (None, Some(path)) => Author::Api(path.to_owned()),
            (None, None) => Author::Files,
        };
        let wish = Wish {
            author,
            allows_destruction: job.request["allow_destructive_operations"] == true,
            undoes,
        };
        let outcome = self.deploy(&app, &deployment, &wish, control).await;
        match outcome {
            Ok(()) => {
                let done = app.catalog.state().deployments().find(id).map_err(failed)?;
                Ok(result(&done.unwrap_or(deployment)))
            }
            Err(error) => {
                control.check()?;
                Err(error)
            }
        }
    }

    fn resumes(&self) -> bool {
        true
    }

    fn is_urgent(&self) -> bool {
        true
    }
}

fn failed(error: impl std::fmt::Display) -> WorkError {
    WorkError::Failed(error.to_string())
}

fn result(deployment: &Deployment) -> Value {
    let steps: Value = serde_json::from_str(&deployment.steps).unwrap_or_default();
    json!({ "deployment_id": deployment.id, "steps": steps.as_array().map_or(0, Vec::len) })
}

impl Deploys {
    async fn deploy(
        &self,
        app: &Arc<App>,
        deployment: &Deployment,
        wish: &Wish,
        control: &Control,
    ) -> Result<(), WorkError> {
        let state = app.catalog.state();
        let done = self.attempt(app, deployment.id, wish, control).await;
        let Err(error) = done else { return Ok(()) };
        let now = state.deployments().find(deployment.id).map_err(failed)?;
        let open = now.is_some_and(|now| {
            now.status == DeploymentStatus::Running
                && now.phase == crate::state::DeploymentPhase::Preparing
        });
        // What failed before the plan was begun is not in the journal yet.
        if open {
            let text = error.to_string();
            let finished = state.deployments().finish(
                deployment.id,
                DeploymentStatus::Failed,
                Some(text.as_str()),
            );
            finished.map_err(failed)?;
        }
        Err(error)
    }

    async fn attempt(
        &self,
        app: &Arc<App>,
        id: i64,
        wish: &Wish,
        control: &Control,
    ) -> Result<(), WorkError> {
        let progress = JobProgress::new(control);
        let state = app.catalog.state();
        let ingest = &app.data().map_err(|error| failed(error.message()))?.ingest;
        progress.say("waiting for other changes to end");
        let _planning = self.planning.lock().await;
        // The shapes first: a populate may keep them for hours, in which others change the catalog.
        let _shapes = alone(app, control.stopped(), &progress).await?;
        let writer = app.catalog.write().await;
        let files = files(state, id, &writer.current().files)?;
        let mut draft = writer.draft(files).await.map_err(failed)?;
        let before = Arc::clone(&draft.before().plan);
        let plan = deploy::plan(draft.plan(), Some(&before), ingest)
            .await
            .map_err(|error| failed(deploy::told(&error, draft.plan())))?;
        let steps = serde_json::to_string(&plan.steps).map_err(failed)?;
        state.deployments().set_steps(id, &steps).map_err(failed)?;
        let drift = writer.taken_back(&draft, &wish.author).map_err(failed)?;
        let resources = deploy::resource_changes(Some(version_before(&draft)), version(&draft));
        let asks = matches!(wish.author, Author::Files);
        let ending = deploy::ending_endpoints(&resources).filter(|_| asks);
        if !wish.allows_destruction
            && let Some(refusal) = refusal(&plan, &drift, ending)
        {
            return Err(failed(refusal));
        }
        let written = writer
            .written(&mut draft, &deploy::renamed(&plan), &wish.author)
            .map_err(failed)?;
        let switch = Switch {
            app,
            writer: &writer,
            draft: &draft,
        };
        let run = deploy::Run {
            ingest,
            state,
            id,
            wanted: draft.plan(),
            before: Some(&before),
            catalog: Some(written),
            undoes: wish.undoes,
            audience: &switch,
            progress: &progress,
        };
        let (done, connected) = app.while_disconnected(&progress, run.run(&plan)).await;
        done.map_err(|error| failed(deploy::told(&error, draft.plan())))?;
        drop(writer);
        app.lack(plan.left_out());
        super::declared::ensure(app).map_err(failed)?;
        connected.map_err(|error| {
            failed(format!(
                "the version is in force, and rows do not come from everywhere: {}",
                with_causes(&error)
            ))
        })?;
        progress.say("deployed");
        Ok(())
    }
}

/// How the error of a deploy begins that met files which others have changed after it was planned.
const OVERTAKEN: &str = "others have changed, after this deploy was planned, what it changes too";

/// Whether a deploy failed because others were faster.
pub(super) fn is_overtaken(error: &str) -> bool {
    error.starts_with(OVERTAKEN)
}

/// The files of a deployment. What others changed since it was planned stays as it is; what both changed is for people to settle.
fn files(
    state: &State,
    id: i64,
    now: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, WorkError> {
    let (files, planned_on) = state.deployments().files(id).map_err(failed)?;
    let files = files.ok_or_else(|| failed("the files of the deployment are gone"))?;
    let Some(planned_on) = planned_on.filter(|planned_on| planned_on != now) else {
        return Ok(files);
    };
    let merged = catalog::merge(&planned_on, &files, now).map_err(|both| {
        failed(format!(
            "{OVERTAKEN}: {}; nothing has been deployed: look at what is there now, and deploy again",
            both.join(", ")
        ))
    })?;
    let hash = deploy::hash_of(&merged);
    let noted = state.deployments().set_files(id, &hash, &merged, now);
    noted.map_err(failed)?;
    Ok(merged)
}

/// Waits until no job relies on the shapes of tables, nor one that an earlier process began. Who waits long is told for which job.
pub(super) async fn alone(
    app: &App,
    stopped: impl Future<Output = WorkError>,
    progress: &dyn Progress,
) -> Result<tokio::sync::OwnedMutexGuard<()>, WorkError> {
    let data = app.data().map_err(|error| failed(error.message()))?;
    let mut stopped = std::pin::pin!(stopped);
    let mut naming = std::pin::pin!(name_what_goes_on(&data.jobs, progress));
    loop {
        let shapes = tokio::select! {
            shapes = data.ingest.change_shapes() => shapes,
            reason = &mut stopped => return Err(reason),
            () = &mut naming => continue,
        };
        let begun = data
            .jobs
            .active(super::population::POPULATE)
            .map_err(failed)?
            .iter()
            .any(|job| matches!(job.progress["phase"].as_str(), Some("copying" | "moving")));
        if !begun {
            return Ok(shapes);
        }
        drop(shapes);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
            reason = &mut stopped => return Err(reason),
            () = &mut naming => {}
        }
    }
}

/// Says which populate is waited for, as long as somebody waits.
async fn name_what_goes_on(jobs: &Jobs, progress: &dyn Progress) {
    let mut named = String::new();
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let active = jobs.active(super::population::POPULATE).unwrap_or_default();
        let begun =
            |job: &&Job| matches!(job.progress["phase"].as_str(), Some("copying" | "moving"));
        let Some(job) = active.iter().find(begun) else {
            continue;
        };
        let target = job.request["datasource"]["name"]
            .as_str()
            .unwrap_or_default();
        let mut text = format!("waiting for job {}, which populates `{target}`", job.id);
        if let Some(error) = job.progress["error"].as_str() {
            _ = write!(text, " and cannot go on now: {error}");
        }
        if text != named {
            progress.say(&text);
            named = text;
        }
    }
}

/// Why a version that takes something away does not come into force; `None` if it takes nothing away.
pub(super) fn refusal<'a>(
    plan: &DeployPlan,
    drift: &[Drift],
    ending: impl Iterator<Item = &'a ResourceChange>,
) -> Option<String> {
    let rows = plan.destructive().into_iter().map(|step| {
        let words = step.action.words();
        format!("{words} {}: {}", step.name, step.what.join("; "))
    });
    let rows: Vec<String> = rows.collect();
    let gone = drift.iter().filter(|drift| drift.goes);
    let of_api: Vec<String> = gone.clone().map(|drift| drift.message.clone()).collect();
    // What the API made is told with how it can be kept.
    let told: Vec<&str> = gone.map(|drift| drift.path.as_str()).collect();
    let ending = ending.filter(|change| !told.contains(&change.path.as_str()));
    let endpoints: Vec<String> = ending
        .map(|change| format!("endpoint {} goes", change.name))
        .collect();
    let kinds = [
        ("rows or values", rows),
        ("endpoints", endpoints),
        ("what the API has", of_api),
    ];
    let lost: Vec<_> = kinds.iter().filter(|(_, lost)| !lost.is_empty()).collect();
    let (what, _) = lost.first()?;
    let all: Vec<&str> = lost
        .iter()
        .flat_map(|(_, lost)| lost.iter().map(String::as_str))
        .collect();
    Some(format!(
        "this deploy takes {what} away and is not run without `allow_destructive_operations=true`: {}",
        all.join(" · ")
    ))
}

/// Progress that is written down with the job.
struct JobProgress<'a> {
    control: &'a Control,
    noted: Mutex<Map<String, Value>>,
}

impl<'a> JobProgress<'a> {
    fn new(control: &'a Control) -> Self {
        Self {
            control,
            noted: Mutex::default(),
        }
    }

    fn note(&self, fields: Value) {
        let noted = {
            let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
            if let Value::Object(fields) = fields {
                noted.extend(fields);
            }
            Value::Object(noted.clone())
        };
        if let Err(error) = self.control.progress(&noted) {
            tracing::warn!(%error, "the progress of a deploy cannot be noted");
        }
    }
}

#[async_trait]
impl Progress for JobProgress<'_> {
    fn say(&self, text: &str) {
        self.note(json!({ "step": text }));
    }

    fn rows(&self, done: u64, total: u64) {
        #[expect(clippy::cast_precision_loss, reason = "a percentage")]
        let share = done as f64 / total.max(1) as f64;
        self.note(json!({
            "rows": done,
            "rows_total": total,
            "progress_percentage": (share * 10_000.0).round() / 100.0,
        }));
    }

    fn check(&self) -> Result<(), DeployError> {
        self.control.check().map_err(|_| DeployError::Stopped)
    }

    async fn stopped(&self) {
        _ = self.control.stopped().await;
    }
}
