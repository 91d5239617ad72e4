//! A served project as a process of its own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub(crate) const TOKEN: &str = "test-token";

/// A running `pipewright serve`.
pub(crate) struct Server {
    process: Child,
    address: String,
}

impl Server {
    /// Serves the project in `folder` on a free port.
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_mortal(folder, &folder.join("never"))
    }

    /// The same with a file that says at which statement the process dies.
    pub(crate) fn start_mortal(folder: &Path, die_at: &Path) -> Self {
        let mut process = command(folder)
            .env("PIPEWRIGHT_DIE_AT", die_at)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut lines = BufReader::new(process.stderr.take().expect("stderr")).lines();
        let mut said = Vec::new();
        let address = loop {
            let Some(Ok(line)) = lines.next() else {
                panic!("the server did not start: {said:?}")
            };
            if let Some((_, address)) = line.split_once(" at http://") {
                break address.trim().to_owned();
            }
            said.push(line);
        };
        // Whatever else it says must not block it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, address }
    }

    /// Kills it as hard as can be.
    pub(crate) fn kill(mut self) {
        self.process.kill().expect("kill");
        self.process.wait().expect("wait");
    }

    /// The port and host.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Sends a request; status and body, or nothing when the connection broke.
    pub(crate) fn request(&self, method: &str, path: &str, body: &[u8]) -> Option<(u16, String)> {
        request(&self.address, method, path, body)
    }

    /// Waits until no job goes on: those of before go on when the server starts.
    pub(crate) fn settle(&self) {
        for _ in 0..3000 {
            let (status, text) = self.request("GET", "/v0/jobs", b"").expect("an answer");
            assert_eq!(status, 200, "{text}");
            let active = ["waiting", "working", "cancelling"]
                .iter()
                .any(|status| text.contains(&format!("\"status\":\"{status}\"")));
            if !active {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("jobs do not end");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// What serves the project in `folder` on a free port.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipewright"));
    command
        .args(["serve", "--port", "0", "--admin-token", TOKEN])
        .current_dir(folder)
        .stdout(Stdio::null());
    command
}

pub(crate) fn request(
    address: &str,
    method: &str,
    path: &str,
    body: &[u8],
) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head
        .to_ascii_lowercase()
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.lines().next()?.trim().parse::<usize>().ok());
    (length.is_none_or(|length| body.len() == length)).then(|| (status, body.to_owned()))
}
