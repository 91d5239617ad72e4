//! `/v0/datasources/<name>`: its file as text, another description, other columns, and its end.

use std::collections::BTreeMap;
use std::time::Instant;

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use pipewright_compiler::emit;
use pipewright_compiler::plan::{Column, Plan, TablePlan};
use pipewright_compiler::project::prose;
use pipewright_compiler::sql::quote_identifier;
use serde_json::json;

use super::call::{Call, json_response, no_content};
use super::datasource_describe::{self, reader_pipes};
use super::error::ApiError;
use super::extract::Path;
use super::operations::Done;
use crate::catalog::{Change, Current, DatasourceText, Writer};
use crate::deploy::Action;

/// The text of a data source's file.
pub(super) fn text(current: &Current, name: &str) -> Result<Response, ApiError> {
    let text = current
        .datasource_path(name)
        .filter(|path| path.ends_with(".datasource"))
        .and_then(|path| current.files.get(path))
        .cloned()
        .ok_or_else(|| ApiError::NotFound(format!("there is no file of data source `{name}`")))?;
    // The media type without a charset: command lines compare it as a whole.
    Ok(([(header::CONTENT_TYPE, "text/plain")], text).into_response())
}

fn find<'a>(current: &'a Current, reference: &'a str) -> Result<&'a TablePlan, ApiError> {
    let name = current
        .objects
        .datasource_name(reference)
        .unwrap_or(reference);
    current
        .plan
        .table(name)
        .ok_or_else(|| ApiError::NotFound(format!("there is no data source `{reference}`")))
}

/// The file of a data source, to be changed.
fn file(current: &Current, name: &str) -> Result<(String, DatasourceText), ApiError> {
    let path = current
        .datasource_path(name)
        .filter(|path| path.ends_with(".datasource"))
        .ok_or_else(|| {
            ApiError::BadRequest(format!(
                "data source `{name}` has no file: it is made by the node that fills it"
            ))
        })?;
    let text = current.files.get(path).cloned().unwrap_or_default();
    Ok((path.to_owned(), DatasourceText::new(text)))
}

/// Describes a data source.
pub(super) async fn change(
    Path(reference): Path<String>,
    call: Call,
) -> Result<Response, ApiError> {
    Call::require(call.access.creates_datasources(), "DATASOURCES:CREATE")?;
    Call::finish(async move {
        let writer = call.app.catalog.write().await;
        let current = writer.current();
        let name = find(&current, &reference)?.name.name.clone();
        let description = call.parameters.text_of("description").ok_or_else(|| {
            ApiError::BadRequest("nothing to change: give a new `description`".to_owned())
        })?;
        let (path, mut text) = file(&current, &name)?;
        text.describe(description)?;
        let current = call
            .commit(&writer, Change::of_file(path, Some(text.into_text())))
            .await?;
        let table = find(&current, &name)?;
        Ok(json_response(
            &datasource_describe::body(&call.app, table).await?,
        ))
    })
    .await
}

/// Deletes a data source that nothing reads or fills, with its rows.
pub(super) async fn delete(
    Path(reference): Path<String>,
    call: Call,
) -> Result<Response, ApiError> {
    let current = call.current();
    let name = current
        .objects
        .datasource_name(&reference)
        .unwrap_or(&reference);
    let may = call.access.drops_datasource(name);
    Call::require(may, &format!("DATASOURCES:DROP:{name}"))?;
    let dry_run = call.parameters.flag("dry_run")?;
    Call::finish(async move {
        let writer = call.app.catalog.write().await;
        let current = writer.current();
        let table = find(&current, &reference)?;
        let name = table.name.name.clone();
        let pipes = reader_pipes(&current, table);
        if !pipes.is_empty() {
            return Err(ApiError::Conflict(format!(
                "data source `{name}` has pipes downstream or that fill it: {}; change those first",
                pipes.join(", ")
            )));
        }
        if dry_run {
            return Ok(json_response(
                &json!({ "dependent_pipes": [], "dependent_nodes": [] }),
            ));
        }
        let (path, _) = file(&current, &name)?;
        call.commit(&writer, Change::of_file(path, None)).await?;
        Ok(no_content())
    })
    .await
}

/// What other columns or another description mean for the engine, or with `dry=true` only what would be done.
///
/// Columns behind the last one are added at once. Any other change is a deployment of its own, in place where the engine can do so.
pub(super) async fn alter(Path(reference): Path<String>, call: Call) -> Result<Response, ApiError> {
    Call::require(call.access.creates_datasources(), "DATASOURCES:CREATE")?;
    let dry_run = call.parameters.flag("dry")?;
    let started = Instant::now();
    Call::finish(async move {
        let writer = call.app.catalog.write().await;
        let current = writer.current();
        let table = find(&current, &reference)?;
        let name = table.name.name.clone();
        let (path, mut text) = file(&current, &name)?;
        let mut operations = Vec::new();
        if let Some(description) = call.parameters.text_of("description")
            && description.trim() != described(&current, &name)
        {
            text.describe(description)?;
            operations.push("Change the description".to_owned());
        }
        set_shape(&call, &mut text)?;
        let text = text.into_text();
        let change = Change::of_file(path.clone(), Some(text.clone()));
        let plan = writer.compile(change.clone()).await?;
        let is_columns = ["ttl", "indexes"]
            .iter()
            .all(|name| call.parameters.given(name).is_none());
        let added = added_columns(&current.plan, &plan, &name)?;
        if let Some(added) = added.filter(|_| is_columns) {
            let definitions = added.iter().map(emit::column_definition);
            operations.extend(definitions.map(|column| format!("ADD COLUMN {column}")));
            if !operations.is_empty() && !dry_run {
                add(&call, &writer, change, &name, added).await?;
            }
        } else {
            let mut files = current.files.clone();
            files.insert(path.clone(), text);
            operations.extend(deploy(&call, writer, path, files, &name, dry_run).await?);
        }
        if operations.is_empty() {
            return Err(ApiError::BadRequest(
                "There were no operations to perform".to_owned(),
            ));
        }
        if !dry_run {
            Done::new("alter", &name).since(started).record(&call.app);
        }
        Ok(json_response(
            &json!({ "operations": operations, "dependencies": reader_pipes(&current, table) }),
        ))
    })
    .await
}

/// Sets the columns, the time to live and the indexes that a request names. `ttl=false` and `indexes=0` take away what is there.
fn set_shape(call: &Call, text: &mut DatasourceText) -> Result<(), ApiError> {
    if let Some(schema) = call.parameters.given("schema") {
        text.set_schema(schema)?;
    }
    if let Some(ttl) = call.parameters.given("ttl") {
        let none = ttl.eq_ignore_ascii_case("false") || ttl == "0";
        text.set_ttl((!none).then_some(ttl))?;
    }
    if let Some(indexes) = call.parameters.given("indexes") {
        let lines = indexes.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && *line != "0" && *line != "false");
        text.set_indexes(&lines.collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Adds columns behind the last one, and writes the change.
async fn add(
    call: &Call,
    writer: &Writer<'_>,
    change: Change,
    name: &str,
    added: &[Column],
) -> Result<(), ApiError> {
    let engine = &call.app.engine;
    let alter = |parts: Vec<String>| {
        let table = quote_identifier(name);
        format!("ALTER TABLE {table} {}", parts.join(", "))
    };
    if !added.is_empty() {
        writer.refuse_held_tables()?;
        let parts = added
            .iter()
            .map(|column| format!("ADD COLUMN {}", emit::column_definition(column)));
        let done = engine.execute(&alter(parts.collect())).await;
        done.map_err(|error| ApiError::BadRequest(error.to_string()))?;
    }
    let error = match call.commit(writer, change).await {
        Ok(current) => return retag(call, &current, name).await,
        Err(error) => error,
    };
    if !added.is_empty() {
        let parts = added
            .iter()
            .map(|column| format!("DROP COLUMN {}", quote_identifier(&column.name)));
        if let Err(error) = engine.execute(&alter(parts.collect())).await {
            tracing::error!(%error, "added columns cannot be taken back");
        }
    }
    Err(error)
}

/// Lets a table say which text it is of, so that a later deploy sees what differs from it.
async fn retag(call: &Call, current: &Current, name: &str) -> Result<(), ApiError> {
    let (steps, _) = pipewright_compiler::deploy::desired(&current.plan);
    for step in steps.iter().filter(|step| step.name == name) {
        let tagged = call.app.engine.execute(&crate::deploy::retag(step)).await;
        if let Err(error) = tagged {
            tracing::warn!(%error, "the table `{name}` does not say which text it is of");
        }
    }
    Ok(())
}

/// Deploys other files; what is done, in the engine's words where it is done in place.
async fn deploy(
    call: &Call,
    writer: Writer<'_>,
    path: String,
    files: BTreeMap<String, String>,
    name: &str,
    dry_run: bool,
) -> Result<Vec<String>, ApiError> {
    let allowed = call.parameters.flag("allow_destructive_operations")?;
    if allowed {
        let may = call.access.drops_datasource(name);
        Call::require(may, &format!("DATASOURCES:DROP:{name}"))?;
    }
    let steps = super::deployments::apply(call, writer, path, files, dry_run, allowed).await?;
    let start = format!("ALTER TABLE {} ", quote_identifier(name));
    let operation = |sql: &String| {
        let sql = sql.strip_prefix(&start)?;
        Some(sql.split(" SETTINGS ").next().unwrap_or(sql).to_owned())
    };
    let operations = steps.iter().flat_map(|step| {
        if step.action == Action::AlterTable && step.name == name {
            step.sql.iter().filter_map(operation).collect()
        } else {
            vec![format!(
                "{} {}: {}",
                step.action.words(),
                step.name,
                step.what.join("; ")
            )]
        }
    });
    Ok(operations.collect())
}

fn described(current: &Current, name: &str) -> String {
    let datasource = current.plan.project.datasource(name);
    let text = datasource.and_then(|datasource| datasource.syntax.description.as_ref());
    text.map_or(String::new(), |text| prose::described(&text.value))
}

/// The columns that a change adds behind the others; nothing when it is another change.
fn added_columns<'a>(
    before: &Plan,
    after: &'a Plan,
    name: &str,
) -> Result<Option<&'a [Column]>, ApiError> {
    let gone = || ApiError::Internal("the data source is gone".to_owned());
    let old = before.table(name).ok_or_else(gone)?;
    let new = after.table(name).ok_or_else(gone)?;
    let text = |column: &Column| (emit::column_definition(column), column.json_path.clone());
    let kept = new.columns.len() >= old.columns.len()
        && old
            .columns
            .iter()
            .zip(&new.columns)
            .all(|(old, new)| text(old) == text(new));
    Ok(kept.then(|| &new.columns[old.columns.len()..]))
}
