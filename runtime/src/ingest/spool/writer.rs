//! Bytes → files of whole rows: as they came, or as columns where they are known to fit.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::super::certain::{Columns, Records};
use super::super::known::Known;
use super::super::split::{CsvSplitter, csv_fields, likely_delimiter, push_line};
use super::{Format, Header, SpoolError, Spooled};

/// Largest file of rows, in bytes: one insert, and so one block in memory.
const CHUNK_BYTES: usize = 32 * 1024 * 1024;

/// Most rows of a file, for the same reason.
const CHUNK_ROWS: u64 = 500_000;

/// Longest row.
const ROW_BYTES: usize = 64 * 1024 * 1024;

/// How the names of files end that hold rows as columns.
pub(in crate::ingest) const COLUMNS: &str = "native";

/// Cuts what is written to it into files of whole rows.
pub(in crate::ingest) struct Writer {
    folder: PathBuf,
    format: Format,
    columns: Vec<String>,
    spooled: Spooled,
    file: Option<BufWriter<File>>,
    bytes: usize,
    rows: u64,
    /// The start of a row whose end has not come.
    rest: Vec<u8>,
    /// How much of it was looked at without finding the end.
    looked: usize,
    csv: CsvSplitter,
    headed: bool,
    known: Option<Known>,
    /// What is known of the records of a CSV file, once its columns are.
    records: Option<Records>,
    /// The rows of a file of columns, which are in no other.
    read: Option<Columns>,
}

impl Writer {
    pub(in crate::ingest) fn new(
        folder: &Path,
        format: Format,
        delimiter: Option<char>,
        columns: Vec<String>,
    ) -> Self {
        let header = Header {
            delimiter,
            ..Header::default()
        };
        Self {
            folder: folder.to_owned(),
            format,
            columns,
            spooled: Spooled {
                header,
                ..Spooled::default()
            },
            file: None,
            bytes: 0,
            rows: 0,
            rest: Vec::new(),
            looked: 0,
            csv: CsvSplitter::default(),
            headed: false,
            known: None,
            records: None,
            read: None,
        }
    }

    /// The same for the rows of a table, of which those are read at once that are known to fit.
    pub(in crate::ingest) fn of(mut self, known: Known) -> Self {
        self.spooled.types = known.types().to_vec();
        self.known = Some(known);
        self
    }

    fn put(&mut self, bytes: &[u8], rows: u64) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let path = self
                    .folder
                    .join(format!("{:06}.rows", self.spooled.chunks.len()));
                let file = File::create(&path)?;
                self.spooled.chunks.push((path, 0));
                none.insert(BufWriter::with_capacity(1 << 16, file))
            }
        };
        file.write_all(bytes)?;
        self.bytes += bytes.len();
        self.rows += rows;
        if self.format != Format::Parquet && self.is_full() {
            self.close()?;
        }
        Ok(())
    }

    /// Writes lines as they are, or keeps what was read of them for a file of columns. Rows that are not known to fit end such a file, and what follows is written as
    /// it is until theirs is full: else a row now and then would make many small files.
    fn put_lines(&mut self, lines: Vec<u8>, rows: u64) -> io::Result<()> {
        let (lines, fitting) = match &self.known {
            Some(known) => known.read_here(lines.into()),
            None => (lines.into(), None),
        };
        self.put_read(&lines, rows, fitting.and_then(|fitting| fitting.columns))
    }

    /// Writes rows as they are, unless they have been read and may be kept as that.
    fn put_read(&mut self, bytes: &[u8], rows: u64, columns: Option<Columns>) -> io::Result<()> {
        let Some(columns) = columns.filter(|_| self.file.is_none()) else {
            if self.read.is_some() {
                self.close()?;
            }
            return self.put(bytes, rows);
        };
        self.read.get_or_insert_default().append(columns);
        self.bytes += bytes.len();
        self.rows += rows;
        if self.is_full() {
            self.close()?;
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.bytes >= CHUNK_BYTES || self.rows >= CHUNK_ROWS
    }

    /// The path of the next file.
    fn next_path(&self, ending: &str) -> PathBuf {
        let number = self.spooled.chunks.len();
        self.folder.join(format!("{number:06}.{ending}"))
    }

    fn close(&mut self) -> io::Result<()> {
        if let Some(columns) = self.read.take() {
            let path = self.next_path(COLUMNS);
            let mut file = File::create(&path)?;
            columns.write(&self.spooled.types, &mut file)?;
            file.sync_data()?;
            self.spooled.chunks.push((path, 0));
        }
        if let Some(mut file) = self.file.take() {
            file.flush()?;
            file.get_ref().sync_data()?;
        }
        if let Some(chunk) = self.spooled.chunks.last_mut() {
            chunk.1 += self.rows;
        }
        (self.bytes, self.rows) = (0, 0);
        Ok(())
    }

    /// Writes the whole rows at the start of `bytes`; returns how many bytes they are.
    fn take_rows(&mut self, bytes: &[u8], last: bool) -> io::Result<usize> {
        match self.format {
            Format::Parquet => {
                self.put(bytes, 0)?;
                Ok(bytes.len())
            }
            Format::Ndjson => {
                let end = if last {
                    bytes.len()
                } else {
                    bytes
                        .iter()
                        .rposition(|byte| *byte == b'\n')
                        .map_or(0, |at| at + 1)
                };
                let mut lines = Vec::with_capacity(end + 1);
                let rows = bytes[..end]
                    .split(|byte| *byte == b'\n')
                    .filter(|line| push_line(&mut lines, line))
                    .count();
                if rows > 0 {
                    self.put_lines(lines, rows as u64)?;
                }
                Ok(end)
            }
            Format::Csv => self.take_records(bytes, last),
        }
    }

    fn take_records(&mut self, bytes: &[u8], last: bool) -> io::Result<usize> {
        let mut start = 0;
        if !self.headed {
            let mut first = CsvSplitter::default();
            let end = (0..bytes.len())
                .find(|at| first.scan(&bytes[*at..=*at]).1.is_some())
                .map(|at| at + 1);
            let Some(end) = end.or(last.then_some(bytes.len())) else {
                return Ok(0);
            };
            self.headed = true;
            if self.is_header(&bytes[..end]) {
                start = end;
            }
        }
        self.csv.quoted_from_start();
        let (mut rows, end) = self.csv.scan(&bytes[start..]);
        let mut end = start + end.unwrap_or(0);
        if last && end < bytes.len() && !bytes[end..].trim_ascii().is_empty() {
            rows += 1;
            end = bytes.len();
        }
        if end > start {
            let records = &bytes[start..end];
            let known = self.records.as_ref().filter(|_| self.file.is_none());
            let columns = known.and_then(|known| known.read(records));
            self.put_read(records, rows, columns)?;
        }
        Ok(end)
    }

    /// Looks at the first record: whether it names columns, and what separates its fields.
    fn is_header(&mut self, record: &[u8]) -> bool {
        let record = String::from_utf8_lossy(record);
        let record = record.trim_start_matches('\u{feff}');
        let given = self.spooled.header.delimiter;
        let delimiter = given.unwrap_or_else(|| likely_delimiter(record));
        let fields = csv_fields(record, delimiter);
        let known = |field: &String| self.columns.iter().any(|column| column == field.trim());
        let is_header =
            fields.iter().any(known) && fields.iter().all(|field| known(field) || is_name(field));
        self.spooled.header = Header {
            names: is_header.then(|| fields.iter().map(|field| field.trim().to_owned()).collect()),
            fields: fields.len(),
            delimiter: Some(delimiter),
        };
        let names = self.spooled.header.names.as_deref();
        let known = self.known.as_ref();
        self.records = known.and_then(|known| known.records(names, delimiter));
        if let Some(records) = &self.records {
            self.spooled.types = records.types().to_vec();
        }
        is_header
    }

    pub(super) fn finish(mut self) -> Result<Spooled, SpoolError> {
        let rest = std::mem::take(&mut self.rest);
        self.take_rows(&rest, true)?;
        self.close()?;
        Ok(self.spooled)
    }
}

fn is_name(field: &str) -> bool {
    let field = field.trim();
    field.starts_with(|first: char| first.is_alphabetic() || first == '_')
        && field
            .chars()
            .all(|character| character.is_alphanumeric() || "_ .-".contains(character))
}

impl CsvSplitter {
    /// Scanning begins again at the start of a record.
    fn quoted_from_start(&mut self) {
        *self = Self::default();
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            let taken = self.take_rows(bytes, false)?;
            self.rest.extend_from_slice(&bytes[taken..]);
            self.looked = self.rest.len();
        } else {
            self.rest.extend_from_slice(bytes);
            // A row that is not whole yet is looked at again only when as much more of it has come: else its bytes would be looked at with each piece.
            if self.rest.len() >= 2 * self.looked {
                let whole = std::mem::take(&mut self.rest);
                let taken = self.take_rows(&whole, false)?;
                self.rest = whole;
                self.rest.drain(..taken);
                self.looked = self.rest.len();
            }
        }
        if self.rest.len() > ROW_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a row is longer than {} MiB", ROW_BYTES / 1024 / 1024),
            ));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_row_that_comes_in_small_pieces_takes_no_time_for_each() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["a".to_owned()];
        for (format, row) in [
            (Format::Csv, format!("\"{}\"\n", "x\n".repeat(1 << 22))),
            (
                Format::Ndjson,
                format!("{{\"a\":\"{}\"}}\n", "x".repeat(1 << 23)),
            ),
        ] {
            let started = std::time::Instant::now();
            let mut writer = Writer::new(folder.path(), format, None, names.to_vec());
            for piece in [row.as_bytes(), b"1\n"].concat().chunks(1 << 10) {
                writer.write_all(piece).unwrap();
            }
            let spooled = writer.finish().unwrap();
            let rows: u64 = spooled.chunks.iter().map(|(_, rows)| rows).sum();
            assert_eq!(rows, 2, "{format:?}");
            // Each of the eight thousand pieces a look at the whole would be minutes.
            assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
        }
    }
}
