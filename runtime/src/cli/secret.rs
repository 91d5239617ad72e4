//! `pipewright secret`: the workspace's own secrets, for `tb_secret` and `tb_var`. Values are read from stdin, so that no shell history and no list of
//! processes has them.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::json;

use super::arguments::{OutputFormat, Secret};
use super::printer::Printer;
use super::{ExitStatus, project_folder};
use crate::state::{MAX_VALUE, State, Variable};

pub(super) fn run(
    secret: &Secret,
    project: Option<&Path>,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let folder = project_folder(None, project)?;
    let state = State::open(&folder.join(".pipewright").join("state.sqlite"))?;
    let variables = state.variables();
    match secret {
        Secret::Set { name } => {
            if !pipewright_compiler::project::is_valid_name(name) {
                bail!(
                    "`{name}` cannot be the name of a secret: use letters, digits and underscores, not starting with a digit"
                );
            }
            variables.set(name, &read_value(name, printer)?, "command line")?;
            printer.note(&format!(
                "`{name}` is set; a server that runs already takes it when it starts again"
            ));
        }
        Secret::List { format } => {
            let list = variables.list()?;
            if *format == OutputFormat::Json {
                let list: Vec<_> = list.iter().map(described).collect();
                printer.data(&serde_json::to_string_pretty(&list)?)?;
            } else if list.is_empty() {
                printer.note("no secrets are stored; `pipewright secret set NAME` stores one");
            } else {
                for variable in list {
                    printer.data(&variable.name)?;
                }
            }
        }
        Secret::Remove { name } => {
            if !variables.remove(name)? {
                bail!(
                    "there is no secret `{name}`; `pipewright secret ls` lists those that there are"
                );
            }
            printer.note(&format!("`{name}` is removed"));
        }
    }
    Ok(ExitStatus::Success)
}

fn read_value(name: &str, printer: &Printer) -> anyhow::Result<String> {
    use std::io::IsTerminal as _;
    let mut value = String::new();
    if std::io::stdin().is_terminal() {
        printer.note(&format!("the value of `{name}`, one line:"));
        std::io::stdin().read_line(&mut value)?;
    } else {
        let mut input = std::io::stdin().take(MAX_VALUE as u64 + 1);
        input
            .read_to_string(&mut value)
            .context("the value is not UTF-8")?;
    }
    if value.len() > MAX_VALUE {
        bail!("the value of `{name}` is longer than {MAX_VALUE} bytes");
    }
    // A shell's `echo` ends what it prints with a newline that nobody means.
    let value = value
        .strip_suffix('\n')
        .map_or(value.as_str(), |value| {
            value.strip_suffix('\r').unwrap_or(value)
        })
        .to_owned();
    if value.is_empty() {
        bail!("the value of `{name}` is empty: give it on stdin");
    }
    Ok(value)
}

fn described(variable: &Variable) -> serde_json::Value {
    json!({
        "name": variable.name,
        "edited_by": variable.edited_by,
        "created_at_ms": variable.created_at,
        "updated_at_ms": variable.updated_at,
    })
}
