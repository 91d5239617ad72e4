//! What the engine says of a pipe: the types of its nodes, the rows that each would read, and how the whole statement would run. For `explain` and
//! `check --budget`; nothing is read from the tables.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pipewright_compiler::deploy;
use pipewright_compiler::emit::{self, EngineView, NodeView, PlanView};
use pipewright_compiler::graph::Vertex;
use pipewright_compiler::plan::{Compiled, PipePlan, Plan};
use pipewright_compiler::template::Values;

use crate::engine::{self, Config, Engine, EngineError, Query};

/// No question may take longer: a scalar subquery is run where it stands.
const TIMEOUT: Duration = Duration::from_secs(5);

/// An engine to ask.
#[derive(Debug)]
pub struct Asked {
    /// The engine.
    pub engine: Arc<dyn Engine>,
    /// Whether it has the project's data; if not, its tables are empty ones in a folder that goes with it.
    pub has_data: bool,
    _folder: Option<tempfile::TempDir>,
}

/// The engine with the project's data, or else one with empty tables; `None` if there is none on this machine.
pub async fn open(plan: &Plan, folder: &Path) -> anyhow::Result<Option<Asked>> {
    let asked = |engine, has_data, folder| {
        Ok(Some(Asked {
            engine,
            has_data,
            _folder: folder,
        }))
    };
    if let Some(url) = &plan.project.config.server.clickhouse_url {
        let engine = engine::open(Config::Server(engine::server::Config::new(url))).await?;
        return asked(engine, true, None);
    }
    if engine::locate().is_none_or(|library| !library.is_file()) {
        return Ok(None);
    }
    let state = folder.join(".pipewright");
    if state.join("chdb").is_dir() {
        return asked(engine::open(Config::embedded(&state)).await?, true, None);
    }
    let empty = tempfile::tempdir()?;
    let engine = engine::open(Config::embedded(empty.path())).await?;
    for step in deploy::desired(plan).0 {
        if let Err(error) = engine.execute(&step.sql).await {
            tracing::debug!(%error, step = step.name, "a table is not there to be asked about");
        }
    }
    asked(engine, false, Some(empty))
}

/// What the engine says of a pipe. What it refuses is left out.
pub async fn view(asked: &Asked, plan: &Plan, pipe: &PipePlan, values: &Values) -> EngineView {
    let mut view = EngineView::default();
    let Some(output) = pipe.output_node() else {
        return view;
    };
    let engine = asked.engine.as_ref();
    for vertex in plan.graph.closure(&Vertex::Node(output.id.clone())) {
        let Vertex::Node(id) = vertex else {
            continue;
        };
        let Ok(compiled) = emit::sql_before_rules(plan, id, values) else {
            continue;
        };
        let columns = columns(engine, &compiled).await.unwrap_or_default();
        let rows = if asked.has_data {
            rows(engine, &compiled).await.ok()
        } else {
            None
        };
        view.nodes.insert(id.clone(), NodeView { columns, rows });
    }
    if asked.has_data {
        view.plan = granules(engine, plan, pipe, values).await.ok().flatten();
    }
    view
}

/// How the engine would run a pipe's statement; `None` if that cannot be compiled.
pub async fn granules(
    engine: &dyn Engine,
    plan: &Plan,
    pipe: &PipePlan,
    values: &Values,
) -> Result<Option<PlanView>, EngineError> {
    let compiled = pipe
        .output_node()
        .and_then(|output| emit::compiled_sql(plan, &output.id, values).ok());
    let Some(compiled) = compiled else {
        return Ok(None);
    };
    let options = "EXPLAIN json = 1, indexes = 1, description = 1, header = 0\n";
    let answer = ask(engine, options, &compiled, "\n").await?;
    let read = serde_json::from_str(&answer).unwrap_or_default();
    Ok(Some(PlanView::read(&read)))
}

async fn columns(
    engine: &dyn Engine,
    compiled: &Compiled,
) -> Result<Vec<(String, String)>, EngineError> {
    let answer = ask(engine, "DESCRIBE TABLE (\n", compiled, "\n)").await?;
    let columns = answer.lines().filter_map(|line| {
        let mut fields = line.split('\t');
        Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
    });
    Ok(columns.collect())
}

/// The rows that are read from all tables, whole granules counted.
async fn rows(engine: &dyn Engine, compiled: &Compiled) -> Result<u64, EngineError> {
    let answer = ask(engine, "EXPLAIN ESTIMATE\n", compiled, "\n").await?;
    let rows = answer
        .lines()
        .filter_map(|line| line.split('\t').nth(3)?.parse::<u64>().ok());
    Ok(rows.sum())
}

async fn ask(
    engine: &dyn Engine,
    before: &str,
    compiled: &Compiled,
    after: &str,
) -> Result<String, EngineError> {
    let sql = format!("{before}{}{after}", compiled.sql.text());
    let mut query = Query::new(sql, "TSVRaw").timeout(TIMEOUT);
    for name in &compiled.secrets {
        query = query.text(name.clone(), "");
    }
    let bytes = engine.query(query).await?.bytes().await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
