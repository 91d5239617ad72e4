//! `pipewright debug`: what each stage sees.

use std::io::BufRead as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use pipewright_compiler::project::FileKind;
use pipewright_compiler::{emit, sql, template};
use pipewright_grammar::source::{SourceFile, SourceId};
use pipewright_grammar::{
    parse_connection, parse_datasource, parse_include, parse_pipe, parse_token,
};
use serde_json::{Value, json};

use super::arguments::Debug;
use super::printer::Printer;
use super::{ExitStatus, checked, project_folder};

pub(super) fn run(
    debug: &Debug,
    project: Option<&Path>,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    match debug {
        Debug::Tokens { file } => tokens(file, printer)?,
        Debug::Syntax { file } => printer.data(&serde_json::to_string_pretty(&syntax(file)?)?)?,
        Debug::Project => {
            let (plan, _) = checked(&project_folder(None, project)?)?;
            let pipes = plan.project.pipes.values().map(|pipe| {
                (
                    pipe.name.to_string(),
                    pipe.nodes
                        .iter()
                        .map(|node| json!({"name": node.name.value, "type": node.kind}))
                        .collect::<Value>(),
                )
            });
            let names = |names: Vec<String>| names;
            let value = json!({
                "datasources": names(plan.project.datasources.keys().map(ToString::to_string).collect()),
                "pipes": pipes.collect::<serde_json::Map<_, _>>(),
                "connections": names(plan.project.connections.keys().cloned().collect()),
                "tokens": names(plan.project.tokens.keys().cloned().collect()),
            });
            printer.data(&serde_json::to_string_pretty(&value)?)?;
        }
        Debug::Graph => {
            let (plan, _) = checked(&project_folder(None, project)?)?;
            printer.data(&serde_json::to_string_pretty(&emit::graph(&plan))?)?;
        }
        Debug::Plan => {
            let (plan, _) = checked(&project_folder(None, project)?)?;
            let (steps, _) = pipewright_compiler::deploy::desired(&plan);
            printer.data(&serde_json::to_string_pretty(&emit::manifest(
                &plan, &steps,
            ))?)?;
        }
        Debug::Render => lines(printer, template::debug_render)?,
        Debug::References => lines(printer, sql::references)?,
    }
    Ok(ExitStatus::Success)
}

fn lines(printer: &Printer, answer: fn(&str) -> String) -> anyhow::Result<()> {
    for line in std::io::stdin().lock().lines() {
        let line = line.context("cannot read stdin")?;
        if !line.trim().is_empty() {
            printer.data(&answer(&line))?;
        }
    }
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<SourceFile> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    Ok(SourceFile::from_bytes(SourceId(0), file.display().to_string(), bytes).0)
}

fn tokens(file: &Path, printer: &Printer) -> anyhow::Result<()> {
    let source = read(file)?;
    for node in parse_pipe(&source).tree.nodes {
        let Some(body) = node.sql else { continue };
        printer.data(&format!("NODE {}", node.name.value))?;
        printer.data(&sql::debug_tokens(&body.text))?;
    }
    Ok(())
}

fn syntax(file: &Path) -> anyhow::Result<Value> {
    let source = read(file)?;
    Ok(match FileKind::of(source.name()) {
        Some(FileKind::Pipe) => serde_json::to_value(parse_pipe(&source).tree)?,
        Some(FileKind::Datasource) => serde_json::to_value(parse_datasource(&source).tree)?,
        Some(FileKind::Include) => serde_json::to_value(parse_include(&source).tree)?,
        Some(FileKind::Connection) => serde_json::to_value(parse_connection(&source).tree)?,
        Some(FileKind::Token) => serde_json::to_value(parse_token(&source).tree)?,
        Some(FileKind::Config) | None => bail!("`{}` is no datafile", file.display()),
    })
}
