//! Data sources that no file declares, as the files that would: their columns are what the engine says of the node that fills them, and where its aggregates become
//! states, the node is written with these.

use std::collections::BTreeSet;

use pipewright_compiler::emit;
use pipewright_compiler::graph::NodeId;
use pipewright_compiler::plan::{Plan, Role, TablePlan};
use pipewright_compiler::project::ResourceName;
use pipewright_compiler::sql::{quote_literal, with_tables};
use pipewright_grammar::source::Span;

use super::plan::Action;
use super::planner::Planner;
use crate::catalog::{DatasourceParts, DatasourceText, quoted_column};
use crate::engine::{Column, Engine, EngineError};

/// What would be written down of a data source that no file declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Where, in the project.
    pub path: String,
    /// The text of the file.
    pub text: String,
    /// What takes the place of which bytes of the pipes that fill it, so that they give states.
    pub edits: Vec<(Span, String)>,
}

/// Why a data source is not written down.
#[derive(Debug, thiserror::Error)]
pub enum UndefinedError {
    /// The engine does not say which columns it has.
    #[error("the columns of `{name}` are not known: {source}")]
    Columns {
        /// The data source.
        name: String,
        /// What the engine says.
        source: EngineError,
    },
    /// Its node does not stand in a file as it is sent.
    #[error(
        "`{name}` is filled by a template that makes the aggregates: write the states there by hand, as in\n{sql}"
    )]
    Made {
        /// The data source.
        name: String,
        /// The query of its view.
        sql: String,
    },
    /// Its definition cannot be a datafile.
    #[error("`{name}` cannot be written down: {why}")]
    NotWritable {
        /// The data source.
        name: String,
        /// Why.
        why: String,
    },
}

/// The definitions of all data sources that no file declares, in the order of their names.
pub async fn definitions(
    plan: &Plan,
    engine: &dyn Engine,
) -> Vec<Result<Definition, UndefinedError>> {
    let mut found = Vec::new();
    for table in plan.tables.values() {
        if let Some(id) = table
            .made_by
            .as_ref()
            .filter(|_| table.name.workspace.is_none())
        {
            found.push(definition(plan, engine, table, id).await);
        }
    }
    found
}

async fn definition(
    plan: &Plan,
    engine: &dyn Engine,
    table: &TablePlan,
    id: &NodeId,
) -> Result<Definition, UndefinedError> {
    let name = table.name.to_string();
    let not_writable = |why: String| UndefinedError::NotWritable {
        name: name.clone(),
        why,
    };
    let columns = columns(plan, engine, id).await;
    let columns = columns.map_err(|source| UndefinedError::Columns {
        name: name.clone(),
        source,
    })?;
    let text = DatasourceText::create(&parts(plan, table, &columns));
    let text = text.map_err(|error| not_writable(error.to_string()))?;
    let mut edits = Vec::new();
    for node in plan.pipes.values().flat_map(|pipe| &pipe.nodes) {
        let fills = matches!(&node.role, Role::Materialized { target } if *target == table.name);
        if fills && table.inferred.is_some() {
            edits.extend(states(plan, &node.id).map_err(|sql| UndefinedError::Made {
                name: name.clone(),
                sql,
            })?);
        }
    }
    Ok(Definition {
        path: path(plan, &name),
        text: text.into_text(),
        edits,
    })
}

/// What makes states of the aggregates of a node; the view's query where that does not stand in the node's own file.
fn states(plan: &Plan, id: &NodeId) -> Result<Vec<(Span, String)>, String> {
    let compiled = emit::default_sql(plan, id).map_err(|error| error.to_string())?;
    let written = plan.with_states(&compiled.sql);
    let written = written.map_err(|error| error.to_string())?;
    let pipe = plan.project.pipes.get(&id.pipe);
    let own = pipe.map(|pipe| pipe.span.source);
    let is_own =
        |edits: &Vec<(Span, String)>| edits.iter().all(|(span, _)| Some(span.source) == own);
    let edits = written.edits.filter(is_own);
    edits.ok_or_else(|| written.sql.into_text())
}

/// Where the project has its data sources.
fn path(plan: &Plan, name: &str) -> String {
    let files = plan.project.sources.files().iter();
    let mut folders = files
        .map(pipewright_grammar::source::SourceFile::name)
        .filter(|name| name.ends_with(".datasource"))
        .map(|name| name.rsplit_once('/').map_or("", |(folder, _)| folder));
    match folders.next() {
        Some("") => format!("{name}.datasource"),
        Some(folder) => format!("{folder}/{name}.datasource"),
        None => format!("datasources/{name}.datasource"),
    }
}

fn parts(plan: &Plan, table: &TablePlan, columns: &[Column]) -> DatasourceParts {
    let schema = columns
        .iter()
        .map(|column| format!("{} {}", quoted_column(&column.name), column.type_name));
    let engine = &table.engine;
    let keys = [
        ("ENGINE", Some(engine.name.to_owned())),
        ("ENGINE_PARTITION_KEY", engine.partition_key.clone()),
        ("ENGINE_SORTING_KEY", engine.sorting_key.clone()),
        ("ENGINE_PRIMARY_KEY", engine.primary_key.clone()),
        ("ENGINE_SAMPLING_KEY", engine.sampling_key.clone()),
        ("ENGINE_TTL", engine.ttl.clone()),
        ("ENGINE_SETTINGS", engine.settings.clone()),
    ];
    // What an engine takes as arguments is written as its author has it in the node.
    let said = plan.project.datasources.get(&table.name);
    let said = said.map_or(&[][..], |datasource| &datasource.syntax.directives);
    let arguments = said.iter().filter(|directive| {
        let keyword = &directive.keyword.value;
        keyword.starts_with("ENGINE_") && !keys.iter().any(|(key, _)| keyword == key)
    });
    let arguments = arguments.map(|directive| {
        let value = directive.value.value.trim();
        (directive.keyword.value.clone(), value.to_owned())
    });
    let written = keys
        .iter()
        .filter_map(|(keyword, value)| Some(((*keyword).to_owned(), value.clone()?)))
        .chain(arguments.filter(|(_, value)| !value.is_empty()));
    DatasourceParts {
        description: None,
        indexes: None,
        schema: schema.collect::<Vec<_>>().join(", "),
        engine: written.collect(),
    }
}

/// The columns that the view of a node gives. Nothing needs to be there for that: in the place of the data sources that it reads stand queries without rows.
async fn columns(
    plan: &Plan,
    engine: &dyn Engine,
    id: &NodeId,
) -> Result<Vec<Column>, EngineError> {
    let compiled = emit::view_sql(plan, id);
    let compiled = compiled.map_err(|error| EngineError::Unavailable(error.to_string()))?;
    let mut shadows = Shadows::default();
    for name in &compiled.datasources {
        shadows.add(plan, name);
    }
    engine
        .describe(&with_tables(compiled.sql.text(), &shadows.tables))
        .await
}

/// Queries without rows that stand for data sources, each after those that it reads itself.
#[derive(Default)]
struct Shadows {
    known: BTreeSet<ResourceName>,
    tables: Vec<(String, String)>,
}

impl Shadows {
    fn add(&mut self, plan: &Plan, name: &ResourceName) {
        let Some(table) = plan.tables.get(name).filter(|_| name.workspace.is_none()) else {
            return;
        };
        if !self.known.insert(name.clone()) {
            return;
        }
        if let Some(id) = &table.made_by {
            let Ok(compiled) = emit::view_sql(plan, id) else {
                return;
            };
            for name in &compiled.datasources {
                self.add(plan, name);
            }
            let sql = compiled.sql.into_text();
            self.tables.push((name.name.clone(), format!("\n{sql}\n")));
        } else if let Some(structure) = structure(table) {
            let sql = format!("SELECT * FROM null({})", quote_literal(&structure));
            self.tables.push((name.name.clone(), sql));
        }
    }
}

/// The columns of a table as a list of names and types; nothing where a type follows from a default.
fn structure(table: &TablePlan) -> Option<String> {
    let columns = table.columns.iter();
    let columns = columns.map(|column| {
        let data_type = column.data_type.as_deref()?;
        Some(format!("{} {data_type}", quoted_column(&column.name)))
    });
    let columns: Vec<String> = columns.collect::<Option<_>>()?;
    Some(columns.join(", "))
}

impl Planner<'_> {
    /// Says of tables that no file declares what they are, and where that can be written down.
    pub(super) async fn tell_inferred(&mut self) {
        let mut steps = std::mem::take(&mut self.planned.steps);
        for step in &mut steps {
            let makes = [Action::CreateTable, Action::FillTable, Action::RebuildTable];
            let table = self.wanted.table(&step.name);
            let Some((table, id)) = table.and_then(|table| Some((table, table.made_by.as_ref()?)))
            else {
                continue;
            };
            if makes.contains(&step.action) {
                let columns = columns(self.wanted, self.engine, id).await;
                step.what
                    .extend(told(self.wanted, table, id, columns.ok().as_deref()));
            }
        }
        self.planned.steps = steps;
    }
}

fn told(plan: &Plan, table: &TablePlan, id: &NodeId, columns: Option<&[Column]>) -> Vec<String> {
    let name = table.name.to_string();
    let sorted = table.engine.sorting_key.as_deref().unwrap_or("tuple()");
    let mut told = vec![format!(
        "no file declares it: it follows from `{id}` that it is {} sorted by {sorted}; `pipewright pull` writes {}",
        table.engine.name,
        path(plan, &name)
    )];
    if let Some(columns) = columns {
        let columns = columns
            .iter()
            .map(|column| format!("{} {}", quoted_column(&column.name), column.type_name));
        let columns: Vec<String> = columns.collect();
        told.push(format!("columns: {}", columns.join(", ")));
    }
    let inferred = table.inferred.as_ref();
    let readings = inferred.map(pipewright_compiler::plan::Inferred::readings);
    if let Some(readings) = readings.filter(|readings| !readings.is_empty()) {
        told.push(format!("its states are read with {}", readings.join(", ")));
    }
    told
}
