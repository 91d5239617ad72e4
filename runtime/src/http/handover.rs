//! Queries while one version of the project hands over to another: each is answered by the old version or by the new one.
//!
//! For the moment in which tables change places no query begins. One that had begun with the old version and did not get hold of its tables in time has failed
//! then, and is answered again, by the new version.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest as _, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::{Notify, watch};

use super::App;
use super::extract::Whole;

/// So long queries under way are waited for. Those that take longer have got hold of their tables long since.
const PATIENCE: Duration = Duration::from_millis(250);
/// Bodies up to this length are kept for a second try.
const KEPT: usize = 64 * 1024;
/// So often a query is begun, at most.
const TRIES: u32 = 3;

/// Who is being answered, and whether others may be.
#[derive(Debug)]
pub(super) struct Handover {
    held: watch::Sender<bool>,
    running: AtomicUsize,
    left: Notify,
}

impl Default for Handover {
    fn default() -> Self {
        Self {
            held: watch::Sender::new(false),
            running: AtomicUsize::new(0),
            left: Notify::new(),
        }
    }
}

/// A query that is being answered.
struct Entered<'a>(&'a Handover);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.left.notify_waiters();
        }
    }
}

/// No query begins while this lives.
struct Held(Arc<App>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.handover.held.send_replace(false);
    }
}

impl Handover {
    async fn enter(&self) -> Entered<'_> {
        loop {
            self.running.fetch_add(1, Ordering::SeqCst);
            let entered = Entered(self);
            if !*self.held.borrow() {
                return entered;
            }
            drop(entered);
            self.open().await;
        }
    }

    async fn open(&self) {
        _ = self.held.subscribe().wait_for(|held| !held).await;
    }

    async fn alone(&self) {
        loop {
            let left = self.left.notified();
            if self.running.load(Ordering::SeqCst) == 0 {
                return;
            }
            left.await;
        }
    }
}

/// Lets no query begin until what is returned is dropped.
pub(super) async fn hold(app: &Arc<App>) -> Box<dyn Send> {
    let held = Held(Arc::clone(app));
    app.handover.held.send_replace(true);
    _ = tokio::time::timeout(PATIENCE, app.handover.alone()).await;
    Box::new(held)
}

/// Answers a query by one version or the other.
pub(super) async fn answer(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let length = match request.headers().get(header::CONTENT_LENGTH) {
        None if request.headers().contains_key(header::TRANSFER_ENCODING) => None,
        None => Some(0),
        Some(length) => length.to_str().ok().and_then(|length| length.parse().ok()),
    };
    if length.is_none_or(|length: usize| length > KEPT) {
        // What is not kept in memory cannot be read again.
        let _entered = app.handover.enter().await;
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let read = Whole::from_request(Request::from_parts(parts.clone(), body), &app).await;
    let body = match read {
        Ok(Whole(body)) => body,
        Err(rejection) => return rejection.into_response(),
    };
    let mut tries = 0;
    loop {
        tries += 1;
        let entered = app.handover.enter().await;
        let plan = Arc::clone(&app.served.load().plan);
        let request = Request::from_parts(parts.clone(), Body::from(body.clone()));
        let response = next.clone().run(request).await;
        drop(entered);
        if response.status().as_u16() < 400 || tries >= TRIES {
            return response;
        }
        app.handover.open().await;
        if Arc::ptr_eq(&plan, &app.served.load().plan) {
            return response;
        }
    }
}
