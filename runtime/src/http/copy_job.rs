//! From a copy node and the values of a request, or a time of its schedule, to the request of a job.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use pipewright_compiler::graph::NodeId;
use pipewright_compiler::mapped_text::MappedText;
use pipewright_compiler::plan::{
    Compiled, CopyMode, Plan, RequestContext, Role, RowFilters, Schedule, TablePlan,
};
use pipewright_compiler::project::{Pipe, ResourceName};
use pipewright_compiler::sql::{quote_identifier, quote_literal};
use pipewright_compiler::template::{RenderContext, Values};
use pipewright_grammar::syntax::DefaultKind;
use serde_json::Value;

use super::App;
use super::copies::mode_of;
use super::error::ApiError;
use super::parameters::Parameters;
use super::query::{now, secret_names};
use super::run::engine_settings;
use crate::catalog::{Current, Question};
use crate::engine::{Column, EngineError, Query, columns_of};
use crate::ingest::{CopyInto, CopyRequest, Target};
use crate::schedule::Scheduled;

/// The copy node of a pipe.
#[derive(Debug, Clone)]
pub(super) struct CopyNode {
    pub(super) id: NodeId,
    pub(super) target: ResourceName,
    pub(super) schedule: Schedule,
    pub(super) mode: CopyMode,
}

/// The copy node of a pipe, if it has one.
pub(super) fn find(plan: &Plan, pipe: &Pipe) -> Result<CopyNode, ApiError> {
    let nodes = plan
        .pipes
        .get(&pipe.name)
        .map_or(&[][..], |plan| &plan.nodes);
    nodes
        .iter()
        .find_map(|node| match &node.role {
            Role::Copy {
                target,
                schedule,
                mode,
            } => Some(CopyNode {
                id: node.id.clone(),
                target: target.clone(),
                schedule: schedule.clone(),
                mode: *mode,
            }),
            _ => None,
        })
        .ok_or_else(|| {
            ApiError::BadRequest(format!("pipe `{}` is not a copy pipe", pipe.name.name))
        })
}

/// What a run is asked for.
#[derive(Debug)]
pub(super) struct Asked {
    values: BTreeMap<String, Value>,
    mode: Option<CopyMode>,
    trigger: &'static str,
    /// What `job_timestamp` is.
    time: String,
}

impl Asked {
    /// By a request, now. `_mode` overrules the node's mode; other names that begin with `_` are the client's affair.
    pub(super) fn now(parameters: &Parameters) -> Result<Self, ApiError> {
        let mode = parameters.given("_mode").map(mode_of).transpose()?;
        let control = |name: &str| name == "token" || name.starts_with('_');
        let pairs = parameters.pairs().iter();
        Ok(Self {
            values: pairs.filter(|(name, _)| !control(name)).cloned().collect(),
            mode,
            trigger: "on_demand",
            time: now(),
        })
    }

    /// Whether rows are to be replaced, whatever the node says.
    pub(super) fn replaces(&self) -> bool {
        self.mode == Some(CopyMode::Replace)
    }

    /// By the schedule, for a time in seconds since 1970.
    fn scheduled(time: i64) -> Self {
        let time = jiff::Timestamp::from_second(time).unwrap_or_default();
        Self {
            values: BTreeMap::new(),
            mode: None,
            trigger: "scheduled",
            time: time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        }
    }
}

/// Compiles a copy, and looks whether its columns are those of what it fills.
pub(super) async fn request(
    app: &App,
    current: &Current,
    copy: &CopyNode,
    asked: Asked,
    filters: &RowFilters,
) -> Result<CopyRequest, ApiError> {
    let plan = &current.plan;
    let served = app.served.load_full();
    let secrets = secret_names(&served);
    let values: Values = asked.values.clone().into_iter().collect();
    let context = RequestContext {
        values: &values,
        render: RenderContext {
            now: &asked.time,
            secrets: &secrets,
            ..RenderContext::default()
        },
    };
    let compiled = plan
        .compile_node_for(&copy.id, context, filters)
        .map_err(|error| ApiError::query(plan, error))?;
    app.refuse_other_tables(plan, &compiled).await?;
    let table = plan.table(&copy.target.name).ok_or_else(|| {
        ApiError::NotFound(format!("there is no target data source `{}`", copy.target))
    })?;
    let sql = compiled.sql.text();
    let query = Question::describing(plan, &compiled).query;
    let described = match app.engine.query(query).await {
        Ok(answer) => answer.bytes().await,
        Err(error) => Err(error),
    };
    let described = columns_of(sql, described);
    let columns = matched_columns(app, plan, &compiled, table, described).await?;
    let mode = asked.mode.unwrap_or(copy.mode);
    if mode == CopyMode::Replace {
        let reason = app.data()?.ingest.not_replaceable(&copy.target.name).await;
        if let Some(reason) = reason.map_err(crate::ingest::IngestError::from)? {
            return Err(ApiError::BadRequest(reason));
        }
    }
    let objects = &current.objects;
    let pipe_name = copy.id.pipe.name.clone();
    Ok(CopyRequest {
        datasource: Target {
            id: objects
                .datasource(&copy.target.name)
                .map(|object| object.id.clone())
                .unwrap_or_default(),
            name: copy.target.name.clone(),
        },
        query_id: crate::state::uuid().map_err(|error| ApiError::Internal(error.to_string()))?,
        settings: engine_settings(&compiled.settings),
        memory_bytes: plan.project.config.limits.memory_bytes,
        secrets: compiled.secrets.into_iter().collect(),
        hides_rows: compiled.hides_rows,
        query_sql: compiled.sql.into_text(),
        pipe_id: objects
            .pipe(&pipe_name)
            .map(|object| object.id.clone())
            .unwrap_or_default(),
        pipe_name,
        mode: match mode {
            CopyMode::Append => CopyInto::Append,
            CopyMode::Replace => CopyInto::Replace,
        },
        trigger: asked.trigger.to_owned(),
        parameters: asked.values,
        columns,
        max_rows: plan.project.config.limits.copy_rows,
    })
}

/// How long the rows of a copy are counted while the client waits for its job.
const COUNTED_FOR: Duration = Duration::from_secs(1);

/// Refuses a copy whose query has too many rows, as far as that can be found out while the client waits; the job looks again.
pub(super) async fn refuse_too_many_rows(
    app: &App,
    plan: &Plan,
    request: &CopyRequest,
) -> Result<(), ApiError> {
    const BEFORE: &str = "SELECT count() AS c FROM (SELECT 1 FROM (\n";
    let _place = app.admission.enter().ok_or(ApiError::TooMany)?;
    let most = request.max_rows;
    let sql = format!(
        "{BEFORE}{}\n) LIMIT {})",
        request.query_sql,
        most.saturating_add(1)
    );
    // What is read is the copy's affair.
    let patience = app.timeout.min(COUNTED_FOR);
    let mut query = Query::new(sql, "TSV")
        .timeout(patience)
        .within_memory(request.memory_bytes);
    query.settings.extend_from_slice(&request.settings);
    let served = app.served.load_full();
    for name in &request.secrets {
        query = query.secret(name.clone(), served.secrets.get(name).unwrap_or_default());
    }
    let bytes = match app.engine.query(query).await {
        Ok(answer) => answer.bytes().await,
        Err(error) => Err(error),
    };
    let bytes = match bytes {
        // It takes its time, or more memory than a query may: the job will find out.
        Err(EngineError::Timeout { .. }) => return Ok(()),
        Err(EngineError::Exception { name, .. }) if name == "MEMORY_LIMIT_EXCEEDED" => {
            return Ok(());
        }
        Err(error) => {
            let mut error = error.shifted(BEFORE.len(), request.query_sql.len());
            if request.hides_rows {
                error = error.without_statement();
            }
            return Err(ApiError::engine(plan, &plain(&request.query_sql), error));
        }
        Ok(bytes) => bytes,
    };
    let rows: u64 = String::from_utf8_lossy(&bytes).trim().parse().unwrap_or(0);
    if rows > most {
        return Err(ApiError::Forbidden(format!(
            "job limits exceeded: the copy has more than {most} rows"
        )));
    }
    Ok(())
}

/// A text of which nothing is known but itself.
fn plain(text: &str) -> MappedText {
    let mut mapped = MappedText::new();
    mapped.push(
        text,
        pipewright_compiler::mapped_text::PieceKind::Inserted,
        None,
    );
    mapped
}

/// The names of the columns that a query is described to have, if they are those of the data source that it is to fill: by name, and such that the engine has a way from one type to the other.
pub(super) async fn matched_columns(
    app: &App,
    plan: &Plan,
    compiled: &Compiled,
    table: &TablePlan,
    described: Result<Vec<Column>, EngineError>,
) -> Result<Vec<String>, ApiError> {
    let found = described.map_err(|error| {
        let error = if compiled.hides_rows {
            error.without_statement()
        } else {
            error
        };
        ApiError::engine(plan, &compiled.sql, error)
    })?;
    let mut wrong = Vec::new();
    for (at, column) in found.iter().enumerate() {
        let name = quote_identifier(&column.name);
        if found[..at].iter().any(|other| other.name == column.name) {
            wrong.push(format!("the query has {name} twice"));
            continue;
        }
        let target = table
            .columns
            .iter()
            .find(|target| target.name == column.name);
        let Some(target) = target.filter(|target| is_written(target)) else {
            wrong.push(format!("`{}` has no column {name}", table.name));
            continue;
        };
        let Some(wanted) = &target.data_type else {
            continue;
        };
        if *wanted != column.type_name && !converts(app, &column.type_name, wanted).await? {
            wrong.push(format!(
                "{name} is {} in the query and {wanted} in `{}`",
                column.type_name, table.name
            ));
        }
    }
    for target in table.columns.iter().filter(|target| is_needed(target)) {
        if !found.iter().any(|column| column.name == target.name) {
            wrong.push(format!(
                "the query has no column {}",
                quote_identifier(&target.name)
            ));
        }
    }
    if wrong.is_empty() {
        return Ok(found.into_iter().map(|column| column.name).collect());
    }
    Err(ApiError::BadRequest(format!(
        "the columns in the SQL query don't match the columns in the target Data Source: {}",
        wrong.join("; ")
    )))
}

/// Whether rows bring a value for the column: not what the engine computes.
fn is_written(column: &pipewright_compiler::plan::Column) -> bool {
    let kind = column.default.as_ref().map(|(kind, _)| *kind);
    kind.is_none_or(|kind| kind == DefaultKind::Default)
}

/// Whether rows must bring a value: there is no other.
fn is_needed(column: &pipewright_compiler::plan::Column) -> bool {
    let nullable = column
        .data_type
        .as_deref()
        .is_some_and(|data_type| data_type.starts_with("Nullable("));
    column.default.is_none() && !nullable
}

/// Whether the engine can turn values of one type into another.
async fn converts(app: &App, from: &str, to: &str) -> Result<bool, ApiError> {
    let sql = format!(
        "SELECT CAST(materialize(defaultValueOfTypeName({})), {})",
        quote_literal(from),
        quote_literal(to)
    );
    match app.engine.describe(&sql).await {
        Ok(_) => Ok(true),
        Err(EngineError::Exception { .. }) => Ok(false),
        Err(error) => Err(crate::ingest::IngestError::from(error).into()),
    }
}

#[async_trait]
impl Scheduled for App {
    fn schedules(&self) -> BTreeMap<String, String> {
        let current = self.catalog.current();
        let pipes = current.plan.project.pipes.values();
        pipes
            .filter(|pipe| pipe.name.workspace.is_none())
            .filter_map(|pipe| match find(&current.plan, pipe).ok()?.schedule {
                Schedule::Cron(cron) => {
                    Some((current.objects.pipe(&pipe.name.name)?.id.clone(), cron))
                }
                Schedule::OnDemand => None,
            })
            .collect()
    }

    async fn job(&self, pipe_id: &str, time: i64) -> (Value, Option<String>) {
        let current = self.catalog.current();
        let made = async {
            let name = current.objects.pipe_name(pipe_id).unwrap_or(pipe_id);
            let pipe = super::call::find_pipe(&current, name)?;
            let copy = find(&current.plan, pipe)?;
            request(
                self,
                &current,
                &copy,
                Asked::scheduled(time),
                RowFilters::NONE,
            )
            .await
        };
        match made.await {
            Ok(request) => (serde_json::to_value(&request).unwrap_or_default(), None),
            Err(error) => {
                let name = current.objects.pipe_name(pipe_id);
                let request = serde_json::json!({ "pipe_id": pipe_id, "pipe_name": name, "trigger": "scheduled" });
                (request, Some(error.message()))
            }
        }
    }

    fn most_copies(&self) -> usize {
        self.catalog.current().plan.project.config.limits.copies
    }
}
