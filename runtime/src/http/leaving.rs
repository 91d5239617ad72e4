//! What is done with every answer before it leaves: it says who may keep it, and is compressed for a client that asks for that.
//!
//! A request that does not say what it takes is answered as if there were no compression here. What is compressed leaves piece by piece, as it comes, and a long
//! answer lets others pass after each of its pieces: they share the threads on which connections are written.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use http_body::{Frame, SizeHint};
use tower::{Layer as _, ServiceExt as _};
use tower_http::CompressionLevel;
use tower_http::compression::predicate::{NotForContentType, SizeAbove};
use tower_http::compression::{CompressionLayer, Predicate};

/// Shorter answers fit into one packet as they are.
const SHORT: u64 = 1400;

/// Answers a request.
pub(super) async fn answer(router: Router, request: Request) -> Result<Response, Infallible> {
    let mut answer = if request.headers().contains_key(header::ACCEPT_ENCODING) {
        let layer = CompressionLayer::new()
            .quality(CompressionLevel::Fastest)
            .compress_when(worth_it());
        let answer = layer.layer(router).oneshot(request).await?;
        if answer.headers().contains_key(header::CONTENT_ENCODING) {
            let mut answer = answer.map(|body| Body::new(Gentle::new(Body::new(body))));
            // Proxies that took it for the bytes of before would send half of it.
            answer.headers_mut().remove(header::CONTENT_LENGTH);
            answer
        } else {
            answer.map(Body::new)
        }
    } else {
        router.oneshot(request).await?
    };
    let headers = answer.headers_mut();
    // The token may be in the address, by which a cache would know the answer.
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("private"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    Ok(answer)
}

/// Which answers become shorter.
fn worth_it() -> impl Predicate {
    SizeAbove::new(SHORT)
        .and(NotForContentType::const_new(
            "application/vnd.apache.parquet",
        ))
        .and(NotForContentType::const_new("application/octet-stream"))
}

/// A body after each piece of which others have their turn.
struct Gentle {
    body: Body,
    waits: bool,
}

impl Gentle {
    fn new(body: Body) -> Self {
        Self { body, waits: false }
    }
}

impl http_body::Body for Gentle {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if std::mem::take(&mut self.waits) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.waits = frame.is_ready();
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
