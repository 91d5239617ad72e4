//! How a running statement is found and stopped.
//!
//! The library has no way to name a statement, so each one ends in a comment with its number, and another connection
//! kills the statement whose text ends so. The number is never used again, which is why a kill that comes too late
//! hits nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use super::ffi::Connection;

const WAITING: u8 = 0;
const RUNNING: u8 = 1;
const FINISHED: u8 = 2;

/// The state of one statement, shared by its caller, its thread and the stopper.
#[derive(Debug)]
pub(super) struct Ticket {
    number: u64,
    phase: AtomicU8,
    cancelled: AtomicBool,
}

/// The caller's end of a ticket: dropping it stops the statement if it has not finished.
#[derive(Debug)]
pub(super) struct Watch {
    ticket: Arc<Ticket>,
    stopper: Stopper,
}

/// What the stopper is asked to do.
#[derive(Debug)]
pub(super) enum Stop {
    /// Stop this statement.
    Statement(Arc<Ticket>),
    /// Stop every statement, those that begin later too.
    Everything,
    /// Nothing is running any more.
    Quit,
}

/// Where the stopper takes its orders.
pub(super) type Stopper = mpsc::Sender<Stop>;

impl Ticket {
    /// A ticket for a statement about to be queued.
    pub(super) fn issue(stopper: &Stopper) -> (Arc<Self>, Watch) {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let ticket = Arc::new(Self {
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            phase: AtomicU8::new(WAITING),
            cancelled: AtomicBool::new(false),
        });
        let watch = Watch {
            ticket: Arc::clone(&ticket),
            stopper: stopper.clone(),
        };
        (ticket, watch)
    }

    /// Adds `clause` and the mark to a statement's text, behind it so that positions in error messages stay true.
    pub(super) fn mark(&self, sql: &mut String, clause: &str) {
        let end = sql
            .trim_end_matches(|last: char| last == ';' || last.is_whitespace())
            .len();
        sql.truncate(end);
        sql.push_str(clause);
        sql.push('\n');
        sql.push_str(&self.comment());
    }

    fn comment(&self) -> String {
        format!("/* pipewright {} */", self.number)
    }

    /// Marks the statement as running; false if its caller is gone already.
    pub(super) fn begin(&self) -> bool {
        self.phase.store(RUNNING, Ordering::SeqCst);
        !self.is_cancelled()
    }

    /// Marks the statement as over: from now on there is nothing to stop.
    pub(super) fn finish(&self) {
        self.phase.store(FINISHED, Ordering::SeqCst);
    }

    /// Has the statement stopped, whose caller still waits for what is said of it.
    pub(super) fn stop(self: &Arc<Self>, stopper: &Stopper) {
        // The stopper is gone only when the engine is, and every statement with it.
        let _ = stopper.send(Stop::Statement(Arc::clone(self)));
    }

    /// Whether the caller is gone.
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.ticket.phase.load(Ordering::SeqCst) != FINISHED {
            self.ticket.cancelled.store(true, Ordering::SeqCst);
            self.ticket.stop(&self.stopper);
        }
    }
}

/// Stops the statements it is told to stop, until it is told to quit.
pub(super) fn stop_statements(connection: &mut Connection, orders: &mpsc::Receiver<Stop>) {
    /// A statement that has begun shows up in the engine's list a moment later, so a kill may have to be repeated.
    const RETRY: Duration = Duration::from_millis(20);

    let mut pending: Vec<Arc<Ticket>> = Vec::new();
    let mut everything = false;
    loop {
        let order = if pending.is_empty() && !everything {
            orders
                .recv()
                .map_err(|_| mpsc::RecvTimeoutError::Disconnected)
        } else {
            orders.recv_timeout(RETRY)
        };
        match order {
            Ok(Stop::Statement(ticket)) => pending.push(ticket),
            Ok(Stop::Everything) => everything = true,
            Ok(Stop::Quit) | Err(mpsc::RecvTimeoutError::Disconnected) => return,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        if everything {
            kill(connection, "query_id != queryID()");
            continue;
        }
        pending.retain(|ticket| ticket.phase.load(Ordering::SeqCst) != FINISHED);
        for ticket in &pending {
            if ticket.phase.load(Ordering::SeqCst) == RUNNING {
                kill(
                    connection,
                    &format!("endsWith(query, '{}')", ticket.comment()),
                );
            }
        }
    }
}

fn kill(connection: &mut Connection, which: &str) {
    let kill = format!("KILL QUERY WHERE {which} ASYNC");
    if let Some(error) = connection.query(&kill, "Null", &[]).error() {
        tracing::warn!(error, "a query could not be stopped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_stands_on_a_line_of_its_own_behind_the_statement() {
        let (stopper, _tickets) = mpsc::channel();
        let (ticket, _watch) = Ticket::issue(&stopper);
        let mut sql = "SELECT 1 -- one;\n; \n".to_owned();
        ticket.mark(&mut sql, "\nFORMAT CSV");
        assert_eq!(
            sql,
            format!(
                "SELECT 1 -- one\nFORMAT CSV\n/* pipewright {} */",
                ticket.number
            )
        );
    }

    #[test]
    fn only_unfinished_statements_are_sent_to_the_stopper() {
        let (stopper, tickets) = mpsc::channel();
        let (ticket, watch) = Ticket::issue(&stopper);
        assert!(ticket.begin());
        ticket.finish();
        drop(watch);
        assert!(tickets.try_recv().is_err());

        let (ticket, watch) = Ticket::issue(&stopper);
        drop(watch);
        assert!(tickets.try_recv().is_ok());
        assert!(!ticket.begin());
    }
}
