//! The real binary over a project in a temporary folder.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// Rows of the table that is read.
pub(crate) const ROWS: u64 = 1_000_000;

/// A running server, ended when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    _folder: TempDir,
}

impl Server {
    /// Starts it; `limits` are lines of `[limits]`.
    pub(crate) fn start(limits: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let fixture = format!(
            "SELECT number AS id, concat('item ', toString(number)) AS name, number / 7 AS amount FROM numbers({ROWS})"
        );
        let files = [
            (
                "items.datasource",
                "SCHEMA >\n    `id` UInt64,\n    `name` String,\n    `amount` Float64\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n",
            ),
            (
                "events.datasource",
                "SCHEMA >\n    `id` UInt64 `json:$.id`,\n    `text` String `json:$.text`\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\nENGINE_TTL \"\"\n",
            ),
            (
                "item.pipe",
                "NODE one\nSQL >\n    %\n    SELECT id, name, amount FROM items WHERE id = {{ UInt64(id, 1) }}\nTYPE endpoint\n",
            ),
            (
                "big.pipe",
                "NODE all\nSQL >\n    SELECT * FROM items\nTYPE endpoint\n",
            ),
            ("fixtures/items.sql", fixture.as_str()),
            ("pipewright.toml", &format!("[limits]\n{limits}\n")),
        ];
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        }
        let mut child = Command::new(env!("CARGO_BIN_EXE_pipewright"))
            .arg("serve")
            .arg(folder.path())
            .args(["--port", "0", "--admin-token", "t"])
            .env("NO_COLOR", "1")
            .stdout(Stdio::null())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut lines = BufReader::new(child.stderr.take().expect("stderr is captured"));
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            let read = lines.read_line(&mut line).expect("stderr can be read");
            assert!(read > 0, "the server ended: {said}");
            if let Some((_, address)) = line.split_once(" at http://") {
                break address.trim().parse().expect("an address");
            }
            said += &line;
        };
        // What it says later is of no interest, but the pipe must not fill up.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Self {
            child,
            address,
            _folder: folder,
        }
    }

    /// Resident memory in bytes, where the system tells.
    pub(crate) fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kilobytes * 1024)
    }

    /// Asks the process to stop and says whether it did so by itself, and in which time.
    pub(crate) fn stop(mut self) -> (bool, std::time::Duration) {
        let started = std::time::Instant::now();
        _ = Command::new("kill")
            .args(["-INT", &self.child.id().to_string()])
            .status();
        let ended = self.child.wait().is_ok_and(|status| status.success());
        (ended, started.elapsed())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
