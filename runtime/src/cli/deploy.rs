//! `pipewright plan`, `deploy` and `rollback`: what would change in the engine, changing it, and changing it back; by a running server, or in this process when
//! there is none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, anyhow, bail};
use pipewright_compiler::plan::Plan;
use pipewright_compiler::project::SourceTree;

use super::arguments::{Deploy, OutputFormat};
use super::bar::Bar;
use super::client::Client;
use super::plan_text::{self, Shown, show};
use super::printer::Printer;
use super::{ExitStatus, engine, project_folder, remote, report_errors};
use crate::catalog::{Author, Catalog, Draft, Drift};
use crate::deploy::{self, DeployPlan, Nobody, Run};
use crate::engine::Engine;
use crate::ingest::{COPY, EventLimits, Events, Ingest};
use crate::jobs::{Job, JobStatus};
use crate::state::{DeploymentKind, NewDeployment, State};
use crate::workspace;

/// Runs `plan`, or `deploy` when `apply` is set.
pub(super) fn run(
    arguments: &Deploy,
    apply: bool,
    project: Option<&Path>,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let folder = deployed_folder(arguments, project)?;
    let workspace = workspace::read(&folder)?;
    let tree = workspace.sources.clone();
    let (plan, mut diagnostics) = pipewright_compiler::check(workspace.sources);
    diagnostics.extend(workspace.diagnostics);
    if report_errors(&plan, &diagnostics, &folder, printer) {
        plan_text::show_errors(&plan, &diagnostics, arguments.format, printer)?;
        return Ok(ExitStatus::Findings);
    }
    refuse_empty(&plan, &folder, arguments.remote.host.is_some())?;
    let wish = Wish {
        applies: apply && !arguments.check,
        allow_destructive: arguments.allow_destructive,
        format: arguments.format,
    };
    let runtime = runtime()?;
    if let Some(client) = Client::of(&arguments.remote)? {
        let files = tree
            .files()
            .iter()
            .map(|file| (file.name().to_owned(), file.text().to_owned()));
        return runtime.block_on(remote::deploy(&client, files.collect(), &wish, printer));
    }
    runtime.block_on(async {
        let here = Here::open(&folder, &tree, plan, printer).await?;
        let done = match here.deploy(&wish, printer).await {
            Ok(ExitStatus::Success) if wish.applies => {
                here.finish(&workspace.root, &folder, printer).await
            }
            done => done,
        };
        here.engine.shutdown().await;
        done
    })
}

/// Runs `rollback`.
pub(super) fn rollback(
    arguments: &Deploy,
    project: Option<&Path>,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let wish = Wish {
        applies: !arguments.check,
        allow_destructive: arguments.allow_destructive,
        format: arguments.format,
    };
    let runtime = runtime()?;
    if let Some(client) = Client::of(&arguments.remote)? {
        return runtime.block_on(remote::rollback(&client, &wish, printer));
    }
    let folder = project_folder(arguments.dir.as_deref(), project)?;
    let workspace = workspace::read(&folder)?;
    let tree = workspace.sources.clone();
    let (plan, _) = pipewright_compiler::check(workspace.sources);
    refuse_empty(&plan, &folder, false)?;
    runtime.block_on(async {
        let here = Here::open(&folder, &tree, plan, printer).await?;
        let done = here.rollback(&wish, printer).await;
        here.engine.shutdown().await;
        done
    })
}

/// The folder of the project: one that divides a project by kind, such as `datasources`, is not a whole one, and its files alone would take the rest away.
fn deployed_folder(arguments: &Deploy, project: Option<&Path>) -> anyhow::Result<PathBuf> {
    let folder = project_folder(arguments.dir.as_deref(), project)?;
    let whole = std::path::absolute(&folder)?;
    let whole = whole.canonicalize().unwrap_or(whole);
    let is_named = arguments.dir.is_some() || project.is_some();
    // One with a mark of its own is whole wherever it lies.
    let Some(part) = whole
        .ancestors()
        .take_while(|folder| !is_marked(folder))
        .take(if is_named { 1 } else { usize::MAX })
        .find(|folder| is_part(folder))
    else {
        return Ok(folder);
    };
    match part.parent() {
        Some(around) if !is_named => Ok(around.to_path_buf()),
        _ => bail!(
            "`{}` is a part of the project around it: deploy that folder, or put a pipewright.toml into this one",
            folder.display()
        ),
    }
}

fn is_marked(folder: &Path) -> bool {
    folder.join("pipewright.toml").is_file() || folder.join(".pipewright").is_dir()
}

/// Whether a folder is one of those into which a project is divided, with others beside it.
fn is_part(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str());
    let is_kind = name.is_some_and(|name| workspace::KINDS.contains(&name));
    let Some(parent) = folder.parent().filter(|_| is_kind) else {
        return false;
    };
    let others = workspace::KINDS.iter().filter(|kind| Some(**kind) != name);
    others.into_iter().any(|kind| parent.join(kind).is_dir())
}

/// A folder without datafiles is more likely the wrong one than one whose tables are all to go. One that has been served may have what the API made.
fn refuse_empty(plan: &Plan, folder: &Path, goes_to_server: bool) -> anyhow::Result<()> {
    let is_empty = plan.project.pipes.is_empty() && plan.project.datasources.is_empty();
    let has_state = folder.join(".pipewright").is_dir();
    if is_empty && (goes_to_server || !has_state) {
        bail!(
            "there is no .pipe or .datasource file below `{}`: nothing is deployed from it",
            folder.display()
        );
    }
    Ok(())
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}

/// What is asked for.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) applies: bool,
    pub(super) allow_destructive: bool,
    pub(super) format: OutputFormat,
}

/// Lines and a bar on stderr.
struct Lines<'a>(Mutex<Bar<'a>>);

impl<'a> Lines<'a> {
    fn new(printer: &'a Printer) -> Self {
        Self(Mutex::new(Bar::new(printer)))
    }
}

impl deploy::Progress for Lines<'_> {
    fn say(&self, text: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .say(text);
    }

    fn rows(&self, done: u64, total: u64) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .rows(done, total);
    }
}

/// The project's engine and state, in this process.
struct Here {
    engine: Arc<dyn Engine>,
    ingest: Arc<Ingest>,
    catalog: Catalog,
    /// The version that was deployed last, where it is known.
    before: Option<(BTreeMap<String, String>, Plan)>,
}

impl Here {
    /// Opens them, and finishes what an earlier process left unfinished.
    async fn open(
        folder: &Path,
        tree: &SourceTree,
        plan: Plan,
        printer: &Printer,
    ) -> anyhow::Result<Self> {
        let state_folder = folder.join(".pipewright");
        std::fs::create_dir_all(&state_folder)
            .with_context(|| format!("cannot make `{}`", state_folder.display()))?;
        let engine = engine::open(&plan.project.config, &state_folder, printer).await;
        let engine = engine.inspect_err(|error| hint_at_server(error, printer))?;
        let state = Arc::new(State::open(&state_folder.join("state.sqlite"))?);
        let on_server = plan.project.config.server.clickhouse_url.is_some();
        let ingest = if on_server {
            Ingest::open_on_server(Arc::clone(&engine), &state_folder)?
        } else {
            Ingest::open(Arc::clone(&engine), &state_folder)?
        };
        deploy::recover(&state, &ingest, &Lines::new(printer)).await?;
        let catalog = Catalog::open(Arc::clone(&state), tree, plan)?;
        let before = version_before(&state)?;
        ingest.know_renames(deploy::renames(&state)?);
        deploy::sweep(&state, engine.as_ref(), &Lines::new(printer)).await?;
        // Rows on disk must be in before tables change: a new table would not know whether it has them.
        let current = Arc::clone(&catalog.current().plan);
        deploy::stand(&current, &state, &ingest).await?;
        let plan = before.as_ref().map_or(current.as_ref(), |(_, plan)| plan);
        ingest.resume_appends(plan).await?;
        let events = Events::new(Arc::clone(&ingest), EventLimits::default());
        events.replay(plan).await?;
        Ok(Self {
            engine,
            ingest,
            catalog,
            before,
        })
    }

    async fn deploy(&self, wish: &Wish, printer: &Printer) -> anyhow::Result<ExitStatus> {
        let writer = self.catalog.write().await;
        let mut folder = match self.catalog.with_folder()? {
            Some(files) => Some(writer.draft(files).await?),
            None => None,
        };
        let current = self.catalog.current();
        let wanted = folder.as_ref().map_or(&current.plan, Draft::plan);
        let wanted = Arc::clone(wanted);
        let before = self.before.as_ref().map(|(_, plan)| plan);
        let mut planned = deploy::plan(&wanted, before, &self.ingest).await?;
        if self.is_server() {
            if wish.applies {
                Self::refuse_unfinished(self.catalog.state())?;
            }
            let connects = deploy::pending(&wanted, self.engine.as_ref()).await?;
            // Rows that come by themselves know nothing of the moment in which tables change places.
            let allowed = wish.allow_destructive || planned.destructive().is_empty();
            if wish.applies && allowed && !planned.is_empty() {
                deploy::disconnect(self.engine.as_ref()).await?;
            }
            planned.steps.extend(connects);
        } else {
            for owner in deploy::left_out(&wanted) {
                printer.note(&format!(
                    "`{owner}` is connected with another system: the embedded engine does not start that"
                ));
            }
        }
        let write = match &mut folder {
            Some(draft) => {
                let renames = deploy::renamed(&planned);
                Some(writer.written(draft, &renames, &Author::Files)?)
            }
            None => None,
        };
        let version = Version {
            kind: DeploymentKind::Deploy,
            files: folder.as_ref().map_or(&current.files, Draft::files),
            before: self.before.as_ref().map(|(files, _)| files),
            plan: &wanted,
            plan_before: before,
            write,
            undoes: None,
            drift: self.catalog.differing()?,
        };
        let status = self.apply(&planned, version, wish, printer).await?;
        if let Some(draft) = folder.filter(|_| wish.applies && status == ExitStatus::Success) {
            writer.adopt(&draft);
        }
        Ok(status)
    }

    fn is_server(&self) -> bool {
        let plan = &self.catalog.current().plan;
        plan.project.config.server.clickhouse_url.is_some()
    }

    /// What a deploy leaves to the end: fixtures of empty tables, and rows that come by themselves.
    async fn finish(
        &self,
        root: &Path,
        folder: &Path,
        printer: &Printer,
    ) -> anyhow::Result<ExitStatus> {
        let plan = Arc::clone(&self.catalog.current().plan);
        let (engine, lines) = (self.engine.as_ref(), Lines::new(printer));
        let deployed = deploy::deploy(&plan, root, &self.ingest, &lines).await?;
        super::serve::say_what_is_missing(&plan, &deployed, printer);
        if self.is_server() {
            let stored = self.catalog.state().variables().values()?;
            let secrets = workspace::secrets(folder, &plan)?.or(stored);
            deploy::connect(&plan, engine, &secrets, &lines).await?;
        }
        Ok(if deployed.refused.is_empty() {
            ExitStatus::Success
        } else {
            ExitStatus::Findings
        })
    }

    async fn rollback(&self, wish: &Wish, printer: &Printer) -> anyhow::Result<ExitStatus> {
        let deployments = self.catalog.state().deployments();
        let done = deployments.done()?;
        let last = match deploy::to_roll_back(&done) {
            Ok(last) => last,
            Err(reason) => {
                printer.error(&reason);
                return Ok(ExitStatus::Findings);
            }
        };
        let (_, Some(files)) = deployments.files(last.id)? else {
            printer.error(&format!(
                "the version before deployment {} is not known",
                last.id
            ));
            return Ok(ExitStatus::Findings);
        };
        let writer = self.catalog.write().await;
        let mut draft: Draft = writer.draft(files).await?;
        let before = Arc::clone(&draft.before().plan);
        let planned = deploy::plan(draft.plan(), Some(&before), &self.ingest).await?;
        let author = Author::Earlier(deployments.files_of_api(last.id)?);
        let drift = writer.taken_back(&draft, &author)?;
        let write = writer.written(&mut draft, &deploy::renamed(&planned), &author)?;
        let version = Version {
            kind: DeploymentKind::Rollback,
            files: draft.files(),
            before: Some(&draft.before().files),
            plan: draft.plan(),
            plan_before: Some(&before),
            write: Some(write),
            undoes: Some(last.id),
            drift,
        };
        let status = self.apply(&planned, version, wish, printer).await?;
        if status == ExitStatus::Success && wish.applies {
            printer.hint("`pipewright pull` writes the earlier files into the folder");
        }
        Ok(status)
    }

    async fn apply(
        &self,
        planned: &DeployPlan,
        version: Version<'_>,
        wish: &Wish,
        printer: &Printer,
    ) -> anyhow::Result<ExitStatus> {
        let before = version.before.zip(version.plan_before);
        let before = before.map(|(files, plan)| deploy::Version { files, plan });
        let now = deploy::Version {
            files: version.files,
            plan: version.plan,
        };
        let shown = Shown {
            steps: &planned.steps,
            resources: &deploy::resource_changes(before, now),
            drift: &version.drift,
        };
        show(&shown, wish.format, printer)?;
        if !wish.applies {
            return Ok(ExitStatus::Success);
        }
        // Who rolls back wants what came with a deploy to go with it.
        let asks = version.kind == DeploymentKind::Deploy;
        let lost = [
            ("rows or values", !planned.destructive().is_empty()),
            ("endpoints", asks && shown.ends_endpoints()),
            (
                "what the API has",
                version.drift.iter().any(|drift| drift.goes),
            ),
        ];
        let lost = lost.iter().find(|(_, goes)| *goes);
        if let Some((what, _)) = lost.filter(|_| !wish.allow_destructive) {
            printer.error(&format!("this deploy takes {what} away, and is not run"));
            printer.hint("`--allow-destructive` runs it");
            return Ok(ExitStatus::Findings);
        }
        let state = self.catalog.state();
        Self::refuse_unfinished(state)?;
        let is_written = version.write.is_none() || version.undoes.is_some();
        if planned.is_empty() && version.before == Some(version.files) && is_written {
            if let Some(undone) = version.undoes {
                state.deployments().set_undone(undone)?;
            }
            return Ok(ExitStatus::Success);
        }
        let steps = serde_json::to_string(&planned.steps)?;
        let id = state.deployments().start(NewDeployment {
            artifact_hash: &deploy::hash_of(version.files),
            kind: version.kind,
            files: version.files,
            before: version.before,
            steps: &steps,
        })?;
        let run = Run {
            ingest: &self.ingest,
            state,
            id,
            wanted: version.plan,
            before: version.plan_before,
            catalog: version.write,
            undoes: version.undoes,
            audience: &Nobody,
            progress: &Lines::new(printer),
        };
        let done = run.run(planned).await;
        done.map_err(|error| anyhow!(deploy::told(&error, version.plan)))?;
        printer.note("deployed");
        Ok(ExitStatus::Success)
    }

    /// What a server was doing when it was stopped may rely on tables as they are. And on a ClickHouse server, another process may serve and copy meanwhile: what it
    /// inserts into a table that is made anew would be lost.
    fn refuse_unfinished(state: &State) -> anyhow::Result<()> {
        let unfinished = state.jobs().unfinished()?;
        let relies = |job: &&Job| {
            let phase = job.progress["phase"].as_str();
            let copies = job.kind == COPY && job.status == JobStatus::Working;
            copies || matches!(phase, Some("copying" | "moving" | "writing"))
        };
        if let Some(job) = unfinished.iter().find(relies) {
            bail!(
                "job {} ({}) is under way, or was when the server stopped: start the server, which takes it up again, and deploy when it has ended",
                job.id,
                job.kind
            );
        }
        Ok(())
    }
}

/// A version that is to come into force.
struct Version<'a> {
    kind: DeploymentKind,
    files: &'a BTreeMap<String, String>,
    before: Option<&'a BTreeMap<String, String>>,
    plan: &'a Plan,
    plan_before: Option<&'a Plan>,
    write: Option<crate::state::CatalogWrite>,
    /// The deployment that this one takes back.
    undoes: Option<i64>,
    /// What files and API disagree about.
    drift: Vec<Drift>,
}

/// Says how a server does what this process cannot do beside it.
pub(super) fn hint_at_server(error: &anyhow::Error, printer: &Printer) {
    let is_busy = error.chain().any(|cause| {
        matches!(
            cause.downcast_ref(),
            Some(crate::engine::EngineError::Busy { .. })
        )
    });
    if is_busy {
        printer.hint("a server that runs does it: `--host http://127.0.0.1:7181 --token …`");
    }
}

/// The version that was deployed last.
fn version_before(state: &State) -> anyhow::Result<Option<(BTreeMap<String, String>, Plan)>> {
    let deployments = state.deployments();
    let Some(last) = deployments.done()?.pop() else {
        return Ok(None);
    };
    let (Some(files), _) = deployments.files(last.id)? else {
        return Ok(None);
    };
    let tree = SourceTree::new(
        files
            .iter()
            .map(|(path, text)| (path.clone(), text.clone())),
    );
    let (plan, _) = pipewright_compiler::check(tree);
    Ok(Some((files, plan)))
}
