//! Stage *read*: the process environment and `.env.local` → the secrets that templates and connections name.
//!
//! Only names that stand in the project's own templates and connections are read: neither a request nor a pipe that is made later can reach another variable of the
//! environment. Messages name the line, never what is on it.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use pipewright_compiler::plan::Plan;

use crate::secrets::Secrets;

/// The file beside the project's datafiles. It holds secrets and belongs in no repository.
const FILE: &str = ".env.local";

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// It is there and cannot be read.
    #[error("cannot read `{}`: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is neither blank, a comment nor `KEY=VALUE`.
    #[error("line {line} of `{}` is not of the form KEY=VALUE", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Which line, from one.
        line: usize,
    },
}

/// The values of the secrets that the templates and connections of `plan` name. The environment wins over the file; what is in neither is left out.
pub fn secrets(folder: &Path, plan: &Plan) -> Result<Secrets, SecretsError> {
    let connectors = pipewright_compiler::connect::connectors(plan).0;
    let statements = connectors
        .iter()
        .flat_map(|connector| &connector.statements);
    let of_connectors = statements.flat_map(|statement| statement.sql.secrets());
    let names: BTreeSet<&str> = plan
        .project
        .pipes
        .values()
        .flat_map(|pipe| &pipe.nodes)
        .flat_map(|node| node.template.secret_names())
        .chain(of_connectors)
        .collect();
    if names.is_empty() {
        return Ok(Secrets::default());
    }
    let file = read(&folder.join(FILE))?;
    Ok(names
        .into_iter()
        .filter_map(|name| {
            let value = std::env::var(name).ok().or_else(|| {
                file.iter()
                    .rev()
                    .find(|(known, _)| known == name)
                    .map(|(_, value)| value.clone())
            })?;
            Some((name.to_owned(), value))
        })
        .collect())
}

fn read(path: &Path) -> Result<Vec<(String, String)>, SecretsError> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text).map_err(|line| SecretsError::Malformed {
            path: path.to_owned(),
            line,
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(SecretsError::Unreadable {
            path: path.to_owned(),
            source,
        }),
    }
}

/// `KEY=VALUE` lines, or the number of the first line that is none. Values are taken as they stand: `$` has no meaning, because passwords contain it.
fn parse(text: &str) -> Result<Vec<(String, String)>, usize> {
    let mut pairs = Vec::new();
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let assignment = line.strip_prefix("export ").unwrap_or(line);
        let pair = assignment.split_once('=').and_then(|(name, value)| {
            let name = name.trim();
            let fits = !name.is_empty()
                && name
                    .chars()
                    .all(|character| character == '_' || character.is_ascii_alphanumeric());
            Some((fits.then(|| name.to_owned())?, unquoted(value.trim())?))
        });
        pairs.push(pair.ok_or(at + 1)?);
    }
    Ok(pairs)
}

/// A value without its quotes and the comment after it.
fn unquoted(value: &str) -> Option<String> {
    let Some(quote @ ('"' | '\'')) = value.chars().next() else {
        let end = value.find(" #").unwrap_or(value.len());
        return Some(value[..end].trim_end().to_owned());
    };
    let mut inner = String::new();
    let mut characters = value[1..].chars();
    loop {
        match characters.next()? {
            character if character == quote => break,
            '\\' if quote == '"' => inner.push(match characters.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                other => other,
            }),
            character => inner.push(character),
        }
    }
    let rest = characters.as_str().trim_start();
    (rest.is_empty() || rest.starts_with('#')).then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_keys_and_values_with_quotes_and_comments() {
        let text = "\u{feff}# a comment\n\nplain = a b # not this\nexport shell=1\nempty=\nhash=a#b\nsingle='it \\n $x' # not this\ndouble=\"two\\nlines \\\" $x\"\r\n";
        let pairs = parse(text).unwrap();
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [
                ("plain", "a b"),
                ("shell", "1"),
                ("empty", ""),
                ("hash", "a#b"),
                ("single", "it \\n $x"),
                ("double", "two\nlines \" $x"),
            ]
        );
    }

    #[test]
    fn a_line_that_is_no_assignment_is_named_by_its_number_alone() {
        for text in ["a=1\nhush", "a=1\na b=2", "a=1\nb='open", "a=1\nb='x' y"] {
            assert_eq!(parse(text), Err(2), "{text}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        std::fs::write(&path, "hush-hush\n").unwrap();
        let message = read(&path).unwrap_err().to_string();
        assert!(
            message.starts_with("line 1 of ") && !message.contains("hush"),
            "{message}"
        );
    }

    #[test]
    fn without_a_file_there_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(&folder.path().join(FILE)).unwrap(), []);
    }
}
