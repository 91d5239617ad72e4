//! A ClickHouse server over HTTP.
//!
//! The same statements go in as for the embedded engine, and the server's bytes come out untouched in any format it
//! knows, in chunks whatever the format. A server may be older than what a statement needs: what is known to be
//! missing is refused before it is sent, and every refusal of an old server names its version.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use clickhouse::error::Error as ClientError;
use clickhouse::query::BytesCursor;
use clickhouse::{Client, QuerySummary};
use futures::StreamExt;
use pipewright_compiler::sql::quote_identifier;
use secrecy::{ExposeSecret as _, SecretString};

use super::lock::FolderLock;
use super::{Answer, DATABASE, Engine, EngineError, Insert, Query, Rows, Statistics, Written};

/// How a server is reached.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its HTTP interface, `http://localhost:8123` for instance. A user and password in it are taken out, and are those that count.
    pub url: String,
    /// The user; the server's default user when not given.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<SecretString>,
    /// The database that names without one stand for, made if it is not there; [`DATABASE`] when not given.
    pub database: Option<String>,
    /// The state folder whose lock is held for as long as the server is used; none for one who changes nothing.
    pub state: Option<PathBuf>,
}

impl Config {
    /// The default user and database at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            user: None,
            password: None,
            database: None,
            state: None,
        }
    }

    /// The same with a URL that anybody may see: it stands in errors and logs.
    fn with_plain_url(mut self) -> Result<Self, EngineError> {
        let unusable = |why: String| {
            EngineError::Unavailable(format!("`clickhouse_url` cannot be used: {why}"))
        };
        let mut url = url::Url::parse(&self.url).map_err(|error| unusable(error.to_string()))?;
        let decoded = |text: &str| {
            percent_encoding::percent_decode_str(text)
                .decode_utf8()
                .map(std::borrow::Cow::into_owned)
                .map_err(|error| unusable(error.to_string()))
        };
        if !url.username().is_empty() {
            self.user = Some(decoded(url.username())?);
        }
        if let Some(password) = url.password() {
            self.password = Some(decoded(password)?.into());
        }
        let cannot = |()| unusable("it has no host".to_owned());
        url.set_username("").map_err(cannot)?;
        url.set_password(None).map_err(cannot)?;
        self.url = url.into();
        Ok(self)
    }
}

/// A server that has answered.
pub struct Server {
    client: Client,
    url: String,
    version: String,
    /// Distinguishes the statements of this process on the server.
    prefix: String,
    /// Held until the server is let go of; never read.
    lock: Mutex<Option<FolderLock>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The client would show the password.
        formatter
            .debug_struct("Server")
            .field("url", &self.url)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// What a server's own profile may have broken off where it becomes too much. Here that is an error: an answer has all rows, or none.
const OVERFLOWING: [&str; 9] = [
    "distinct", "group_by", "join", "read", "result", "set", "sort", "timeout", "transfer",
];

impl Server {
    /// Asks the server for its version, which shows that it can be used.
    pub async fn open(config: Config) -> Result<Self, EngineError> {
        const PATIENCE: Duration = Duration::from_secs(10);
        let config = config.with_plain_url()?;
        let lock = match &config.state {
            Some(state) => Some(FolderLock::take(state)?),
            None => None,
        };
        let mut client = Client::default().with_url(&config.url);
        if let Some(user) = &config.user {
            client = client.with_user(user);
        }
        if let Some(password) = &config.password {
            client = client.with_password(password.expose_secret());
        }
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(std::io::Error::other)?;
        let mut server = Self {
            client,
            url: config.url,
            version: String::new(),
            prefix: format!("pipewright-{:016x}", u64::from_ne_bytes(random)),
            lock: Mutex::new(lock),
        };
        let asked = server
            .query(Query::new("SELECT version()", "TabSeparatedRaw").timeout(PATIENCE))
            .await?;
        let version = asked.bytes().await?;
        String::from_utf8_lossy(&version)
            .trim()
            .clone_into(&mut server.version);
        let database = config.database.as_deref().unwrap_or(DATABASE);
        let create = format!(
            "CREATE DATABASE IF NOT EXISTS {}",
            quote_identifier(database)
        );
        server.execute(&create).await?;
        server.client = server.client.with_database(database);
        Ok(server)
    }

    /// A name for a statement that no other has.
    fn name_statement(&self) -> String {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        format!("{}-{}", self.prefix, NUMBER.fetch_add(1, Ordering::Relaxed))
    }

    fn prepare(&self, query: &Query, id: &str) -> clickhouse::query::Query {
        // FORMAT is put behind the text, which may end in a comment.
        let sql = query
            .sql
            .trim_end_matches(|last: char| last == ';' || last.is_whitespace());
        let mut prepared = self
            .client
            .query_raw(&format!("{sql}\n"))
            .with_setting("query_id", id);
        for limited in OVERFLOWING {
            prepared = prepared.with_setting(format!("{limited}_overflow_mode"), "throw");
        }
        for (name, value) in &query.parameters {
            // The server reads the same text format as the embedded engine; the client's own binding would quote it.
            prepared = prepared.with_setting(format!("param_{name}"), value);
        }
        for (name, value) in &query.settings {
            prepared = prepared.with_setting(name, value);
        }
        if let Some(limit) = query.max_result_bytes {
            prepared = prepared.with_setting("max_result_bytes", limit.to_string());
        }
        prepared
    }

    /// Refuses what this server is known not to have.
    fn require(&self, query: &Query) -> Result<(), EngineError> {
        let needs = [
            (
                !query.parameters.is_empty(),
                (19, 15),
                "binding query parameters",
            ),
            (query.format == "Parquet", (19, 1), "the format Parquet"),
            (first_word_is(&query.sql, "EXPLAIN"), (20, 6), "EXPLAIN"),
        ];
        for (needed, since, feature) in needs {
            if needed && self.release() < since {
                return Err(EngineError::Unsupported {
                    feature: feature.to_owned(),
                    version: self.version.clone(),
                });
            }
        }
        Ok(())
    }

    /// The first two numbers of the version; the newest imaginable while it is not known.
    fn release(&self) -> (u32, u32) {
        let mut numbers = self
            .version
            .split('.')
            .map(|number| number.parse().unwrap_or(0));
        match (numbers.next(), numbers.next()) {
            (Some(major), Some(minor)) => (major, minor),
            _ => (u32::MAX, 0),
        }
    }

    fn error(&self, error: ClientError, sql: &str) -> EngineError {
        match error {
            ClientError::BadResponse(text) => self.exception(&text, sql),
            ClientError::Network(source) => EngineError::Unavailable(format!(
                "the ClickHouse server at {} did not answer: {source}",
                self.url
            )),
            other => {
                EngineError::Unavailable(format!("the ClickHouse server at {}: {other}", self.url))
            }
        }
    }

    fn exception(&self, text: &str, sql: &str) -> EngineError {
        let mut error = EngineError::from_exception(text, sql);
        // The release of 2020 in which named subqueries, EXPLAIN and most of today's functions had arrived.
        if let EngineError::Exception { message, .. } = &mut error
            && self.release() < (20, 10)
        {
            let note = format!(
                " (the server is ClickHouse {}, which lacks much of today's SQL)",
                self.version
            );
            message.push_str(&note);
        }
        error
    }
}

fn first_word_is(sql: &str, word: &str) -> bool {
    let start = pipewright_compiler::sql::first_word(sql);
    sql[start..]
        .get(..word.len())
        .is_some_and(|first| first.eq_ignore_ascii_case(word))
}

/// What a server answers that does not drop a table of this size without being told that it may.
const TOO_LARGE_TO_DROP: i32 = 359;

/// Stops a statement on the server when dropped before its end.
struct Watch {
    client: Client,
    id: String,
    ended: bool,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let kill = format!("KILL QUERY WHERE query_id = '{}' ASYNC", self.id);
        let client = self.client.clone();
        // Without a runtime the process is ending; the server notices that when it writes to the closed connection.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = client.query_raw(&kill).execute().await {
                    tracing::warn!(%error, "a query on the server could not be stopped");
                }
            });
        }
    }
}

/// A result on its way.
struct Reading {
    cursor: BytesCursor,
    watch: Watch,
    first: Option<Bytes>,
    started: Instant,
    deadline: Option<(tokio::time::Instant, Duration)>,
    statistics: Arc<OnceLock<Statistics>>,
    sql: String,
}

impl Reading {
    async fn fetch(&mut self) -> Result<Option<Bytes>, FetchError> {
        match self.deadline {
            None => self.cursor.next().await.map_err(FetchError::Client),
            Some((deadline, limit)) if deadline <= tokio::time::Instant::now() => {
                Err(FetchError::Timeout(limit))
            }
            Some((deadline, limit)) => {
                match tokio::time::timeout_at(deadline, self.cursor.next()).await {
                    Ok(fetched) => fetched.map_err(FetchError::Client),
                    Err(_elapsed) => Err(FetchError::Timeout(limit)),
                }
            }
        }
    }

    fn end(&mut self) {
        self.watch.ended = true;
        let summary = self.cursor.summary();
        let _ = self.statistics.set(Statistics {
            elapsed: self.started.elapsed(),
            rows_read: summary
                .and_then(QuerySummary::read_rows)
                .unwrap_or_default(),
            bytes_read: summary
                .and_then(QuerySummary::read_bytes)
                .unwrap_or_default(),
        });
    }
}

enum FetchError {
    Client(ClientError),
    Timeout(Duration),
}

/// Turns the client's error about a statement into ours.
type Explain = Arc<dyn Fn(ClientError, &str) -> EngineError + Send + Sync>;

/// The next chunk of a result; nothing follows an error.
async fn next_chunk(
    reading: Option<Reading>,
    explain: Explain,
) -> Option<(Result<Bytes, EngineError>, Option<Reading>)> {
    let mut reading = reading?;
    if let Some(first) = reading.first.take() {
        return Some((Ok(first), Some(reading)));
    }
    match reading.fetch().await {
        Ok(Some(chunk)) => Some((Ok(chunk), Some(reading))),
        Ok(None) => {
            reading.end();
            None
        }
        Err(FetchError::Timeout(limit)) => Some((Err(EngineError::Timeout { limit }), None)),
        Err(FetchError::Client(error)) => {
            reading.watch.ended = matches!(error, ClientError::BadResponse(_));
            Some((Err(explain(error, &reading.sql)), None))
        }
    }
}

#[async_trait]
impl Engine for Server {
    async fn query(&self, query: Query) -> Result<Answer, EngineError> {
        self.require(&query)?;
        let limit = query.max_result_bytes;
        let id = self.name_statement();
        let prepared = self.prepare(&query, &id);
        let cursor = prepared
            .fetch_bytes(&query.format)
            .map_err(|error| self.error(error, &query.sql))?;
        let statistics = Arc::new(OnceLock::new());
        let mut reading = Reading {
            cursor,
            watch: Watch {
                client: self.client.clone(),
                id,
                ended: false,
            },
            first: None,
            started: Instant::now(),
            deadline: query
                .timeout
                .map(|limit| (tokio::time::Instant::now() + limit, limit)),
            statistics: Arc::clone(&statistics),
            sql: query.sql,
        };
        // The first chunk shows whether the statement was accepted at all.
        match reading.fetch().await {
            Ok(Some(first)) => reading.first = Some(first),
            Ok(None) => {
                reading.end();
                return Ok(Answer::whole(
                    Bytes::new(),
                    statistics.get().copied().unwrap_or_default(),
                ));
            }
            Err(FetchError::Timeout(limit)) => return Err(EngineError::Timeout { limit }),
            Err(FetchError::Client(error)) => {
                reading.watch.ended = matches!(error, ClientError::BadResponse(_));
                return Err(self.error(error, &reading.sql));
            }
        }
        let described = Self {
            client: self.client.clone(),
            url: self.url.clone(),
            version: self.version.clone(),
            prefix: String::new(),
            lock: Mutex::default(),
        };
        let explain: Explain = Arc::new(move |error, sql| described.error(error, sql));
        let chunks = futures::stream::unfold(Some(reading), move |reading| {
            next_chunk(reading, Arc::clone(&explain))
        });
        Answer::chunks(chunks.boxed(), statistics).limited(limit)
    }

    async fn execute(&self, sql: &str) -> Result<(), EngineError> {
        let executed = self.client.query_raw(sql).execute().await;
        let refused = executed.map_err(|error| self.error(error, sql));
        let Err(EngineError::Exception {
            code: TOO_LARGE_TO_DROP,
            ..
        }) = refused
        else {
            return refused;
        };
        // Who may drop what is asked elsewhere. Said only now, as an old server does not know these settings.
        let allowed = self
            .client
            .query_raw(sql)
            .with_setting("max_table_size_to_drop", "0")
            .with_setting("max_partition_size_to_drop", "0");
        let executed = allowed.execute().await;
        executed.map_err(|error| self.error(error, sql))
    }

    async fn insert(&self, insert: Insert, mut rows: Rows) -> Result<Written, EngineError> {
        let sql = format!("INSERT INTO {} FORMAT {}", insert.target, insert.format);
        let mut request = self.client.insert_formatted_with(&sql);
        for (name, value) in &insert.settings {
            request = request.with_setting(name, value);
        }
        while let Some(chunk) = rows.next().await {
            request
                .send(chunk?)
                .await
                .map_err(|error| self.error(error, &sql))?;
        }
        request
            .end()
            .await
            .map_err(|error| self.error(error, &sql))?;
        // The client does not hand on the server's count.
        Ok(Written::default())
    }

    fn version(&self) -> &str {
        &self.version
    }

    async fn shutdown(&self) {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        drop(lock.take());
    }
}

#[cfg(test)]
mod credentials {
    use super::*;

    #[test]
    fn a_password_in_the_url_is_used_and_not_shown() {
        let config = Config::new("http://bob:top%40secret@127.0.0.1:9/").with_plain_url();
        let config = config.expect("the URL is one");
        assert_eq!(config.url, "http://127.0.0.1:9/");
        assert_eq!(config.user.as_deref(), Some("bob"));
        assert_eq!(
            config
                .password
                .as_ref()
                .map(secrecy::ExposeSecret::expose_secret),
            Some("top@secret")
        );
        assert!(Config::new("no url").with_plain_url().is_err());
    }
}
