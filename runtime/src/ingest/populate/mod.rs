//! Rows that were there before a materialized view: put into what it fills, exactly once, beside the rows that go on arriving.
//!
//! This is what a populate is asked for with; [`run`] does it.

mod aside;
mod followers;
mod run;

use std::collections::BTreeSet;
use std::time::UNIX_EPOCH;

use pipewright_compiler::deploy::view_name;
use pipewright_compiler::emit;
use pipewright_compiler::graph::{NodeId, Vertex};
use pipewright_compiler::plan::{Plan, Role, TablePlan};
use pipewright_compiler::project::ResourceName;
use pipewright_compiler::sql::quote_literal;
use serde::{Deserialize, Serialize};

pub use run::Populate;

use super::copy::Target;
use super::{Ingest, IngestError, Mark, table_id};
use crate::engine::{EngineError, ask};

/// What a populate job needs to know, so that it can be done by a later process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what a request says, each by itself"
)]
pub struct PopulateRequest {
    /// The pipe's id, where it has one.
    pub pipe_id: String,
    /// The pipe.
    pub pipe_name: String,
    /// The node.
    pub node_name: String,
    /// The data source that is filled.
    pub datasource: Target,
    /// The data source whose inserts the view follows.
    pub source: String,
    /// Data sources whose inserts reach the source.
    pub upstream: BTreeSet<String>,
    /// The view's query.
    pub sql: String,
    /// The view as it was then; empty where that is not known.
    #[serde(default)]
    pub view: String,
    /// The engine's id of the view, which it keeps when its pipe gets another name.
    #[serde(default)]
    pub view_id: String,
    /// When all that is in the target had been made anew by its views for the last time, in nanoseconds since 1970 (never: 0), as it was then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filled: Option<u64>,
    /// Whether the target shows of rows with the same key one by the order in which they came.
    #[serde(default)]
    pub heeds_order: bool,
    /// Data sources whose inserts reach the target.
    #[serde(default)]
    pub upstream_of_target: BTreeSet<String>,
    /// Whether views follow the inserts into the target, so that they have to see what is put there.
    #[serde(default)]
    pub followed: bool,
    /// What those views fill, and the views that follow that, and so on.
    #[serde(default)]
    pub followers: BTreeSet<String>,
    /// Whether the target is emptied before, and what follows from it.
    pub truncate: bool,
    /// Whether all that is in the target afterwards is what its views make, and all of that.
    #[serde(default)]
    pub is_whole: bool,
    /// Which rows of the source count.
    pub populate_condition: Option<String>,
    /// Which share of the rows counts, from 0 to 1.
    pub populate_subset: Option<f64>,
    /// Whether the view is to be taken away when this fails.
    #[serde(default)]
    pub unlinks: bool,
    /// How much memory its query may use; any amount where this is 0.
    #[serde(default)]
    pub memory_bytes: u64,
    /// The table that has the rows of before, where they were put aside when the view was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
}

/// What the request for a populate says.
#[derive(Debug, Clone, Default)]
pub struct PopulateOptions {
    /// Whether the target is emptied before.
    pub truncate: bool,
    /// Which rows of the source count.
    pub condition: Option<String>,
    /// Which share of the rows counts, from 0 to 1.
    pub subset: Option<f64>,
}

impl Ingest {
    /// Looks whether a node's view can be populated, and with what.
    pub async fn plan_populate(
        &self,
        plan: &Plan,
        id: &NodeId,
        options: PopulateOptions,
    ) -> Result<PopulateRequest, IngestError> {
        let refuse = |message: String| Err(IngestError::Unreadable(message));
        let role = plan
            .pipes
            .get(&id.pipe)
            .and_then(|pipe| pipe.node(&id.node))
            .map(|node| &node.role);
        let Some(Role::Materialized { target }) = role else {
            return refuse(format!(
                "node `{}` of pipe `{}` is not materialized",
                id.node, id.pipe
            ));
        };
        let followers = self.followers(&target.to_string()).await?;
        if let Some(reason) = followers.reason_against(self, plan, target, options.truncate) {
            return refuse(reason);
        }
        let view = view_name(&id.pipe, &id.node);
        let sql = format!(
            "SELECT name FROM system.tables WHERE database = currentDatabase() AND has(dependencies_table, {})",
            quote_literal(&view)
        );
        let source = self.text(&sql).await?;
        let Some(source) = source.lines().next().map(ToOwned::to_owned) else {
            return refuse(format!("there is no view `{view}` yet"));
        };
        let view_id = table_id(self.engine(), &view).await?;
        let view = self.view_as_it_is(&view).await?;
        let Some(table) = plan.table(&source).filter(|table| table.keeps_rows()) else {
            return refuse(format!("`{source}` keeps no rows to populate from"));
        };
        if let Some(reason) = self.not_movable(&source, &target.to_string()).await? {
            return refuse(reason);
        }
        if let Some(condition) = &options.condition {
            self.check_condition(plan, table, condition).await?;
        }
        if options
            .subset
            .is_some_and(|share| !(0.0..=1.0).contains(&share))
        {
            return refuse("populate_subset is a share from 0 to 1".to_owned());
        }
        let compiled =
            emit::view_sql(plan, id).map_err(|error| IngestError::Unreadable(error.to_string()))?;
        Ok(PopulateRequest {
            pipe_name: id.pipe.to_string(),
            node_name: id.node.clone(),
            datasource: Target {
                id: String::new(),
                name: target.to_string(),
            },
            pipe_id: String::new(),
            unlinks: false,
            memory_bytes: plan.project.config.limits.memory_bytes,
            snapshot: None,
            upstream: upstream(plan, &source),
            upstream_of_target: upstream(plan, &target.to_string()),
            heeds_order: plan.tables.get(target).is_some_and(TablePlan::heeds_order),
            source,
            sql: compiled.sql.into_text(),
            view,
            view_id,
            filled: Some(self.filled(&target.to_string())),
            followed: followers.is_followed,
            followers: followers.tables,
            truncate: options.truncate,
            is_whole: options.truncate
                && options.condition.is_none()
                && options.subset.is_none()
                && views_into(plan, target) == 1,
            populate_condition: options.condition,
            populate_subset: options.subset,
        })
    }

    /// Why parts of tables cannot be linked and moved, as a populate does; nothing when they can.
    async fn not_movable(&self, source: &str, target: &str) -> Result<Option<String>, EngineError> {
        let sql = format!(
            "SELECT concat('`', name, '` is a table of the engine ', engine, ': views are populated from and into tables of the MergeTree family that are not replicated') FROM system.tables WHERE database = currentDatabase() AND name IN ({}, {}) AND (engine NOT LIKE '%MergeTree' OR startsWith(engine, 'Replicated') OR startsWith(engine, 'Shared')) ORDER BY name LIMIT 1",
            quote_literal(source),
            quote_literal(target)
        );
        let found = self.text(&sql).await?;
        Ok(found.lines().next().map(ToOwned::to_owned))
    }

    /// What the engine keeps of a view's query and target, in short.
    async fn view_as_it_is(&self, view: &str) -> Result<String, EngineError> {
        let sql = format!(
            "SELECT {IN_SHORT} FROM system.tables WHERE database = currentDatabase() AND name = {}",
            quote_literal(view)
        );
        Ok(self.text(&sql).await?.trim().to_owned())
    }

    /// Whether the view of a populate is the one that was there when it was asked for. It may have another name since, or have been made again as it was.
    pub async fn is_view_of(&self, request: &PopulateRequest) -> Result<bool, EngineError> {
        if request.view.is_empty() {
            return Ok(true);
        }
        let name = view_name(&ResourceName::local(&request.pipe_name), &request.node_name);
        let sql = format!(
            "SELECT count() FROM system.tables WHERE database = currentDatabase() AND (name = {} OR toString(uuid) = {}) AND {IN_SHORT} = {}",
            quote_literal(&name),
            quote_literal(&request.view_id),
            quote_literal(&request.view)
        );
        Ok(self.text(&sql).await?.trim() != "0")
    }

    /// Whether all that a populate would put into its target has been put there since it was asked for.
    fn is_filled_since(&self, request: &PopulateRequest) -> bool {
        let target = &request.datasource.name;
        let then = request.filled.filter(|_| !request.truncate);
        then.is_some_and(|then| then != self.filled(target))
    }

    /// When all that is in a data source was made anew by its views for the last time.
    fn filled(&self, name: &str) -> u64 {
        let at = self.marked(Mark::Filled, name);
        let since = at.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        since.map_or(0, |since| {
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
        })
    }

    pub(super) async fn text(&self, sql: &str) -> Result<String, EngineError> {
        ask::text(self.engine(), sql).await
    }
}

/// A view's query and target, in a query over the engine's tables.
const IN_SHORT: &str = "hex(sipHash128(as_select, extract(create_table_query, ' TO ([^ (]+)')))";

/// How many views fill a data source.
fn views_into(plan: &Plan, target: &ResourceName) -> usize {
    let nodes = plan.pipes.values().flat_map(|pipe| &pipe.nodes);
    let is_into =
        |role: &Role| matches!(role, Role::Materialized { target: into } if into == target);
    nodes.filter(|node| is_into(&node.role)).count()
}

/// The data sources from which rows reach a data source by views, with itself.
pub(crate) fn upstream(plan: &Plan, source: &str) -> BTreeSet<String> {
    let edges = plan.graph.edges();
    let edges: Vec<(&Vertex, &Vertex)> = edges.iter().map(|(from, to, _)| (*from, *to)).collect();
    upstream_by(&edges, source)
}

/// The same by what leads to what.
pub(super) fn upstream_by(edges: &[(&Vertex, &Vertex)], source: &str) -> BTreeSet<String> {
    let start = Vertex::Datasource(ResourceName::local(source));
    let mut reached = BTreeSet::from([&start]);
    let mut waiting = vec![&start];
    while let Some(vertex) = waiting.pop() {
        for (from, to) in edges {
            if *to == vertex && reached.insert(*from) {
                waiting.push(from);
            }
        }
    }
    reached
        .into_iter()
        .filter_map(|vertex| {
            if let Vertex::Datasource(name) = vertex {
                Some(name.to_string())
            } else {
                None
            }
        })
        .collect()
}
