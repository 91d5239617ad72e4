//! A body of any length → files of whole rows, in constant memory.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use tokio::sync::mpsc;

use super::certain::Columns;
use super::known::Known;
use super::split::{CsvSplitter, csv_fields, push_line};

/// Largest file of rows, in bytes: one insert, and so one block in memory.
const CHUNK_BYTES: usize = 32 * 1024 * 1024;
/// Most rows of a file, for the same reason.
const CHUNK_ROWS: u64 = 500_000;
/// Longest row.
const ROW_BYTES: usize = 64 * 1024 * 1024;
/// Most memory that unpacking zstd may take for its window, as a power of two: 128 MiB, which is what the format's own tool takes without being asked.
const WINDOW_LOG: u32 = 27;

/// How the names of files end that hold rows as columns.
pub(super) const COLUMNS: &str = "native";

/// How many times its own length a packed body may be when it is unpacked, and how long it may be however short it came: a few bytes must not fill the disk.
const INFLATION: u64 = 500;
const UNPACKED: u64 = 64 * 1024 * 1024;

/// A format of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma-separated values, with or without a header.
    Csv,
    /// A JSON object in each line.
    Ndjson,
    /// Apache Parquet.
    Parquet,
}

impl Format {
    /// The format of that name.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "csv" => Some(Self::Csv),
            "ndjson" | "json" => Some(Self::Ndjson),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// Why a body was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// It is not what it should be.
    #[error("{0}")]
    Unreadable(String),
    /// It is much longer when it is unpacked.
    #[error("{0}")]
    TooLong(String),
    /// It could not be written down, or did not arrive.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A body on disk.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Spooled {
    /// The files, in order, with the rows of each. Parquet has one file, and its rows are counted later.
    pub(super) chunks: Vec<(PathBuf, u64)>,
    /// The columns that the first line of a CSV file names, or how many fields it has.
    pub(super) header: Header,
    /// The columns of the files that hold columns.
    #[serde(default)]
    pub(super) types: Vec<(String, String)>,
}

/// What the first line of a CSV file says.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Header {
    pub(super) names: Option<Vec<String>>,
    pub(super) fields: usize,
    pub(super) delimiter: Option<char>,
}

/// Takes a body from `chunks` until they end, and writes it to files. Blocks.
pub(super) fn spool(
    mut writer: Writer,
    chunks: mpsc::Receiver<io::Result<Bytes>>,
) -> Result<Spooled, SpoolError> {
    let mut body = Body {
        chunks,
        current: Bytes::new(),
        taken: Arc::default(),
    };
    let taken = Arc::clone(&body.taken);
    let start = body.start(4)?;
    let packed = packed(&start);
    body.current = start;
    let Some(packed) = packed else {
        while body.fill()? {
            let chunk = std::mem::take(&mut body.current);
            write(&mut writer, &chunk)?;
        }
        return writer.finish();
    };
    let mut decoder: Box<dyn Read> = if packed == "gzip" {
        Box::new(MultiGzDecoder::new(body))
    } else {
        let mut decoder = zstd::stream::read::Decoder::new(body)?;
        decoder.window_log_max(WINDOW_LOG)?;
        Box::new(decoder)
    };
    let (mut unpacked, mut length) = (vec![0; 1 << 17], 0);
    loop {
        match decoder.read(&mut unpacked) {
            Ok(0) => return writer.finish(),
            Ok(read) => {
                length += read as u64;
                let most = UNPACKED.max(taken.load(Ordering::Relaxed) * INFLATION);
                if length > most {
                    return Err(SpoolError::TooLong(format!(
                        "the {packed} data is more than {INFLATION} times as long when it is unpacked: send it in parts, or not packed"
                    )));
                }
                write(&mut writer, &unpacked[..read])?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {
                return Err(SpoolError::Io(error));
            }
            Err(error) => {
                return Err(SpoolError::Unreadable(format!(
                    "the {packed} data is damaged: {error}"
                )));
            }
        }
    }
}

/// The name of the way in which bytes are packed, by how they begin.
pub(super) fn packed(start: &[u8]) -> Option<&'static str> {
    match start {
        [0x1f, 0x8b, ..] => Some("gzip"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd"),
        _ => None,
    }
}

/// Writes rows; one that is too long is the body's fault.
fn write(writer: &mut Writer, bytes: &[u8]) -> Result<(), SpoolError> {
    writer.write_all(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => SpoolError::Unreadable(error.to_string()),
        _ => SpoolError::Io(error),
    })
}

/// A body as it arrives.
struct Body {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
    /// How many bytes have come.
    taken: Arc<AtomicU64>,
}

impl Body {
    /// Waits until there are bytes; says whether any came.
    fn fill(&mut self) -> io::Result<bool> {
        while self.current.is_empty() {
            match self.chunks.blocking_recv() {
                // Of a kind of its own: what decoders find wrong with the bytes is another matter.
                Some(chunk) => {
                    self.current = chunk
                        .map_err(|error| io::Error::new(io::ErrorKind::ConnectionAborted, error))?;
                    let length = self.current.len() as u64;
                    self.taken.fetch_add(length, Ordering::Relaxed);
                }
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Takes the first bytes, `least` of them if there are so many.
    fn start(&mut self, least: usize) -> io::Result<Bytes> {
        let mut start = BytesMut::new();
        while start.len() < least && self.fill()? {
            start.extend_from_slice(&std::mem::take(&mut self.current));
        }
        Ok(start.freeze())
    }
}

impl Read for Body {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.fill()?;
        let length = into.len().min(self.current.len());
        into[..length].copy_from_slice(&self.current.split_to(length));
        Ok(length)
    }
}

/// Cuts what is written to it into files of whole rows.
pub(super) struct Writer {
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
    /// The rows of a file of columns, which are in no other.
    read: Option<Columns>,
}

impl Writer {
    pub(super) fn new(
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
            read: None,
        }
    }

    /// The same for the rows of a table, of which those are read at once that are known to fit.
    pub(super) fn of(mut self, known: Known) -> Self {
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
        let columns = fitting.and_then(|fitting| fitting.columns);
        let Some(columns) = columns.filter(|_| self.file.is_none()) else {
            if self.read.is_some() {
                self.close()?;
            }
            return self.put(&lines, rows);
        };
        self.read.get_or_insert_default().append(columns);
        self.bytes += lines.len();
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
            self.put(&bytes[start..end], rows)?;
        }
        Ok(end)
    }

    /// Looks at the first record: whether it names columns, and what separates its fields.
    fn is_header(&mut self, record: &[u8]) -> bool {
        let record = String::from_utf8_lossy(record);
        let record = record.trim_start_matches('\u{feff}');
        let delimiter = self.spooled.header.delimiter.unwrap_or_else(|| {
            let count = |delimiter: &char| csv_fields(record, *delimiter).len();
            [',', ';', '\t', '|']
                .into_iter()
                .rev()
                .max_by_key(count)
                .unwrap_or(',')
        });
        let fields = csv_fields(record, delimiter);
        let known = |field: &String| self.columns.iter().any(|column| column == field.trim());
        let is_header =
            fields.iter().any(known) && fields.iter().all(|field| known(field) || is_name(field));
        self.spooled.header = Header {
            names: is_header.then(|| fields.iter().map(|field| field.trim().to_owned()).collect()),
            fields: fields.len(),
            delimiter: Some(delimiter),
        };
        is_header
    }

    fn finish(mut self) -> Result<Spooled, SpoolError> {
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
