//! `pipewright rule`: what the rules of `check` find, and why.

use std::fmt::Write as _;

use anyhow::anyhow;
use pipewright_compiler::check::{RULES, Rule as Declared, codes, page, rule};
use pipewright_compiler::graph::similar_names;
use serde_json::{Value, json};

use super::ExitStatus;
use super::arguments::{OutputFormat, Rule};
use super::printer::Printer;

pub(super) fn run(arguments: &Rule, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let is_json = arguments.format == OutputFormat::Json;
    let Some(code) = &arguments.code else {
        if is_json {
            let rules: Vec<Value> = RULES.iter().map(described).collect();
            printer.data(&serde_json::to_string_pretty(&rules)?)?;
        } else {
            printer.data(&list())?;
            printer.hint("`pipewright rule CODE` shows the page of a rule");
        }
        return Ok(ExitStatus::Success);
    };
    let page = page(code).ok_or_else(|| unknown(code))?;
    if !is_json {
        printer.data(&page.markdown)?;
        return Ok(ExitStatus::Success);
    }
    let entry = match rule(code) {
        Some(rule) => described(rule),
        None => json!({ "code": code, "summary": page.summary, "page": page.markdown }),
    };
    printer.data(&serde_json::to_string_pretty(&entry)?)?;
    Ok(ExitStatus::Success)
}

/// One line for each rule: code, severity, summary.
fn list() -> String {
    let width = RULES.iter().map(|rule| rule.code.name().len()).max();
    let width = width.unwrap_or_default();
    let mut text = String::new();
    for rule in RULES {
        _ = writeln!(
            text,
            "{:width$}  {:7}  {}",
            rule.code.name(),
            rule.severity_name(),
            rule.summary
        );
    }
    text
}

fn described(rule: &Declared) -> Value {
    json!({
        "code": rule.code.name(),
        "severity": rule.severity_name(),
        "summary": rule.summary,
        "page": rule.markdown(),
    })
}

fn unknown(code: &str) -> anyhow::Error {
    let names = codes().map(|code| code.name().to_owned());
    match similar_names(code, names).first() {
        Some(similar) => anyhow!("there is no rule `{code}`; did you mean `{similar}`?"),
        None => anyhow!("there is no rule `{code}`; `pipewright rule` lists them"),
    }
}
