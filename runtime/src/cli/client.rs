//! A running server, as the command line talks to it: HTTP/1.1 over TCP or TLS.

use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::arguments::Remote;

type Body = BoxBody<Bytes, std::io::Error>;

/// A server and the token for it.
#[derive(Clone)]
pub(super) struct Client {
    /// Host and port.
    address: String,
    token: String,
    tls: Option<Tls>,
}

/// How a server proves who it is.
#[derive(Clone)]
struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

/// A way to a server.
trait Channel: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Channel for T {}

impl Tls {
    /// Trusts what the machine trusts.
    fn new(host: &str) -> anyhow::Result<Self> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (trusted, _) = roots.add_parsable_certificates(found.certs);
        if trusted == 0 {
            let why = found
                .errors
                .first()
                .map_or(String::new(), |error| format!(": {error}"));
            bail!(
                "this machine trusts no certificate{why}; `SSL_CERT_FILE` can name a file of some"
            );
        }
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            name: ServerName::try_from(name)
                .with_context(|| format!("`{host}` is no name of a server"))?,
        })
    }
}

/// Text as a part of an address.
pub(super) fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

impl Client {
    /// The server that the command line names; nothing when it names none.
    pub(super) fn of(remote: &Remote) -> anyhow::Result<Option<Self>> {
        let Some(host) = &remote.host else {
            return Ok(None);
        };
        let host = host.trim_end_matches('/');
        let (address, is_secure) = match host.strip_prefix("https://") {
            Some(address) => (address, true),
            None => (host.strip_prefix("http://").unwrap_or(host), false),
        };
        let named = address
            .rsplit_once(':')
            .filter(|(_, port)| port.parse::<u16>().is_ok());
        let tls = if is_secure {
            Some(Tls::new(named.map_or(address, |(name, _)| name))?)
        } else {
            None
        };
        let address = match named {
            Some(_) => address.to_owned(),
            None => format!("{address}:{}", if is_secure { 443 } else { 7181 }),
        };
        let token = remote
            .token
            .clone()
            .context("the server asks for a token: give `--token`, or set PIPEWRIGHT_TOKEN")?;
        Ok(Some(Self {
            address,
            token,
            tls,
        }))
    }

    /// The server at an address.
    pub(super) fn at(address: std::net::SocketAddr, token: String) -> Self {
        Self {
            address: address.to_string(),
            token,
            tls: None,
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
        let stream: Box<dyn Channel> = match &self.tls {
            None => Box::new(stream),
            Some(tls) => {
                let secured = tls.connector.connect(tls.name.clone(), stream).await;
                let secured =
                    secured.with_context(|| format!("no secure connection to {}", self.address))?;
                Box::new(secured)
            }
        };
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
        let error = error["error"].as_str().unwrap_or_default();
        if !text.contains(error) {
            _ = write!(text, "\n  {error}");
        }
    }
    text
}
