//! What is done to data sources, and how jobs go on, written down in `tinybird.datasources_ops_log` and `tinybird.jobs_log`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pipewright_compiler::sql::quote_literal;
use serde_json::{Value, json};

use super::{App, Data, population, views};
use crate::catalog::{Catalog, Current, format_micros};
use crate::engine::EngineError;
use crate::engine::ask::lines;
use crate::ingest::{COPY, Counts, Flushed};
use crate::jobs::{Job, JobStatus, Wanted};
use crate::service::{JobEvent, Operation, Row, Service};
use crate::state::StateError;

/// Writes down every change of a job, and every batch of events that reaches the engine.
pub(super) fn listen(app: &Arc<App>, data: &Data) {
    let (service, catalog) = (app.service.clone(), Arc::clone(&app.catalog));
    let app_of_jobs = Arc::downgrade(app);
    data.jobs.listen(Box::new(move |job| {
        service.record(Row::Job(event(job, catalog.state().workspace_id())));
        if let Some(queued) = queued(job, &catalog) {
            service.record(Row::Operation(queued));
        }
        let app = app_of_jobs.upgrade();
        if let Some(operation) = operation(job, &catalog) {
            // Rows that take the place of others, and those of a populate, come in beside the views.
            if let Some(app) = app.as_ref().filter(|_| is_append(job)) {
                views::follow(app, &operation);
            }
            service.record(Row::Operation(operation));
        }
        if let Some(app) = app {
            population::ended(&app, job);
        }
    }));
    let (service, catalog) = (app.service.clone(), Arc::clone(&app.catalog));
    let app_of_events = Arc::downgrade(app);
    data.events.listen(Box::new(move |flushed: &Flushed<'_>| {
        let done = Done {
            elapsed: flushed.elapsed,
            counts: flushed.counts,
            error: flushed.error.map(ToOwned::to_owned),
            ..Done::new("append-hfi", flushed.datasource)
        };
        let operation = done.row(&service, &catalog);
        if let Some(app) = app_of_events.upgrade() {
            views::follow(&app, &operation);
        }
        service.record(Row::Operation(operation));
    }));
}

/// So many jobs that ended last are looked for in the log.
const LATEST: u32 = 100;

/// Writes down the ends of jobs that the process before had no time to write down: it takes half a second.
pub(super) fn catch_up(app: &Arc<App>, data: &Data) -> Result<(), StateError> {
    let all = Wanted {
        kind: None,
        status: None,
        asked_by: None,
    };
    let mut ended = data.jobs.list(&all, LATEST)?;
    ended.retain(|job| job.status.is_final());
    if ended.is_empty() {
        return Ok(());
    }
    let app = Arc::clone(app);
    tokio::spawn(async move {
        if let Err(error) = log_missing(&app, &ended).await {
            tracing::warn!(%error, "the ends of earlier jobs are not looked for in the log");
        }
    });
    Ok(())
}

async fn log_missing(app: &App, ended: &[Job]) -> Result<(), EngineError> {
    let ids: Vec<String> = ended.iter().map(|job| quote_literal(&job.id)).collect();
    let ids = ids.join(", ");
    let logged = async |table: &str, condition: &str| {
        let sql = format!(
            "SELECT DISTINCT assumeNotNull(job_id) FROM tinybird.{table} WHERE {condition} AND job_id IN ({ids})"
        );
        lines(app.engine.as_ref(), &sql).await
    };
    let ends = "status IN ('done', 'error', 'cancelled')";
    let jobs = logged("jobs_log", ends).await?;
    let operations = logged("datasources_ops_log", "NOT endsWith(event_type, '-queued')").await?;
    // The oldest first, as they came.
    for job in ended.iter().rev() {
        if !jobs.contains(&job.id) {
            let workspace = app.catalog.state().workspace_id();
            app.service.record(Row::Job(event(job, workspace)));
        }
        if let Some(operation) = operation(job, &app.catalog)
            && !operations.contains(&job.id)
        {
            app.service.record(Row::Operation(operation));
        }
    }
    Ok(())
}

/// Whether a job adds rows to those that are there.
fn is_append(job: &Job) -> bool {
    job.kind == COPY && job.request["mode"] == "append"
}

fn time(milliseconds: i64) -> String {
    let mut text = format_micros(milliseconds.saturating_mul(1000));
    text.truncate("YYYY-MM-DD HH:MM:SS.fff".len());
    text
}

/// The text of the first of these places in a request that has one.
fn text(request: &Value, places: &[&str]) -> Option<String> {
    let found = places
        .iter()
        .find_map(|place| request.pointer(place)?.as_str());
    found.map(ToOwned::to_owned)
}

fn event(job: &Job, workspace: &str) -> JobEvent {
    JobEvent {
        job_id: job.id.clone(),
        job_type: job.kind.clone(),
        status: job.status.as_str().to_owned(),
        error: job.error.clone(),
        workspace_id: workspace.to_owned(),
        request_id: None,
        pipe_id: text(&job.request, &["/pipe_id"]),
        datasource_id: text(&job.request, &["/datasource/id"]),
        created_at: time(job.created_at),
        started_at: job.started_at.map(time),
        updated_at: time(job.updated_at),
        job_metadata: json!({
            "request": super::jobs::shown(job).collect::<BTreeMap<_, _>>(),
            "progress": job.progress,
            "statistics": job.result,
        })
        .to_string(),
    }
}

/// A populate that waits for its turn.
fn queued(job: &Job, catalog: &Catalog) -> Option<Operation> {
    if job.kind != population::POPULATE || job.status != JobStatus::Waiting {
        return None;
    }
    let name = text(&job.request, &["/datasource/name"])?;
    Some(Operation {
        timestamp: u64::try_from(job.created_at / 1000).unwrap_or(0),
        event_type: format!("{}-queued", job.kind),
        datasource_id: datasource_id(catalog, &name),
        datasource_name: name,
        result: outcome(None),
        job_id: Some(job.id.clone()),
        operation_id: job.id.clone(),
        pipe_id: text(&job.request, &["/pipe_id"]).unwrap_or_default(),
        pipe_name: text(&job.request, &["/pipe_name"]).unwrap_or_default(),
        ..Operation::default()
    })
}

/// Data sources that a change has made.
pub(super) fn created(app: &App, before: &Current, after: &Current) {
    let tables = after.plan.tables.keys();
    let made =
        tables.filter(|name| name.workspace.is_none() && !before.plan.tables.contains_key(*name));
    for name in made {
        Done::new("create", &name.name).record(app);
    }
}

/// What a job that has ended did to its data source.
fn operation(job: &Job, catalog: &Catalog) -> Option<Operation> {
    let error = match job.status {
        JobStatus::Done => None,
        JobStatus::Error => Some(job.error.clone().unwrap_or_default()),
        JobStatus::Cancelled => Some("the job was cancelled".to_owned()),
        _ => return None,
    };
    let event_type = if job.kind == "delete_data" {
        "delete"
    } else {
        &job.kind
    };
    let name = text(&job.request, &["/datasource/name"])?;
    let result = job.result.as_ref().unwrap_or(&Value::Null);
    let number = |key: &str| result[key].as_u64().unwrap_or(0);
    let rows = ["written_rows", "rows", "rows_deleted"]
        .iter()
        .find_map(|key| result[*key].as_u64());
    let current = catalog.current();
    let pipe_name = text(&job.request, &["/pipe_name"]).unwrap_or_default();
    let pipe = current.objects.pipe(&pipe_name);
    let began = job.started_at.unwrap_or(job.created_at);
    let writes = job.kind != "delete_data";
    Some(Operation {
        timestamp: u64::try_from(began / 1000).unwrap_or(0),
        event_type: event_type.to_owned(),
        datasource_id: datasource_id(catalog, &name),
        datasource_name: name,
        result: outcome(error.as_ref()),
        elapsed_time: Duration::from_millis(u64::try_from(job.updated_at - began).unwrap_or(0))
            .as_secs_f64(),
        error,
        option_names: ["mode", "trigger"]
            .into_iter()
            .filter(|name| job.request[*name].is_string())
            .map(ToOwned::to_owned)
            .collect(),
        option_values: ["/mode", "/trigger"]
            .iter()
            .filter_map(|place| text(&job.request, &[place]))
            .collect(),
        job_id: Some(job.id.clone()),
        rows,
        operation_id: job.id.clone(),
        read_rows: number("read_rows"),
        read_bytes: number("read_bytes"),
        written_rows: rows.filter(|_| writes).unwrap_or(0),
        written_bytes: ["written_bytes", "bytes"]
            .iter()
            .find_map(|key| result[*key].as_u64().filter(|_| writes))
            .unwrap_or(0),
        pipe_id: pipe.map(|object| object.id.clone()).unwrap_or_default(),
        pipe_name,
        ..Operation::default()
    })
}

fn outcome(error: Option<&String>) -> String {
    error.map_or("ok", |_| "error").to_owned()
}

fn datasource_id(catalog: &Catalog, name: &str) -> String {
    let current = catalog.current();
    let object = current.objects.datasource(name);
    object.map(|object| object.id.clone()).unwrap_or_default()
}

/// Something that was done at once.
#[derive(Debug)]
pub(super) struct Done<'a> {
    pub(super) event_type: &'a str,
    pub(super) datasource: &'a str,
    pub(super) elapsed: Duration,
    pub(super) counts: Counts,
    pub(super) import_id: Option<String>,
    pub(super) error: Option<String>,
}

impl<'a> Done<'a> {
    pub(super) fn new(event_type: &'a str, datasource: &'a str) -> Self {
        Self {
            event_type,
            datasource,
            elapsed: Duration::ZERO,
            counts: Counts::default(),
            import_id: None,
            error: None,
        }
    }

    pub(super) fn since(mut self, started: Instant) -> Self {
        self.elapsed = started.elapsed();
        self
    }

    /// Writes down an insert, with what the views of the data source made of it.
    pub(super) fn record_insert(self, app: &Arc<App>) {
        let row = self.row(&app.service, &app.catalog);
        views::follow(app, &row);
        app.service.record(Row::Operation(row));
    }

    /// Writes it down.
    pub(super) fn record(self, app: &App) {
        let row = self.row(&app.service, &app.catalog);
        app.service.record(Row::Operation(row));
    }

    fn row(self, service: &Service, catalog: &Catalog) -> Operation {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let id = service.request_id();
        Operation {
            timestamp: now.saturating_sub(self.elapsed).as_secs(),
            event_type: self.event_type.to_owned(),
            datasource_id: datasource_id(catalog, self.datasource),
            datasource_name: self.datasource.to_owned(),
            result: outcome(self.error.as_ref()),
            elapsed_time: self.elapsed.as_secs_f64(),
            error: self.error,
            request_id: id.clone(),
            import_id: self.import_id,
            rows: Some(self.counts.successful),
            rows_quarantine: Some(self.counts.quarantined),
            operation_id: id,
            written_rows: self.counts.successful,
            written_rows_quarantine: self.counts.quarantined,
            ..Operation::default()
        }
    }
}
