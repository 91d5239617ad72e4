//! A server on a terminal, which Python makes.

use std::process::Command;

use super::harness::Project;
use super::tools;

/// Runs a program on a terminal of its own for some seconds, and prints what it wrote there.
const TERMINAL: &str = r"
import os, pty, select, signal, sys, time
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[1], sys.argv[1:])
until, text = time.time() + 6, b''
while time.time() < until:
    if select.select([terminal], [], [], 0.1)[0]:
        try:
            text += os.read(terminal, 65536)
        except OSError:
            break
    if b'serving' not in text:
        until = time.time() + 6
os.kill(child, signal.SIGINT)
os.waitpid(child, 0)
sys.stdout.buffer.write(text)
";

#[test]
fn on_a_terminal_the_engine_does_not_speak_for_itself() {
    let project = Project::new(&[
        ("t.datasource", "SCHEMA >\n    `a` Int8 `json:$.a`\n"),
        ("fixtures/t.ndjson", "{\"a\":1}\n"),
        (
            "p.pipe",
            "NODE n\nSQL >\n    SELECT a FROM t\n\nTYPE endpoint\n",
        ),
    ]);
    let done = Command::new("python3")
        .args(["-c", TERMINAL, env!("CARGO_BIN_EXE_pipewright"), "serve"])
        .arg(project.path())
        .args(["--port", "0"])
        .env("NO_COLOR", "1")
        .output()
        .expect("python3 runs");
    let said = tools::said(&done);
    assert!(done.status.success(), "{said}");
    assert!(said.contains("serving 1 endpoints"), "{said}");
    assert!(
        !said.contains("ThreadStatus") && !said.contains("<Fatal>"),
        "{said}"
    );
}
