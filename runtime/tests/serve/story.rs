//! Requests one after the other with the whole of what they are answered, written down so that it can be compared.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{ADMIN, Answer, Server};
use crate::pipes_api::filtered;

/// The requests one after the other, written down with what came back.
pub(crate) struct Story<'a> {
    server: &'a Server,
    text: String,
}

impl<'a> Story<'a> {
    pub(crate) fn new(server: &'a Server) -> Self {
        Self {
            server,
            text: String::new(),
        }
    }

    /// What was written down.
    pub(crate) fn text(self) -> String {
        self.text
    }

    /// A word between the requests.
    pub(crate) fn say(&mut self, words: &str) {
        _ = writeln!(self.text, "## {words}\n");
    }

    /// A request of the admin.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &str) -> Answer {
        self.ask_as(ADMIN, method, path, body)
    }

    /// A request with a token.
    pub(crate) fn ask_as(&mut self, token: &str, method: &str, path: &str, body: &str) -> Answer {
        let answer = self.server.ask(token, method, path, body);
        _ = writeln!(self.text, "### {method} {}", ids_out(path));
        if !body.is_empty() {
            _ = writeln!(self.text, "{}", ids_out(body));
        }
        _ = writeln!(self.text, "\n{}", answer.status);
        for name in ["content-type", "retry-after", "location"] {
            let line = answer
                .headers
                .lines()
                .find(|line| line.starts_with(&format!("{name}:")));
            self.text.extend(line.map(|line| format!("{line}\n")));
        }
        let shown = match serde_json::from_slice::<Value>(&answer.body) {
            Ok(value) => serde_json::to_string_pretty(&settled(filtered(value))).expect("JSON"),
            Err(_) if answer.body.starts_with(b"PAR1") => "a Parquet file".to_owned(),
            Err(_) => answer.text().lines().map(line).collect(),
        };
        _ = writeln!(self.text, "{shown}\n");
        answer
    }

    /// Waits until no job is under way, so that what comes next does not depend on the time.
    pub(crate) fn rest(&self) {
        let until = Instant::now() + Duration::from_secs(30);
        while self.server.get("/v0/jobs").json()["jobs"]
            .as_array()
            .expect("jobs")
            .iter()
            .any(|job| job["is_cancellable"] == true)
        {
            assert!(Instant::now() < until, "a job does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A line of an answer: if it is JSON, without what is another each time.
fn line(text: &str) -> String {
    match serde_json::from_str::<Value>(text) {
        Ok(value @ Value::Object(_)) => format!("{}\n", settled(filtered(value))),
        _ => format!("{text}\n"),
    }
}

/// An address or a body without its ids.
fn ids_out(text: &str) -> String {
    let is_word = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
    let mut out = String::new();
    for part in text.split_inclusive(|character| !is_word(character)) {
        let word = part.trim_end_matches(|character| !is_word(character));
        let is_hex = |text: &str| {
            text.chars()
                .all(|one| one.is_ascii_hexdigit() || one == '-')
        };
        let is_id = word
            .strip_prefix("t_")
            .is_some_and(|digits| digits.len() == 32 && is_hex(digits));
        let is_uuid = word.len() == 36 && word.matches('-').count() == 4 && is_hex(word);
        out.push_str(match (is_id, is_uuid) {
            (true, _) => "t_[id]",
            (_, true) => "[uuid]",
            _ => word,
        });
        out.push_str(&part[word.len()..]);
    }
    out
}

/// Numbers and addresses that are others each time.
fn settled(value: Value) -> Value {
    match value {
        Value::Object(map) => map
            .into_iter()
            .map(|(key, value)| {
                let value = match key.as_str() {
                    // A null is told from a number.
                    _ if value.is_null() => value,
                    "elapsed" | "bytes_read" | "duration" | "elapsed_time" => "[number]".into(),
                    "timestamp" => "[time]".into(),
                    "job_url" => "[address]".into(),
                    _ => settled(value),
                };
                (key, value)
            })
            .collect(),
        Value::Array(values) => values.into_iter().map(settled).collect(),
        other => other,
    }
}
