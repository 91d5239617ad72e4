//! A body of any length → files of whole rows, in constant memory.

mod writer;

use std::io::{self, Read, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use tokio::sync::mpsc;

pub(super) use writer::{COLUMNS, Writer};

/// Most memory that unpacking zstd may take for its window, as a power of two: 128 MiB, which is what the format's own tool takes without being asked.
const WINDOW_LOG: u32 = 27;

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

    /// The format that the name of a file, packed or not, says.
    pub fn of_file(name: &str) -> Option<Self> {
        let packed = [".gz", ".zst"];
        let name = packed
            .iter()
            .find_map(|ending| name.strip_suffix(ending))
            .unwrap_or(name);
        match name.rsplit_once('.')?.1 {
            "jsonl" => Some(Self::Ndjson),
            ending => Self::parse(ending),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Parquet => "parquet",
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
