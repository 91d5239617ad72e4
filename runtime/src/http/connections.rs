//! Connections: accepted up to a number, read and written with patience but not without end, and brought to an end when the server stops.
//!
//! A client that sends its head, sends its body or takes its answer too slowly is cut off: each holds a connection, and with it memory and perhaps a query.
//! Slow means: no step forward for the time that `[limits]` gives, or all in all slower than [`SLOWEST`] bytes in a second beyond that time.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Request, header};
use axum::response::{IntoResponse as _, Response};
use axum::{BoxError, Router};
use futures::FutureExt as _;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::error::ApiError;
use super::leaving;

/// Bytes in a second below which a client is too slow.
const SLOWEST: u64 = 1024;

/// The unit in which memory for bodies is counted out.
const UNIT: u64 = 1024;

/// What a body takes without its being counted, so that small ones get in however many large ones there are. Connections are counted, and with them this.
pub(super) const SMALL: u64 = 64 * 1024;

/// The longest head of a request.
const HEAD: usize = 128 * 1024;

/// How long no connection is accepted when there is no file handle left for one.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// What clients may take up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Most connections at once; further ones wait to be accepted.
    pub(super) connections: usize,
    /// How long a client may rest between two requests, and take to send a head.
    pub(super) idle: Duration,
    /// How long a client may stand still while it sends a body or takes an answer.
    pub(super) stall: Duration,
    /// How long a client may take to send a body that is kept in memory.
    pub(super) whole: Duration,
    /// Largest body that is kept in memory.
    pub(super) body_bytes: usize,
    /// Memory for the bodies of all requests under way.
    pub(super) bodies_bytes: usize,
    /// How long requests under way may take when the server stops.
    pub(super) last: Duration,
}

/// The memory for bodies, for who unpacks one: what it becomes counts like what came.
#[derive(Debug, Clone)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    /// Takes so many bytes more, if they are there; what is held is given back when `held` is dropped.
    pub(super) fn hold(&self, bytes: u64, held: &mut Option<OwnedSemaphorePermit>) -> bool {
        let Ok(units) = u32::try_from(bytes.div_ceil(UNIT)) else {
            return false;
        };
        let Ok(permit) = Arc::clone(&self.0).try_acquire_many_owned(units) else {
            return false;
        };
        match held {
            Some(held) => held.merge(permit),
            None => *held = Some(permit),
        }
        true
    }
}

/// Serves until `stop` is done, then finishes the requests under way.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    patience: Patience,
    stop: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(patience.connections.max(1)));
    let units = patience.bodies_bytes.max(patience.body_bytes) as u64 / UNIT + 1;
    let units = usize::try_from(units).unwrap_or(Semaphore::MAX_PERMITS);
    let room = Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS)));
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = &mut stop => break,
        };
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                sleep(EXHAUSTED).await;
                continue;
            }
        };
        let served = connection(stream, router.clone(), patience, Arc::clone(&room));
        let served = graceful.watcher().watch(served);
        tokio::spawn(async move {
            // A client that breaks off or is cut off is no matter of the log.
            _ = served.await;
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(patience.last, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("some requests did not end in time and are cut off");
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // Answers are small and complete: waiting to fill a packet only delays them.
    _ = stream.set_nodelay(true);
    Ok((stream, place))
}

type Answered = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

fn connection(
    stream: TcpStream,
    router: Router,
    patience: Patience,
    room: Arc<Semaphore>,
) -> http1::Connection<
    TokioIo<Outgoing>,
    impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future = Answered>,
> {
    // Goes with the connection, before what feeds the bodies of its requests.
    let alive = Arc::new(());
    let service = service_fn(move |request: Request<Incoming>| -> Answered {
        if request.body().is_end_stream() {
            return leaving::answer(router.clone(), request.map(|_| Body::empty())).boxed();
        }
        let cut = Arc::new(AtomicU8::new(0));
        // What holds the body does not live as long as the bytes: these go into the request's parameters, and with them into its query.
        let held = Held::default();
        let body = PatientBody::new(&patience, Arc::clone(&room), held.clone(), Arc::clone(&cut));
        let connection = Arc::downgrade(&alive);
        let mut request = request.map(|incoming| Body::new(body.reads(incoming, connection)));
        request.extensions_mut().insert(Room(Arc::clone(&room)));
        let answer = leaving::answer(router.clone(), request);
        async move {
            let answer = answer.await?;
            drop(held.0.lock().unwrap_or_else(PoisonError::into_inner).take());
            let mut answer = match cut.load(Ordering::Acquire) {
                WHOLE => return Ok(answer),
                TOO_SLOW => {
                    ApiError::Timeout("the body came too slowly".to_owned()).into_response()
                }
                NO_ROOM => ApiError::TooMany.into_response(),
                _ => answer,
            };
            // What is left of the body cannot be told from the next request: there is none.
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(header::CONNECTION, close);
            Ok(answer)
        }
        .boxed()
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.idle)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(Outgoing::new(stream, patience.stall)), service)
}

/// How long one side has been waited for, and what it has brought forward.
#[derive(Debug)]
struct Pace {
    stall: Duration,
    bytes: u64,
    waited: Duration,
    since: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    fn new(stall: Duration) -> Self {
        Self {
            stall,
            bytes: 0,
            waited: Duration::ZERO,
            since: None,
            alarm: None,
        }
    }

    fn moved(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
    }

    /// Notes that the other side is waited for; ready when that has taken too long.
    fn poll_expired(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let allowed = self.stall + Duration::from_secs(self.bytes / SLOWEST);
        if self.since.is_none() {
            let now = Instant::now();
            self.since = Some(now);
            let deadline = now + allowed.saturating_sub(self.waited).min(self.stall);
            match &mut self.alarm {
                Some(alarm) => alarm.as_mut().reset(deadline),
                None => self.alarm = Some(Box::pin(sleep_until(deadline))),
            }
        }
        match &mut self.alarm {
            Some(alarm) => alarm.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

/// Why a body was cut off.
const TOO_SLOW: u8 = 1;
const NO_ROOM: u8 = 2;
/// It was not: all of it was read.
const WHOLE: u8 = 3;

/// What a request has of the memory for bodies until it is answered.
#[derive(Debug, Clone, Default)]
struct Held(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

/// The body of a request, read with patience.
#[derive(Debug)]
struct PatientBody {
    incoming: Option<Incoming>,
    /// The length that the client said.
    length: Option<u64>,
    connection: Weak<()>,
    pace: Pace,
    cut: Arc<AtomicU8>,
    room: Arc<Semaphore>,
    /// Most that a request holds of the memory: what is longer is not kept in memory as a whole.
    most: u64,
    held: Held,
    held_bytes: u64,
}

impl PatientBody {
    fn new(patience: &Patience, room: Arc<Semaphore>, held: Held, cut: Arc<AtomicU8>) -> Self {
        Self {
            incoming: None,
            length: None,
            connection: Weak::new(),
            pace: Pace::new(patience.stall),
            cut,
            room,
            most: patience.body_bytes as u64,
            held,
            held_bytes: 0,
        }
    }

    fn reads(mut self, incoming: Incoming, connection: Weak<()>) -> Self {
        self.length = incoming.size_hint().exact();
        self.incoming = Some(incoming);
        self.connection = connection;
        self
    }

    /// Whether the end that was seen is that of the connection: work that goes on without it must not take half a body for a whole one.
    fn is_broken_off(&self) -> bool {
        match self.length {
            Some(length) => self.pace.bytes < length,
            None => self.connection.strong_count() == 0,
        }
    }

    /// Takes room for another piece of the body beyond its first [`SMALL`] one, in whole [`UNIT`]s.
    fn hold(&mut self, bytes: u64) -> bool {
        let wanted = (self.pace.bytes + bytes)
            .min(self.most)
            .saturating_sub(SMALL);
        let wanted = wanted.div_ceil(UNIT);
        let missing = wanted.saturating_sub(self.held_bytes / UNIT);
        let Some(missing) = u32::try_from(missing).ok().filter(|missing| *missing > 0) else {
            return true;
        };
        let Ok(permit) = Arc::clone(&self.room).try_acquire_many_owned(missing) else {
            return false;
        };
        self.held_bytes += u64::from(missing) * UNIT;
        let mut held = self.held.0.lock().unwrap_or_else(PoisonError::into_inner);
        match held.as_mut() {
            Some(held) => held.merge(permit),
            None => *held = Some(permit),
        }
        drop(held);
        true
    }

    fn cut_off(&mut self, why: u8, words: &str) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.incoming = None;
        self.cut.store(why, Ordering::Release);
        Poll::Ready(Some(Err(words.into())))
    }
}

impl http_body::Body for PatientBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Some(incoming) = &mut this.incoming else {
            return Poll::Ready(None);
        };
        match Pin::new(incoming).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                if !this.hold(bytes as u64) {
                    return this.cut_off(NO_ROOM, "there is no room for the body");
                }
                this.pace.moved(bytes);
                if this.length == Some(this.pace.bytes) {
                    this.cut.store(WHOLE, Ordering::Release);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) if this.is_broken_off() => {
                this.incoming = None;
                Poll::Ready(Some(Err("the body was broken off".into())))
            }
            Poll::Ready(other) => {
                if other.is_none() {
                    this.cut.store(WHOLE, Ordering::Release);
                }
                Poll::Ready(other.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => match this.pace.poll_expired(context) {
                Poll::Ready(()) => this.cut_off(TOO_SLOW, "the body came too slowly"),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming
            .as_ref()
            .is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

/// The way out to a client, which ends when the client does not take what is written.
#[derive(Debug)]
struct Outgoing {
    stream: TcpStream,
    pace: Pace,
}

impl Outgoing {
    fn new(stream: TcpStream, stall: Duration) -> Self {
        Self {
            stream,
            pace: Pace::new(stall),
        }
    }

    fn paced(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => {
                self.pace.moved(bytes);
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                ready!(self.pace.poll_expired(context));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl AsyncRead for Outgoing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Outgoing {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.paced(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.paced(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
