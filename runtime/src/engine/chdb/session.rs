//! One connection and what is known about its state.
//!
//! A connection remembers settings, the current database and temporary tables. Nothing of that may reach the next
//! caller, so a session knows the settings it made itself and sends only what differs, and replaces its connection,
//! which takes a fifth of a millisecond, after any statement that could have changed more. It does the same after
//! one that failed or was stopped: what such a statement had written already would else begin the next result.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::super::format::Framing;
use super::super::{DATABASE, EngineError, Insert, OWN_SETTINGS, Query, Written};
use super::ffi::{Connection, Library, QueryResult};
use super::making::{Kind, Making, is_long};
use super::outlet::{Bound, Outlet};
use super::output::{Output, QueryReply, whole};
use super::pool::{RowChunk, RowQueue};
use super::statement::Statement;
use super::streamed::StreamedCall;
use super::ticket::{Stopper, Ticket};

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
        let error = match self.lead_out(query, orders, None)? {
            Ok(output) => return Ok(output),
            Err(error) => error,
        };
        // What it says may be about what was put behind the statement.
        if error.contains("SYNTAX_ERROR") {
            if let Some(error) = self.syntax_error(query, orders.ticket) {
                return Err(error);
            }
            // Behind brackets the engine takes settings and nothing after them.
            if let Some(at) = last_settings(&query.sql)
                && let Ok(output) = self.lead_out(query, orders, Some(at))?
            {
                return Ok(output);
            }
        }
        Err(EngineError::from_exception(&error, &query.sql))
    }

    /// Runs a statement so that its text comes out of the engine on the way; what the engine says against it is the inner error. `settings` is where its own `SETTINGS`
    /// stand that the way out has to come before.
    fn lead_out(
        &mut self,
        query: &Query,
        orders: Orders<'_>,
        settings: Option<usize>,
    ) -> Result<Result<Output, String>, EngineError> {
        let (Some(bound), Some(outlet)) = (Bound::of(query), Outlet::open()) else {
            // Where nothing can be led out, only what the engine counts bounds the answer.
            self.prepare(query, Making::Free)?;
            return whole(self.run_here(query, orders.ticket), &query.sql).map(Ok);
        };
        let clause = outlet.clause(query);
        let mut sql = query.sql.clone();
        match settings {
            None => orders.ticket.mark(&mut sql, &clause),
            Some(at) => {
                sql.replace_range(at..at + SETTINGS.len(), &format!("{clause}, "));
                orders.ticket.mark(&mut sql, "");
            }
        }
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
        Ok(match result.error() {
            None => Ok(Output::Whole(Bytes::from(text), result.statistics())),
            Some(error) => Err(error),
        })
    }

    /// What the engine says of a statement that it cannot read, with nothing behind it. It is not run: a caller may write such words into an error of his own.
    fn syntax_error(&mut self, query: &Query, ticket: &Ticket) -> Option<EngineError> {
        const PARSE: &str = "EXPLAIN AST ";
        let mut sql = format!("{PARSE}{}", query.sql);
        let length = sql.len();
        ticket.mark(&mut sql, "");
        let said = self.connection.query(&sql, "Null", &query.parameters);
        let error = EngineError::from_exception(&said.error()?, &sql[..length]);
        Some(error.shifted(PARSE.len(), query.sql.len()))
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

const SETTINGS: &str = "SETTINGS";

/// Where the last word `SETTINGS` of a statement begins, as far as its letters tell.
fn last_settings(sql: &str) -> Option<usize> {
    let bytes = sql.as_bytes();
    let mut windows = bytes.windows(SETTINGS.len());
    windows.rposition(|window| window.eq_ignore_ascii_case(SETTINGS.as_bytes()))
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

#[cfg(test)]
mod tests {
    use super::*;

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
