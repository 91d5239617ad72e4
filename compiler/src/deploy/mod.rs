//! Stage *diff*: what a project needs × what is there → `Vec<Step>`. `emit` prints the same steps that the runtime applies.

mod alter;
mod change;
mod forward;
mod loss;
mod value;
mod widen;

use std::collections::{BTreeMap, BTreeSet};

use pipewright_grammar::diagnostic::Diagnostic;
use serde::Serialize;

pub use change::{Change, ColumnShape, Effect, Method, Statement, TableShape, change_table};
pub use forward::forward_query;

use crate::emit;
use crate::graph::Vertex;
use crate::plan::{Plan, Role};
use crate::project::ResourceName;

/// One statement that brings the engine nearer to what the project says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What it makes.
    pub kind: StepKind,
    /// The object's name, qualified where it is in another database than the project's.
    pub name: String,
    /// The statement, without a semicolon.
    pub sql: String,
    /// A hash of the statement: what was created by another text has drifted.
    pub fingerprint: String,
}

/// What a step makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// A database for the data sources that another workspace shares.
    CreateDatabase,
    /// The table of a data source.
    CreateTable,
    /// The view of a materialized node.
    CreateMaterializedView,
}

impl Step {
    fn new(kind: StepKind, name: String, sql: String) -> Self {
        let fingerprint = blake3::hash(sql.as_bytes()).to_hex()[..16].to_owned();
        Self {
            kind,
            name,
            sql,
            fingerprint,
        }
    }

    /// What the object carries as its comment, so that a later deploy sees which text made it.
    pub fn comment(&self) -> String {
        format!("pipewright {}", self.fingerprint)
    }

    /// The statement as it is run: the object carries the fingerprint of its own text.
    pub fn sql_with_comment(&self) -> String {
        let comment = crate::sql::quote_literal(&self.comment());
        match self.kind {
            StepKind::CreateDatabase => self.sql.clone(),
            StepKind::CreateTable if self.sql.contains(emit::EMPTY_AS) => self.sql.replacen(
                emit::EMPTY_AS,
                &format!("\nCOMMENT {comment}{}", emit::EMPTY_AS),
                1,
            ),
            StepKind::CreateTable => format!("{}\nCOMMENT {comment}", self.sql),
            // A view's comment stands before AS; its name has no quote or blank that could be taken for it.
            StepKind::CreateMaterializedView => {
                self.sql
                    .replacen(" AS\n", &format!("\nCOMMENT {comment} AS\n"), 1)
            }
        }
    }

    /// The statement that takes away what the step made; databases stay.
    pub fn undo(&self) -> Option<String> {
        let name = self
            .name
            .split('.')
            .map(crate::sql::quote_identifier)
            .collect::<Vec<_>>()
            .join(".");
        match self.kind {
            StepKind::CreateDatabase => None,
            StepKind::CreateTable => Some(format!("DROP TABLE IF EXISTS {name} SYNC")),
            StepKind::CreateMaterializedView => Some(format!("DROP VIEW IF EXISTS {name} SYNC")),
        }
    }
}

/// Every step that an empty engine needs, in an order in which each finds what it reads.
pub fn desired(plan: &Plan) -> (Vec<Step>, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let workspaces: BTreeSet<&String> = plan
        .tables
        .keys()
        .filter_map(|name| name.workspace.as_ref())
        .collect();
    let databases = workspaces.into_iter().map(|workspace| {
        let sql = format!(
            "CREATE DATABASE IF NOT EXISTS {}",
            crate::sql::quote_identifier(workspace)
        );
        Step::new(StepKind::CreateDatabase, workspace.clone(), sql)
    });
    let tables = plan
        .tables
        .values()
        .filter(|table| !table.columns.is_empty());
    let tables = tables.map(|table| {
        Step::new(
            StepKind::CreateTable,
            table.name.to_string(),
            emit::create_table(table),
        )
    });
    let mut steps: Vec<Step> = databases.chain(tables).collect();
    for vertex in plan.graph.topological() {
        let Vertex::Node(id) = vertex else { continue };
        let Some(node) = plan
            .pipes
            .get(&id.pipe)
            .and_then(|pipe| pipe.node(&id.node))
        else {
            continue;
        };
        let Role::Materialized { target } = &node.role else {
            continue;
        };
        match emit::view_sql(plan, id) {
            Ok(compiled) => {
                let made = plan
                    .tables
                    .get(target)
                    .filter(|table| table.made_by.as_ref() == Some(id));
                if let Some(table) = made {
                    let sql = emit::create_table_as(table, compiled.sql.text());
                    steps.push(Step::new(
                        StepKind::CreateTable,
                        table.name.to_string(),
                        sql,
                    ));
                }
                let name = view_name(&id.pipe, &id.node);
                let sql = emit::create_view(&name, target, compiled.sql.text());
                steps.push(Step::new(StepKind::CreateMaterializedView, name, sql));
            }
            Err(error) => diagnostics.push(emit::diagnostic(plan, id, &error)),
        }
    }
    (steps, diagnostics)
}

/// The views of nodes that have no SQL to make one from, by their names, with why. [`desired`] leaves them out.
pub fn uncompiled(plan: &Plan) -> BTreeMap<String, Diagnostic> {
    let nodes = plan.pipes.values().flat_map(|pipe| &pipe.nodes);
    let views = nodes.filter(|node| matches!(node.role, Role::Materialized { .. }));
    let failed = views.filter_map(|node| {
        let error = emit::view_sql(plan, &node.id).err()?;
        let name = view_name(&node.id.pipe, &node.id.node);
        Some((name, emit::diagnostic(plan, &node.id, &error)))
    });
    failed.collect()
}

/// The steps whose objects are not there yet.
pub fn missing(desired: Vec<Step>, actual: &BTreeSet<String>) -> Vec<Step> {
    desired
        .into_iter()
        .filter(|step| step.kind == StepKind::CreateDatabase || !actual.contains(&step.name))
        .collect()
}

/// The name of the view that feeds a materialized node's target.
pub fn view_name(pipe: &ResourceName, node: &str) -> String {
    format!("mv__{}__{node}", pipe.to_string().replace('.', "__"))
}
