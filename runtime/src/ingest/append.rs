//! Files of rows: received whole, looked at, and then written chunk by chunk.
//!
//! Nothing is changed before the last byte is here and the file as a whole can be read. From then on a note on disk makes sure that the rest is written even
//! if the process dies in between. When the engine does not take the first chunk the file is refused; when it has taken that and not a later one, the rest
//! waits, as events do. So does a first chunk that a view throws on: its rows are in the data source by then.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use pipewright_compiler::emit::Input;
use pipewright_compiler::plan::{Plan, TablePlan};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::given::Contents;
use super::known::Known;
use super::load::{Batch, Counts, Views, WHILE_NOBODY_WAITS};
use super::refused::remove_rows;
use super::spool::{self, COLUMNS, Format, SpoolError, Spooled};
use super::{Ingest, IngestError, on_disk, unique};
use crate::engine::EngineError;

/// What is to be appended, beside the rows themselves.
#[derive(Debug, Clone)]
pub struct Append {
    /// How rows are written.
    pub format: Format,
    /// What separates the fields of a CSV file; found out when not given.
    pub delimiter: Option<char>,
}

/// What was appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The id under which quarantined rows are found.
    pub import_id: String,
    /// Rows in the data source and in its quarantine.
    pub counts: Counts,
    /// Why the rest is not there yet; it was taken, and is tried again.
    pub waits: Option<String>,
}

/// What of a file has been written.
#[derive(Debug, Default)]
struct Written {
    counts: Counts,
    /// Why the rest has not.
    waits: Option<String>,
}

/// The note of a file that is to be written.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    datasource: String,
    format: Format,
    spooled: Spooled,
}

/// How the tables begin through which rows are replaced.
pub(super) const STAGING: &str = "pw_replace_";

const NOTE: &str = "ready.json";

impl Ingest {
    /// Appends the rows of a body to a data source.
    pub async fn append(
        self: &Arc<Self>,
        table: &TablePlan,
        append: &Append,
        body: impl Stream<Item = io::Result<Bytes>> + Send,
    ) -> Result<Appended, IngestError> {
        let table = &*self.as_it_is(table).await?;
        self.refuse_if_shut(&table.name)?;
        let import_id = unique()?;
        let folder = self.folder.join("appends").join(&import_id);
        let made = folder.clone();
        on_disk(move || std::fs::create_dir(made)).await?;
        let appended = self
            .append_in(table, append, body, &folder, &import_id)
            .await;
        let appended = match appended {
            Err(error) if error.is_interruption() => return Err(error),
            other => other,
        };
        // What failed has been answered, and must not be taken up again by the next process.
        let waits = matches!(&appended, Ok(Written { waits: Some(_), .. }));
        let removed = if waits {
            Ok(())
        } else {
            on_disk(move || remove(&folder)).await
        };
        let Written { counts, waits } = appended?;
        removed?;
        Ok(Appended {
            import_id,
            counts,
            waits,
        })
    }

    async fn append_in(
        self: &Arc<Self>,
        table: &TablePlan,
        append: &Append,
        body: impl Stream<Item = io::Result<Bytes>> + Send,
        folder: &Path,
        import_id: &str,
    ) -> Result<Written, IngestError> {
        let known = Known::new(self, table).await;
        let spooled = receive(known, append, body, folder).await?;
        let note = Note {
            datasource: table.name.to_string(),
            format: append.format,
            spooled,
        };
        self.look(table, &note).await?;
        let text = serde_json::to_vec(&note).map_err(io::Error::from)?;
        let path = folder.join(NOTE);
        on_disk(move || write_durably(&path, &text)).await?;
        self.write(table, &note, folder, import_id).await
    }

    /// Finds what is wrong with a file as a whole.
    async fn look(&self, table: &TablePlan, note: &Note) -> Result<(), IngestError> {
        let Some((path, _)) = note.spooled.chunks.first() else {
            return Ok(());
        };
        let header = &note.spooled.header;
        let columns = csv_columns(table).len();
        if note.format == Format::Csv && header.names.is_none() && header.fields != columns {
            return Err(IngestError::Unreadable(format!(
                "the first line has {} fields, `{}` has {columns} columns: name the columns in a header, or give every one",
                header.fields, table.name
            )));
        }
        if note.format == Format::Parquet {
            let found = self.parquet_columns(path).await?;
            if !found
                .iter()
                .any(|(name, _)| table.columns.iter().any(|column| column.name == *name))
            {
                let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
                return Err(IngestError::Unreadable(format!(
                    "none of the file's columns ({}) is a column of `{}`",
                    names.join(", "),
                    table.name
                )));
            }
        }
        Ok(())
    }

    async fn parquet_columns(&self, path: &Path) -> Result<Vec<(String, String)>, IngestError> {
        let description = self.parquet_description(path).await?;
        let described = self.engine.described(description).await;
        let columns = described.map_err(|error| match error {
            EngineError::Exception { message, .. } => IngestError::Unreadable(format!(
                "the file is not Parquet: {}",
                message.replace(&*path.to_string_lossy(), "the file")
            )),
            other => IngestError::Engine(other),
        })?;
        Ok(columns
            .into_iter()
            .map(|column| (column.name, column.type_name))
            .collect())
    }

    async fn write(
        self: &Arc<Self>,
        table: &TablePlan,
        note: &Note,
        folder: &Path,
        import_id: &str,
    ) -> Result<Written, IngestError> {
        let mut counts = Counts::default();
        for number in 0..note.spooled.chunks.len() {
            // Until it is said that the rows are in: a table that is made anew in between would not know their token.
            let written = async {
                let _together = self.together(table).await?;
                self.write_chunk(table, note, (import_id, number), Views::All)
                    .await
            };
            let written = Box::pin(written);
            match written.await {
                Ok(more) => counts = counts.plus(more),
                // A part is in already: without the rest the file would be neither in nor out. What is to replace rows is thrown away as a whole.
                Err(error)
                    if (number > 0 || error.is_of_view())
                        && !error.is_interruption()
                        && !table.name.name.starts_with(STAGING) =>
                {
                    let waits = Some(error.to_string());
                    self.let_wait(table, folder, &error.to_string()).await;
                    return Ok(Written { counts, waits });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Written {
            counts,
            waits: None,
        })
    }

    /// Writes one of the files of an append. For one who shares the data source.
    async fn write_chunk(
        &self,
        table: &TablePlan,
        note: &Note,
        (import_id, number): (&str, usize),
        views: Views,
    ) -> Result<Counts, IngestError> {
        let (path, rows) = &note.spooled.chunks[number];
        // What an earlier process wrote, and said so.
        if !path.exists() {
            return Ok(Counts::default());
        }
        let token = format!("{import_id}:{number}");
        let counts = self
            .write_rows(table, note, (path, *rows), (&token, views))
            .await?;
        let done = path.clone();
        on_disk(move || remove_rows(&done)).await?;
        Ok(counts)
    }

    async fn write_rows(
        &self,
        table: &TablePlan,
        note: &Note,
        (path, rows): (&Path, u64),
        (token, views): (&str, Views),
    ) -> Result<Counts, IngestError> {
        let spooled = &note.spooled;
        let batch = |input, rows| Batch {
            input,
            path,
            rows,
            token,
            requests: &[],
            patience: WHILE_NOBODY_WAITS,
        };
        let names = spooled.header.names.as_deref();
        let delimiter = spooled.header.delimiter.unwrap_or(',');
        let types = &spooled.types;
        let is_read = path.extension().is_some_and(|ending| ending == COLUMNS);
        let contents = match note.format {
            Format::Ndjson | Format::Csv if is_read => Contents::Columns(types),
            Format::Ndjson => Contents::Lines,
            Format::Csv => Contents::Csv {
                columns: names.map_or_else(|| csv_columns(table).len(), <[String]>::len),
                delimiter,
            },
            Format::Parquet => {
                let columns = self.parquet_columns(path).await?;
                let given = self.give(path, Contents::Parquet(&columns)).await?;
                let counted = format!("SELECT count() FROM {}", given.rows);
                let rows = self.count(&counted).await?;
                let batch = batch(Input::Typed(&given.rows, &columns), rows);
                return self.load_large(table, &batch, views).await;
            }
        };
        let given = self.give(path, contents).await?;
        let input = match contents {
            Contents::Columns(types) => Input::Typed(&given.rows, types),
            Contents::Csv { .. } => Input::Csv {
                rows: &given.rows,
                columns: names,
                delimiter,
            },
            _ => Input::Json(&given.rows),
        };
        self.load_within(table, &batch(input, rows), views).await
    }

    /// Writes the rest of an append that was cut off. For one who shares the data source.
    pub(super) async fn write_folder(
        &self,
        table: &TablePlan,
        folder: &Path,
        views: Views,
    ) -> Result<(), IngestError> {
        let path = folder.join(NOTE);
        let note = on_disk(move || std::fs::read(path)).await?;
        let note: Note = serde_json::from_slice(&note).map_err(io::Error::from)?;
        let import_id = folder.file_name().unwrap_or_default().to_string_lossy();
        for number in 0..note.spooled.chunks.len() {
            Box::pin(self.write_chunk(table, &note, (&import_id, number), views)).await?;
        }
        Ok(())
    }

    /// Whether rows of an append that an earlier process had received whole are still on their way to a data source.
    pub(crate) fn is_expecting(&self, name: &str) -> io::Result<bool> {
        for entry in std::fs::read_dir(self.folder.join("appends"))? {
            let note = std::fs::read(entry?.path().join(NOTE))
                .ok()
                .and_then(|bytes| serde_json::from_slice::<Note>(&bytes).ok());
            if note.is_some_and(|note| note.datasource == name) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Writes what an earlier process had received whole, and forgets the rest. What the engine does not take waits. Returns how many files were finished.
    pub async fn resume_appends(self: &Arc<Self>, plan: &Plan) -> Result<usize, IngestError> {
        let mut finished = 0;
        let mut folders: Vec<PathBuf> = std::fs::read_dir(self.folder.join("appends"))?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<_>>()?;
        folders.sort();
        for folder in folders {
            // A file of its own is a sample, or rows that nobody has been promised anything about.
            if folder.is_file() {
                std::fs::remove_file(&folder)?;
                continue;
            }
            let note = std::fs::read(folder.join(NOTE))
                .ok()
                .and_then(|bytes| serde_json::from_slice::<Note>(&bytes).ok());
            // What was to replace rows, and was cut off before the exchange, replaces nothing.
            let Some(note) = note.filter(|note| !note.datasource.starts_with(STAGING)) else {
                remove(&folder)?;
                continue;
            };
            if folder.extension().is_some_and(|ending| ending == "held") {
                self.note_held(&note.datasource);
                continue;
            }
            let Some(table) = self.table_of(plan, &note.datasource) else {
                tracing::warn!(
                    datasource = note.datasource,
                    "rows of an append that was cut off wait for a data source that is not there"
                );
                continue;
            };
            let _together = self.together(table).await?;
            match self.take_again(table, &folder).await {
                Ok(()) => finished += 1,
                Err(error) => self.let_wait(table, &folder, &error.to_string()).await,
            }
        }
        Ok(finished)
    }
}

fn csv_columns(table: &TablePlan) -> Vec<String> {
    pipewright_compiler::emit::given_columns(table)
        .map(|column| column.name.clone())
        .collect()
}

/// Writes a body to files while it arrives, as fast as it arrives.
async fn receive(
    known: Known,
    append: &Append,
    body: impl Stream<Item = io::Result<Bytes>> + Send,
    folder: &Path,
) -> Result<Spooled, IngestError> {
    let (chunks, received) = mpsc::channel(8);
    let (folder, format, delimiter) = (folder.to_owned(), append.format, append.delimiter);
    let spooling = tokio::task::spawn_blocking(move || {
        let columns = csv_columns(&known.table);
        let writer = spool::Writer::new(&folder, format, delimiter, columns).of(known);
        spool::spool(writer, received)
    });
    let mut body = std::pin::pin!(body);
    while let Some(chunk) = body.next().await {
        if chunks.send(chunk).await.is_err() {
            // Why the rest is not wanted is in the result.
            break;
        }
    }
    drop(chunks);
    let spooled = spooling.await.map_err(io::Error::other)?;
    spooled.map_err(|error| match error {
        SpoolError::Unreadable(message) => IngestError::Unreadable(message),
        SpoolError::TooLong(message) => IngestError::TooLong(message),
        SpoolError::Io(error) => IngestError::Disk(error),
    })
}

/// Removes an append: its note first, so that a process that dies here does not leave a note of files that are gone.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    match std::fs::remove_file(folder.join(NOTE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::remove_dir_all(folder)
}

/// Writes a file such that it is either whole or not there.
pub(super) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    let draft = path.with_extension("draft");
    let mut file = std::fs::File::create(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    match path.parent() {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
