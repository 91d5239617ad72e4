//! What an engine said of statements, by the hash of all that it depends on: one file that can be thrown away at any time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use pipewright_compiler::check::Refusal;
use pipewright_compiler::contract::Described;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::engine::{self, OWN_SETTINGS};

/// Where answers are kept in their folder.
const FILE: &str = "types.json";

/// The hash of all that an answer depends on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(String);

impl Key {
    pub(super) fn new<'a>(identity: &'a str, parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hasher = Sha256::new();
        for part in std::iter::once(identity).chain(parts) {
            hasher.update(part.len().to_le_bytes());
            hasher.update(part);
        }
        let mut text = String::new();
        for byte in &hasher.finalize()[..16] {
            _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

/// Which engine answers: this program's version, the settings of its connections, and the library's size and time, since a path may come to hold another. `None`
/// without a library.
pub(super) fn identity() -> Option<String> {
    let library = engine::locate()?;
    let metadata = std::fs::metadata(&library).ok()?;
    let modified = metadata.modified().ok()?;
    Some(format!(
        "{} {OWN_SETTINGS:?} {} {} {modified:?}",
        env!("CARGO_PKG_VERSION"),
        library.display(),
        metadata.len()
    ))
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    name: String,
    message: String,
    offset: Option<usize>,
}

impl From<&Refusal> for Stored {
    fn from(refusal: &Refusal) -> Self {
        Self {
            name: refusal.name.clone(),
            message: refusal.message.clone(),
            offset: refusal.offset,
        }
    }
}

impl From<Stored> for Refusal {
    fn from(stored: Stored) -> Self {
        Self {
            name: stored.name,
            message: stored.message,
            offset: stored.offset,
        }
    }
}

/// The file's content.
#[derive(Debug, Default, Serialize, Deserialize)]
struct File {
    /// Which tables and views were made, and which of them were refused, by their place.
    tables: Option<(String, Vec<(usize, Stored)>)>,
    /// Which rows were refused that went through the views of those tables, by their place.
    #[serde(default)]
    rows: Option<Vec<(usize, Stored)>>,
    statements: BTreeMap<String, Option<Stored>>,
    /// The columns of statements that fill data sources.
    #[serde(default)]
    columns: BTreeMap<String, Described>,
}

/// The answers of one project.
#[derive(Debug)]
pub(super) struct Cache {
    path: PathBuf,
    tables: Option<(String, Vec<(usize, Refusal)>)>,
    rows: Option<Vec<(usize, Refusal)>>,
    statements: BTreeMap<String, Option<Refusal>>,
    columns: BTreeMap<String, Described>,
    changed: bool,
}

impl Cache {
    /// What is kept in a folder; nothing where it cannot be read.
    pub(super) fn read(folder: &Path) -> Self {
        Self::read_if_there(folder).unwrap_or_else(|| Self::of(folder, File::default()))
    }

    /// The same; `None` where it cannot be read.
    pub(super) fn read_if_there(folder: &Path) -> Option<Self> {
        let bytes = std::fs::read(folder.join(FILE)).ok()?;
        Some(Self::of(folder, serde_json::from_slice(&bytes).ok()?))
    }

    fn of(folder: &Path, file: File) -> Self {
        let tables = file.tables.map(|(key, refused)| {
            let refused = refused.into_iter().map(|(at, stored)| (at, stored.into()));
            (key, refused.collect())
        });
        let rows = file.rows.map(|refused| {
            let refused = refused.into_iter();
            refused.map(|(at, stored)| (at, stored.into())).collect()
        });
        let statements = file.statements.into_iter();
        Self {
            path: folder.join(FILE),
            tables,
            rows,
            statements: statements
                .map(|(key, stored)| (key, stored.map(Refusal::from)))
                .collect(),
            columns: file.columns,
            changed: false,
        }
    }

    /// What was said of a statement; `None` if that is not known.
    pub(super) fn answer(&self, key: &Key) -> Option<&Option<Refusal>> {
        self.statements.get(key.text())
    }

    pub(super) fn keep(&mut self, key: &Key, answer: Option<Refusal>) {
        self.statements.insert(key.text().to_owned(), answer);
        self.changed = true;
    }

    /// The columns that a statement gives; `None` if that is not known.
    pub(super) fn columns(&self, key: &Key) -> Option<&Described> {
        self.columns.get(key.text())
    }

    pub(super) fn keep_columns(&mut self, key: &Key, columns: Described) {
        self.columns.insert(key.text().to_owned(), columns);
        self.changed = true;
    }

    /// Which of the tables and views were refused; `None` if that is not known.
    pub(super) fn steps(&self, key: &Key) -> Option<Vec<(usize, Refusal)>> {
        let (known, refused) = self.tables.as_ref()?;
        (known == key.text()).then(|| refused.clone())
    }

    /// Which of the rows were refused by these tables and views; `None` if that is not known.
    pub(super) fn rows(&self, key: &Key) -> Option<Vec<(usize, Refusal)>> {
        let (known, _) = self.tables.as_ref()?;
        self.rows.clone().filter(|_| known == key.text())
    }

    /// Keeps what was said of rows, for the tables that were kept last.
    pub(super) fn keep_rows(&mut self, refused: &[(usize, Refusal)]) {
        self.rows = Some(refused.to_vec());
        self.changed = true;
    }

    pub(super) fn keep_steps(&mut self, key: &Key, refused: &[(usize, Refusal)]) {
        self.tables = Some((key.text().to_owned(), refused.to_vec()));
        self.changed = true;
    }

    /// Writes the answers that are of use now, all at once.
    pub(super) fn write(&self, used: &[Key]) -> io::Result<()> {
        if !self.changed {
            return Ok(());
        }
        let tables = self.tables.as_ref().map(|(key, refused)| {
            let refused = refused.iter().map(|(at, refusal)| (*at, refusal.into()));
            (key.clone(), refused.collect())
        });
        let statements = used.iter().filter_map(|key| {
            let answer = self.statements.get(key.text())?;
            Some((key.text().to_owned(), answer.as_ref().map(Stored::from)))
        });
        let rows = self.rows.as_ref().map(|refused| {
            let refused = refused.iter();
            refused.map(|(at, refusal)| (*at, refusal.into())).collect()
        });
        let columns = used.iter().filter_map(|key| {
            let columns = self.columns(key)?;
            Some((key.text().to_owned(), columns.clone()))
        });
        let file = File {
            tables,
            rows,
            statements: statements.collect(),
            columns: columns.collect(),
        };
        let folder = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut written = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer(&mut written, &file)?;
        written.persist(&self.path).map_err(|error| error.error)?;
        Ok(())
    }
}
