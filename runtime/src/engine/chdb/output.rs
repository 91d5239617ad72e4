//! What a statement gives back: all of it, or chunks as they come.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::{Answer, EngineError, Statistics};
use super::ffi::QueryResult;
use super::pipe::Reader;
use super::ticket::Watch;

/// What a query gives back to its caller's task.
pub(super) enum Output {
    /// All of it.
    Whole(Bytes, Statistics),
    /// The end to read chunks from, and where the statistics will be.
    Chunks(Reader, Arc<OnceLock<Statistics>>),
}

impl Output {
    /// The answer for the caller; `watch` stops the statement when the answer is dropped before its end.
    pub(super) fn into_answer(self, watch: Watch, deadline: Option<(Instant, Duration)>) -> Answer {
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
    deadline: Option<(Instant, Duration)>,
) -> Option<(Result<Bytes, EngineError>, Reading)> {
    use futures::StreamExt;
    let (mut reader, watch) = state?;
    let chunk = match deadline {
        None => reader.next().await?,
        // A chunk that is ready would win over a deadline that is over, again and again.
        Some((deadline, limit)) if deadline <= Instant::now() => {
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

/// Where the result of a query goes.
pub(super) type QueryReply = oneshot::Sender<Result<Output, EngineError>>;

/// The result of a statement that ran to its end.
pub(super) fn whole(result: QueryResult, sql: &str) -> Result<Output, EngineError> {
    if let Some(error) = result.error() {
        return Err(EngineError::from_exception(&error, sql));
    }
    let statistics = result.statistics();
    Ok(Output::Whole(Bytes::from_owner(result), statistics))
}
