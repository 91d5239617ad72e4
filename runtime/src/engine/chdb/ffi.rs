//! The C interface of libchdb, and the only unsafe code of Pipewright.
//!
//! SQL text goes in, owned buffers come out. The types here keep the library's rules so that the rest of the runtime
//! cannot break them: a [`Connection`] stays on the thread that opened it and runs one statement at a time, a stream
//! ends before its connection closes, and each handle is freed exactly once. The library is opened once and never
//! unmapped, because its background threads outlive every connection.
#![expect(unsafe_code, reason = "libchdb is called through its C interface")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use super::super::Statistics;

/// What a `chdb_connection` points to: never looked into.
#[repr(C)]
struct RawConnection {
    _opaque: [u8; 0],
}

/// What a `chdb_result *` points to: never looked into.
#[repr(C)]
struct RawResult {
    _opaque: [u8; 0],
}

/// What a `chdb_insert_stream` points to: never looked into.
#[repr(C)]
struct RawInsert {
    _opaque: [u8; 0],
}

type ConnectionHandle = *mut RawConnection;

/// Declares the table of functions and how it is filled from the library.
macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions of libchdb that are used, by their names without `chdb_`.
        struct Functions {
            $($name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl Functions {
            fn load(library: &libloading::Library) -> Result<Self, libloading::Error> {
                Ok(Self {
                    $($name: {
                        let symbol = concat!("chdb_", stringify!($name), "\0");
                        // SAFETY: the types above are those of the library's header; the pointer outlives the
                        // `Symbol` because the library is never unmapped.
                        unsafe { *library.get(symbol.as_bytes())? }
                    },)*
                })
            }
        }
    };
}

functions! {
    connect: fn(c_int, *mut *mut c_char) -> *mut ConnectionHandle;
    close_conn: fn(*mut ConnectionHandle);
    query_with_params_n: fn(
        ConnectionHandle, *const c_char, usize, *const c_char, usize,
        *const *const c_char, *const usize, *const *const c_char, *const usize, usize
    ) -> *mut RawResult;
    stream_query_with_params_n: fn(
        ConnectionHandle, *const c_char, usize, *const c_char, usize,
        *const *const c_char, *const usize, *const *const c_char, *const usize, usize
    ) -> *mut RawResult;
    stream_fetch_result: fn(ConnectionHandle, *mut RawResult) -> *mut RawResult;
    stream_cancel_query: fn(ConnectionHandle, *mut RawResult);
    destroy_query_result: fn(*mut RawResult);
    result_buffer: fn(*mut RawResult) -> *mut c_char;
    result_length: fn(*mut RawResult) -> usize;
    result_elapsed: fn(*mut RawResult) -> f64;
    result_storage_rows_read: fn(*mut RawResult) -> u64;
    result_storage_bytes_read: fn(*mut RawResult) -> u64;
    result_rows_written: fn(*mut RawResult) -> u64;
    result_bytes_written: fn(*mut RawResult) -> u64;
    result_error: fn(*mut RawResult) -> *const c_char;
    stream_insert_n: fn(ConnectionHandle, *const c_char, usize, *const c_char, usize) -> *mut RawInsert;
    stream_append: fn(*mut RawInsert, *const c_void, usize) -> c_int;
    stream_done: fn(*mut RawInsert) -> *mut RawResult;
    stream_cancel_insert: fn(*mut RawInsert);
    stream_insert_error: fn(*mut RawInsert) -> *const c_char;
    destroy_insert_stream: fn(*mut RawInsert);
    set_signal_handlers_enabled: fn(c_int);
    version: fn() -> *const c_char;
}

/// libchdb, mapped into this process.
pub struct Library {
    functions: Functions,
    path: PathBuf,
    /// Kept so that the library stays mapped.
    _mapping: libloading::Library,
}

impl std::fmt::Debug for Library {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Library")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Library {
    /// Maps the library at `path`, or returns the one that is mapped already: there can be one in a process.
    pub fn open(path: &Path) -> Result<&'static Self, String> {
        static OPENED: OnceLock<Library> = OnceLock::new();
        static OPENING: Mutex<()> = Mutex::new(());
        let _guard = OPENING
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(library) = OPENED.get() {
            return Ok(library);
        }
        let library = Self::map(path).map_err(|error| {
            // What the system's loader said is the error's cause.
            match std::error::Error::source(&error) {
                Some(reason) => format!("it is no libchdb that can be used here: {reason}"),
                None => format!("it is no libchdb that can be used here: {error}"),
            }
        })?;
        Ok(OPENED.get_or_init(|| library))
    }

    fn map(path: &Path) -> Result<Self, libloading::Error> {
        // SAFETY: running the library's constructors is what opening it means; the caller names a libchdb.
        let library = unsafe { libloading::Library::new(path) }?;
        let functions = Functions::load(&library)?;
        // SAFETY: takes an integer; called before the first connection, as the library asks. Its handlers for crashes
        // would otherwise replace those of the Rust runtime and of the host.
        unsafe { (functions.set_signal_handlers_enabled)(0) };
        Ok(Self {
            functions,
            path: path.to_owned(),
            _mapping: library,
        })
    }

    /// Where the library was found.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The version of chDB, which is close to that of ClickHouse but not the same.
    pub fn version(&self) -> String {
        // SAFETY: the library returns a static string that ends in a zero byte.
        unsafe { CStr::from_ptr((self.functions.version)()) }
            .to_string_lossy()
            .into_owned()
    }

    /// Opens a connection with command-line arguments such as `--path=<folder>`.
    pub fn connect(&'static self, arguments: &[String]) -> Result<Connection, String> {
        let owned: Vec<CString> = std::iter::once("clickhouse")
            .chain(arguments.iter().map(String::as_str))
            .map(|argument| CString::new(argument).map_err(|error| error.to_string()))
            .collect::<Result<_, _>>()?;
        let mut pointers: Vec<*mut c_char> = owned
            .iter()
            .map(|argument| argument.as_ptr().cast_mut())
            .collect();
        let count = c_int::try_from(pointers.len()).map_err(|error| error.to_string())?;
        // SAFETY: `pointers` holds `count` strings that live until the call returns; the library copies them.
        let slot = unsafe { (self.functions.connect)(count, pointers.as_mut_ptr()) };
        NonNull::new(slot)
            // SAFETY: a slot that is not null holds a handle, null when the connection failed.
            .filter(|slot| unsafe { !slot.as_ref().is_null() })
            .map(|slot| Connection {
                library: self,
                slot,
            })
            .ok_or_else(|| "the engine could not open its data folder".to_owned())
    }
}

/// Names and values of `{name:Type}` placeholders, laid out as the C interface wants them.
struct Parameters<'a> {
    names: Vec<*const c_char>,
    name_lengths: Vec<usize>,
    values: Vec<*const c_char>,
    value_lengths: Vec<usize>,
    _borrowed: PhantomData<&'a str>,
}

impl<'a> Parameters<'a> {
    fn new(parameters: &'a [(String, String)]) -> Self {
        Self {
            names: parameters
                .iter()
                .map(|(name, _)| name.as_ptr().cast())
                .collect(),
            name_lengths: parameters.iter().map(|(name, _)| name.len()).collect(),
            values: parameters
                .iter()
                .map(|(_, value)| value.as_ptr().cast())
                .collect(),
            value_lengths: parameters.iter().map(|(_, value)| value.len()).collect(),
            _borrowed: PhantomData,
        }
    }
}

/// One connection. It is neither `Send` nor `Sync`: it belongs to the thread that opened it.
pub struct Connection {
    library: &'static Library,
    slot: NonNull<ConnectionHandle>,
}

impl Connection {
    /// Runs a statement to its end. An exception is in the result.
    pub fn query(
        &mut self,
        sql: &str,
        format: &str,
        parameters: &[(String, String)],
    ) -> QueryResult {
        let bound = Parameters::new(parameters);
        // SAFETY: all pointers are valid for their lengths during the call, and the connection is open.
        let raw = unsafe {
            (self.library.functions.query_with_params_n)(
                *self.slot.as_ptr(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                bound.names.as_ptr(),
                bound.name_lengths.as_ptr(),
                bound.values.as_ptr(),
                bound.value_lengths.as_ptr(),
                parameters.len(),
            )
        };
        QueryResult::new(self.library, raw)
    }

    /// Starts a `SELECT` whose result is fetched in chunks, each formatted as a document of its own.
    pub fn stream(
        &mut self,
        sql: &str,
        format: &str,
        parameters: &[(String, String)],
    ) -> Result<ResultStream<'_>, String> {
        let bound = Parameters::new(parameters);
        // SAFETY: as in `query`.
        let raw = unsafe {
            (self.library.functions.stream_query_with_params_n)(
                *self.slot.as_ptr(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                bound.names.as_ptr(),
                bound.name_lengths.as_ptr(),
                bound.values.as_ptr(),
                bound.value_lengths.as_ptr(),
                parameters.len(),
            )
        };
        let handle = QueryResult::new(self.library, raw);
        match handle.error() {
            Some(error) => Err(error),
            None => Ok(ResultStream {
                connection: self,
                handle,
                ended: false,
            }),
        }
    }

    /// Starts an insert whose rows are appended in chunks. `sql` ends before the data.
    pub fn insert(&mut self, sql: &str, format: &str) -> Result<InsertStream<'_>, String> {
        let functions = &self.library.functions;
        // SAFETY: both texts are valid for their lengths, and the connection is open.
        let raw = unsafe {
            (functions.stream_insert_n)(
                *self.slot.as_ptr(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
            )
        };
        let handle = NonNull::new(raw).ok_or("the engine returned no insert stream")?;
        let stream = InsertStream {
            library: self.library,
            handle,
            _connection: PhantomData,
        };
        match stream.error() {
            Some(error) => Err(error),
            None => Ok(stream),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the slot came from `connect` and is closed once; streams borrow the connection, so none is open.
        unsafe { (self.library.functions.close_conn)(self.slot.as_ptr()) };
    }
}

/// A result's buffer, owned by the library and freed on drop.
pub struct QueryResult {
    library: &'static Library,
    raw: *mut RawResult,
}

// SAFETY: a finished result is a plain buffer with numbers; the library lets any thread read and free it.
unsafe impl Send for QueryResult {}
// SAFETY: nothing here changes the result before it is dropped.
unsafe impl Sync for QueryResult {}

impl QueryResult {
    fn new(library: &'static Library, raw: *mut RawResult) -> Self {
        Self { library, raw }
    }

    /// The text of the exception, if the statement failed.
    pub fn error(&self) -> Option<String> {
        if self.raw.is_null() {
            return Some("the engine returned no result".to_owned());
        }
        // SAFETY: the result is valid; the text is null or ends in a zero byte and lives as long as the result.
        unsafe { text((self.library.functions.result_error)(self.raw)) }
    }

    /// What the statement cost.
    pub fn statistics(&self) -> Statistics {
        let functions = &self.library.functions;
        // SAFETY: the functions read numbers of a result that is valid, or null, which they take for zero.
        unsafe {
            Statistics {
                elapsed: Duration::try_from_secs_f64((functions.result_elapsed)(self.raw))
                    .unwrap_or_default(),
                rows_read: (functions.result_storage_rows_read)(self.raw),
                bytes_read: (functions.result_storage_bytes_read)(self.raw),
            }
        }
    }

    /// Rows and bytes written by an insert.
    pub fn written(&self) -> (u64, u64) {
        let functions = &self.library.functions;
        // SAFETY: as in `statistics`.
        unsafe {
            (
                (functions.result_rows_written)(self.raw),
                (functions.result_bytes_written)(self.raw),
            )
        }
    }
}

impl AsRef<[u8]> for QueryResult {
    fn as_ref(&self) -> &[u8] {
        let functions = &self.library.functions;
        // SAFETY: the buffer is valid for its length as long as the result; null stands for an empty one.
        unsafe {
            let length = (functions.result_length)(self.raw);
            let buffer = (functions.result_buffer)(self.raw);
            if buffer.is_null() || length == 0 {
                return &[];
            }
            slice::from_raw_parts(buffer.cast(), length)
        }
    }
}

impl Drop for QueryResult {
    fn drop(&mut self) {
        // SAFETY: freed once; null is accepted.
        unsafe { (self.library.functions.destroy_query_result)(self.raw) };
    }
}

/// A `SELECT` that is still running. Dropping it stops the statement.
pub struct ResultStream<'connection> {
    connection: &'connection mut Connection,
    handle: QueryResult,
    ended: bool,
}

impl ResultStream<'_> {
    /// The next chunk; an empty one without an error is the end.
    pub fn fetch(&mut self) -> QueryResult {
        let library = self.connection.library;
        // SAFETY: connection and stream are open; the stream was made by this connection.
        let raw = unsafe {
            (library.functions.stream_fetch_result)(*self.connection.slot.as_ptr(), self.handle.raw)
        };
        let chunk = QueryResult::new(library, raw);
        self.ended = chunk.as_ref().is_empty();
        chunk
    }
}

impl Drop for ResultStream<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let functions = &self.connection.library.functions;
            // SAFETY: as in `fetch`; the handle itself is freed by its own drop.
            unsafe {
                (functions.stream_cancel_query)(*self.connection.slot.as_ptr(), self.handle.raw);
            };
        }
    }
}

/// An insert that is still open. Dropping it without [`InsertStream::finish`] gives up the rows not yet written.
pub struct InsertStream<'connection> {
    library: &'static Library,
    handle: NonNull<RawInsert>,
    _connection: PhantomData<&'connection mut Connection>,
}

impl InsertStream<'_> {
    /// Hands over a chunk of rows; waits while the engine is busy with earlier ones.
    pub fn append(&mut self, chunk: &[u8]) -> Result<(), String> {
        // SAFETY: the stream is open, and the library copies the chunk.
        let state = unsafe {
            (self.library.functions.stream_append)(
                self.handle.as_ptr(),
                chunk.as_ptr().cast(),
                chunk.len(),
            )
        };
        match state {
            0 => Ok(()),
            _ => Err(self
                .error()
                .unwrap_or_else(|| "the engine did not take the rows".to_owned())),
        }
    }

    /// Ends the insert and waits until its rows are in the table.
    pub fn finish(self) -> QueryResult {
        // SAFETY: the stream is open; the result is owned by the caller, the stream is freed by its drop.
        let raw = unsafe { (self.library.functions.stream_done)(self.handle.as_ptr()) };
        QueryResult::new(self.library, raw)
    }

    /// Gives up the rows that are not yet written.
    pub fn cancel(self) {
        // SAFETY: the stream is open; it is freed by its drop.
        unsafe { (self.library.functions.stream_cancel_insert)(self.handle.as_ptr()) };
    }

    fn error(&self) -> Option<String> {
        // SAFETY: the text is null or ends in a zero byte and lives as long as the stream.
        unsafe {
            text((self.library.functions.stream_insert_error)(
                self.handle.as_ptr(),
            ))
        }
    }
}

impl Drop for InsertStream<'_> {
    fn drop(&mut self) {
        // SAFETY: freed once; the library cancels the insert first if it was not finished.
        unsafe { (self.library.functions.destroy_insert_stream)(self.handle.as_ptr()) };
    }
}

/// Has the process call `hook` when it exits, before what is registered at this moment. Returns whether it will.
pub fn at_exit(hook: extern "C" fn()) -> bool {
    unsafe extern "C" {
        fn atexit(function: extern "C" fn()) -> c_int;
    }
    // SAFETY: a plain function stays valid for as long as the process lives.
    unsafe { atexit(hook) == 0 }
}

/// Lets the library take UTC for the time zone of this machine, whatever that is: what a query answers, and into which partition a row goes, must not depend on where
/// the process runs. To be called before there is a second thread.
pub fn keep_universal_time() {
    // SAFETY: nobody else reads the environment while the process has one thread.
    unsafe { std::env::set_var("TZ", "UTC") }
}

/// Copies a C string, null standing for none.
///
/// # Safety
/// `pointer` must be null or point to a text that ends in a zero byte.
unsafe fn text(pointer: *const c_char) -> Option<String> {
    if ptr::eq(pointer, ptr::null()) {
        return None;
    }
    // SAFETY: promised by the caller.
    Some(
        unsafe { CStr::from_ptr(pointer) }
            .to_string_lossy()
            .into_owned(),
    )
}
