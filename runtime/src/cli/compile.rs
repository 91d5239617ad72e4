//! `pipewright compile`.

use std::path::Path;

use anyhow::anyhow;
use pipewright_compiler::diagnostics::render;
use pipewright_compiler::graph::NodeId;
use pipewright_compiler::plan::{Plan, QueryError, RequestContext};
use pipewright_compiler::project::ResourceName;
use pipewright_compiler::template::{RenderContext, Values};

use super::arguments::Compile;
use super::printer::Printer;
use super::{ExitStatus, checked, choose_rules, place, project_folder};

pub(super) fn run(
    compile: &Compile,
    project: Option<&Path>,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let folder = project_folder(None, project)?;
    let (mut plan, diagnostics) = checked(&folder)?;
    choose_rules(&mut plan, &compile.optimize)?;
    let Ok(id) = find(&plan, &compile.target) else {
        super::report_errors(&plan, &diagnostics, &folder, printer);
        return find(&plan, &compile.target).map(|_| ExitStatus::Error);
    };
    say_unknown_parameters(&plan, &id, &compile.parameters, printer);
    let values: Values = compile
        .parameters
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into()))
        .collect();
    match plan.compile_node(
        &id,
        RequestContext {
            values: &values,
            render: RenderContext::default(),
        },
    ) {
        Ok(compiled) => printer.data(compiled.sql.text())?,
        Err(error) => {
            let span = plan
                .project
                .pipes
                .get(&id.pipe)
                .and_then(|pipe| pipe.node(&id.node))
                .map(|node| node.body.span);
            let diagnostic = match (error, span) {
                (QueryError::Template(error), Some(span)) => error.to_diagnostic_at(span),
                (QueryError::Sql(diagnostic), _) => *diagnostic,
                (error, _) => return Err(error.into()),
            };
            let files = place::from_here(plan.project.sources.files(), &folder);
            printer.note(&render::text(&[diagnostic], &*files, printer.style()));
            return Ok(ExitStatus::Findings);
        }
    }
    Ok(ExitStatus::Success)
}

/// A value for a parameter that is not there changes nothing, as in a request; on the command line it is more likely a slip.
fn say_unknown_parameters(plan: &Plan, id: &NodeId, given: &[(String, String)], printer: &Printer) {
    let Some(pipe) = plan.pipes.get(&id.pipe) else {
        return;
    };
    let known: Vec<&String> = pipe.parameters.iter().map(|known| &known.name).collect();
    for (name, _) in given.iter().filter(|(name, _)| !known.contains(&name)) {
        let names = known.iter().map(|name| (*name).clone());
        let error = unknown("parameter", name, names);
        let said = error
            .to_string()
            .replace("the project has none", "the pipe has none");
        printer.note(&format!("warning: {said}"));
    }
}

/// `pipe` or `pipe.node`.
pub(super) fn find(plan: &Plan, target: &str) -> anyhow::Result<NodeId> {
    let (pipe, node) = target
        .split_once('.')
        .map_or((target, None), |(pipe, node)| (pipe, Some(node)));
    let Some(planned) = plan.pipes.get(&ResourceName::local(pipe)) else {
        return Err(unknown(
            "pipe",
            pipe,
            plan.pipes.keys().map(ToString::to_string),
        ));
    };
    let node = match node {
        Some(name) => planned.node(name).ok_or_else(|| {
            unknown(
                "node",
                name,
                planned.nodes.iter().map(|node| node.id.node.clone()),
            )
        })?,
        None => planned
            .output_node()
            .ok_or_else(|| anyhow!("pipe `{pipe}` has no nodes"))?,
    };
    Ok(node.id.clone())
}

pub(super) fn unknown(
    what: &str,
    name: &str,
    known: impl Iterator<Item = String>,
) -> anyhow::Error {
    let known: Vec<String> = known.collect();
    let similar = pipewright_compiler::graph::similar_names(name, known.iter().cloned());
    let listed = if similar.is_empty() {
        known.join(", ")
    } else {
        similar.join(" or ")
    };
    match (similar.is_empty(), known.is_empty()) {
        (_, true) => anyhow!("there is no {what} `{name}`; the project has none"),
        (true, false) => anyhow!("there is no {what} `{name}`; there are: {listed}"),
        (false, false) => anyhow!("there is no {what} `{name}`; did you mean {listed}?"),
    }
}
