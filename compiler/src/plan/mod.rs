//! Stage *plan*: `Graph` → [`Plan`], what each pipe is, which tables and views it needs, and how each node becomes one SQL statement.

mod allowed;
mod capture;
mod closed;
mod columns;
mod compilation;
mod datasource;
mod engine;
mod filter;
mod inferred;
mod keys;
mod named;
mod optimized;
mod outside;
mod pipe;
mod query;
mod schedule;
pub(crate) mod shape;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use pipewright_grammar::diagnostic::Diagnostic;
use rayon::prelude::*;

pub(crate) use columns::{Columns, column_or_node};
pub use filter::{FilterError, RowFilters};
pub use inferred::{Inferred, State, Written};
pub use keys::needs_type;
pub use outside::{Meant, Named};
pub use pipe::{CopyMode, NodePlan, PipePlan, Role};
pub use query::{Compiled, QUERY_SOURCE, QueryError, RequestContext};
pub use schedule::{Cron, Schedule, ScheduleError};
pub use table::{Column, Engine, Index, TablePlan};

use crate::graph::{Graph, NodeId, Scope, Target, resolve};
use crate::optimize::Rules;
use crate::project::{Pipe, Policies, Project, ResourceName};
use crate::sql::TableReference;

/// A project that knows what everything is: the value from which artifacts are emitted and requests are compiled.
#[derive(Debug)]
pub struct Plan {
    /// The named resources.
    pub project: Arc<Project>,
    /// Who reads whom.
    pub graph: Graph,
    /// What SQL may use.
    pub policies: Policies,
    /// The database of the engine that holds the project's tables.
    pub database: String,
    /// Tables by the name of their data source.
    pub tables: BTreeMap<ResourceName, TablePlan>,
    /// Pipes by name.
    pub pipes: BTreeMap<ResourceName, PipePlan>,
    /// Which rules optimize the statements of requests.
    pub rules: Rules,
}

/// Plans a project. What cannot be planned is a diagnostic; the rest is there.
pub fn plan(project: Arc<Project>, graph: Graph, policies: Policies) -> (Plan, Vec<Diagnostic>) {
    plan_again(project, graph, policies, BTreeMap::new())
}

/// The same, where some pipes are known from before.
pub(crate) fn plan_again(
    project: Arc<Project>,
    graph: Graph,
    policies: Policies,
    mut known: BTreeMap<ResourceName, PipePlan>,
) -> (Plan, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let tables = project
        .datasources
        .iter()
        .map(|(name, datasource)| {
            closed::check(&datasource.syntax, &policies.common, &mut diagnostics);
            (name.clone(), datasource::plan(datasource, &mut diagnostics))
        })
        .collect();
    let unknown: Vec<&Pipe> = project
        .pipes
        .values()
        .filter(|pipe| !known.contains_key(&pipe.name))
        .collect();
    let planned: Vec<PipePlan> = unknown
        .into_par_iter()
        .map(|pipe| pipe::plan(&project, &graph, pipe))
        .collect();
    known.extend(planned.into_iter().map(|pipe| (pipe.name.clone(), pipe)));
    let found = known.values().flat_map(|pipe| &pipe.found);
    diagnostics.extend(found.cloned());
    let rules = Rules::of(&project.config);
    let mut plan = Plan {
        project,
        graph,
        policies,
        database: "pipewright".to_owned(),
        tables,
        pipes: known,
        rules,
    };
    inferred::infer(&mut plan, &mut diagnostics);
    (plan, diagnostics)
}

impl Plan {
    /// The plan of a pipe of the project itself.
    pub fn pipe(&self, name: &str) -> Option<&PipePlan> {
        self.pipes.get(&ResourceName::local(name))
    }

    /// The table of a data source of the project itself.
    pub fn table(&self, name: &str) -> Option<&TablePlan> {
        self.tables.get(&ResourceName::local(name))
    }

    /// Whether a connector adds columns of its own to a data source, such as `__timestamp`, that no file names.
    pub(crate) fn gets_columns(&self, name: &ResourceName) -> bool {
        let datasource = self.project.datasources.get(name);
        datasource.is_some_and(|datasource| {
            ["KAFKA_TOPIC", "IMPORT_TABLE_ARN"]
                .iter()
                .any(|keyword| datasource.syntax.directive(keyword).is_some())
        })
    }

    /// The pipe and the node that an id names.
    pub(crate) fn node(&self, id: &NodeId) -> Option<(&Pipe, &crate::project::Node)> {
        let pipe = self.project.pipes.get(&id.pipe)?;
        Some((pipe, pipe.node(&id.node)?))
    }

    /// Whether `table()` may give a name.
    fn knows(&self, scope: Scope<'_>, name: &str) -> bool {
        resolve(&self.project, &self.policies.common, scope, None, name).is_some()
    }

    /// What a table in a node's SQL means; `None` for a name that means nothing.
    pub(crate) fn target(&self, id: &NodeId, table: &TableReference) -> Option<Target<'_>> {
        let (pipe, node) = self.node(id)?;
        let scope = Self::scope(pipe, &node.name.value);
        let policy = &self.policies.common;
        let database = table.database.as_deref();
        resolve(&self.project, policy, scope, database, &table.name)
    }

    /// The scope in which a node's SQL is resolved.
    pub(crate) fn scope<'a>(pipe: &'a Pipe, node: &'a str) -> Scope<'a> {
        Scope {
            pipe: Some(pipe),
            node: Some(node),
            underscore: None,
        }
    }
}
