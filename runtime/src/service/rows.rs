//! The rows of the service data sources.

use std::collections::BTreeMap;

use serde::Serialize;

use super::StorageRow;

/// A row of one of the tables.
#[derive(Debug)]
pub enum Row {
    /// A request to an endpoint or a query.
    Request(PipeRequest),
    /// Something that was done to a data source.
    Operation(Operation),
    /// A job began, went on or ended.
    Job(JobEvent),
    /// How much a data source holds.
    Storage(StorageRow),
}

/// A row of `tinybird.pipe_stats_rt`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PipeRequest {
    /// When the request came, in seconds since 1970.
    pub start_datetime: u64,
    /// The pipe's id; `query_api` for queries that are no pipe's.
    pub pipe_id: String,
    /// The pipe's name.
    pub pipe_name: String,
    /// The id of the token.
    pub token: String,
    /// The name of the token.
    pub token_name: String,
    /// How long it took, in seconds.
    pub duration: f64,
    /// Bytes that the query read.
    pub read_bytes: u64,
    /// Rows that the query read.
    pub read_rows: u64,
    /// Time inside the engine, in seconds.
    pub cpu_time: f64,
    /// Rows of the answer, where they are known.
    pub result_rows: u64,
    /// The address without the token.
    pub url: Option<String>,
    /// 1 if the request failed.
    pub error: u8,
    /// Why it failed.
    pub error_message: Option<String>,
    /// The status of the answer.
    pub status_code: u16,
    /// The id of the request.
    pub request_id: String,
    /// The parameters of a GET.
    pub parameters: BTreeMap<String, String>,
    /// The method.
    pub method: String,
    /// The client's name for itself.
    pub user_agent: Option<String>,
}

/// A row of `tinybird.datasources_ops_log`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Operation {
    /// When it began, in seconds since 1970.
    pub timestamp: u64,
    /// `create`, `append`, `append-hfi`, `replace`, `delete`, `truncate`, `rename`, `populateview`, `copy`, `alter`, …
    pub event_type: String,
    /// The data source's id.
    pub datasource_id: String,
    /// The data source's name.
    pub datasource_name: String,
    /// `ok` or `error`.
    pub result: String,
    /// Seconds.
    pub elapsed_time: f64,
    /// Why it failed.
    pub error: Option<String>,
    /// The names of further facts.
    #[serde(rename = "Options.Names")]
    pub option_names: Vec<String>,
    /// Their values.
    #[serde(rename = "Options.Values")]
    pub option_values: Vec<String>,
    /// The id of the request.
    pub request_id: String,
    /// The id of the import.
    pub import_id: Option<String>,
    /// The id of the job.
    pub job_id: Option<String>,
    /// Rows that were taken.
    pub rows: Option<u64>,
    /// Rows that were set aside.
    pub rows_quarantine: Option<u64>,
    /// An id that all rows of one operation share.
    pub operation_id: String,
    /// Rows read.
    pub read_rows: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Rows written.
    pub written_rows: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Rows written to the quarantine.
    pub written_rows_quarantine: u64,
    /// The id of the pipe that did it.
    pub pipe_id: String,
    /// The name of the pipe that did it.
    pub pipe_name: String,
}

/// A row of `tinybird.jobs_log`; a later one of the same job takes the place of an earlier.
#[derive(Debug, Clone, Default, Serialize)]
pub struct JobEvent {
    /// The job's id.
    pub job_id: String,
    /// `copy`, `populateview`, `import`, …
    pub job_type: String,
    /// `waiting`, `working`, `done`, `error`, `cancelling` or `cancelled`.
    pub status: String,
    /// Why it failed.
    pub error: Option<String>,
    /// The workspace.
    pub workspace_id: String,
    /// The id of the request that asked for it.
    pub request_id: Option<String>,
    /// The id of its pipe.
    pub pipe_id: Option<String>,
    /// The id of its data source.
    pub datasource_id: Option<String>,
    /// `YYYY-MM-DD HH:MM:SS.fff`
    pub created_at: String,
    /// `YYYY-MM-DD HH:MM:SS.fff`
    pub started_at: Option<String>,
    /// `YYYY-MM-DD HH:MM:SS.fff`
    pub updated_at: String,
    /// JSON.
    pub job_metadata: String,
}

impl Row {
    /// The table it goes to.
    pub(super) fn table(&self) -> &'static str {
        match self {
            Self::Request(_) => "tinybird.pipe_stats_rt",
            Self::Operation(_) => "tinybird.datasources_ops_log",
            Self::Job(_) => "tinybird.jobs_log",
            Self::Storage(_) => "tinybird.datasources_storage",
        }
    }

    /// Appends the row as a line of JSON.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let written = match self {
            Self::Request(row) => serde_json::to_writer(&mut *out, row),
            Self::Operation(row) => serde_json::to_writer(&mut *out, row),
            Self::Job(row) => serde_json::to_writer(&mut *out, row),
            Self::Storage(row) => serde_json::to_writer(&mut *out, row),
        };
        if let Err(error) = written {
            tracing::warn!(%error, "a row of the statistics cannot be written");
        }
        out.push(b'\n');
    }
}
