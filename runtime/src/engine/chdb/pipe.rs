//! Chunks on their way from a blocking thread to an async reader.
//!
//! A few chunks may wait; then the writer does, so that a slow client slows the statement down instead of filling
//! memory. Either side sees at once when the other is gone.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;

use super::super::EngineError;

/// Chunks that may wait. One is about 65,000 rows.
const CAPACITY: usize = 2;

/// How often a writer that waits looks whether the engine is being shut down.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Default)]
struct State {
    chunks: VecDeque<Result<Bytes, EngineError>>,
    waker: Option<Waker>,
    ended: bool,
    abandoned: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    room: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end that the engine's thread writes to.
pub(super) struct Writer(Arc<Shared>);

/// The end that is read from.
pub(super) struct Reader(Arc<Shared>);

/// A new pipe.
pub(super) fn pipe() -> (Writer, Reader) {
    let shared = Arc::new(Shared::default());
    (Writer(Arc::clone(&shared)), Reader(shared))
}

impl Writer {
    /// Waits for room and hands the chunk over; false when nobody reads any more or `stopped` says so.
    pub(super) fn write(
        &self,
        chunk: Result<Bytes, EngineError>,
        stopped: impl Fn() -> bool,
    ) -> bool {
        let mut state = self.0.state();
        while state.chunks.len() >= CAPACITY && !state.abandoned {
            if stopped() {
                return false;
            }
            let waited = self.0.room.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.abandoned {
            return false;
        }
        state.chunks.push_back(chunk);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
        true
    }

    /// Ends the stream with an error, room or not.
    pub(super) fn fail(&self, error: EngineError) {
        self.0.state().chunks.push_back(Err(error));
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.ended = true;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }
}

impl Stream for Reader {
    type Item = Result<Bytes, EngineError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.0.state();
        if let Some(chunk) = state.chunks.pop_front() {
            self.0.room.notify_one();
            return Poll::Ready(Some(chunk));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.state().abandoned = true;
        self.0.room.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;

    #[tokio::test]
    async fn chunks_arrive_in_order_and_the_writer_waits_for_room() {
        let (writer, reader) = pipe();
        let thread = std::thread::spawn(move || {
            (0..100u8).all(|number| writer.write(Ok(Bytes::from(vec![number])), || false))
        });
        let chunks: Vec<u8> = reader.map(|chunk| chunk.unwrap()[0]).collect().await;
        assert_eq!(chunks, (0..100).collect::<Vec<u8>>());
        assert!(thread.join().unwrap());
    }

    #[test]
    fn a_writer_without_reader_stops() {
        let (writer, reader) = pipe();
        let thread = std::thread::spawn(move || {
            let mut written = 0;
            while writer.write(Ok(Bytes::from_static(b"x")), || false) {
                written += 1;
            }
            written
        });
        std::thread::sleep(Duration::from_millis(20));
        drop(reader);
        assert_eq!(thread.join().unwrap(), CAPACITY);
    }
}
