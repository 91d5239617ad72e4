//! A running server, as the command line talks to it: HTTP/1.1 over TCP.

use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::arguments::Remote;

type Body = BoxBody<Bytes, std::io::Error>;

/// A server and the token for it.
#[derive(Debug, Clone)]
pub(super) struct Client {
    /// Host and port.
    address: String,
    token: String,
}

/// Text as a part of an address.
pub(super) fn escaped(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

impl Client {
    /// The server that the command line names; nothing when it names none.
    pub(super) fn of(remote: &Remote) -> anyhow::Result<Option<Self>> {
        let Some(host) = &remote.host else {
            return Ok(None);
        };
        let host = host.trim_end_matches('/');
        if host.starts_with("https://") {
            bail!(
                "`{host}`: this version speaks plain HTTP only; reach the server through a tunnel, or on its own machine"
            );
        }
        let address = host.strip_prefix("http://").unwrap_or(host);
        let has_port = address
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let address = if has_port {
            address.to_owned()
        } else {
            format!("{address}:7181")
        };
        let token = remote
            .token
            .clone()
            .context("the server asks for a token: give `--token`, or set PIPEWRIGHT_TOKEN")?;
        Ok(Some(Self { address, token }))
    }

    /// The server at an address.
    pub(super) fn at(address: std::net::SocketAddr, token: String) -> Self {
        Self {
            address: address.to_string(),
            token,
        }
    }

    /// Where the server is.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        kind: &str,
        body: Body,
    ) -> anyhow::Result<Response<Incoming>> {
        let stream = TcpStream::connect(&self.address)
            .await
            .with_context(|| format!("no server answers at {}", self.address))?;
        _ = stream.set_nodelay(true);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .context("the server does not speak HTTP")?;
        tokio::spawn(async move { _ = connection.await });
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.address)
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", kind)
            .body(body)
            .context("the request cannot be written")?;
        sender
            .send_request(request)
            .await
            .context("the server broke the connection")
    }

    /// Sends a request and reads the whole answer.
    pub(super) async fn ask(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let bytes = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let body = Full::new(bytes).map_err(|never| match never {}).boxed();
        let answer = self.send(method, path, "application/json", body).await?;
        read(answer).await
    }

    /// The same, where an answer that is no success is an error.
    pub(super) async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        succeeded(self.ask(method, path, body).await?)
    }

    /// Sends a body of any length.
    pub(super) async fn upload(
        &self,
        path: &str,
        rows: impl Stream<Item = std::io::Result<Bytes>> + Send + Sync + 'static,
    ) -> anyhow::Result<Value> {
        let body = BodyExt::boxed(StreamBody::new(rows.map_ok(Frame::data)));
        let answer = self
            .send("POST", path, "application/octet-stream", body)
            .await?;
        succeeded(read(answer).await?)
    }

    /// Asks for an answer of any length, and hands it on as it comes.
    pub(super) async fn download(
        &self,
        path: &str,
        sql: &str,
        mut take: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> anyhow::Result<u64> {
        let body = Full::new(Bytes::from(sql.to_owned()))
            .map_err(|never| match never {})
            .boxed();
        let answer = self.send("POST", path, "text/plain", body).await?;
        if !answer.status().is_success() {
            return succeeded(read(answer).await?).map(|_| 0);
        }
        let mut bytes = 0;
        let mut frames = answer.into_body().into_data_stream();
        while let Some(chunk) = frames.next().await {
            let chunk = chunk.context("the answer was cut off")?;
            bytes += chunk.len() as u64;
            take(&chunk)?;
        }
        Ok(bytes)
    }
}

async fn read(answer: Response<Incoming>) -> anyhow::Result<(StatusCode, Value)> {
    let status = answer.status();
    let bytes = answer
        .into_body()
        .collect()
        .await
        .context("the answer was cut off")?
        .to_bytes();
    let value = serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
    Ok((status, value))
}

fn succeeded((status, value): (StatusCode, Value)) -> anyhow::Result<Value> {
    if status.is_success() {
        return Ok(value);
    }
    bail!("{}", complaint(status, &value))
}

/// What the server says is wrong.
pub(super) fn complaint(status: StatusCode, value: &Value) -> String {
    let mut text = match value["error"].as_str().or(value.as_str()) {
        Some(text) if !text.is_empty() => text.to_owned(),
        _ => format!("the server answered {status}"),
    };
    let errors = value["deployment"]["errors"].as_array();
    for error in errors.into_iter().flatten() {
        _ = write!(text, "\n  {}", error["error"].as_str().unwrap_or_default());
    }
    text
}
