//! A file of rows as the engine reads it: the embedded engine opens the file, and a server is sent what is in it.
//!
//! A server's statements need a table to read from, so that the file goes into one that is made for it alone. It keeps rows in the order in which they came,
//! and gives them in the same blocks each time, as the file itself would: a file that is sent again goes in once.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use pipewright_compiler::emit::{csv_fields, csv_settings};
use pipewright_compiler::sql::{quote_identifier, quote_literal};
use tokio::runtime::Handle;

use super::kept::pieces;
use super::{Ingest, IngestError, on_disk, unique};
use crate::engine::{Engine, Insert, Query};

/// How the tables begin that files of rows are sent into.
pub(super) const GIVEN: &str = "pw_rows_";

/// The longest description of columns that a Parquet file may have.
const FOOTER_BYTES: u64 = 16 * 1024 * 1024;

/// What a Parquet file begins and ends with.
const PARQUET: &[u8] = b"PAR1";

/// The first release of ClickHouse that reads rows as they are sent here.
const SINCE: [u32; 2] = [23, 8];

/// Whether a server is too old to be sent rows.
pub(super) fn is_too_old(version: &str) -> bool {
    let numbers = version.split('.').map_while(|number| number.parse().ok());
    let numbers: Vec<u32> = numbers.take(SINCE.len()).collect();
    !numbers.is_empty() && numbers.as_slice() < SINCE.as_slice()
}

/// What is in a file of rows.
#[derive(Debug, Clone, Copy)]
pub(super) enum Contents<'a> {
    /// A row in each line, as a text `line`.
    Lines,
    /// Columns of these names and types.
    Columns(&'a [(String, String)]),
    /// Fields of so many columns.
    Csv { columns: usize, delimiter: char },
    /// A Parquet file with columns of these names and types.
    Parquet(&'a [(String, String)]),
}

impl Contents<'_> {
    /// The engine's name for the format.
    fn format(self) -> &'static str {
        match self {
            Self::Lines => "LineAsString",
            Self::Columns(_) => "Native",
            Self::Csv { .. } => "CSV",
            Self::Parquet(_) => "Parquet",
        }
    }

    fn columns(self) -> String {
        match self {
            Self::Lines => "line String".to_owned(),
            Self::Columns(columns) | Self::Parquet(columns) => {
                let columns = columns
                    .iter()
                    .map(|(name, data_type)| format!("{} {data_type}", quote_identifier(name)));
                columns.collect::<Vec<_>>().join(", ")
            }
            Self::Csv { columns, .. } => csv_fields(columns),
        }
    }

    /// The file as the embedded engine opens it.
    fn of_file(self, path: &Path) -> String {
        let (path, format) = (quote_literal(&path.to_string_lossy()), self.format());
        match self {
            Self::Parquet(_) => format!("file({path}, '{format}')"),
            _ => format!(
                "file({path}, '{format}', {})",
                quote_literal(&self.columns())
            ),
        }
    }

    /// Settings under which a server reads the bytes.
    fn settings(self) -> Vec<(String, String)> {
        // All rows are to be there when the statement is done, in their order, whatever is usual on the server.
        let mut settings = vec![("async_insert".to_owned(), "0".to_owned())];
        if let Self::Csv { delimiter, .. } = self {
            let csv = csv_settings(delimiter).into_iter();
            settings.extend(csv.map(|(name, value)| (name.to_owned(), value)));
        }
        settings
    }
}

/// The rows of a file, for statements; a table that was made for them goes with this.
pub(super) struct Given {
    /// A table expression.
    pub(super) rows: String,
    _made: Option<Made>,
}

/// A table of a server that is taken away when it is dropped.
struct Made {
    engine: Arc<dyn Engine>,
    table: String,
}

impl Drop for Made {
    fn drop(&mut self) {
        // Without a runtime the process ends; the next one sweeps.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let engine = Arc::clone(&self.engine);
        let sql = format!("DROP TABLE IF EXISTS {} SYNC", self.table);
        runtime.spawn(async move {
            if let Err(error) = engine.execute(&sql).await {
                tracing::warn!(%error, "cannot remove a table of rows that were sent");
            }
        });
    }
}

impl Ingest {
    /// The rows of a file as statements read them.
    pub(super) async fn give(
        &self,
        path: &Path,
        contents: Contents<'_>,
    ) -> Result<Given, IngestError> {
        if !self.on_server {
            return Ok(Given {
                rows: contents.of_file(path),
                _made: None,
            });
        }
        let name = format!("{GIVEN}{}", unique()?.replace('-', "_"));
        let table = quote_identifier(&name);
        let given = Given {
            rows: table.clone(),
            _made: Some(Made {
                engine: Arc::clone(&self.engine),
                table: table.clone(),
            }),
        };
        let columns = contents.columns();
        self.engine
            .execute(&format!("CREATE TABLE {table} ({columns}) ENGINE = Log"))
            .await?;
        let insert = Insert {
            target: table,
            format: contents.format().to_owned(),
            settings: contents.settings(),
        };
        self.engine
            .insert(insert, pieces(path.to_owned()).boxed())
            .await?;
        Ok(given)
    }

    /// The query that describes the columns of a Parquet file. A server is sent the file's own description, which stands at its end.
    pub(super) async fn parquet_description(&self, path: &Path) -> Result<Query, IngestError> {
        if !self.on_server {
            let rows = Contents::Parquet(&[]).of_file(path);
            return Ok(described(&rows));
        }
        let path = path.to_owned();
        let footer = on_disk(move || footer(&path)).await?;
        let footer = footer.ok_or_else(|| {
            IngestError::Unreadable("the file is not Parquet: it does not end as one".to_owned())
        })?;
        Ok(described(&of_bytes("Parquet", &footer)))
    }
}

/// A query for the columns of a table expression.
pub(super) fn described(rows: &str) -> Query {
    readable(Query::new(
        format!("DESCRIBE TABLE {rows}"),
        "JSONCompactEachRow",
    ))
}

/// A statement of any length.
pub(super) fn readable(query: Query) -> Query {
    let length = query.sql.len() + 1024;
    query.setting("max_query_size", length.to_string())
}

/// Bytes as rows of a format that has its columns in itself.
pub(super) fn of_bytes(format: &str, bytes: &[u8]) -> String {
    format!(
        "format({format}, base64Decode('{}'))",
        STANDARD.encode(bytes)
    )
}

/// The shortest file with the columns of a Parquet file; `None` where it is no such file. Blocks.
fn footer(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    if length < 12 {
        return Ok(None);
    }
    let mut end = [0; 8];
    file.seek(SeekFrom::End(-8))?;
    file.read_exact(&mut end)?;
    let (size, magic) = end.split_at(4);
    let size = u64::from(u32::from_le_bytes(size.try_into().unwrap_or_default()));
    if magic != PARQUET || size > FOOTER_BYTES.min(length - 12) {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(length - 8 - size))?;
    let mut whole = PARQUET.to_vec();
    file.read_to_end(&mut whole)?;
    Ok(Some(whole))
}

#[cfg(test)]
mod tests {
    use super::is_too_old;

    #[test]
    fn a_server_of_before_23_8_is_too_old() {
        for old in ["18.16.1", "22.8.1.1", "23.7.9"] {
            assert!(is_too_old(old), "{old}");
        }
        for new in ["23.8.1.1", "23.12.3", "24.1.1", "26.7.2.1", "head"] {
            assert!(!is_too_old(new), "{new}");
        }
    }
}
