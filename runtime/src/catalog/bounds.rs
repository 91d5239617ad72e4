//! How much there may be of what the API makes. What the files have is theirs: a change is refused for what it adds.

use std::collections::BTreeSet;

use pipewright_compiler::project::Limits;
use pipewright_grammar::parse_pipe;
use pipewright_grammar::source::{SourceFile, SourceId};

use super::{Change, ChangeError, Current};

/// How the files of pipes end.
const PIPE: &str = ".pipe";

/// The kinds of files that are counted, with what they are called and how many there may be.
fn counted(limits: &Limits) -> [(&'static str, &'static str, usize); 2] {
    [
        (PIPE, "pipes", limits.pipes),
        (".datasource", "data sources", limits.datasources),
    ]
}

/// Refuses what a change adds beyond the limits. Looks at texts alone: what is too much is not compiled.
pub(super) fn refuse_beyond(before: &Current, change: &Change) -> Result<(), ChangeError> {
    let limits = &before.plan.project.config.limits;
    for (ending, called, most) in counted(limits) {
        let of_kind = || {
            change
                .files
                .iter()
                .filter(|(path, _)| path.ends_with(ending))
        };
        let come: Vec<_> = of_kind()
            .filter(|(path, text)| text.is_some() && !before.files.contains_key(*path))
            .map(|(path, _)| stem(path, ending))
            .collect();
        let gone =
            of_kind().filter(|(path, text)| text.is_none() && before.files.contains_key(*path));
        let gone = gone.count();
        let present = before.files.keys().filter(|path| path.ends_with(ending));
        let present = present.count();
        if most > 0 && come.len() > gone && present + come.len() - gone > most {
            return Err(ChangeError::Beyond(format!(
                "the workspace has {present} {called}, and may have {most} (`{}` in `pipewright.toml`)",
                called.replace(' ', "")
            )));
        }
        for name in come {
            refuse_long_name(name, limits)?;
        }
    }
    let pipes = || change.files.iter().filter(|(path, _)| path.ends_with(PIPE));
    // Also of those that go: a pipe that gets another name has the nodes that it had.
    let mut old = Nodes::default();
    for (path, _) in pipes() {
        if let Some(text) = before.files.get(path) {
            old.add(path, text);
        }
    }
    for (path, text) in pipes() {
        let mut new = Nodes::default();
        new.add(path, text.as_deref().unwrap_or_default());
        refuse_nodes(stem(path, PIPE), &new, &old, limits)?;
    }
    Ok(())
}

/// The name of the resource that a file has.
fn stem<'a>(path: &'a str, ending: &str) -> &'a str {
    let file = path.rsplit_once('/').map_or(path, |(_, file)| file);
    file.strip_suffix(ending).unwrap_or(file)
}

/// Refuses a name that is longer than names may be.
pub(crate) fn refuse_long_name(name: &str, limits: &Limits) -> Result<(), ChangeError> {
    let most = limits.name_bytes;
    if most == 0 || name.len() <= most {
        return Ok(());
    }
    let begins: String = name.chars().take(20).collect();
    Err(ChangeError::Invalid(format!(
        "the name `{begins}…` has {} bytes, and may have {most} (`name_bytes` in `pipewright.toml`)",
        name.len()
    )))
}

/// What files have of nodes.
#[derive(Debug, Default)]
struct Nodes {
    names: Vec<String>,
    /// Of each that has any.
    statements: Vec<String>,
}

impl Nodes {
    fn add(&mut self, path: &str, text: &str) {
        let file = SourceFile::new(SourceId(0), path.to_owned(), text.to_owned());
        for node in parse_pipe(&file).tree.nodes {
            self.names.push(node.name.value);
            self.statements.extend(node.sql.map(|sql| sql.text));
        }
    }
}

/// Whether a node has the name that nodes of a pipe get where nobody gives them one.
fn is_given(name: &str, pipe: &str) -> bool {
    let number = name
        .strip_prefix(pipe)
        .and_then(|rest| rest.strip_prefix('_'));
    number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn refuse_nodes(pipe: &str, new: &Nodes, old: &Nodes, limits: &Limits) -> Result<(), ChangeError> {
    let most = limits.nodes;
    if most > 0 && new.names.len() > most && new.names.len() > old.names.len() {
        return Err(ChangeError::Beyond(format!(
            "a pipe may have {most} nodes (`nodes` in `pipewright.toml`), and this one would have {}",
            new.names.len()
        )));
    }
    let known: BTreeSet<&String> = old.names.iter().collect();
    for name in &new.names {
        if !known.contains(name) && !is_given(name, pipe) {
            refuse_long_name(name, limits)?;
        }
    }
    let known: BTreeSet<&String> = old.statements.iter().collect();
    let most = limits.sql_bytes;
    let mut long = new
        .statements
        .iter()
        .filter(|sql| most > 0 && sql.len() > most);
    match long.find(|sql| !known.contains(sql)) {
        None => Ok(()),
        Some(sql) => Err(ChangeError::Invalid(format!(
            "the SQL of a node has {} bytes, and may have {most} (`sql_bytes` in `pipewright.toml`)",
            sql.len()
        ))),
    }
}
