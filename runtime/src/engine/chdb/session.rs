//! One connection and what is known about its state.
//!
//! A connection remembers settings, the current database and temporary tables. Nothing of that may reach the next
//! caller, so a session knows the settings it made itself and sends only what differs, and replaces its connection,
//! which takes a fifth of a millisecond, after any statement that could have changed more. It does the same after
//! one that failed or was stopped: what such a statement had written already would else begin the next result.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use pipewright_compiler::sql::first_word;
use tokio::sync::oneshot;

use super::super::format::Framing;
use super::super::{
    Answer, DATABASE, EngineError, Insert, OWN_SETTINGS, Query, Statistics, Written,
};
use super::ffi::{Connection, Library, QueryResult, ResultStream};
use super::making::{Kind, Making, is_long};
use super::outlet::{Bound, Outlet};
use super::pipe::{self, Reader, Writer};
use super::pool::{RowChunk, RowQueue};
use super::ticket::{Stopper, Ticket, Watch};

/// What a query gives back to its caller's task.
pub(super) enum Output {
    /// All of it.
    Whole(Bytes, Statistics),
    /// The end to read chunks from, and where the statistics will be.
    Chunks(Reader, Arc<OnceLock<Statistics>>),
}

impl Output {
    /// The answer for the caller; `watch` stops the statement when the answer is dropped before its end.
    pub(super) fn into_answer(
        self,
        watch: Watch,
        deadline: Option<(tokio::time::Instant, std::time::Duration)>,
    ) -> Answer {
        match self {
            Self::Whole(bytes, statistics) => Answer::whole(bytes, statistics),
            Self::Chunks(reader, statistics) => {
                let state = Some((reader, watch));
                let chunks =
                    futures::stream::unfold(state, move |state| next_chunk(state, deadline));
                Answer::chunks(Box::pin(chunks), statistics)
            }
        }
    }
}

type Reading = Option<(Reader, Watch)>;

async fn next_chunk(
    state: Reading,
    deadline: Option<(tokio::time::Instant, std::time::Duration)>,
) -> Option<(Result<Bytes, EngineError>, Reading)> {
    use futures::StreamExt;
    let (mut reader, watch) = state?;
    let chunk = match deadline {
        None => reader.next().await?,
        // A chunk that is ready would win over a deadline that is over, again and again.
        Some((deadline, limit)) if deadline <= tokio::time::Instant::now() => {
            Err(EngineError::Timeout { limit })
        }
        Some((deadline, limit)) => match tokio::time::timeout_at(deadline, reader.next()).await {
            Ok(chunk) => chunk?,
            Err(_elapsed) => Err(EngineError::Timeout { limit }),
        },
    };
    // Nothing follows an error: dropping the reader and the watch stops the statement.
    let rest = chunk.is_ok().then_some((reader, watch));
    Some((chunk, rest))
}

/// How a statement is known, and stopped.
#[derive(Clone, Copy)]
pub(super) struct Orders<'a> {
    pub(super) ticket: &'a Arc<Ticket>,
    pub(super) stopper: &'a Stopper,
}

impl Orders<'_> {
    /// Has the statement stopped, for a reason that its caller is told.
    pub(super) fn stop(self) {
        self.ticket.stop(self.stopper);
    }
}

/// Where the result of a query goes.
pub(super) type QueryReply = oneshot::Sender<Result<Output, EngineError>>;

/// A connection with known state.
pub(super) struct Session {
    library: &'static Library,
    arguments: Vec<String>,
    connection: Connection,
    settings: BTreeMap<String, String>,
    /// Whether the connection should have been replaced and could not: what the last caller left is still there.
    is_used: bool,
}

impl Session {
    /// Opens a connection.
    pub(super) fn open(
        library: &'static Library,
        arguments: Vec<String>,
    ) -> Result<Self, EngineError> {
        let connection = connect(library, &arguments).map_err(EngineError::Unavailable)?;
        Ok(Self {
            library,
            arguments,
            connection,
            settings: BTreeMap::new(),
            is_used: false,
        })
    }

    /// The bare connection.
    pub(super) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Runs a query and replies. `detach` is called before a long stream of chunks begins; `stopped` says when the
    /// engine is being shut down.
    pub(super) fn query(
        &mut self,
        mut query: Query,
        orders: Orders<'_>,
        reply: QueryReply,
        detach: impl FnOnce(),
        stopped: impl Fn() -> bool,
    ) {
        let ticket = orders.ticket;
        let statement = Statement::of(&query.sql);
        let framing = Framing::of(&query.format);
        let making = if statement.is_select {
            Making::of(&query, framing)
        } else {
            Making::Free
        };
        if let Err(error) = self.prepare(&query, making) {
            ticket.finish();
            let _ = reply.send(Err(error));
            return;
        }
        let ended_well = if statement.is_select && framing != Framing::Document {
            let length = query.sql.len();
            ticket.mark(&mut query.sql, "");
            let call = StreamedCall {
                query: &query,
                length,
                framing,
                ticket,
                started: Instant::now(),
            };
            let ended_well = call.run(&mut self.connection, reply, detach, stopped);
            ticket.finish();
            ended_well
        } else {
            let output = self.run_whole(&query, making, orders);
            ticket.finish();
            let ended_well = output.is_ok();
            let _ = reply.send(output);
            ended_well
        };
        if statement.leaves_state || !ended_well || ticket.is_cancelled() {
            self.renew();
        }
    }

    /// Runs a statement whose result is made in one piece.
    fn run_whole(
        &mut self,
        query: &Query,
        making: Making,
        orders: Orders<'_>,
    ) -> Result<Output, EngineError> {
        if making == Making::Outside {
            return self.run_outside(query, orders);
        }
        let result = self.run_here(query, orders.ticket);
        let most = query.max_result_bytes.unwrap_or(u64::MAX);
        let is_long =
            making == Making::Here && result.error().is_some_and(|said| is_long(&said, most));
        if !is_long || orders.ticket.is_cancelled() {
            return whole(result, &query.sql);
        }
        drop(result);
        Kind::of(&query.sql).was_long();
        self.renew();
        self.prepare(query, Making::Outside)?;
        self.run_outside(query, orders)
    }

    fn run_here(&mut self, query: &Query, ticket: &Ticket) -> QueryResult {
        let mut sql = query.sql.clone();
        ticket.mark(&mut sql, "");
        self.connection
            .query(&sql, &query.format, &query.parameters)
    }

    /// Runs a statement whose text may become long.
    fn run_outside(&mut self, query: &Query, orders: Orders<'_>) -> Result<Output, EngineError> {
        let (Some(bound), Some(outlet)) = (Bound::of(query), Outlet::open()) else {
            return whole(self.run_here(query, orders.ticket), &query.sql);
        };
        let mut sql = query.sql.clone();
        orders.ticket.mark(&mut sql, &outlet.clause(query));
        let (result, text) = outlet.read(bound, orders, || {
            let result = self
                .connection
                .query(&sql, &query.format, &query.parameters);
            if result.error().is_some() {
                // Whatever has gone wrong, a connection that is closed writes nothing any more.
                self.renew();
            }
            result
        })?;
        match result.error() {
            None => Ok(Output::Whole(Bytes::from(text), result.statistics())),
            // What it says may be about what was put behind the statement.
            Some(error) if error.contains("SYNTAX_ERROR") => {
                self.prepare(query, Making::Here)?;
                whole(self.run_here(query, orders.ticket), &query.sql)
            }
            Some(error) => Err(EngineError::from_exception(&error, &query.sql)),
        }
    }

    /// Runs a statement without result.
    pub(super) fn execute(&mut self, sql: &str) -> Result<(), EngineError> {
        self.apply(&BTreeMap::new())?;
        let error = self.connection.query(sql, "Null", &[]).error();
        self.renew();
        error.map_or(Ok(()), |error| {
            Err(EngineError::from_exception(&error, sql))
        })
    }

    /// Streams rows into a table.
    pub(super) fn insert(
        mut self,
        insert: &Insert,
        mut rows: RowQueue,
    ) -> Result<Written, EngineError> {
        // Tables that remember their inserts would drop rows that are the same as those of an earlier insert.
        let mut sql = format!(
            "INSERT INTO {} SETTINGS insert_deduplicate = 0",
            insert.target
        );
        for (name, value) in &insert.settings {
            sql.push_str(", ");
            sql.push_str(&assignment(name, value)?);
        }
        // The session of an insert is not used again, so that nothing has to be cleaned up after a failure.
        let refused = |error: String| EngineError::from_exception(&error, &sql);
        let mut stream = self
            .connection
            .insert(&sql, &insert.format)
            .map_err(refused)?;
        loop {
            match rows.blocking_recv() {
                Some(RowChunk::Rows(chunk)) => stream.append(&chunk).map_err(refused)?,
                Some(RowChunk::End) => break,
                None => {
                    stream.cancel();
                    return Err(EngineError::Cancelled);
                }
            }
        }
        let result = stream.finish();
        if let Some(error) = result.error() {
            return Err(refused(error));
        }
        let (rows, bytes) = result.written();
        Ok(Written { rows, bytes })
    }

    /// Gives the connection the settings of `query` and no others.
    fn prepare(&mut self, query: &Query, making: Making) -> Result<(), EngineError> {
        self.require_fresh()?;
        if self.settings.is_empty() && query.settings.is_empty() && query.max_result_bytes.is_none()
        {
            return Ok(());
        }
        let mut wanted: BTreeMap<String, String> = query.settings.iter().cloned().collect();
        if let Some(most) = query.max_result_bytes {
            let limits = making.limits(most).into_iter();
            wanted.extend(limits.map(|(name, limit)| (name.to_owned(), limit.to_string())));
        }
        self.apply(&wanted)
    }

    fn apply(&mut self, wanted: &BTreeMap<String, String>) -> Result<(), EngineError> {
        self.require_fresh()?;
        if *wanted == self.settings {
            return Ok(());
        }
        // Taking a setting back can be impossible (`readonly`), a new connection never is.
        if self.settings.keys().any(|name| !wanted.contains_key(name)) && !self.reset() {
            self.renew();
            self.require_fresh()?;
        }
        let changed: Vec<String> = wanted
            .iter()
            .filter(|(name, value)| self.settings.get(*name) != Some(value))
            .map(|(name, value)| assignment(name, value))
            .collect::<Result<_, _>>()?;
        if changed.is_empty() {
            return Ok(());
        }
        let set = format!("SET {}", changed.join(", "));
        if let Some(error) = self.connection.query(&set, "Null", &[]).error() {
            self.renew();
            return Err(EngineError::from_exception(&error, ""));
        }
        self.settings.clone_from(wanted);
        Ok(())
    }

    /// Takes all settings back; false if the connection does not allow it.
    fn reset(&mut self) -> bool {
        let defaults: Vec<String> = self
            .settings
            .keys()
            .map(|name| {
                let mut own = OWN_SETTINGS.iter();
                match own.find(|(setting, _)| setting == name) {
                    Some((_, value)) => format!("{name} = '{value}'"),
                    None => format!("{name} = DEFAULT"),
                }
            })
            .collect();
        let set = format!("SET {}", defaults.join(", "));
        let taken_back = self.connection.query(&set, "Null", &[]).error().is_none();
        if taken_back {
            self.settings.clear();
        }
        taken_back
    }

    /// Replaces the connection by a fresh one.
    fn renew(&mut self) {
        match connect(self.library, &self.arguments) {
            Ok(connection) => {
                self.connection = connection;
                self.settings.clear();
                self.is_used = false;
            }
            Err(error) => {
                tracing::error!(error, "a connection to the engine could not be replaced");
                self.is_used = true;
            }
        }
    }

    /// Sees to it that nothing of an earlier caller is left in the connection.
    fn require_fresh(&mut self) -> Result<(), EngineError> {
        if self.is_used {
            self.renew();
        }
        if self.is_used {
            let message = "a connection to the engine cannot be opened";
            return Err(EngineError::Unavailable(message.to_owned()));
        }
        Ok(())
    }
}

/// A connection whose unqualified names are tables of the project's database.
///
/// The library's own default database overlays the file system: there, a name that is no table is opened as a file.
fn connect(library: &'static Library, arguments: &[String]) -> Result<Connection, String> {
    let mut connection = library.connect(arguments)?;
    let own: Vec<String> = OWN_SETTINGS
        .iter()
        .map(|(name, value)| format!("{name} = '{value}'"))
        .collect();
    // Another build of the library may lack one; then it has its own ways in all of this.
    if let Some(error) = connection
        .query(&format!("SET {}", own.join(", ")), "Null", &[])
        .error()
    {
        tracing::debug!(error, "the engine keeps its defaults");
    }
    let enter = format!("USE {DATABASE}");
    if connection.query(&enter, "Null", &[]).error().is_none() {
        return Ok(connection);
    }
    let create = format!("CREATE DATABASE IF NOT EXISTS {DATABASE} ENGINE = Atomic");
    for statement in [create, enter] {
        if let Some(error) = connection.query(&statement, "Null", &[]).error() {
            return Err(error);
        }
    }
    Ok(connection)
}

/// `name = 'value'` for a `SET` or `SETTINGS`.
fn assignment(name: &str, value: &str) -> Result<String, EngineError> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err(EngineError::Exception {
            code: 115,
            name: "UNKNOWN_SETTING".to_owned(),
            message: format!("`{name}` is not the name of a setting"),
            position: None,
        });
    }
    let escaped = value.replace('\\', "\\\\").replace('\'', "\\'");
    Ok(format!("{name} = '{escaped}'"))
}

/// The result of a statement that ran to its end.
fn whole(result: QueryResult, sql: &str) -> Result<Output, EngineError> {
    if let Some(error) = result.error() {
        return Err(EngineError::from_exception(&error, sql));
    }
    let statistics = result.statistics();
    Ok(Output::Whole(Bytes::from_owner(result), statistics))
}

/// The caller's part of a marked statement: positions in error messages must not point behind it.
fn given(query: &Query, length: usize) -> &str {
    query.sql.get(..length).unwrap_or(&query.sql)
}

/// A query whose result may leave in chunks.
struct StreamedCall<'a> {
    query: &'a Query,
    length: usize,
    started: Instant,
    framing: Framing,
    ticket: &'a Ticket,
}

impl StreamedCall<'_> {
    /// Runs the statement and replies; false if it failed or was stopped.
    fn run(
        &self,
        connection: &mut Connection,
        reply: QueryReply,
        detach: impl FnOnce(),
        stopped: impl Fn() -> bool,
    ) -> bool {
        let failed =
            |error: String| EngineError::from_exception(&error, given(self.query, self.length));
        let started =
            connection.stream(&self.query.sql, &self.query.format, &self.query.parameters);
        let (mut stream, first) = match started.map_err(failed) {
            Ok(mut stream) => {
                let first = stream.fetch();
                (stream, first)
            }
            Err(error) => {
                let _ = reply.send(Err(error));
                return false;
            }
        };
        if first.error().is_some() || first.as_ref().is_empty() {
            let output = whole(first, given(self.query, self.length));
            let ended_well = output.is_ok();
            let _ = reply.send(output);
            return ended_well;
        }
        let second = stream.fetch();
        if second.error().is_some() || self.are_too_long(&first, &second) {
            // Nothing has been said yet: it can be an error from the beginning.
            let error = match second.error() {
                Some(error) => failed(error),
                None => EngineError::too_long(self.query.max_result_bytes.unwrap_or(0)),
            };
            let _ = reply.send(Err(error));
            return false;
        }
        if second.as_ref().is_empty() {
            // The whole result fitted into one chunk: the caller learns its length.
            drop(stream);
            self.ticket.finish();
            let _ = reply.send(whole(first, given(self.query, self.length)));
            return true;
        }
        super::guard_exit();
        detach();
        let (writer, reader) = pipe::pipe();
        let statistics = Arc::new(OnceLock::new());
        if reply
            .send(Ok(Output::Chunks(reader, Arc::clone(&statistics))))
            .is_err()
        {
            return false;
        }
        let cost = self.forward(&mut stream, first, second, &writer, &stopped);
        if let Some(cost) = cost {
            let _ = statistics.set(cost);
        }
        drop(stream);
        self.ticket.finish();
        cost.is_some()
    }

    /// Whether the first two chunks alone are longer than the whole may be.
    fn are_too_long(&self, first: &QueryResult, second: &QueryResult) -> bool {
        let length = first.as_ref().len() + second.as_ref().len();
        let most = self.query.max_result_bytes;
        most.is_some_and(|most| u64::try_from(length).unwrap_or(u64::MAX) > most)
    }

    /// Hands chunks over until the result ends; the statistics if it ended well.
    fn forward(
        &self,
        stream: &mut ResultStream<'_>,
        first: QueryResult,
        second: QueryResult,
        writer: &Writer,
        stopped: &impl Fn() -> bool,
    ) -> Option<Statistics> {
        let mut cost = first.statistics();
        writer.write(Ok(Bytes::from_owner(first)), stopped);
        let mut next = second;
        loop {
            if let Some(error) = next.error() {
                writer.fail(EngineError::from_exception(
                    &error,
                    given(self.query, self.length),
                ));
                return None;
            }
            if next.as_ref().is_empty() {
                cost.elapsed = self.started.elapsed();
                return Some(cost);
            }
            cost = later(cost, next.statistics());
            let repeated = self.framing.repeated(next.as_ref());
            let chunk = Bytes::from_owner(next).slice(repeated..);
            if !writer.write(Ok(chunk), stopped) || self.ticket.is_cancelled() {
                if stopped() {
                    writer.fail(EngineError::Cancelled);
                }
                return None;
            }
            next = stream.fetch();
        }
    }
}

/// Each chunk's statistics count from the start of the statement, as far as the reading threads had reported: of the
/// last blocks there may be no report any more.
fn later(one: Statistics, other: Statistics) -> Statistics {
    Statistics {
        elapsed: one.elapsed.max(other.elapsed),
        rows_read: one.rows_read.max(other.rows_read),
        bytes_read: one.bytes_read.max(other.bytes_read),
    }
}

/// What a statement's text says about how it may be run.
#[derive(Debug, PartialEq, Eq)]
struct Statement {
    /// Only a `SELECT` can be fetched in chunks.
    is_select: bool,
    /// It may change the state of its connection.
    leaves_state: bool,
}

impl Statement {
    /// Looks at the first word, past comments and parentheses. In doubt the connection is replaced, which costs
    /// little and is done after the reply.
    fn of(sql: &str) -> Self {
        let start = skip_comments(sql).trim_start_matches('(');
        let start = skip_comments(start);
        let end = start
            .find(|next: char| !next.is_ascii_alphabetic())
            .unwrap_or(start.len());
        let word = start[..end].to_ascii_uppercase();
        let is_select = matches!(word.as_str(), "SELECT" | "WITH" | "FROM");
        let reads = is_select
            || matches!(
                word.as_str(),
                "DESCRIBE" | "DESC" | "EXPLAIN" | "SHOW" | "EXISTS"
            );
        let several = sql
            .trim_end_matches(|last: char| last == ';' || last.is_whitespace())
            .contains(';');
        let readonly = sql
            .as_bytes()
            .windows("readonly".len())
            .any(|window| window.eq_ignore_ascii_case(b"readonly"));
        Self {
            is_select: is_select && !several,
            leaves_state: !reads || several || readonly,
        }
    }
}

/// The text behind leading blanks and comments.
fn skip_comments(sql: &str) -> &str {
    &sql[first_word(sql)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, is_select: bool, leaves_state: bool) {
        let expected = Statement {
            is_select,
            leaves_state,
        };
        assert_eq!(Statement::of(sql), expected, "{sql}");
    }

    #[test]
    fn the_first_word_tells_how_a_statement_may_run() {
        check("SELECT 1", true, false);
        check(
            "-- note\n/* more */ ( with x as (select 1) select * from x);",
            true,
            false,
        );
        check("EXPLAIN SELECT 1", false, false);
        check("SET max_threads = 1", false, true);
        check("SELECT 1; SET readonly = 1", false, true);
        check("SELECT 1 SETTINGS READONLY = 1", true, true);
        check("", false, true);
    }

    #[test]
    fn settings_are_quoted_and_their_names_checked() {
        assert_eq!(
            assignment("a_1", r"it's \ here").unwrap(),
            r"a_1 = 'it\'s \\ here'"
        );
        assert!(assignment("a = 1, b", "1").is_err());
        assert!(assignment("", "1").is_err());
    }
}
