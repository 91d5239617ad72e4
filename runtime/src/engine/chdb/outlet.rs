//! A way out of the engine for answers in one piece that may be long.
//!
//! The library collects the text of such an answer in a buffer of its own, which nothing counts and nothing bounds. So it is told to write the text into a pipe, as into
//! a file, and a thread reads there as far as the answer may be long. Beyond that the statement is stopped.

use std::io::{PipeReader, PipeWriter, Read as _};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::sync::LazyLock;
use std::thread::{self, ScopedJoinHandle};

use super::super::{EngineError, Query};
use super::session::Orders;

/// How much is read at once, and kept ready for a beginning.
const STEP: usize = 64 * 1024;

/// So much is kept ready for a long answer, where it may have as much: what is not used takes no memory.
const MOST_READY: u64 = 1 << 30;

/// How long the text of an answer may be, and what is said of a longer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bound {
    bytes: u64,
    is_of_memory: bool,
}

impl Bound {
    /// The bound of an answer that is kept as a whole, if it has one.
    pub(super) fn of(query: &Query) -> Option<Self> {
        let result = query.max_result_bytes?;
        let settings = query.settings.iter();
        let memory = settings
            .filter(|(name, _)| name == "max_memory_usage")
            .filter_map(|(_, value)| value.parse().ok())
            .find(|bytes| *bytes > 0);
        Some(match memory {
            Some(memory) if memory < result => Self {
                bytes: memory,
                is_of_memory: true,
            },
            _ => Self {
                bytes: result,
                is_of_memory: false,
            },
        })
    }

    fn exceeded(self) -> EngineError {
        if self.is_of_memory {
            EngineError::out_of_memory(self.bytes)
        } else {
            EngineError::too_long(self.bytes)
        }
    }
}

/// A pipe for one answer.
pub(super) struct Outlet {
    reader: PipeReader,
    writer: PipeWriter,
    path: String,
}

impl Outlet {
    /// A pipe that the engine can open as a file; none where there are no such names for what is open.
    pub(super) fn open() -> Option<Self> {
        static ARE_NAMED: LazyLock<bool> = LazyLock::new(|| Path::new("/dev/fd").is_dir());
        if !*ARE_NAMED {
            return None;
        }
        let (reader, writer) = std::io::pipe().ok()?;
        let path = format!("/dev/fd/{}", writer.as_raw_fd());
        Some(Self {
            reader,
            writer,
            path,
        })
    }

    /// What follows a statement so that its answer comes out here. The limits of short answers, which its connection has, are not for it.
    pub(super) fn clause(&self, query: &Query) -> String {
        format!(
            "\nINTO OUTFILE '{}' TRUNCATE FORMAT {} SETTINGS max_result_rows = 0, max_result_bytes = {}",
            self.path,
            query.format,
            query.max_result_bytes.unwrap_or(0)
        )
    }

    /// Runs the statement and reads what it writes; `run` has let go of the pipe, whatever happened, when it returns.
    pub(super) fn read<T>(
        self,
        bound: Bound,
        orders: Orders<'_>,
        run: impl FnOnce() -> T,
    ) -> Result<(T, Vec<u8>), EngineError> {
        let Self { reader, writer, .. } = self;
        thread::scope(|scope| {
            let reading = thread::Builder::new()
                .name("engine-outlet".to_owned())
                .spawn_scoped(scope, || take(reader, bound, orders))?;
            let result = run();
            // The last that could still write: now the reader comes to the end.
            drop(writer);
            Ok((result, joined(reading)?))
        })
    }
}

fn joined(
    reading: ScopedJoinHandle<'_, Result<Vec<u8>, EngineError>>,
) -> Result<Vec<u8>, EngineError> {
    let read = reading.join();
    read.unwrap_or_else(|_| Err(std::io::Error::other("an answer could not be read").into()))
}

/// All that comes, if it is no more than may come.
fn take(mut reader: PipeReader, bound: Bound, orders: Orders<'_>) -> Result<Vec<u8>, EngineError> {
    let mut text = Vec::with_capacity(STEP);
    let most = usize::try_from(bound.bytes).unwrap_or(usize::MAX);
    loop {
        if text.len() == text.capacity() {
            let ready = usize::try_from(bound.bytes.min(MOST_READY)).unwrap_or(usize::MAX);
            // Once for most answers, so that they are never there twice.
            let more = ready.saturating_sub(text.len()).max(text.len()) + 1;
            if text.try_reserve_exact(more).is_err() && text.try_reserve(STEP).is_err() {
                drop(text);
                drain(reader, orders);
                return Err(EngineError::out_of_memory(bound.bytes));
            }
        }
        let room = text.capacity() - text.len();
        let taken = (&mut reader).take(room as u64).read_to_end(&mut text);
        match taken {
            Err(error) => {
                drain(reader, orders);
                return Err(error.into());
            }
            Ok(0) => {
                // What was kept ready and is far more than was needed is given back.
                if text.len() < text.capacity() / 2 {
                    text.shrink_to_fit();
                }
                return Ok(text);
            }
            Ok(_) if text.len() > most => {
                drop(text);
                drain(reader, orders);
                return Err(bound.exceeded());
            }
            Ok(_) => {}
        }
    }
}

/// Stops the statement, and takes what it writes before it notices.
fn drain(mut reader: PipeReader, orders: Orders<'_>) {
    orders.stop();
    _ = std::io::copy(&mut reader, &mut std::io::sink());
}
