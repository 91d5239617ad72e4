//! Stage *serve*: request + `Plan` → SQL → engine → bytes. The only place that knows `axum`.
//!
//! Endpoints are data, not routes: one handler looks the pipe up in [`Served`], which a reload replaces as a whole.

mod access;
mod admission;
mod analyze;
mod call;
mod columns;
mod connected;
mod connections;
mod copies;
mod copy_job;
mod datasource_change;
mod datasource_create;
mod datasource_describe;
mod datasources;
mod declared;
mod deploy_form;
mod deploy_job;
mod deployment_shown;
mod deployments;
mod describe;
mod endpoint;
mod entrance;
mod error;
mod events;
mod examples;
mod explain;
mod extract;
mod fence;
mod filtered;
mod fixed;
mod form_fields;
mod handover;
mod import;
mod jobs;
mod jwt;
mod leaving;
mod materialization;
mod metrics;
mod nodes;
mod operations;
mod page;
mod parameters;
mod pipes;
mod place;
mod population;
mod query;
mod record;
mod replace;
mod router;
mod routes;
mod run;
mod scope;
mod sql;
mod staged;
mod tags;
mod token_changes;
mod tokens;
mod variables;
mod views;
mod workspace;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use pipewright_compiler::emit;
use pipewright_compiler::plan::{Compiled, Plan};
use pipewright_compiler::project::{Limits, ResourceName};
use pipewright_compiler::sql::quote_literal;
use tokio::net::TcpListener;

pub use access::{Access, Scope, TokenTable};
pub use declared::ensure_declared;
pub use deploy_job::Deploys;
pub use metrics::Metrics;
pub use router::router;

use self::access::RateLimits;
use self::admission::Admission;
use self::connections::Patience;
use self::error::ApiError;
use self::handover::Handover;
use crate::catalog::Catalog;
use crate::engine::{Engine, EngineError, Query};
use crate::ingest::{Events, Ingest};
use crate::jobs::Jobs;
use crate::schedule::Scheduler;
use crate::secrets::Secrets;
use crate::service::Service;
use crate::state::StateError;

/// What is served: replaced as a whole when the project changes.
#[derive(Debug)]
pub struct Served {
    /// The project.
    pub plan: Arc<Plan>,
    /// Who may read what.
    pub tokens: Arc<TokenTable>,
    /// Secrets by name, for `tb_secret`: those of the environment, and those of the workspace's store. Only ever bound as parameters.
    pub secrets: Secrets,
    /// The deployment that this is of, where it is not the one in force.
    pub staged: Option<i64>,
}

/// Why an app cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The tokens cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The engine does not take the tables of the statistics.
    #[error("cannot make the service data sources: {0}")]
    Engine(#[from] EngineError),
}

/// What a server has that also writes.
#[derive(Debug, Clone)]
pub struct Data {
    /// Files of rows.
    pub ingest: Arc<Ingest>,
    /// Single rows.
    pub events: Arc<Events>,
    /// What takes long.
    pub jobs: Arc<Jobs>,
    /// What brings other versions of the project into force.
    pub deploys: Arc<Deploys>,
}

/// All that a request needs.
#[derive(Debug)]
pub struct App {
    served: ArcSwap<Served>,
    /// Secrets from the environment and `.env.local`, which win over stored ones.
    environment: Secrets,
    catalog: Arc<Catalog>,
    service: Service,
    rates: RateLimits,
    token_changes: Mutex<()>,
    engine: Arc<dyn Engine>,
    metrics: Metrics,
    admission: Arc<Admission>,
    timeout: Duration,
    body_bytes: usize,
    patience: Patience,
    data: OnceLock<Data>,
    handover: Handover,
    views: views::Views,
    /// Tables and views that the engine did not make, with what it said.
    lacking: ArcSwap<BTreeMap<String, String>>,
    /// Names right of an `IN` that are no tables.
    columns: ArcSwap<columns::Columns>,
    /// What `/openapi.json` says of the plan for which it was asked last.
    described: Mutex<Option<Arc<page::Described>>>,
    /// The version that waits, for those who ask it.
    staged: staged::Staged,
}

impl App {
    /// An app over an engine and the sources in a catalog. Limits come from the project's `[limits]`.
    pub async fn new(
        catalog: Catalog,
        secrets: Secrets,
        engine: Arc<dyn Engine>,
    ) -> Result<Arc<Self>, StartError> {
        let catalog = Arc::new(catalog);
        let service = Service::start(Arc::clone(&engine)).await?;
        service.watch_storage(&catalog, &engine);
        let plan = Arc::clone(&catalog.current().plan);
        let tokens = Arc::new(TokenTable::load(catalog.state())?);
        let stored = catalog.state().variables().values()?;
        let limits = plan.project.config.limits.clone();
        let admission = match plan.project.config.server.clickhouse_url {
            None => Admission::embedded(limits.concurrent_queries),
            Some(_) => Admission::remote(limits.concurrent_queries),
        };
        let patience = patience(&limits);
        Ok(Arc::new(Self {
            served: ArcSwap::from_pointee(Served {
                plan,
                tokens,
                secrets: secrets.or(stored),
                staged: None,
            }),
            environment: secrets,
            catalog,
            service,
            rates: RateLimits::new(limits.requests_per_second),
            token_changes: Mutex::new(()),
            engine,
            metrics: Metrics::default(),
            admission: Arc::new(admission),
            patience,
            timeout: Duration::from_millis(limits.query_timeout_ms),
            body_bytes: limits.body_bytes,
            data: OnceLock::new(),
            handover: Handover::default(),
            views: views::Views::default(),
            lacking: ArcSwap::default(),
            columns: ArcSwap::default(),
            described: Mutex::default(),
            staged: staged::Staged::default(),
        }))
    }

    /// Notes which tables and views are not there, and why.
    pub fn lack(&self, lacking: BTreeMap<String, String>) {
        self.lacking.store(Arc::new(lacking));
    }

    /// Fails where a table is not there. A deploy may have made it since.
    pub(crate) async fn require_tables<'a>(
        &self,
        names: impl Iterator<Item = &'a ResourceName>,
    ) -> Result<(), ApiError> {
        let lacking = self.lacking.load();
        if lacking.is_empty() {
            return Ok(());
        }
        for name in names {
            let Some(said) = lacking.get(&name.to_string()) else {
                continue;
            };
            let asked = Query::new(format!("EXISTS TABLE {}", emit::table_name(name)), "TSV");
            let answer = match self.engine.query(asked).await {
                Ok(answer) => answer.bytes().await.ok(),
                Err(_) => None,
            };
            if answer.is_none_or(|answer| answer.as_ref() != b"1\n") {
                return Err(ApiError::Unavailable(format!(
                    "the table of data source `{name}` could not be made: {said}"
                )));
            }
        }
        Ok(())
    }

    /// Fails where a name right of an `IN`, which is no resource and should be a column, is a table that the engine has beside the project's: of a file that is gone, say.
    /// The engine is asked once for each name and plan: tables come and go with plans.
    pub(crate) async fn refuse_other_tables(
        &self,
        plan: &Arc<Plan>,
        compiled: &Compiled,
    ) -> Result<(), ApiError> {
        let names = &compiled.unknown_sets;
        if names.is_empty() || self.columns.load().knows(plan, names) {
            return Ok(());
        }
        let quoted: Vec<String> = names.iter().map(|name| quote_literal(name)).collect();
        let sql = format!(
            "SELECT name FROM system.tables WHERE database = currentDatabase() AND name IN ({}) ORDER BY name",
            quoted.join(", ")
        );
        let unsure = |error: EngineError| ApiError::Unavailable(error.to_string());
        let answer = self.engine.query(Query::new(sql, "TSVRaw")).await;
        let found = answer.map_err(unsure)?.bytes().await.map_err(unsure)?;
        match String::from_utf8_lossy(&found).lines().next() {
            None => {
                self.columns.rcu(|known| known.with(plan, names));
                Ok(())
            }
            Some(name) => Err(ApiError::BadRequest(format!(
                "`{name}` is no data source, pipe or column here"
            ))),
        }
    }

    /// Makes the app take rows, run jobs and follow the schedules of copies; without this it only answers queries.
    pub fn write(self: &Arc<Self>, data: Data) -> Result<(), StateError> {
        operations::catch_up(self, &data)?;
        operations::listen(self, &data);
        data.deploys.serve(self);
        let jobs = Arc::clone(&data.jobs);
        _ = self.data.set(data);
        // Only now, so that what a job does from here on is written down.
        jobs.recover()?;
        let source: Arc<dyn crate::schedule::Scheduled> = Arc::clone(self) as _;
        let state = Arc::clone(self.catalog.state());
        Scheduler::new(state, Arc::clone(&jobs)).start(Arc::downgrade(&source));
        Ok(())
    }

    /// Makes the app answer what it is asked about rows and jobs, and begin nothing by itself.
    pub fn read(self: &Arc<Self>, data: Data) {
        data.deploys.serve(self);
        _ = self.data.set(data);
    }

    /// What rows and jobs go through.
    pub(crate) fn data(&self) -> Result<&Data, ApiError> {
        let none = || ApiError::Unavailable("this server takes no rows".to_owned());
        self.data.get().ok_or_else(none)
    }

    /// Replaces a part of what is served; requests under way finish with what they started with.
    fn serve_anew(&self, change: impl Fn(&mut Served)) {
        self.served.rcu(|served| {
            let mut next = Served {
                plan: Arc::clone(&served.plan),
                tokens: Arc::clone(&served.tokens),
                secrets: served.secrets.clone(),
                staged: served.staged,
            };
            change(&mut next);
            next
        });
    }

    /// Serves a changed project, with what the change has made of the tokens.
    fn serve_plan(&self, plan: &Arc<Plan>) {
        // Tables that are new have to be made ready for rows.
        if let Some(data) = self.data.get() {
            data.ingest.adopt(plan, &[]);
        }
        // Together: a scope that follows a resource to its new name is worth nothing with the old plan, nor the old scope with the new one.
        let _one = self
            .token_changes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let tokens = TokenTable::load(self.catalog.state()).map(Arc::new);
        if let Err(error) = &tokens {
            tracing::error!(%error, "tokens cannot be read: those of before are served");
        }
        self.serve_anew(|served| {
            served.plan = Arc::clone(plan);
            if let Ok(tokens) = &tokens {
                served.tokens = Arc::clone(tokens);
            }
        });
    }

    /// Reads the stored secrets again.
    fn reload_variables(&self) -> Result<(), StateError> {
        // One after the other, as with tokens.
        let _one = self
            .token_changes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let stored = self.catalog.state().variables().values()?;
        let secrets = self.environment.or(stored);
        self.serve_anew(|served| served.secrets.clone_from(&secrets));
        Ok(())
    }

    /// Reads the tokens again.
    fn reload_tokens(&self) -> Result<(), StateError> {
        // One after the other: what was read before another's change must not come after it.
        let _one = self
            .token_changes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let tokens = Arc::new(TokenTable::load(self.catalog.state())?);
        self.serve_anew(|served| served.tokens = Arc::clone(&tokens));
        Ok(())
    }
}

/// The threads that connections are read and written on. The engine has threads of its own and needs the processors more: each thread here that has nothing to
/// do is woken for every request to look for work, so there is one for four processors.
pub fn threads() -> std::io::Result<tokio::runtime::Runtime> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(processors.div_ceil(4))
        .enable_all()
        .build()
}

/// Serves until `stop` is done, then finishes the requests under way.
pub async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (service, patience) = (app.service.clone(), app.patience);
    connections::serve(listener, router(app), patience, stop).await;
    service.flush().await;
    Ok(())
}

/// How many times longer than a client may stand still it may take to send a body that is kept in memory.
const STALLS: u32 = 10;

fn patience(limits: &Limits) -> Patience {
    let stall = Duration::from_millis(limits.client_timeout_ms);
    Patience {
        connections: limits.connections,
        idle: Duration::from_millis(limits.idle_timeout_ms),
        stall,
        whole: stall * STALLS,
        body_bytes: limits.body_bytes,
        bodies_bytes: limits.bodies_bytes,
        // A query that began just now, and an answer that is taken slowly.
        last: Duration::from_millis(limits.query_timeout_ms) + stall,
    }
}

async fn health(State(app): State<Arc<App>>) -> Response {
    let mut body = serde_json::json!({ "status": "ok", "engine": app.engine.version() });
    let lacking = app.lacking.load();
    if !lacking.is_empty() {
        // Not their names: who asks has no token.
        body["not_made"] = lacking.len().into();
    }
    (
        [(header::CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
        .into_response()
}

/// Counters, for whoever asks; with the names of data sources for admins.
async fn metrics(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let asked = app.served.load().tokens.access_if_any(&headers, &uri)?;
    let untaken = app.data().map(|data| data.ingest.untaken());
    let named = asked.is_some_and(|access| access.is_admin());
    Ok((
        [(
            header::CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        app.metrics
            .text(&untaken.unwrap_or_default(), app.service.dropped(), named),
    )
        .into_response())
}

/// A JSON answer.
pub(crate) struct Json(pub(crate) serde_json::Value);

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        call::json_response(&self.0)
    }
}
