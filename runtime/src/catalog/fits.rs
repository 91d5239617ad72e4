//! Whether what a view gives fits what it fills. Columns go by name, and the engine finds out about a type only when a row comes: then the insert into what the view
//! reads fails. It looks at the names when a view is made, and at nothing when its query is changed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pipewright_compiler::deploy::{Step, view_name};
use pipewright_compiler::diagnostics::{codes, render};
use pipewright_compiler::emit;
use pipewright_compiler::plan::{NodePlan, Plan, Role};
use pipewright_compiler::project::{Limits, ResourceName};
use pipewright_compiler::sql::quote_literal;
use pipewright_grammar::diagnostic::Diagnostic;

use super::ahead::Witness;
use super::{ChangeError, Current, Question, Said};
use crate::engine::{Column, Engine, EngineError, Query};

/// Refuses the view of a step, if its target cannot take what it gives. A target that is not there yet, or that the change makes `anew`, is made for it.
pub(super) async fn refuse_misfit(
    (before, plan): (&Arc<Current>, &Plan),
    step: &Step,
    anew: Option<&str>,
    witness: &Witness<'_>,
) -> Result<(), ChangeError> {
    let Some((node, target)) = filled(plan, step) else {
        return Ok(());
    };
    if target.workspace.is_none() && anew == Some(target.name.as_str()) {
        return Ok(());
    }
    let Some((_, query)) = step.sql.split_once(" AS\n") else {
        return Ok(());
    };
    let engine = witness.engine;
    let question = Question {
        query: description(query, &plan.project.config.limits),
        reads: emit::view_sql(plan, &node.id)
            .map_or_else(|_| BTreeSet::new(), |view| view.datasources),
    };
    let Some(described) = witness.ask(question, before).await? else {
        return Ok(());
    };
    let (Some(gives), Some(takes)) = (given(described)?, said(columns(target, engine).await)?)
    else {
        return Ok(());
    };
    let (mut wrong, mut others) = (Vec::new(), Vec::new());
    for column in &gives {
        let Some(place) = takes.iter().find(|place| place.name == column.name) else {
            wrong.push(format!("it has no column `{}`", column.name));
            continue;
        };
        if place.type_name != column.type_name {
            others.push((column, place));
        }
    }
    // All at once, as they do as a rule.
    let is_fitting = others.is_empty() || are_castable(&others, engine).await?;
    for (column, place) in others.iter().filter(|_| !is_fitting) {
        if !are_castable(&[(*column, *place)], engine).await? {
            wrong.push(format!(
                "`{}` is {} here and {} there",
                column.name, column.type_name, place.type_name
            ));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let message = format!(
        "what node `{}` gives does not fit data source `{target}`: {}",
        node.id.node,
        wrong.join("; ")
    );
    let mut diagnostic = Diagnostic::error(codes::TARGET_COLUMNS, message);
    let pipe = plan.project.pipes.get(&node.id.pipe);
    if let Some(written) = pipe.and_then(|pipe| pipe.node(&node.id.node)) {
        diagnostic = diagnostic.label(written.name.span, "");
    }
    let text = render::concise(&[diagnostic], plan.project.sources.files());
    Err(ChangeError::Invalid(text.trim_end().to_owned()))
}

/// The node of a view, and what it fills.
fn filled<'a>(plan: &'a Plan, step: &Step) -> Option<(&'a NodePlan, &'a ResourceName)> {
    let mut nodes = plan.pipes.values().flat_map(|pipe| &pipe.nodes);
    nodes.find_map(|node| match &node.role {
        Role::Materialized { target } if view_name(&node.id.pipe, &node.id.node) == step.name => {
            Some((node, target))
        }
        _ => None,
    })
}

/// Asks for the columns of a query. Subqueries that are one value are run for it, so that this has the time and the memory of a query.
fn description(query: &str, limits: &Limits) -> Query {
    Query::new(
        format!("DESCRIBE TABLE (\n{query}\n)"),
        "JSONCompactEachRow",
    )
    .within_memory(limits.memory_bytes)
    .timeout(Duration::from_millis(limits.query_timeout_ms))
}

/// The columns of a query; none if the engine cannot read it.
fn given(described: Said) -> Result<Option<Vec<Column>>, ChangeError> {
    match described {
        Err(error) if is_beyond_limits(&error) => Err(ChangeError::Invalid(format!(
            "the engine cannot say which columns the query of a view has: {error}"
        ))),
        described => said(described.and_then(|bytes| crate::engine::columns(&bytes))),
    }
}

/// Whether a query took more than it may.
fn is_beyond_limits(error: &EngineError) -> bool {
    match error {
        EngineError::Timeout { .. } => true,
        EngineError::Exception { name, .. } => name == "MEMORY_LIMIT_EXCEEDED",
        _ => false,
    }
}

/// Whether values of some types become values of others, by the types alone: no query is looked at.
async fn are_castable(
    pairs: &[(&Column, &Column)],
    engine: &dyn Engine,
) -> Result<bool, ChangeError> {
    let pairs = pairs.iter().enumerate();
    let (from, casts): (Vec<_>, Vec<_>) = pairs
        .map(|(at, (from, to))| {
            let to = quote_literal(&to.type_name);
            (
                format!("c{at} {}", from.type_name),
                format!("CAST(c{at}, {to})"),
            )
        })
        .unzip();
    let (from, casts) = (quote_literal(&from.join(", ")), casts.join(", "));
    let cast = format!("SELECT {casts} FROM null({from})");
    Ok(said(engine.describe(&cast).await)?.is_some())
}

/// The columns of a table; none if there is no such table.
async fn columns(table: &ResourceName, engine: &dyn Engine) -> Result<Vec<Column>, EngineError> {
    let table = emit::table_name(table);
    let sql = format!("DESCRIBE TABLE {table}");
    let answer = engine.query(Query::new(sql, "JSONCompactEachRow")).await?;
    crate::engine::columns(&answer.bytes().await?)
}

/// What the engine says, if it says something: what it cannot read is refused elsewhere, or waits for something that the same change makes.
fn said<T>(answer: Result<T, EngineError>) -> Result<Option<T>, ChangeError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(EngineError::Exception { .. }) => Ok(None),
        Err(error) => Err(ChangeError::Engine(error.to_string())),
    }
}
