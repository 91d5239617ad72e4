//! Threads that run statements.
//!
//! Statements wait in one queue; as many threads as the engine has connections take them from it. A result that is
//! read slowly and an insert that is fed slowly would each hold a thread for as long as their client likes, so they
//! run beside the pool: a stream that turns out to be long has its thread replaced, an insert gets its own.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};

use super::super::{EngineError, Insert, Query, Written};
use super::ffi::Library;
use super::output::QueryReply;
use super::session::{Orders, Session};
use super::ticket::{self, Stop, Stopper, Ticket};

/// Rows on their way to the thread of an insert.
pub(super) enum RowChunk {
    /// Some bytes.
    Rows(Bytes),
    /// All bytes have been sent; without this, an insert whose sender is gone is given up.
    End,
}

/// The end that the thread of an insert reads.
pub(super) type RowQueue = mpsc::Receiver<RowChunk>;

/// A statement to run, and where its result goes.
pub(super) enum Job {
    Query {
        query: Query,
        ticket: Arc<Ticket>,
        reply: QueryReply,
    },
    Execute {
        sql: String,
        reply: oneshot::Sender<Result<(), EngineError>>,
    },
}

/// Long streams and inserts that may run beside the pool at the same time.
const MAX_BESIDE: usize = 64;

/// The stack of a thread that runs statements, in bytes. The engine follows thousands of names that are given to one another by calling itself, and does not look
/// whether there is room: what it takes as text (see `max_query_size`) has room here. Only what is used costs memory.
const STACK: usize = 64 * 1024 * 1024;

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Threads with nothing to do. The last to come is the first to be woken: what it needs is still in the caches.
    idle: Vec<Thread>,
    closed: bool,
}

/// The threads, their queue and the stopper.
pub(super) struct Pool {
    library: &'static Library,
    arguments: Vec<String>,
    queue: Mutex<Queue>,
    /// Statements that are running now.
    running: AtomicUsize,
    beside: AtomicUsize,
    stopped: AtomicBool,
    stopping: watch::Sender<bool>,
    stopper: Stopper,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Pool")
            .field("library", self.library)
            .field("running", &self.running)
            .finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// Starts the threads; returns the pool and ClickHouse's version.
    pub(super) fn start(
        library: &'static Library,
        arguments: Vec<String>,
        size: usize,
    ) -> Result<(Arc<Self>, String), EngineError> {
        let (stopper, orders) = std::sync::mpsc::channel();
        let pool = Arc::new(Self {
            library,
            arguments,
            queue: Mutex::default(),
            running: AtomicUsize::new(0),
            beside: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            stopping: watch::Sender::new(false),
            stopper,
            threads: Mutex::default(),
        });
        // The stopper's connection is the first to open and the last to close: while it lives, the others come and go.
        let (opened, version) = std::sync::mpsc::channel();
        let (library, arguments) = (pool.library, pool.arguments.clone());
        pool.spawn("engine-stopper", move |_| {
            match open_stopper(library, arguments) {
                Ok((mut session, version)) => {
                    let _ = opened.send(Ok(version));
                    ticket::stop_statements(session.connection(), &orders);
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                }
            }
        })?;
        let version = version.recv().unwrap_or_else(|_| {
            Err(EngineError::Unavailable(
                "the engine did not start".to_owned(),
            ))
        })?;
        // All connections are open when this returns, so that a failure is this caller's and not a later one's.
        let (opened, outcomes) = std::sync::mpsc::channel();
        let spawned: Result<(), EngineError> =
            (0..size).try_for_each(|_| pool.spawn_worker(Some(opened.clone())));
        drop(opened);
        let outcome: Result<(), EngineError> = spawned.and_then(|()| outcomes.iter().collect());
        if let Err(error) = outcome {
            pool.stop(Duration::ZERO, None);
            return Err(error);
        }
        Ok((pool, version))
    }

    /// Queues a statement.
    pub(super) fn submit(&self, job: Job) -> Result<(), EngineError> {
        let mut queue = locked(&self.queue);
        if queue.closed {
            return Err(closed());
        }
        queue.jobs.push_back(job);
        let idle = queue.idle.pop();
        drop(queue);
        if let Some(idle) = idle {
            idle.unpark();
        }
        Ok(())
    }

    /// Starts an insert on a thread of its own.
    pub(super) fn submit_insert(
        self: &Arc<Self>,
        insert: Insert,
        rows: RowQueue,
        reply: oneshot::Sender<Result<Written, EngineError>>,
    ) -> Result<(), EngineError> {
        if locked(&self.queue).closed {
            return Err(closed());
        }
        let Some(place) = Beside::enter(self) else {
            return Err(EngineError::Unavailable(format!(
                "{MAX_BESIDE} inserts and long results are running already"
            )));
        };
        self.spawn("engine-insert", move |pool| {
            let _place = place;
            let _running = Running::enter(pool);
            let session = Session::open(pool.library, pool.arguments.clone());
            let written = session.and_then(|session| session.insert(&insert, rows));
            let _ = reply.send(written);
        })
    }

    /// Where statements to stop are announced.
    pub(super) fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Turns true when the engine stops everything.
    pub(super) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Takes no more statements, lets those that run go on for `grace`, stops the rest and ends all threads. If some
    /// cannot be stopped, which DDL cannot, it gives up waiting after `patience`, when there is one.
    pub(super) fn stop(&self, grace: Duration, patience: Option<Duration>) {
        let (waiting, idle) = {
            let mut queue = locked(&self.queue);
            queue.closed = true;
            (
                std::mem::take(&mut queue.jobs),
                std::mem::take(&mut queue.idle),
            )
        };
        drop(waiting);
        idle.iter().for_each(Thread::unpark);
        let until = Instant::now() + grace;
        while self.running.load(Ordering::SeqCst) > 0 && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        self.stopped.store(true, Ordering::SeqCst);
        self.stopping.send_replace(true);
        if self.running.load(Ordering::SeqCst) > 0 {
            let _ = self.stopper.send(Stop::Everything);
            let start = Instant::now();
            while self.running.load(Ordering::SeqCst) > 0 {
                if patience.is_some_and(|patience| start.elapsed() > patience) {
                    return;
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
        let _ = self.stopper.send(Stop::Quit);
        loop {
            let threads = std::mem::take(&mut *locked(&self.threads));
            if threads.is_empty() {
                return;
            }
            for thread in threads {
                // A thread that panicked has nothing left to clean up.
                let _ = thread.join();
            }
        }
    }

    fn spawn(
        self: &Arc<Self>,
        name: &str,
        run: impl FnOnce(&Arc<Self>) + Send + 'static,
    ) -> Result<(), EngineError> {
        let pool = Arc::clone(self);
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .stack_size(STACK)
            .spawn(move || run(&pool))?;
        let mut threads = locked(&self.threads);
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
        Ok(())
    }

    /// Starts a thread of the pool; whether its connection opened is sent to `opened`.
    fn spawn_worker(
        self: &Arc<Self>,
        opened: Option<std::sync::mpsc::Sender<Result<(), EngineError>>>,
    ) -> Result<(), EngineError> {
        self.spawn("engine-query", move |pool| {
            let session = Session::open(pool.library, pool.arguments.clone());
            let (session, outcome) = match session {
                Ok(session) => (Some(session), Ok(())),
                Err(error) => (None, Err(error)),
            };
            match opened {
                Some(opened) => drop(opened.send(outcome)),
                None => {
                    if let Err(error) = outcome {
                        tracing::error!(%error, "a connection to the engine could not be opened");
                    }
                }
            }
            if let Some(session) = session {
                pool.work(session);
            }
        })
    }

    /// Runs statements until the queue closes, or until a long stream took this thread out of the pool.
    fn work(self: &Arc<Self>, mut session: Session) {
        while let Some((job, _running)) = self.next() {
            match job {
                Job::Execute { sql, reply } => {
                    let _ = reply.send(session.execute(&sql));
                }
                Job::Query {
                    query,
                    ticket,
                    reply,
                } => {
                    if !ticket.begin() {
                        ticket.finish();
                        continue;
                    }
                    super::guard_exit();
                    let mut place = None;
                    let detach = || {
                        place = Beside::enter(self).filter(|_| self.spawn_worker(None).is_ok());
                    };
                    let is_stopped = || self.stopped.load(Ordering::SeqCst);
                    let orders = Orders {
                        ticket: &ticket,
                        stopper: &self.stopper,
                    };
                    session.query(query, orders, reply, detach, is_stopped);
                    ticket.finish();
                    if place.is_some() {
                        return;
                    }
                }
            }
        }
    }

    fn next(self: &Arc<Self>) -> Option<(Job, Running)> {
        let this = thread::current();
        loop {
            let mut queue = locked(&self.queue);
            // It is still there when it woke for no reason.
            queue.idle.retain(|idle| idle.id() != this.id());
            if let Some(job) = queue.jobs.pop_front() {
                // Counted before the lock is given back, so that `stop` overlooks no statement.
                return Some((job, Running::enter(self)));
            }
            if queue.closed {
                return None;
            }
            queue.idle.push(this.clone());
            drop(queue);
            thread::park();
        }
    }
}

fn closed() -> EngineError {
    EngineError::Stopping
}

fn open_stopper(
    library: &'static Library,
    arguments: Vec<String>,
) -> Result<(Session, String), EngineError> {
    let mut session = Session::open(library, arguments)?;
    let result = session
        .connection()
        .query("SELECT version()", "TSVRaw", &[]);
    if let Some(error) = result.error() {
        return Err(EngineError::from_exception(&error, ""));
    }
    let version = String::from_utf8_lossy(result.as_ref()).trim().to_owned();
    warm(&mut session);
    Ok((session, version))
}

/// Goes once through the code that most statements use. The library registers destructors on first use, and the exit
/// handler, which must run before them, is registered after this.
fn warm(session: &mut Session) {
    const WARM: &str =
        "SELECT number % 7 AS k, sum(sipHash64(number)) AS s, any(toString(number)) AS t
        FROM numbers(10) WHERE number != 3 GROUP BY k ORDER BY k LIMIT 5";
    let connection = session.connection();
    for format in ["JSON", "Null"] {
        drop(connection.query(WARM, format, &[]));
    }
    drop(connection.query(
        "KILL QUERY WHERE endsWith(query, 'no such query') ASYNC",
        "Null",
        &[],
    ));
    if let Ok(mut stream) = connection.stream(WARM, "CSV", &[]) {
        while !stream.fetch().as_ref().is_empty() {}
    }
}

/// Counts a statement as running while it lives.
struct Running(Arc<Pool>);

impl Running {
    fn enter(pool: &Arc<Pool>) -> Self {
        pool.running.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(pool))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A place beside the pool, given back when dropped.
struct Beside(Arc<Pool>);

impl Beside {
    fn enter(pool: &Arc<Pool>) -> Option<Self> {
        let entered = pool
            .beside
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| {
                (count < MAX_BESIDE).then_some(count + 1)
            });
        entered.ok().map(|_| Self(Arc::clone(pool)))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.0.beside.fetch_sub(1, Ordering::SeqCst);
    }
}
