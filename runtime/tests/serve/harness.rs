//! A server process on a free port, and a small HTTP client.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub(crate) const ADMIN: &str = "test-admin-token";

/// A project folder that is removed at the end.
pub(crate) struct Project(TempDir);

impl Project {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let project = Self(tempfile::tempdir().expect("a temporary folder"));
        for (name, text) in files {
            project.write(name, text);
        }
        project
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// `pipewright serve` with these arguments, its messages captured.
pub(crate) fn serve(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipewright"));
    command
        .arg("serve")
        .arg(folder)
        .args(["--port", "0"])
        .args(arguments);
    command
        .env("NO_COLOR", "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .stdin(Stdio::null());
    command
}

/// A running server; it is ended when dropped.
pub(crate) struct Server {
    child: Child,
    address: String,
    messages: Arc<Mutex<String>>,
}

/// An answer: status line, headers in lower case, body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

impl Server {
    /// Starts a server and waits until it listens.
    pub(crate) fn start(project: &Project) -> Self {
        Self::with(project.path(), &["--admin-token", ADMIN])
    }

    pub(crate) fn with(folder: &Path, arguments: &[&str]) -> Self {
        Self::run(serve(folder, arguments))
    }

    /// Starts what [`serve`] made.
    pub(crate) fn run(mut command: Command) -> Self {
        assert!(
            pipewright::engine::locate().is_some(),
            "the engine is not installed: run `cargo run -- engine install`"
        );
        let mut child = command.spawn().expect("the binary starts");
        let stderr = child.stderr.take().expect("stderr is captured");
        let messages = Arc::new(Mutex::new(String::new()));
        let collected = Arc::clone(&messages);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut text = collected.lock().expect("no panic while collecting");
                text.push_str(&line);
                text.push('\n');
            }
        });
        let mut server = Self {
            child,
            address: String::new(),
            messages,
        };
        server.address = server.wait_for_address();
        server
    }

    fn wait_for_address(&mut self) -> String {
        let until = Instant::now() + Duration::from_mins(1);
        loop {
            let messages = self.messages();
            let line = messages.lines().find(|line| {
                line.contains("endpoints at http://") || line.contains("endpoint at http://")
            });
            if let Some((_, address)) = line.and_then(|line| line.split_once("http://")) {
                return address.to_owned();
            }
            assert!(
                self.child
                    .try_wait()
                    .expect("the process can be asked")
                    .is_none(),
                "the server ended: {messages}"
            );
            assert!(
                Instant::now() < until,
                "the server does not listen: {messages}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the server has said.
    pub(crate) fn messages(&self) -> String {
        self.messages
            .lock()
            .expect("no panic while collecting")
            .clone()
    }

    /// Where it listens, as host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Ends the process without a word, as a crash would.
    pub(crate) fn kill(&self) {
        let status = Command::new("kill")
            .args(["-KILL", &self.child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(status.success());
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// A connection, for requests that are to be cut off.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("the server listens");
        stream
            .set_read_timeout(Some(Duration::from_mins(1)))
            .expect("a socket option");
        stream
    }

    /// GET with the admin token.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send(
            "GET",
            path,
            &[("Authorization", &format!("Bearer {ADMIN}"))],
            b"",
        )
    }

    /// A request with a token; a body is JSON if it looks like it, and else what command lines call a form.
    pub(crate) fn ask(&self, token: &str, method: &str, path: &str, body: &str) -> Answer {
        let kind = if body.starts_with('{') {
            "application/json"
        } else {
            "application/x-www-form-urlencoded"
        };
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", kind)];
        self.send(method, path, &headers, body.as_bytes())
    }

    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut stream = self.connect();
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            _ = write!(head, "{name}: {value}\r\n");
        }
        stream
            .write_all(format!("{head}\r\n").as_bytes())
            .expect("the request is sent");
        stream.write_all(body).expect("the body is sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        parse(&answer)
    }

    /// Ends the process as a terminal would, and waits for it.
    pub(crate) fn interrupt(mut self) -> (Option<i32>, String) {
        let status = Command::new("kill")
            .args(["-INT", &self.child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(status.success());
        let ended = self.child.wait().expect("the process ends");
        // The thread that collects its messages is done soon after.
        std::thread::sleep(Duration::from_millis(100));
        (ended.code(), self.messages())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn parse(answer: &[u8]) -> Answer {
    let split = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a head and a body");
    let headers = String::from_utf8_lossy(&answer[..split]).to_lowercase();
    let status = headers
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status");
    let body = &answer[split + 4..];
    let body = if headers.contains("transfer-encoding: chunked") {
        unchunked(body)
    } else {
        body.to_vec()
    };
    Answer {
        status,
        headers,
        body,
    }
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = body.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(String::from_utf8_lossy(&body[..end]).trim(), 16)
            .expect("a chunk size");
        if size == 0 {
            break;
        }
        out.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = &body[end + 4 + size..];
    }
    out
}
