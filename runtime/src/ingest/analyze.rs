//! A sample → columns and types.

use std::io;
use std::path::Path;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use pipewright_compiler::emit::csv_delimiter;
use pipewright_compiler::sql::{quote_identifier, quote_literal};

use super::given::{Contents, described, of_bytes, readable};
use super::split::{CsvSplitter, likely_delimiter};
use super::{Format, Ingest, IngestError, on_disk, unique};
use crate::engine::{Column, EngineError, Query};

/// How much of a body is looked at. Parquet has its schema at the end, and is read whole up to the larger bound.
const SAMPLE_BYTES: usize = 8 * 1024 * 1024;
const PARQUET_BYTES: usize = 512 * 1024 * 1024;

/// How much of it a server is sent, in the text of a statement.
const SENT_BYTES: usize = 1024 * 1024;

/// What a file looks like.
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    /// The columns in order.
    pub columns: Vec<AnalyzedColumn>,
    /// The first rows, in the engine's `JSON` format.
    pub preview: Bytes,
}

/// A column that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalyzedColumn {
    /// A name for it.
    pub name: String,
    /// Its JSON path, in a file of JSON rows.
    pub path: Option<String>,
    /// The narrowest type that holds all of the sample.
    pub data_type: String,
    /// The share of rows that have a value, from 0 to 1.
    pub present: f64,
}

impl Analysis {
    /// The columns as a `SCHEMA` has them.
    pub fn schema(&self) -> String {
        let columns = self.columns.iter().map(|column| {
            let path = column
                .path
                .as_ref()
                .map_or_else(String::new, |path| format!(" `json:{path}`"));
            format!(
                "{} {}{path}",
                quote_identifier(&column.name),
                column.data_type
            )
        });
        columns.collect::<Vec<_>>().join(", ")
    }
}

impl Ingest {
    /// Guesses the columns and types of a body from its beginning.
    pub async fn analyze(
        &self,
        format: Format,
        delimiter: Option<char>,
        body: impl Stream<Item = io::Result<Bytes>> + Send,
    ) -> Result<Analysis, IngestError> {
        let path = self
            .folder
            .join("appends")
            .join(format!("{}.sample", unique()?));
        let analysis = self.analyze_at(&path, (format, delimiter), body).await;
        if let Err(error) = on_disk(move || std::fs::remove_file(path)).await {
            tracing::warn!(%error, "cannot remove a sample");
        }
        analysis
    }

    async fn analyze_at(
        &self,
        path: &Path,
        (format, delimiter): (Format, Option<char>),
        body: impl Stream<Item = io::Result<Bytes>> + Send,
    ) -> Result<Analysis, IngestError> {
        let limit = if format == Format::Parquet {
            PARQUET_BYTES
        } else if self.on_server {
            SENT_BYTES
        } else {
            SAMPLE_BYTES
        };
        let mut sample = Vec::new();
        let mut body = std::pin::pin!(body);
        let mut cut = false;
        while let Some(chunk) = body.next().await {
            sample.extend_from_slice(&chunk?);
            if sample.len() > limit {
                cut = true;
                break;
            }
        }
        let opened = on_disk(move || Ok((unpacked(&sample, limit)?, sample))).await?;
        let mut sample = match opened {
            (Some(unpacked), _) => {
                cut |= unpacked.len() >= limit;
                unpacked
            }
            (None, sample) => sample,
        };
        if cut {
            if format == Format::Parquet {
                return Err(IngestError::Unreadable(format!(
                    "a Parquet file of more than {} MiB is not analysed",
                    limit / 1024 / 1024
                )));
            }
            sample.truncate(
                sample
                    .iter()
                    .rposition(|byte| *byte == b'\n')
                    .map_or(limit, |at| at + 1),
            );
        }
        let found = self.look_into(path, (format, delimiter), sample).await;
        let (described, shares, preview) = found.map_err(|error| match error {
            IngestError::Engine(error) => unreadable(path, error),
            other => other,
        })?;
        let names: Vec<String> = described.iter().map(|column| column.name.clone()).collect();
        let columns = described
            .into_iter()
            .enumerate()
            .map(|(at, column)| {
                let present = shares.get(at).copied().unwrap_or(1.0);
                // What always has a value need not be Nullable.
                let inner = column
                    .type_name
                    .strip_prefix("Nullable(")
                    .and_then(|rest| rest.strip_suffix(')'));
                let data_type = inner
                    .filter(|_| present >= 1.0)
                    .unwrap_or(&column.type_name)
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" ");
                let each = if data_type.starts_with("Array(") {
                    "[:]"
                } else {
                    ""
                };
                let (path, name) = if format == Format::Ndjson {
                    let (path, name) = path_and_name(&column.name, &names);
                    (Some(format!("{path}{each}")), name)
                } else {
                    (None, column.name)
                };
                AnalyzedColumn {
                    name,
                    path,
                    data_type,
                    present,
                }
            })
            .collect();
        Ok(Analysis { columns, preview })
    }
}

/// What the engine finds in a sample: its columns, the share of rows that have a value in each, and the first rows.
type Found = (Vec<Column>, Vec<f64>, Bytes);

impl Ingest {
    async fn look_into(
        &self,
        path: &Path,
        (format, delimiter): (Format, Option<char>),
        sample: Vec<u8>,
    ) -> Result<Found, IngestError> {
        let delimiter =
            (format == Format::Csv).then(|| delimiter.unwrap_or_else(|| first_delimiter(&sample)));
        let name = match format {
            Format::Csv => "CSV",
            Format::Ndjson => "JSONEachRow",
            Format::Parquet => "Parquet",
        };
        if self.on_server && format != Format::Parquet {
            let rows = of_bytes(name, &sample);
            let query = separated(described(&rows), delimiter);
            let columns = self.engine.described(query).await?;
            return self.looked_at(columns, &rows, delimiter).await;
        }
        let to = path.to_owned();
        on_disk(move || std::fs::write(to, sample)).await?;
        if format == Format::Parquet {
            let description = self.parquet_description(path).await?;
            let columns = self.engine.described(description).await?;
            let types: Vec<(String, String)> = columns
                .iter()
                .map(|column| (column.name.clone(), column.type_name.clone()))
                .collect();
            let given = self.give(path, Contents::Parquet(&types)).await?;
            return self.looked_at(columns, &given.rows, None).await;
        }
        let rows = format!("file({}, '{name}')", quote_literal(&path.to_string_lossy()));
        let query = separated(described(&rows), delimiter);
        let columns = self.engine.described(query).await?;
        self.looked_at(columns, &rows, delimiter).await
    }

    async fn looked_at(
        &self,
        columns: Vec<Column>,
        rows: &str,
        delimiter: Option<char>,
    ) -> Result<Found, IngestError> {
        let shares: Vec<String> = columns
            .iter()
            .map(|column| {
                format!(
                    "round(countIf(isNotNull({})) / greatest(count(), 1), 4)",
                    quote_identifier(&column.name)
                )
            })
            .collect();
        let asked = async |sql: String, format: &str| -> Result<Bytes, EngineError> {
            let query = separated(readable(Query::new(sql, format)), delimiter);
            self.engine.query(query).await?.bytes().await
        };
        let shares = format!("SELECT {} FROM {rows}", shares.join(", "));
        let shares = asked(shares, "JSONCompactEachRow").await?;
        let shares: Vec<f64> = serde_json::from_slice(shares.trim_ascii()).unwrap_or_default();
        let preview = asked(format!("SELECT * FROM {rows} LIMIT 10"), "JSON").await?;
        Ok((columns, shares, preview))
    }
}

/// What separates the fields of a CSV file that begins so.
fn first_delimiter(sample: &[u8]) -> char {
    let mut splitter = CsvSplitter::default();
    let end = (0..sample.len()).find(|at| splitter.scan(&sample[*at..=*at]).1.is_some());
    let first = &sample[..end.unwrap_or(sample.len())];
    likely_delimiter(String::from_utf8_lossy(first).trim_start_matches('\u{feff}'))
}

/// A query over fields that a delimiter separates.
fn separated(query: Query, delimiter: Option<char>) -> Query {
    let settings = delimiter.map(csv_delimiter).unwrap_or_default();
    settings
        .into_iter()
        .fold(query, |query, (name, value)| query.setting(name, value))
}

/// The JSON path of a key, and a name for its column: one with a dot in it would be a part of another.
fn path_and_name(key: &str, names: &[String]) -> (String, String) {
    if !key.contains(['.', '[']) {
        return (format!("$.{key}"), key.to_owned());
    }
    let quote = if key.contains('\'') { '"' } else { '\'' };
    let name = key.replace('.', "_");
    let is_taken = names.contains(&name);
    let name = if is_taken { key.to_owned() } else { name };
    (format!("$[{quote}{key}{quote}]"), name)
}

/// The beginning of what a packed sample holds, if it is packed. It may end anywhere: what is damaged is found when the whole is read.
fn unpacked(sample: &[u8], limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut reader: Box<dyn io::Read + '_> = match super::spool::packed(sample) {
        Some("gzip") => Box::new(flate2::read::MultiGzDecoder::new(sample)),
        Some(_) => Box::new(zstd::stream::read::Decoder::new(sample)?),
        None => return Ok(None),
    };
    let (mut unpacked, mut piece) = (Vec::new(), vec![0; 1 << 16]);
    while unpacked.len() < limit {
        match reader.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(read) => unpacked.extend_from_slice(&piece[..read]),
        }
    }
    Ok(Some(unpacked))
}

fn unreadable(path: &Path, error: EngineError) -> IngestError {
    match error {
        EngineError::Exception { message, .. } => IngestError::Unreadable(format!(
            "the file cannot be read: {}",
            message.replace(&*path.to_string_lossy(), "the file")
        )),
        other => IngestError::Engine(other),
    }
}
