//! `/metrics` in the OpenMetrics text format.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::ingest::Untaken;

/// Upper bounds of the duration histogram, in seconds.
const BUCKETS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    route: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Source {
    datasource: String,
}

/// Counters of a running server.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    duration: Histogram,
    rows: Counter,
    bytes: Counter,
    dropped: Counter,
    waiting: Family<Source, Gauge>,
    held: Family<Source, Gauge>,
    /// Kept while a text is written.
    writing: Mutex<()>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("pipewright");
        let (requests, rows, bytes) = (Family::default(), Counter::default(), Counter::default());
        let duration = Histogram::new(BUCKETS);
        registry.register("requests", "Requests answered", requests.clone());
        registry.register_with_unit(
            "request_duration",
            "Time from request to answer",
            Unit::Seconds,
            duration.clone(),
        );
        registry.register("rows_read", "Rows that queries read", rows.clone());
        registry.register_with_unit(
            "read",
            "Bytes that queries read",
            Unit::Bytes,
            bytes.clone(),
        );
        let dropped = Counter::default();
        registry.register(
            "statistics_dropped",
            "Rows of the service data sources that were left out because too many were to be written",
            dropped.clone(),
        );
        let (waiting, held) = (Family::default(), Family::default());
        registry.register(
            "ingest_waiting_files",
            "Files of acknowledged rows that the engine does not take and that are tried again",
            waiting.clone(),
        );
        registry.register(
            "ingest_held_files",
            "Files of acknowledged rows that are kept and not tried any more",
            held.clone(),
        );
        Self {
            registry,
            requests,
            duration,
            rows,
            bytes,
            dropped,
            waiting,
            held,
            writing: Mutex::default(),
        }
    }
}

impl Metrics {
    /// Counts an answered request.
    pub(super) fn request(&self, route: &'static str, status: u16, elapsed: Duration) {
        self.requests.get_or_create(&Labels { route, status }).inc();
        self.duration.observe(elapsed.as_secs_f64());
    }

    /// Counts what a query read.
    pub(super) fn read(&self, rows: u64, bytes: u64) {
        self.rows.inc_by(rows);
        self.bytes.inc_by(bytes);
    }

    /// The text of `/metrics`. What the engine has not taken is told of each data source to those who may know their names, and of all together to others.
    pub(super) fn text(
        &self,
        untaken: &BTreeMap<String, Untaken>,
        dropped: u64,
        named: bool,
    ) -> String {
        // Another text may be written at the same time, for those who may not know.
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.dropped
            .inc_by(dropped.saturating_sub(self.dropped.get()));
        self.waiting.clear();
        self.held.clear();
        for (name, files) in untaken {
            let source = Source {
                datasource: if named { name.clone() } else { String::new() },
            };
            let count = |files: usize| i64::try_from(files).unwrap_or(i64::MAX);
            self.waiting
                .get_or_create(&source)
                .inc_by(count(files.waiting));
            self.held.get_or_create(&source).inc_by(count(files.held));
        }
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(error) => {
                tracing::error!(%error, "cannot write metrics");
                String::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_for_those_who_may_know_them() {
        let metrics = Metrics::default();
        let files = |waiting, held| Untaken { waiting, held };
        let untaken = BTreeMap::from([
            ("orders".to_owned(), files(2, 0)),
            ("secret_sales".to_owned(), files(1, 4)),
        ]);
        let lines = |named: bool| {
            let text = metrics.text(&untaken, 3, named);
            let mut lines: Vec<String> = text
                .lines()
                .filter(|line| line.starts_with("pipewright_ingest"))
                .map(ToOwned::to_owned)
                .collect();
            lines.sort();
            lines.join("\n")
        };
        let text = metrics.text(&untaken, 5, false);
        assert!(
            text.contains("pipewright_statistics_dropped_total 5\n"),
            "{text}"
        );
        insta::assert_snapshot!(lines(true), @r#"
        pipewright_ingest_held_files{datasource="orders"} 0
        pipewright_ingest_held_files{datasource="secret_sales"} 4
        pipewright_ingest_waiting_files{datasource="orders"} 2
        pipewright_ingest_waiting_files{datasource="secret_sales"} 1
        "#);
        insta::assert_snapshot!(lines(false), @r#"
        pipewright_ingest_held_files{datasource=""} 4
        pipewright_ingest_waiting_files{datasource=""} 3
        "#);
    }
}
