//! The tables of the service data sources. Names and types of the columns are those of the existing service, so that queries over them run as they are.

use crate::engine::{Engine, EngineError, Query};

/// Every statement makes one thing that is not there yet.
const STATEMENTS: &[&str] = &[
    "CREATE DATABASE IF NOT EXISTS tinybird",
    "CREATE TABLE IF NOT EXISTS tinybird.pipe_stats_rt (
        start_datetime DateTime, pipe_id String, pipe_name String, token String, token_name String, duration Float32, read_bytes UInt64,
        read_rows UInt64, cpu_time Float32, result_rows UInt64, url Nullable(String), error UInt8, error_message Nullable(String),
        status_code Int32, request_id String, parameters Map(String, String), method String, release String, user_agent Nullable(String),
        client_ip Nullable(String), resource_tags Array(String), memory_usage UInt64, replica String
    ) ENGINE = MergeTree ORDER BY (pipe_id, start_datetime) TTL start_datetime + toIntervalMonth(3)",
    "CREATE TABLE IF NOT EXISTS tinybird.pipe_stats (
        date DateTime, pipe_id String, pipe_name String, avg_duration_state AggregateFunction(avg, Float32), error_count UInt64,
        view_count UInt64, quantile_timing_state AggregateFunction(quantilesTiming(0.9, 0.95, 0.99), Float64), read_bytes_sum UInt64,
        read_rows_sum UInt64, cpu_time_sum Float64, resource_tags Array(String)
    ) ENGINE = SummingMergeTree PARTITION BY toYYYYMM(date) ORDER BY (pipe_id, date, pipe_name, resource_tags)",
    "CREATE MATERIALIZED VIEW IF NOT EXISTS tinybird.pipe_stats_by_day TO tinybird.pipe_stats AS
    SELECT
        toDateTime(toStartOfDay(start_datetime)) AS date, pipe_id, pipe_name, avgState(duration) AS avg_duration_state,
        sum(toUInt64(error)) AS error_count, count() AS view_count,
        quantilesTimingState(0.9, 0.95, 0.99)(toFloat64(duration) * 1000) AS quantile_timing_state, sum(read_bytes) AS read_bytes_sum,
        sum(read_rows) AS read_rows_sum, sum(toFloat64(cpu_time)) AS cpu_time_sum, any(resource_tags) AS resource_tags
    FROM tinybird.pipe_stats_rt
    GROUP BY date, pipe_id, pipe_name",
    "CREATE TABLE IF NOT EXISTS tinybird.endpoint_errors (
        start_datetime DateTime, request_id String, pipe_id String, pipe_name String, params Nullable(String), url Nullable(String),
        status_code Nullable(Int32), error Nullable(String), resource_tags Array(String)
    ) ENGINE = MergeTree PARTITION BY toYYYYMM(toDate(start_datetime)) ORDER BY start_datetime TTL start_datetime + toIntervalDay(30)",
    "CREATE MATERIALIZED VIEW IF NOT EXISTS tinybird.endpoint_errors_of_requests TO tinybird.endpoint_errors AS
    SELECT
        start_datetime, request_id, pipe_id, pipe_name, if(empty(parameters), NULL, toJSONString(parameters)) AS params, url,
        toNullable(status_code) AS status_code, error_message AS error, resource_tags
    FROM tinybird.pipe_stats_rt
    WHERE pipe_stats_rt.error = 1 AND pipe_id != 'query_api'",
    "CREATE TABLE IF NOT EXISTS tinybird.datasources_ops_log (
        timestamp DateTime, event_type String, datasource_id String, datasource_name String, result String, elapsed_time Float32,
        error Nullable(String), `Options.Names` Array(String), `Options.Values` Array(String), request_id String,
        import_id Nullable(String), job_id Nullable(String), rows Nullable(UInt64), rows_quarantine Nullable(UInt64),
        blocks_ids Array(String), operation_id String, read_rows UInt64, read_bytes UInt64, cpu_time Float32, memory_usage UInt64,
        written_rows UInt64, written_bytes UInt64, written_rows_quarantine UInt64, written_bytes_quarantine UInt64, pipe_id String,
        pipe_name String, release String, resource_tags Array(String)
    ) ENGINE = MergeTree PARTITION BY toYYYYMM(timestamp) ORDER BY (datasource_id, timestamp)",
    "CREATE TABLE IF NOT EXISTS tinybird.jobs_log (
        job_id String, job_type LowCardinality(String), status LowCardinality(String), error Nullable(String), workspace_id String,
        request_id Nullable(String), pipe_id Nullable(String), datasource_id Nullable(String), created_at DateTime64(3),
        started_at Nullable(DateTime64(3)), updated_at DateTime64(3), job_metadata String
    ) ENGINE = ReplacingMergeTree(updated_at) PARTITION BY toYYYYMM(created_at) ORDER BY (created_at, job_id)",
    "CREATE TABLE IF NOT EXISTS tinybird.datasources_storage (
        datasource_id String, datasource_name String, timestamp DateTime, bytes SimpleAggregateFunction(max, UInt64),
        rows SimpleAggregateFunction(max, UInt64), bytes_quarantine SimpleAggregateFunction(max, UInt64),
        rows_quarantine SimpleAggregateFunction(max, UInt64)
    ) ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(timestamp) ORDER BY (datasource_id, timestamp, datasource_name)",
];

/// Makes what is missing.
pub(crate) async fn create(engine: &dyn Engine) -> Result<(), EngineError> {
    for statement in STATEMENTS {
        engine.execute(statement).await?;
    }
    count_in_milliseconds(engine).await
}

/// `quantilesTiming` is made for milliseconds. A view that an older version has made gives it seconds: from now on it does not.
async fn count_in_milliseconds(engine: &dyn Engine) -> Result<(), EngineError> {
    let asked = "SELECT count() FROM system.tables WHERE database = 'tinybird' AND name = 'pipe_stats_by_day' AND position(create_table_query, '* 1000') = 0";
    let answer = engine.query(Query::new(asked, "TSV")).await?;
    if answer.bytes().await?.as_ref() == b"0\n" {
        return Ok(());
    }
    let mut made = STATEMENTS.iter();
    let query = made.find_map(|statement| {
        let (head, query) = statement.split_once(" AS\n")?;
        head.ends_with("TO tinybird.pipe_stats").then_some(query)
    });
    match query {
        Some(query) => {
            let change = format!("ALTER TABLE tinybird.pipe_stats_by_day MODIFY QUERY {query}");
            engine.execute(&change).await
        }
        None => Ok(()),
    }
}
