//! Tags that no resource has: those that one has stand in its file.

use rusqlite::params;

use super::{State, StateError};

/// The spare tags of a workspace.
#[derive(Debug, Clone, Copy)]
pub struct Tags<'state> {
    state: &'state State,
}

impl<'state> Tags<'state> {
    pub(super) fn new(state: &'state State) -> Self {
        Self { state }
    }

    /// All of them, by name.
    pub fn list(&self) -> Result<Vec<String>, StateError> {
        let connection = self.state.connection();
        let mut statement = connection.prepare_cached("SELECT name FROM tags ORDER BY name")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Keeps a tag.
    pub fn keep(&self, name: &str) -> Result<(), StateError> {
        self.state.execute(
            "INSERT OR IGNORE INTO tags (name) VALUES (?1)",
            params![name],
        )?;
        Ok(())
    }

    /// Forgets a tag.
    pub fn forget(&self, name: &str) -> Result<(), StateError> {
        self.state
            .execute("DELETE FROM tags WHERE name = ?1", params![name])?;
        Ok(())
    }
}
