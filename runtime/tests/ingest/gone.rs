//! Clients that leave: what had come whole is finished, what had not leaves nothing behind.

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use super::server::{Server, TOKEN};

const ROWS: u64 = 1_200_000;

fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "SCHEMA >\n    `id` UInt64\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";
    std::fs::write(folder.path().join("rows.datasource"), text).expect("a file");
    folder
}

/// Sends a request with some of the bytes that it announces, and leaves at once.
fn leave(server: &Server, mode: &str, framing: &str, body: &[u8]) {
    let mut stream = TcpStream::connect(server.address()).expect("a connection");
    let head = format!(
        "POST /v0/datasources?mode={mode}&name=rows&format=csv HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n{framing}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("the head");
    stream.write_all(body).expect("the body");
    stream.shutdown(Shutdown::Both).expect("the end");
}

fn ask(server: &Server, sql: &str) -> String {
    let (status, text) = server
        .request("POST", "/v0/sql", sql.as_bytes())
        .expect("an answer");
    assert_eq!(status, 200, "{text}");
    text.trim().to_owned()
}

fn until(what: &str, done: impl Fn() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_mins(1), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Nothing waits on disk, and no table is left that was made for a moment.
fn tidy(server: &Server, folder: &Path) {
    let appends = folder.join(".pipewright/ingest/appends");
    until("files are left", || {
        std::fs::read_dir(&appends).expect("a folder").count() == 0
    });
    let sql = "SELECT count() FROM rows FORMAT TSV";
    _ = ask(server, sql);
    let data = folder.join(".pipewright/chdb/metadata/pipewright");
    until("tables are left", || {
        let mut names = std::fs::read_dir(&data).expect("a folder");
        !names.any(|name| {
            let name = name.expect("an entry").file_name();
            name.to_string_lossy().starts_with("pw_replace")
        })
    });
}

#[test]
fn a_client_that_leaves_after_its_last_row_is_served_and_one_before_is_not() {
    let folder = project();
    let server = Server::start(folder.path());
    let count = || ask(&server, "SELECT count() FROM rows FORMAT TSV");
    let rows = |from: u64| -> String {
        let rows: Vec<String> = (from..from + ROWS).map(|id| format!("{id}\n")).collect();
        rows.concat()
    };
    let first = rows(0);
    let length = |bytes: usize| format!("Content-Length: {bytes}");

    for mode in ["append", "replace"] {
        leave(&server, mode, &length(first.len() + 1), first.as_bytes());
        leave(&server, mode, &length(1 << 40), b"1\n2\n");
        leave(
            &server,
            mode,
            "Transfer-Encoding: chunked",
            b"4\r\n1\n2\n\r\n",
        );
        std::thread::sleep(Duration::from_millis(500));
        tidy(&server, folder.path());
        assert_eq!(count(), "0", "{mode}");
    }
    leave(&server, "append", &length(first.len()), first.as_bytes());
    until("the rows do not come", || count() == ROWS.to_string());
    tidy(&server, folder.path());
    let second = rows(ROWS);
    leave(&server, "replace", &length(second.len()), second.as_bytes());
    until("the rows are not replaced", || {
        ask(&server, "SELECT count(), min(id) FROM rows FORMAT TSV") == format!("{ROWS}\t{ROWS}")
    });
    tidy(&server, folder.path());
}
