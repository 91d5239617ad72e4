//! The changes that the API made to the sources, and the ids and times of resources.
//!
//! A change is written whole or not at all: its files and the ids that follow from them go into one transaction.

use rusqlite::params;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ScopeChanges, State, StateError, aside};

/// Who wrote a file last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A deploy of files.
    Deploy,
    /// The API, and without it there would be none.
    Made,
    /// The API, and it was there before.
    Changed,
}

impl Origin {
    fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Made => "made",
            Self::Changed => "changed",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "deploy" => Self::Deploy,
            "made" => Self::Made,
            _ => Self::Changed,
        }
    }
}

/// A file that is in force in the place of the one on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// The path in the project, with `/`.
    pub path: String,
    /// The text; `None` for a file that was taken away.
    pub text: Option<String>,
    /// The hash of the file on disk at the time of the change; `None` if there was none.
    pub base: Option<String>,
    /// Who wrote it.
    pub origin: Origin,
}

/// What has an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// A pipe.
    Pipe,
    /// A node of a pipe.
    Node,
    /// A data source.
    Datasource,
}

impl ObjectKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pipe => "pipe",
            Self::Node => "node",
            Self::Datasource => "datasource",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "pipe" => Self::Pipe,
            "node" => Self::Node,
            _ => Self::Datasource,
        }
    }
}

/// The id of a resource, which it keeps when it is renamed, and its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// `t_` and 32 hexadecimal digits.
    pub id: String,
    /// What it is.
    pub kind: ObjectKind,
    /// The id of a node's pipe; empty for others.
    pub parent: String,
    /// The name, unique among those of the same kind and parent.
    pub name: String,
    /// A hash of the definition: when it changes, the resource was updated.
    pub digest: String,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// Microseconds since 1970.
    pub updated_at: i64,
}

/// The catalog's part of the state.
#[derive(Debug, Clone, Copy)]
pub struct CatalogStore<'state> {
    state: &'state State,
}

impl<'state> CatalogStore<'state> {
    pub(super) fn new(state: &'state State) -> Self {
        Self { state }
    }

    /// The files that are not as they are on disk, by path.
    pub fn files(&self) -> Result<Vec<StoredFile>, StateError> {
        let connection = self.state.connection();
        let mut statement = connection
            .prepare_cached("SELECT path, text, base, origin FROM catalog_files ORDER BY path")?;
        let rows = statement.query_map([], |row| {
            Ok(StoredFile {
                path: row.get(0)?,
                text: row.get(1)?,
                base: row.get(2)?,
                origin: Origin::parse(&row.get::<_, String>(3)?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Everything that has an id.
    pub fn objects(&self) -> Result<Vec<StoredObject>, StateError> {
        let connection = self.state.connection();
        let sql = "SELECT id, kind, parent, name, digest, created_at, updated_at FROM catalog_objects ORDER BY kind, parent, name";
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| {
            Ok(StoredObject {
                id: row.get(0)?,
                kind: ObjectKind::parse(&row.get::<_, String>(1)?),
                parent: row.get(2)?,
                name: row.get(3)?,
                digest: row.get(4)?,
                created_at: row.get(5)?,
                updated_at: row.get(6)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Notes that the file on disk has become another: what the API says was written there.
    pub fn rebase(&self, path: &str, base: Option<&str>) -> Result<(), StateError> {
        self.state.execute(
            "UPDATE catalog_files SET base = ?2 WHERE path = ?1",
            params![path, base],
        )?;
        Ok(())
    }

    /// Writes changed files, forgets reverted ones, and brings the ids up to date, all at once.
    pub fn write(
        &self,
        files: &[StoredFile],
        reverted: &[String],
        objects: &[StoredObject],
        removed: &[String],
    ) -> Result<(), StateError> {
        self.apply(&CatalogWrite {
            files: files.to_vec(),
            reverted: reverted.to_vec(),
            objects: objects.to_vec(),
            removed: removed.to_vec(),
            ..CatalogWrite::default()
        })
    }

    /// Writes a change, and what follows from it for tokens, all at once.
    pub fn apply(&self, written: &CatalogWrite) -> Result<(), StateError> {
        let mut connection = self.state.connection();
        let transaction = connection.transaction()?;
        written.run(&transaction)?;
        aside(|| transaction.commit())?;
        Ok(())
    }
}

/// A change of the catalog that is written together with something else.
#[derive(Debug, Clone, Default)]
pub struct CatalogWrite {
    /// Files that are changed.
    pub files: Vec<StoredFile>,
    /// Paths of files that are as they are on disk.
    pub reverted: Vec<String>,
    /// Ids that are new or whose resources have changed.
    pub objects: Vec<StoredObject>,
    /// Ids that are gone.
    pub removed: Vec<String>,
    /// What becomes of the scopes of tokens.
    pub scopes: ScopeChanges,
    /// A job that goes with it.
    pub job: Option<NewJob>,
}

/// A job that is written together with something else.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Its id.
    pub id: String,
    /// What kind of work it is.
    pub kind: String,
    /// What is asked for.
    pub request: Value,
}

impl CatalogWrite {
    pub(super) fn run(&self, transaction: &rusqlite::Transaction<'_>) -> Result<(), StateError> {
        for path in &self.reverted {
            transaction.execute("DELETE FROM catalog_files WHERE path = ?1", [path])?;
        }
        for file in &self.files {
            transaction.execute(
                "INSERT INTO catalog_files (path, text, base, updated_at, origin) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (path) DO UPDATE SET text = excluded.text, updated_at = excluded.updated_at,
                   origin = iif(catalog_files.origin = 'made' AND excluded.origin = 'changed', 'made', excluded.origin)",
                params![file.path, file.text, file.base, super::now(), file.origin.as_str()],
            )?;
        }
        // All go before any comes: two resources may have exchanged their names.
        for id in self
            .removed
            .iter()
            .chain(self.objects.iter().map(|object| &object.id))
        {
            transaction.execute("DELETE FROM catalog_objects WHERE id = ?1", [id])?;
        }
        for object in &self.objects {
            transaction.execute(
                "INSERT INTO catalog_objects (id, kind, parent, name, digest, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![object.id, object.kind.as_str(), object.parent, object.name, object.digest, object.created_at, object.updated_at],
            )?;
        }
        if let Some(job) = &self.job {
            super::jobs::insert_as(transaction, &job.id, &job.kind, &job.request)?;
        }
        self.scopes.run(transaction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(id: &str, name: &str) -> StoredObject {
        StoredObject {
            id: id.to_owned(),
            kind: ObjectKind::Pipe,
            parent: String::new(),
            name: name.to_owned(),
            digest: "d".to_owned(),
            created_at: 1,
            updated_at: 2,
        }
    }

    #[test]
    fn resources_can_exchange_their_names() {
        let state = State::in_memory().unwrap();
        state
            .catalog()
            .write(&[], &[], &[object("t_1", "a"), object("t_2", "b")], &[])
            .unwrap();
        state
            .catalog()
            .write(&[], &[], &[object("t_1", "b"), object("t_2", "a")], &[])
            .unwrap();
        let names: Vec<_> = state
            .catalog()
            .objects()
            .unwrap()
            .into_iter()
            .map(|object| (object.name, object.id))
            .collect();
        assert_eq!(
            names,
            [
                ("a".to_owned(), "t_2".to_owned()),
                ("b".to_owned(), "t_1".to_owned())
            ]
        );
    }

    #[test]
    fn a_change_that_fails_leaves_nothing_behind() {
        let state = State::in_memory().unwrap();
        let file = StoredFile {
            path: "a.pipe".to_owned(),
            text: Some("x".to_owned()),
            base: None,
            origin: Origin::Made,
        };
        let clash = [object("t_1", "a"), object("t_2", "a")];
        state
            .catalog()
            .write(std::slice::from_ref(&file), &[], &clash, &[])
            .unwrap_err();
        assert_eq!(
            (
                state.catalog().files().unwrap(),
                state.catalog().objects().unwrap()
            ),
            (vec![], vec![])
        );
        state
            .catalog()
            .write(std::slice::from_ref(&file), &[], &[], &[])
            .unwrap();
        assert_eq!(state.catalog().files().unwrap(), [file]);
        state
            .catalog()
            .write(&[], &["a.pipe".to_owned()], &[], &[])
            .unwrap();
        assert_eq!(state.catalog().files().unwrap(), []);
    }
}
