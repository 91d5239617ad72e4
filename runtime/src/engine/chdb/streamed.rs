//! A query whose result may leave in chunks, before its end is known.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;

use super::super::format::Framing;
use super::super::{EngineError, Query, Statistics};
use super::ffi::{Connection, QueryResult, ResultStream};
use super::output::{Output, QueryReply, whole};
use super::pipe::{self, Writer};
use super::ticket::Ticket;

/// The caller's part of a marked statement: positions in error messages must not point behind it.
fn given(query: &Query, length: usize) -> &str {
    query.sql.get(..length).unwrap_or(&query.sql)
}

/// A query whose result may leave in chunks.
pub(super) struct StreamedCall<'a> {
    pub(super) query: &'a Query,
    /// How long the caller's part of the marked statement is, in bytes.
    pub(super) length: usize,
    pub(super) started: Instant,
    pub(super) framing: Framing,
    pub(super) ticket: &'a Ticket,
}

impl StreamedCall<'_> {
    /// Runs the statement and replies; false if it failed or was stopped.
    pub(super) fn run(
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
