//! `pipewright rule`: what the rules of `check` find, and why.

use std::fmt::Write as _;

use anyhow::anyhow;
use pipewright_compiler::check::{RULES, Rule as Declared, rule};
use pipewright_compiler::diagnostics::codes;
use pipewright_compiler::graph::similar_names;
use pipewright_grammar::codes as grammar_codes;
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
    let Some(found) = rule(code) else {
        let meaning = meaning(code).ok_or_else(|| unknown(code))?;
        if is_json {
            let entry = json!({ "code": code, "summary": meaning });
            printer.data(&serde_json::to_string_pretty(&entry)?)?;
        } else {
            printer.data(&format!("# {code}\n\n{meaning}\n\nIt is found wherever it is: no rule has to be on. `[lints]` in `pipewright.toml` changes its level.\n"))?;
        }
        return Ok(ExitStatus::Success);
    };
    if is_json {
        printer.data(&serde_json::to_string_pretty(&described(found))?)?;
    } else {
        printer.data(&found.markdown())?;
    }
    Ok(ExitStatus::Success)
}

/// What a code means that is no rule: of what cannot be read, resolved or made.
fn meaning(code: &str) -> Option<&'static str> {
    let mut all = grammar_codes::MEANINGS.iter().chain(codes::MEANINGS);
    let (_, meaning) = all.find(|(known, _)| known.name() == code)?;
    Some(meaning.trim())
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
    let names = RULES.iter().map(|rule| rule.code.name().to_owned());
    match similar_names(code, names).first() {
        Some(similar) => anyhow!("there is no rule `{code}`; did you mean `{similar}`?"),
        None => anyhow!("there is no rule `{code}`; `pipewright rule` lists them"),
    }
}
