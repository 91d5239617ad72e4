//! The result of a query on its way out: bytes, whole or in chunks, and what they cost.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::{BoxStream, Stream, StreamExt};

use super::EngineError;

/// What a statement cost, by the engine's own count.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Statistics {
    /// Time inside the engine.
    pub elapsed: Duration,
    /// Rows read from tables.
    pub rows_read: u64,
    /// Bytes read from tables, uncompressed.
    pub bytes_read: u64,
}

/// A result: a stream of byte chunks in the format that was asked for.
///
/// Dropping it before its end stops the statement.
pub struct Answer {
    body: Body,
    statistics: Arc<OnceLock<Statistics>>,
}

enum Body {
    Whole(Option<Bytes>),
    Chunks(BoxStream<'static, Result<Bytes, EngineError>>),
}

impl Answer {
    /// A result that is complete.
    pub fn whole(bytes: Bytes, statistics: Statistics) -> Self {
        Self {
            body: Body::Whole(Some(bytes)),
            statistics: Arc::new(OnceLock::from(statistics)),
        }
    }

    /// A result still being made; `statistics` is filled by whoever makes the chunks, when the last one is out.
    pub fn chunks(
        chunks: BoxStream<'static, Result<Bytes, EngineError>>,
        statistics: Arc<OnceLock<Statistics>>,
    ) -> Self {
        Self {
            body: Body::Chunks(chunks),
            statistics,
        }
    }

    /// The same result; an error on the way does not show these values.
    pub(super) fn without(self, values: Vec<String>) -> Self {
        let body = match self.body {
            Body::Chunks(chunks) => Body::Chunks(
                chunks
                    .map(move |chunk| chunk.map_err(|error| error.without(&values)))
                    .boxed(),
            ),
            whole @ Body::Whole(_) => whole,
        };
        Self { body, ..self }
    }

    /// The same result, which fails where it becomes longer than `limit`; at once if it is longer already.
    pub(super) fn limited(self, limit: Option<u64>) -> Result<Self, EngineError> {
        let Some(limit) = limit else {
            return Ok(self);
        };
        let body = match self.body {
            Body::Whole(Some(bytes)) if length(&bytes) > limit => {
                return Err(EngineError::too_long(limit));
            }
            whole @ Body::Whole(_) => whole,
            Body::Chunks(chunks) => Body::Chunks(up_to(chunks, limit)),
        };
        Ok(Self { body, ..self })
    }

    /// What the statement cost: known at once when the result is whole; otherwise after the last chunk, and then rows
    /// and bytes may lack the last blocks read.
    pub fn statistics(&self) -> Option<Statistics> {
        self.statistics.get().copied()
    }

    /// The length in bytes, when the result is whole and unread.
    pub fn length(&self) -> Option<usize> {
        match &self.body {
            Body::Whole(bytes) => Some(bytes.as_ref().map_or(0, Bytes::len)),
            Body::Chunks(_) => None,
        }
    }

    /// All bytes at once, without a copy when there is a single chunk.
    pub async fn bytes(mut self) -> Result<Bytes, EngineError> {
        let Some(first) = self.next().await.transpose()? else {
            return Ok(Bytes::new());
        };
        let Some(second) = self.next().await.transpose()? else {
            return Ok(first);
        };
        let mut all = BytesMut::from(first);
        all.extend_from_slice(&second);
        while let Some(chunk) = self.next().await {
            all.extend_from_slice(&chunk?);
        }
        Ok(all.freeze())
    }
}

fn length(bytes: &Bytes) -> u64 {
    bytes.len().try_into().unwrap_or(u64::MAX)
}

/// Chunks up to the one with which they are longer than `limit`: in its place is an error, and nothing comes behind that.
fn up_to(
    chunks: BoxStream<'static, Result<Bytes, EngineError>>,
    limit: u64,
) -> BoxStream<'static, Result<Bytes, EngineError>> {
    let counted = futures::stream::unfold(Some((chunks, limit)), move |state| async move {
        let (mut chunks, left) = state?;
        let chunk = chunks.next().await?;
        let left = match &chunk {
            Ok(bytes) => left.checked_sub(length(bytes)),
            Err(_) => Some(left),
        };
        Some(match left {
            Some(left) => (chunk, Some((chunks, left))),
            None => (Err(EngineError::too_long(limit)), None),
        })
    });
    counted.boxed()
}

impl Stream for Answer {
    type Item = Result<Bytes, EngineError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.body {
            Body::Whole(bytes) => Poll::Ready(bytes.take().map(Ok)),
            Body::Chunks(chunks) => {
                let chunk = chunks.poll_next_unpin(context);
                // Who compresses an answer may ask once more after its end.
                if matches!(chunk, Poll::Ready(None)) {
                    self.body = Body::Whole(None);
                }
                chunk
            }
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Answer")
            .field("length", &self.length())
            .field("statistics", &self.statistics())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_that_is_at_its_end_stays_there() {
        let made = futures::stream::unfold(0_u8, |made| async move {
            (made < 2).then(|| (Ok(Bytes::from(vec![made])), made + 1))
        });
        let chunks = Answer::chunks(made.boxed(), Arc::default());
        let mut limited = chunks.limited(Some(10)).unwrap();
        assert_eq!(limited.by_ref().count().await, 2);
        // A stream of the library may panic here.
        assert!(limited.next().await.is_none());
    }
}
