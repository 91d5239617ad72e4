//! The HTTP interface of a ClickHouse server over the engine in this process, so that what is told to a server can be tried without one.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::StreamExt as _;
use pipewright::engine::{Config, Engine, EngineError, Insert, Query, open};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A server. There can be one in a process at a time, as there can be one engine.
pub(crate) struct ClickHouse {
    pub(crate) address: SocketAddr,
    asked: Arc<Asked>,
    _folder: TempDir,
    _alone: MutexGuard<'static, ()>,
}

/// Tests that have a server come one after the other.
static ALONE: Mutex<()> = Mutex::new(());

impl Drop for ClickHouse {
    fn drop(&mut self) {
        self.asked.runtime.block_on(self.asked.engine.shutdown());
    }
}

struct Asked {
    engine: Arc<dyn Engine>,
    runtime: Runtime,
    /// What holds for every query that does not say otherwise.
    profile: Mutex<Vec<(String, String)>>,
}

impl ClickHouse {
    pub(crate) fn start() -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = Runtime::new().expect("a runtime");
        let engine = runtime
            .block_on(open(Config::embedded(folder.path())))
            .expect("the engine opens");
        let asked = Arc::new(Asked {
            engine,
            runtime,
            profile: Mutex::default(),
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let served = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = Arc::clone(&served);
                std::thread::spawn(move || served.serve(stream));
            }
        });
        Self {
            address,
            asked,
            _folder: folder,
            _alone: alone,
        }
    }

    /// What its users are given from now on, as the administrator of a server says it.
    pub(crate) fn give(&self, profile: &[(&str, &str)]) {
        let given = profile
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        *self.asked.profile.lock().expect("a profile") = given.collect();
    }

    /// Runs a statement; its answer as tab-separated text.
    pub(crate) fn ask(&self, sql: &str) -> String {
        let answer = self.bytes(sql, "TSV");
        String::from_utf8_lossy(&answer).trim().to_owned()
    }

    /// Runs a statement; its answer in a format.
    pub(crate) fn bytes(&self, sql: &str, format: &str) -> Bytes {
        self.asked.run(Query::new(sql, format)).expect(sql)
    }
}

impl Asked {
    fn run(&self, query: Query) -> Result<Bytes, EngineError> {
        self.runtime
            .block_on(async { self.engine.query(query).await?.bytes().await })
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream);
        let Some(request) = Request::read(&mut reader) else {
            return;
        };
        let (status, body) = match self.answer(&request) {
            Ok(bytes) => ("200 OK", bytes),
            Err(EngineError::Exception {
                code,
                name,
                message,
                ..
            }) => {
                let text = format!("Code: {code}. DB::Exception: {message}. ({name})");
                ("500 Internal Server Error", text.into())
            }
            Err(error) => ("500 Internal Server Error", error.to_string().into()),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let stream = reader.get_mut();
        _ = stream.write_all(head.as_bytes());
        _ = stream.write_all(&body);
    }

    fn answer(&self, request: &Request) -> Result<Bytes, EngineError> {
        let address = url::Url::parse("http://localhost").expect("an address");
        let address = address.join(&request.target).expect("a target");
        let (mut settings, mut insert, mut format) = (Vec::new(), None, None);
        for (name, value) in address.query_pairs() {
            match &*name {
                "query" => insert = Some(value.into_owned()),
                "default_format" => format = Some(value.into_owned()),
                "database" | "query_id" => {}
                _ => settings.push((name.into_owned(), value.into_owned())),
            }
        }
        if let Some(insert) = insert {
            let (target, format) = insert.rsplit_once(" FORMAT ").expect("a format");
            let insert = Insert {
                target: target.trim_start_matches("INSERT INTO ").to_owned(),
                format: format.to_owned(),
                settings,
            };
            let rows = futures::stream::iter([Ok(Bytes::copy_from_slice(&request.body))]).boxed();
            let written = self.runtime.block_on(self.engine.insert(insert, rows));
            return written.map(|_| Bytes::new());
        }
        let (sql, parameters) = request.statement();
        // A server on another machine has none of the files of this one.
        if sql.contains("file('") {
            return Err(EngineError::Unavailable(format!("no such file: {sql}")));
        }
        if let Some(format) = format {
            for given in self.profile.lock().expect("a profile").iter() {
                if !settings.iter().any(|(name, _)| *name == given.0) {
                    settings.push(given.clone());
                }
            }
            let mut query = Query::new(sql, format);
            (query.settings, query.parameters) = (settings, parameters);
            return self.run(query);
        }
        let executed = self
            .runtime
            .block_on(self.engine.execute(&bound(sql, &settings)));
        executed.map(|()| Bytes::new())
    }
}

/// A statement that takes a table away, with what a server lets go without being told that it may.
fn bound(sql: String, settings: &[(String, String)]) -> String {
    if !["DROP TABLE ", "TRUNCATE TABLE "]
        .iter()
        .any(|start| sql.starts_with(start))
    {
        return sql;
    }
    let limit = |name: &str| {
        let given = settings.iter().find(|(given, _)| given == name);
        let value = given.map_or("50000000000", |(_, value)| value.as_str());
        format!("{name} = {value}")
    };
    let (table, partition) = (
        limit("max_table_size_to_drop"),
        limit("max_partition_size_to_drop"),
    );
    format!("{sql} SETTINGS {table}, {partition}")
}

struct Request {
    target: String,
    /// What divides the fields of the body, if it is a form.
    boundary: Option<String>,
    body: Vec<u8>,
}

impl Request {
    fn read(reader: &mut BufReader<TcpStream>) -> Option<Self> {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let target = line.split(' ').nth(1)?.to_owned();
        let (mut length, mut chunked, mut boundary) = (0, false, None);
        loop {
            line.clear();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim().split_once(": ") else {
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().ok()?,
                "transfer-encoding" => chunked = value == "chunked",
                "content-type" => {
                    let found = value.split_once("boundary=");
                    boundary = found.map(|(_, boundary)| format!("--{boundary}"));
                }
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        while chunked {
            line.clear();
            reader.read_line(&mut line).ok()?;
            let size = usize::from_str_radix(line.trim(), 16).ok()?;
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).ok()?;
            body.extend_from_slice(&chunk[..size]);
            chunked = size > 0;
        }
        Some(Self {
            target,
            boundary,
            body,
        })
    }

    /// The statement with the values of its placeholders.
    fn statement(&self) -> (String, Vec<(String, String)>) {
        let text = String::from_utf8_lossy(&self.body).into_owned();
        let Some(boundary) = &self.boundary else {
            return (text, Vec::new());
        };
        let (mut sql, mut parameters) = (String::new(), Vec::new());
        for part in text.split(boundary.as_str()) {
            let Some((head, value)) = part.split_once("\r\n\r\n") else {
                continue;
            };
            let value = value.trim_end_matches("\r\n").to_owned();
            let name = head.split('"').nth(1).expect("a name");
            match name.strip_prefix("param_") {
                Some(name) => parameters.push((name.to_owned(), value)),
                None => sql = value,
            }
        }
        (sql, parameters)
    }
}
