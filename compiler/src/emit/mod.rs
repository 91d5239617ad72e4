//! Stage *emit*: `Plan` → [`Artifacts`], every file that `pipewright build` writes. Deterministic to the byte: no clock, no absolute path, sorted keys.

mod ddl;
mod explain;
mod ingest;
mod lineage;
mod manifest;
mod moment;
mod openapi;
mod sql;

use std::collections::BTreeMap;

use pipewright_grammar::diagnostic::Diagnostic;

pub(crate) use ddl::EMPTY_AS;
pub use ddl::{column_definition, create_table, create_table_as, create_view, table_name};
pub use explain::{
    EngineView, Explained, IndexUse, NodeView, PlanView, TableRead, explain, explain_json,
    explain_text,
};
pub use ingest::{
    Also, BAD_ROW, Ingestion, Input, Picked, Written, create_quarantine, csv_delimiter, csv_fields,
    csv_settings, extend_quarantine, given_columns, insert_json, quarantine_name,
};
pub use lineage::{graph, lineage};
pub use manifest::manifest;
pub use moment::at_moment;
pub use openapi::openapi;
pub(crate) use sql::diagnostic;
pub use sql::{compiled_sql, default_sql, sql_before_rules, view_sql};

use crate::deploy;
use crate::plan::Plan;

/// The files of a build: path with `/` → content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Artifacts {
    /// The files.
    pub files: BTreeMap<String, String>,
}

/// Emits every artifact of a project. Pipes that cannot be compiled are left out, with a diagnostic.
pub fn emit(plan: &Plan) -> (Artifacts, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let mut files = BTreeMap::new();
    for pipe in plan.pipes.values() {
        let folder = if pipe.endpoint.is_some() {
            "endpoints"
        } else {
            "pipes"
        };
        if let Some(node) = pipe.output_node() {
            match default_sql(plan, &node.id) {
                Ok(compiled) => {
                    files.insert(
                        format!("{folder}/{}.sql", pipe.name),
                        with_newline(compiled.sql.into_text()),
                    );
                    files.insert(format!("explain/{}.txt", pipe.name), explain(plan, pipe));
                }
                Err(error) => diagnostics.push(diagnostic(plan, &node.id, &error)),
            }
        }
    }
    let (steps, mut found) = deploy::desired(plan);
    diagnostics.append(&mut found);
    for (at, step) in steps.iter().enumerate() {
        files.insert(
            format!("ddl/{:03}_{}.sql", at + 1, step.name),
            with_newline(format!("{};", step.sql)),
        );
    }
    for connector in crate::connect::connectors(plan).0 {
        files.insert(
            format!("connectors/{}.sql", connector.owner),
            connector.text(),
        );
    }
    files.insert("lineage.json".to_owned(), pretty(&lineage(plan)));
    files.insert("openapi.json".to_owned(), pretty(&openapi(plan)));
    files.insert("manifest.json".to_owned(), pretty(&manifest(plan, &steps)));
    for file in plan.project.sources.files() {
        files
            .entry(format!("source/{}", file.name()))
            .or_insert_with(|| file.text().to_owned());
    }
    (Artifacts { files }, diagnostics)
}

fn with_newline(mut text: String) -> String {
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn pretty(value: &impl serde::Serialize) -> String {
    with_newline(serde_json::to_string_pretty(value).unwrap_or_default())
}
