//! `pipewright.toml`. Optional: a bare project works with none, and every key has a default.

use std::collections::BTreeMap;

use pipewright_grammar::diagnostic::Diagnostic;
use pipewright_grammar::source::{SourceFile, Span};
use pipewright_grammar::syntax::NodeKind;
use serde::Deserialize;

use super::Edition;
use crate::diagnostics::codes;
use crate::optimize;
use crate::sql::Policy;

/// The project's settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What node SQL and queries may use beyond the defaults.
    pub allow: Allow,
    /// How endpoints are served.
    pub server: Server,
    /// Limits of each request.
    pub limits: Limits,
    /// How long jobs are kept.
    pub jobs: JobsKept,
    /// Severity by code: `error`, `warning`, `note` or `off`.
    pub lints: BTreeMap<String, String>,
    /// How statements are optimized.
    pub optimize: Optimize,
    /// What an endpoint may cost.
    pub budget: Budget,
    /// How the files are meant.
    pub project: ProjectKind,
}

/// `[project]`: how the files are meant, where they do not show it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProjectKind {
    /// `classic`, where the last node of a pipe without a `TYPE` is served, or `forward`, where only `TYPE endpoint` is.
    pub kind: Option<Edition>,
}

/// `[optimize]`: which rules change the SQL of endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Optimize {
    /// Whether any do. Unless set, they do on the embedded engine and not on a server.
    pub enabled: Option<bool>,
    /// Rules that do not.
    pub without: Vec<String>,
}

/// `[budget]`: what `check --budget` holds an endpoint to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Most granules that an endpoint may read with its default parameters.
    pub endpoint: Option<u64>,
    /// The same for endpoints by the name of their pipe.
    pub pipes: BTreeMap<String, u64>,
}

/// `[allow]`: additions to what SQL may use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Allow {
    /// Functions that are otherwise refused.
    pub functions: Vec<String>,
    /// Table functions that are otherwise refused.
    pub table_functions: Vec<String>,
    /// Settings that a `SETTINGS` clause may set beyond the defaults.
    pub settings: Vec<String>,
    /// Tables of the `system` database that may be read beyond the defaults.
    pub system_tables: Vec<String>,
    /// Beginnings of URLs from which rows may be imported, such as `https://data.example/exports/`. They end in `/`.
    pub urls: Vec<String>,
}

impl Allow {
    /// What the SQL of nodes and queries may use.
    fn policy(&self) -> Policy {
        self.extend(Policy::default())
    }

    /// What the SQL of copy nodes may use.
    fn copy_policy(&self) -> Policy {
        self.extend(Policy::for_copy())
    }

    fn extend(&self, mut policy: Policy) -> Policy {
        policy.functions.extend(self.functions.iter().cloned());
        policy
            .table_functions
            .extend(self.table_functions.iter().cloned());
        policy.settings.extend(self.settings.iter().cloned());
        policy
            .system_tables
            .extend(self.system_tables.iter().cloned());
        policy
    }
}

/// What SQL may use, by who wrote it.
#[derive(Debug, Clone)]
pub struct Policies {
    /// Nodes and queries.
    pub common: Policy,
    /// Copy nodes, which may read from other stores.
    pub copy: Policy,
}

impl Policies {
    /// The defaults and what the project adds.
    pub fn of(config: &Config) -> Self {
        let memory_bytes = config.limits.memory_bytes;
        let within = |policy: Policy| Policy {
            memory_bytes,
            ..policy
        };
        Self {
            common: within(config.allow.policy()),
            copy: within(config.allow.copy_policy()),
        }
    }

    /// The policy for a node of that kind.
    pub fn of_node(&self, kind: &NodeKind) -> &Policy {
        if *kind == NodeKind::Copy {
            &self.copy
        } else {
            &self.common
        }
    }
}

/// `[server]`: where `serve` listens.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// The address; loopback unless set.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The URL of a ClickHouse server to use in place of the embedded engine.
    pub clickhouse_url: Option<String>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 7181,
            clickhouse_url: None,
        }
    }
}

/// `[limits]`: bounds of one request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Longest run of one query, in milliseconds.
    pub query_timeout_ms: u64,
    /// Largest answer of one query, in bytes of its columns.
    pub result_bytes: u64,
    /// Largest request body, in bytes.
    pub body_bytes: usize,
    /// Memory for the bodies of all requests under way, in bytes.
    pub bodies_bytes: usize,
    /// Most connections at once; further ones wait to be accepted.
    pub connections: usize,
    /// How long a client may rest between two requests and take to send a head, in milliseconds.
    pub idle_timeout_ms: u64,
    /// How long a client may stand still while it sends a body or takes an answer, in milliseconds.
    pub client_timeout_ms: u64,
    /// Most requests that wait for or use the engine at once; more are answered with 429.
    pub concurrent_queries: usize,
    /// Most rows that one query may read; 0 for no limit.
    pub rows_read: u64,
    /// Most bytes that one query may read, uncompressed; 0 for no limit.
    pub bytes_read: u64,
    /// Most memory that one query may use, with the text of its answer where that leaves as a whole; 0 for no limit.
    pub memory_bytes: u64,
    /// Most requests of one token in a second, but for the admin's; 0 for no limit.
    pub requests_per_second: u32,
    /// Most copies that wait or run at once.
    pub copies: usize,
    /// Most rows that one copy may write.
    pub copy_rows: u64,
    /// Longest SQL of a node that the API writes, in bytes; 0 for no limit.
    pub sql_bytes: usize,
    /// Longest name of what the API makes, in bytes; 0 for no limit.
    pub name_bytes: usize,
    /// Most nodes of a pipe, as far as the API makes them; 0 for no limit.
    pub nodes: usize,
    /// How many pipes there may be for the API to make one more; 0 for no limit.
    pub pipes: usize,
    /// The same of data sources.
    pub datasources: usize,
    /// The same of tokens.
    pub tokens: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            query_timeout_ms: 10_000,
            result_bytes: 100 * 1024 * 1024,
            body_bytes: 10 * 1024 * 1024,
            bodies_bytes: 256 * 1024 * 1024,
            connections: 4096,
            idle_timeout_ms: 75_000,
            client_timeout_ms: 30_000,
            concurrent_queries: 256,
            rows_read: 0,
            bytes_read: 0,
            memory_bytes: 2 * 1024 * 1024 * 1024,
            requests_per_second: 0,
            copies: 20,
            copy_rows: 100_000_000,
            sql_bytes: 256 * 1024,
            name_bytes: 100,
            nodes: 200,
            pipes: 5000,
            datasources: 5000,
            tokens: 10_000,
        }
    }
}

/// `[jobs]`: how long jobs that have ended are kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobsKept {
    /// Days after their end; 0 for ever.
    pub kept_days: u32,
    /// How many, the newest ones; 0 for all.
    pub kept: u32,
}

impl Default for JobsKept {
    fn default() -> Self {
        Self {
            kept_days: 30,
            kept: 10_000,
        }
    }
}

fn unknown_rules(config: &Config, file: &SourceFile) -> Vec<Diagnostic> {
    let names = config.optimize.without.iter();
    let unknown = names.filter(|name| optimize::rule(name).is_none());
    let finding = |name: &String| {
        let start = file.text().find(name.as_str()).unwrap_or(0);
        let known: Vec<&str> = optimize::RULES.iter().map(|rule| rule.name).collect();
        let message = format!("the optimizer has no rule `{name}`");
        Diagnostic::error(codes::BAD_CONFIG, message)
            .label(Span::new(file.id(), start, start + name.len()), "")
            .help(format!("there are: {}", known.join(", ")))
    };
    unknown.map(finding).collect()
}

/// A query that may take no time has no answer: there is no number that stands for no limit.
fn no_time(config: &Config, file: &SourceFile) -> Option<Diagnostic> {
    const KEY: &str = "query_timeout_ms";
    if config.limits.query_timeout_ms > 0 {
        return None;
    }
    let start = file.text().find(KEY).unwrap_or(0);
    let message = format!("`{KEY}` is 0, and no query is answered in no time");
    Some(
        Diagnostic::error(codes::BAD_CONFIG, message)
            .label(Span::new(file.id(), start, start + KEY.len()), "")
            .help("give the milliseconds that a query may take"),
    )
}

impl Config {
    /// Reads the file; what cannot be read is a diagnostic at its place, and the defaults hold.
    pub fn parse(file: &SourceFile) -> (Self, Vec<Diagnostic>) {
        match toml::from_str(file.text()) {
            Ok(config) => {
                let mut found = unknown_rules(&config, file);
                found.extend(no_time(&config, file));
                (config, found)
            }
            Err(error) => {
                let range = error.span().unwrap_or(0..0);
                let message = error
                    .message()
                    .lines()
                    .next()
                    .unwrap_or("not valid TOML")
                    .to_owned();
                let diagnostic = Diagnostic::error(
                    codes::BAD_CONFIG,
                    format!("cannot read `pipewright.toml`: {message}"),
                )
                .label(Span::new(file.id(), range.start, range.end), "");
                (Self::default(), vec![diagnostic])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pipewright_grammar::source::SourceId;

    use super::*;

    #[test]
    fn a_query_is_given_some_time() {
        let found = |text: &str| {
            let file = SourceFile::new(SourceId(0), "pipewright.toml".to_owned(), text.to_owned());
            let found = Config::parse(&file).1;
            crate::diagnostics::render::concise(&found, std::slice::from_ref(&file))
        };
        insta::assert_snapshot!(found("[limits]\nquery_timeout_ms = 0\n"), @"pipewright.toml:2:1: error[bad-config]: `query_timeout_ms` is 0, and no query is answered in no time");
        assert_eq!(found("[limits]\nquery_timeout_ms = 1\n"), "");
    }
}
