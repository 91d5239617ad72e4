//! The workspace's own secrets, for `tb_secret` and `tb_var`: what stands in neither the environment nor `.env.local`.
//!
//! Values are kept encrypted under a key that is not in the state file, and are given out for binding only.

use rusqlite::{OptionalExtension as _, Row, params};

use super::{State, StateError, now};
use crate::secrets::Secrets;

/// How long a value may be: a certificate or a key file is shorter.
pub const MAX_VALUE: usize = 64 * 1024;

/// A secret, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// The name that templates use.
    pub name: String,
    /// Who set it last: a token's name, or the command line.
    pub edited_by: String,
    /// When it was made, in milliseconds since 1970.
    pub created_at: i64,
    /// When its value was set last, in milliseconds since 1970.
    pub updated_at: i64,
}

/// The secrets of a workspace.
#[derive(Debug, Clone, Copy)]
pub struct Variables<'state> {
    state: &'state State,
}

impl<'state> Variables<'state> {
    pub(super) fn new(state: &'state State) -> Self {
        Self { state }
    }

    /// Makes a secret, or gives it another value.
    pub fn set(&self, name: &str, value: &str, edited_by: &str) -> Result<(), StateError> {
        let sealed = self.state.sealer.seal(value, &owner(name))?;
        self.state.execute(
            "INSERT INTO variables (name, sealed, edited_by, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?4)
             ON CONFLICT (name) DO UPDATE SET sealed = ?2, edited_by = ?3, updated_at = ?4",
            params![name, sealed, edited_by, now()],
        )?;
        Ok(())
    }

    /// All secrets, by name.
    pub fn list(&self) -> Result<Vec<Variable>, StateError> {
        let connection = self.state.connection();
        let mut statement = connection.prepare_cached(
            "SELECT name, edited_by, created_at, updated_at FROM variables ORDER BY name",
        )?;
        let rows = statement.query_map([], stored)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The secret with this name.
    pub fn find(&self, name: &str) -> Result<Option<Variable>, StateError> {
        let connection = self.state.connection();
        let mut statement = connection.prepare_cached(
            "SELECT name, edited_by, created_at, updated_at FROM variables WHERE name = ?1",
        )?;
        Ok(statement.query_row([name], stored).optional()?)
    }

    /// Names with their values, by name. One that was sealed under another key is left out: without its key nobody can read it.
    pub fn values(&self) -> Result<Secrets, StateError> {
        let connection = self.state.connection();
        let mut statement =
            connection.prepare_cached("SELECT name, sealed FROM variables ORDER BY name")?;
        let rows = statement.query_map([], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?))
        })?;
        let mut values = Vec::new();
        for row in rows {
            let (name, sealed) = row?;
            match self.state.sealer.unseal(&sealed, &owner(&name)) {
                Some(value) => values.push((name, value)),
                None => {
                    tracing::warn!(name, "a secret was stored under another key: set it again");
                }
            }
        }
        Ok(values.into_iter().collect())
    }

    /// Removes a secret; false if there is none of this name.
    pub fn remove(&self, name: &str) -> Result<bool, StateError> {
        let removed = self
            .state
            .execute("DELETE FROM variables WHERE name = ?1", [name])?;
        Ok(removed > 0)
    }
}

/// What a value is sealed for, so that it cannot be moved to another name, nor be taken for the secret of a token.
fn owner(name: &str) -> String {
    format!("variable {name}")
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Variable> {
    Ok(Variable {
        name: row.get(0)?,
        edited_by: row.get(1)?,
        created_at: row.get(2)?,
        updated_at: row.get(3)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_by_name_and_unreadable_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.sqlite");
        let state = State::open(&path).unwrap();
        let variables = state.variables();
        variables
            .set("key", "hush-hush-value", "command line")
            .unwrap();
        variables.set("other", "x", "command line").unwrap();
        variables
            .set("key", "hush-hush-other", "admin token")
            .unwrap();
        let values = variables.values().unwrap();
        assert_eq!(values.names().collect::<Vec<_>>(), ["key", "other"]);
        assert_eq!(
            (values.get("key"), values.get("other")),
            (Some("hush-hush-other"), Some("x"))
        );
        assert_eq!(
            variables.find("key").unwrap().unwrap().edited_by,
            "admin token"
        );
        assert!(variables.remove("other").unwrap());
        assert!(!variables.remove("other").unwrap());
        let names: Vec<String> = variables
            .list()
            .unwrap()
            .into_iter()
            .map(|variable| variable.name)
            .collect();
        assert_eq!(names, ["key"]);
        drop(state);
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!bytes.windows(9).any(|window| window == b"hush-hush"));
        }
    }
}
