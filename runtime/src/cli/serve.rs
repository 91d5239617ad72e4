//! `pipewright serve`: check, deploy what is missing, answer requests until told to stop.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use pipewright_compiler::plan::Plan;
use pipewright_compiler::project::{JobsKept, SourceTree};
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::arguments::Serve;
use super::printer::Printer;
use super::{ExitStatus, choose_rules, engine, project_folder, report_errors};
use crate::catalog::Catalog;
use crate::engine::Engine;
use crate::http::{self, App, Data, Deploys, Scope};
use crate::ingest::{COPY, CopyRows, DeleteData, EventLimits, Events, Ingest, Populate, Replaces};
use crate::jobs::{Jobs, Keep, Limits, Work};
use crate::secrets::Secrets;
use crate::state::State;
use crate::{deploy, workspace};

/// Where a project's engine and state lie.
const STATE_FOLDER: &str = ".pipewright";

pub(super) fn run(
    serve: &Serve,
    project: Option<&Path>,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let folder = project_folder(serve.dir.as_deref(), project)?;
    let workspace = workspace::read(&folder)?;
    let sources = workspace.sources.clone();
    let (mut plan, mut diagnostics) = pipewright_compiler::check(workspace.sources);
    choose_rules(&mut plan, &serve.optimize)?;
    diagnostics.extend(workspace.diagnostics);
    if report_errors(&plan, &diagnostics, &folder, printer) {
        printer.error("the project has errors and is not served");
        return Ok(ExitStatus::Findings);
    }
    let is_empty = plan.project.pipes.is_empty() && plan.project.datasources.is_empty();
    // With one it is a project that others are to put files into, by `push` or the API.
    if is_empty && !workspace.root.join(workspace::SETTINGS).is_file() {
        bail!(
            "there is no .pipe or .datasource file below `{}`: `pipewright init` makes a project to start from, and a folder with an empty pipewright.toml is served as it is",
            folder.display()
        );
    }
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(log_filter())
        .init();
    http::threads()?.block_on(start(
        serve,
        Sources {
            plan,
            tree: sources,
            root: workspace.root,
        },
        &folder,
        printer,
    ))?;
    Ok(ExitStatus::Success)
}

fn log_filter() -> tracing_subscriber::EnvFilter {
    tracing_subscriber::EnvFilter::try_from_env("PIPEWRIGHT_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"))
}

/// A project as read from disk.
struct Sources {
    plan: Plan,
    tree: SourceTree,
    root: PathBuf,
}

async fn start(
    serve: &Serve,
    sources: Sources,
    folder: &Path,
    printer: &Printer,
) -> anyhow::Result<()> {
    let address = address(serve, &sources.plan)?;
    // Before anything is made: a taken port is the likeliest mistake, and nothing should be left behind by it.
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; `--port` chooses another port"))?;
    let state_folder = folder.join(STATE_FOLDER);
    std::fs::create_dir_all(&state_folder)
        .with_context(|| format!("cannot make `{}`", state_folder.display()))?;
    let engine = engine::open(&sources.plan.project.config, &state_folder, printer).await?;
    let manner = Manner {
        admin_token: serve.admin_token.as_deref(),
        guest: None,
        does: Does::All,
        stop: Box::pin(stop()),
    };
    let served = deploy_and_serve(manner, sources, folder, listener, &engine, printer).await;
    engine.shutdown().await;
    served
}

/// How a server serves.
struct Manner<'a> {
    admin_token: Option<&'a str>,
    /// Who alone is served, where that is this process: it is told where, and with which token.
    guest: Option<oneshot::Sender<(SocketAddr, String)>>,
    /// What is to be done beside answering.
    does: Does,
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// What a server does beside answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Does {
    /// It makes what is missing, goes on with what was cut off, and begins what is due.
    All,
    /// Nothing: who only asks is to find what is there.
    Nothing,
}

/// How tokens of commands that serve themselves begin. They are gone when the command ends.
const GUEST: &str = "command line ";

/// Serves a project to the command that runs, on a port and under a token that nobody else knows, for as long as that takes.
pub(super) async fn for_myself<F>(
    folder: &Path,
    does: Does,
    printer: &Printer,
    work: impl FnOnce(SocketAddr, String) -> F,
) -> anyhow::Result<ExitStatus>
where
    F: Future<Output = anyhow::Result<ExitStatus>>,
{
    let workspace = workspace::read(folder)?;
    let tree = workspace.sources.clone();
    let (plan, mut diagnostics) = pipewright_compiler::check(workspace.sources);
    diagnostics.extend(workspace.diagnostics);
    if report_errors(&plan, &diagnostics, folder, printer) {
        return Ok(ExitStatus::Findings);
    }
    let state_folder = folder.join(STATE_FOLDER);
    let is_empty = plan.project.pipes.is_empty() && plan.project.datasources.is_empty();
    if is_empty && !state_folder.is_dir() && !folder.join("pipewright.toml").is_file() {
        bail!(
            "there is no .pipe or .datasource file below `{}`",
            folder.display()
        );
    }
    std::fs::create_dir_all(&state_folder)
        .with_context(|| format!("cannot make `{}`", state_folder.display()))?;
    let engine = engine::open(&plan.project.config, &state_folder, printer).await;
    let engine = engine.inspect_err(|error| super::deploy::hint_at_server(error, printer))?;
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
    let (guest, ready) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let manner = Manner {
        admin_token: None,
        guest: Some(guest),
        does,
        stop: Box::pin(async { _ = stopped.await }),
    };
    let sources = Sources {
        plan,
        tree,
        root: workspace.root,
    };
    let serving = deploy_and_serve(manner, sources, folder, listener, &engine, printer);
    let working = async {
        let done = match ready.await {
            Ok((address, token)) => work(address, token).await,
            // Why is what the other one says.
            Err(_) => Ok(ExitStatus::Error),
        };
        drop(stop);
        done
    };
    let (served, done) = tokio::join!(serving, working);
    engine.shutdown().await;
    served?;
    done
}

/// So long appends may go on when the server stops.
const LAST_APPENDS: std::time::Duration = std::time::Duration::from_secs(30);

async fn deploy_and_serve(
    manner: Manner<'_>,
    sources: Sources,
    folder: &Path,
    listener: TcpListener,
    engine: &Arc<dyn Engine>,
    printer: &Printer,
) -> anyhow::Result<()> {
    let state = Arc::new(State::open(
        &folder.join(STATE_FOLDER).join("state.sqlite"),
    )?);
    // Before anything else: what a deploy that was cut off says of the files and the tables must be true.
    let embedded = sources.plan.project.config.server.clickhouse_url.is_none();
    let open = if embedded {
        Ingest::open
    } else {
        Ingest::open_on_server
    };
    let ingest = open(Arc::clone(engine), &folder.join(STATE_FOLDER))?;
    deploy::recover(&state, &ingest, &Lines(printer)).await?;
    let catalog = Catalog::open(Arc::clone(&state), &sources.tree, sources.plan)?;
    for drift in catalog.conflicts()? {
        printer.note(&format!("warning: {}", drift.message));
    }
    let plan = Arc::clone(&catalog.current().plan);
    let secrets = workspace::secrets(folder, &plan)?;
    deploy::stand(&plan, &state, &ingest).await?;
    deploy::sweep(&state, engine.as_ref(), &Lines(printer)).await?;
    let does_all = manner.does == Does::All;
    let mut refused = BTreeMap::new();
    if does_all {
        refused = make_missing(&catalog, &sources.root, &ingest, printer).await?;
        deploy::note_start(&state, &catalog.current().files)?;
        ensure_tokens(manner.admin_token, &plan, &state, printer)?;
        if !embedded {
            let secrets = secrets.clone().or(state.variables().values()?);
            deploy::connect(&plan, engine.as_ref(), &secrets, &Lines(printer)).await?;
        }
        ingest.sweep_jobs(&state.jobs().unfinished()?).await?;
    }
    let token = guest_token(&state, manner.guest.is_some())?;
    let data = take_rows(&plan, &state, ingest, &secrets, printer).await?;
    let address = listener.local_addr()?;
    let app = App::new(catalog, secrets, Arc::clone(engine)).await?;
    app.lack(refused);
    let is_guest = manner.guest.is_some();
    if !is_guest {
        announce(&plan, address, printer);
    }
    if does_all {
        app.write(data.clone())?;
    } else {
        app.read(data.clone());
    }
    if let (Some(guest), Some(token)) = (manner.guest, token) {
        _ = guest.send((address, token));
    }
    let served = http::serve(listener, app, manner.stop).await;
    // Of clients that have left; what takes longer goes on in the next process.
    _ = tokio::time::timeout(LAST_APPENDS, data.ingest.appends_ended()).await;
    data.jobs.shutdown().await;
    data.events.shutdown().await;
    state.tokens().forget_guests()?;
    served?;
    if !is_guest {
        printer.note("stopped");
    }
    Ok(())
}

/// Makes the tables and views that are not there, and says what stays as it is; what cannot be made, with why.
async fn make_missing(
    catalog: &Catalog,
    root: &Path,
    ingest: &Arc<Ingest>,
    printer: &Printer,
) -> anyhow::Result<BTreeMap<String, String>> {
    let plan = Arc::clone(&catalog.current().plan);
    let deployed = deploy::deploy(&plan, root, ingest, &Lines(printer)).await?;
    say_what_is_missing(&plan, &deployed, printer);
    for name in &deployed.drifted {
        printer.note(&format!("warning: `{name}` was made from another definition than the project now has, and is left as it is: `pipewright plan` shows what would change, `pipewright deploy` changes it"));
    }
    Ok(deployed.refused)
}

/// Says which tables and views are not there, and which fixtures are not whole.
pub(super) fn say_what_is_missing(plan: &Plan, deployed: &deploy::Deployed, printer: &Printer) {
    for (name, said) in &deployed.refused {
        let file = deploy::file_of(plan, name).filter(|file| !said.starts_with(file));
        let place = file.map_or(String::new(), |file| format!("{file}: "));
        printer.error(&format!(
            "{place}`{name}` cannot be made, and what needs it does not work: {said}"
        ));
    }
    for (file, why) in &deployed.unloaded {
        printer.note(&format!("warning: {file}: {why}"));
    }
}

/// A token for the one guest; those of commands that were cut off go.
fn guest_token(state: &State, has_guest: bool) -> anyhow::Result<Option<String>> {
    state.tokens().forget_guests()?;
    if !has_guest {
        return Ok(None);
    }
    let name = format!("{GUEST}{}", crate::state::uuid()?);
    let made = state
        .tokens()
        .create_guest(&name, &serde_json::json!([Scope::Admin.to_json()]))?;
    Ok(Some(made.secret.expose_secret().to_owned()))
}

/// Opens the ways in for rows. What an earlier process had taken, and not written, is written before anything else comes.
async fn take_rows(
    plan: &Plan,
    state: &Arc<State>,
    ingest: Arc<Ingest>,
    secrets: &Secrets,
    printer: &Printer,
) -> anyhow::Result<Data> {
    ingest.know_renames(deploy::renames(state)?);
    let events = Events::new(Arc::clone(&ingest), EventLimits::default());
    let appends = ingest
        .resume_appends(plan)
        .await
        .context("cannot finish an append that was cut off")?;
    let batches = events
        .replay(plan)
        .await
        .context("cannot write events that an earlier process had taken")?;
    if appends + batches > 0 {
        printer.note(&format!(
            "wrote what was left of an earlier run: {batches} batches of events, {appends} files"
        ));
    }
    let deletes: Arc<dyn Work> = Arc::new(DeleteData(Arc::clone(&ingest)));
    let populates: Arc<dyn Work> = Arc::new(Populate(Arc::clone(&ingest)));
    let deploys = Arc::new(Deploys::default());
    let deploying: Arc<dyn Work> = Arc::clone(&deploys) as _;
    let works = [
        ("deploy", deploying),
        ("delete_data", deletes),
        ("populateview", populates),
        (
            COPY,
            copies(state, &ingest, secrets, Some(Arc::clone(&deploys) as _)),
        ),
    ];
    Ok(Data {
        jobs: Jobs::new(Arc::clone(state), works, limits(plan)),
        ingest,
        events,
        deploys,
    })
}

fn copies(
    state: &Arc<State>,
    ingest: &Arc<Ingest>,
    secrets: &Secrets,
    replaces: Option<Arc<dyn Replaces>>,
) -> Arc<dyn Work> {
    Arc::new(CopyRows {
        replaces,
        ingest: Arc::clone(ingest),
        environment: secrets.clone(),
        state: Arc::clone(state),
    })
}

fn limits(plan: &Plan) -> Limits {
    Limits {
        keep: kept(&plan.project.config.jobs),
        ..Limits::default()
    }
}

/// How long jobs that have ended are kept, as the settings say it.
fn kept(jobs: &JobsKept) -> Keep {
    const DAY: i64 = 86_400_000;
    Keep {
        age: (jobs.kept_days > 0).then(|| i64::from(jobs.kept_days) * DAY),
        count: (jobs.kept > 0).then_some(jobs.kept),
    }
}

struct Lines<'a>(&'a Printer);

impl deploy::Progress for Lines<'_> {
    fn say(&self, text: &str) {
        self.0.note(text);
    }
}

fn address(serve: &Serve, plan: &Plan) -> anyhow::Result<SocketAddr> {
    let config = &plan.project.config.server;
    let host: IpAddr = match serve.host {
        Some(host) => host,
        None => config
            .host
            .parse()
            .with_context(|| format!("`{}` in pipewright.toml is no address", config.host))?,
    };
    Ok(SocketAddr::new(host, serve.port.unwrap_or(config.port)))
}

/// The admin token and the tokens of the datafiles. A new admin token is printed, as nobody could ask for it; of the others it is said that they are there.
fn ensure_tokens(
    given: Option<&str>,
    plan: &Plan,
    state: &State,
    printer: &Printer,
) -> anyhow::Result<()> {
    let admin = state.tokens().ensure_admin(given)?;
    if let (Some(secret), None) = (&admin.secret, given) {
        printer.note(&format!(
            "admin token (printed at the first start only): {}",
            secret.expose_secret()
        ));
    }
    for made in http::ensure_declared(plan, state)?.made {
        let name = made.token.name;
        printer.note(&format!(
            "token `{name}` is new: with the admin token, `/v0/tokens/{name}` shows it"
        ));
    }
    Ok(())
}

fn announce(plan: &Plan, address: SocketAddr, printer: &Printer) {
    let endpoints: Vec<String> = plan
        .pipes
        .values()
        .filter(|pipe| pipe.endpoint.is_some())
        .map(|pipe| pipe.name.to_string())
        .collect();
    printer.note(&format!(
        "serving {} endpoints at http://{address}",
        endpoints.len()
    ));
    for name in &endpoints {
        printer.note(&format!("  http://{address}/v0/pipes/{name}.json"));
    }
    printer.hint(
        "send the token as `Authorization: Bearer <token>` or `?token=<token>`; Ctrl-C stops",
    );
}

/// Done when the process is told to stop.
async fn stop() {
    let interrupt = async { _ = tokio::signal::ctrl_c().await };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => _ = signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}
