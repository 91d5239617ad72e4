//! `pipewright datasource`: rows in, out and away.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use futures::Stream;
use pipewright_compiler::sql::quote_identifier;
use serde_json::Value;

use super::ExitStatus;
use super::arguments::{Datasource, DatasourceCommand, OutputFormat, RowFormat, Rows};
use super::bar::Bar;
use super::client::{Client, escaped};
use super::printer::Printer;
use super::serve::Does;
use super::session::{follow, run as with_server, table};
use crate::ingest::Format;

/// What is read of a file at once.
const CHUNK: usize = 1 << 18;

pub(super) fn run(
    arguments: &Datasource,
    project: Option<&Path>,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let format = arguments.format;
    with_server(
        &arguments.remote,
        does(&arguments.command),
        project,
        printer,
        async |client| match &arguments.command {
            DatasourceCommand::List => list(&client, format, printer).await,
            DatasourceCommand::Append(rows) => put(&client, rows, None, format, printer).await,
            DatasourceCommand::Replace { rows, condition } => {
                let condition = condition.as_deref().unwrap_or("");
                put(&client, rows, Some(condition), format, printer).await
            }
            DatasourceCommand::Truncate { name, yes } => {
                if !yes {
                    // One that is not there is said to be not there.
                    client
                        .call("GET", &format!("/v0/datasources/{}", escaped(name)), None)
                        .await?;
                    printer.error(&format!("all rows of `{name}` would go"));
                    printer.hint("`--yes` takes them away");
                    return Ok(ExitStatus::Findings);
                }
                let path = format!("/v0/datasources/{}/truncate", escaped(name));
                client.call("POST", &path, None).await?;
                printer.note(&format!("`{name}` is empty"));
                Ok(ExitStatus::Success)
            }
            DatasourceCommand::Delete {
                name,
                condition,
                dry_run,
            } => delete(&client, name, condition, *dry_run, format, printer).await,
            DatasourceCommand::Export { name, rows, out } => {
                export(&client, name, *rows, out.as_deref(), printer).await
            }
            DatasourceCommand::Analyze { file, rows } => {
                let kind = kind_of(file, *rows)?;
                let path = format!("/v0/analyze?format={kind}");
                let answer = client.upload(&path, read(file, None)?).await?;
                shown_analysis(&answer, format, printer)
            }
            DatasourceCommand::Sample { name, limit } => {
                let kind = match format {
                    OutputFormat::Text => "PrettyCompact",
                    OutputFormat::Json => "JSON",
                };
                let name = quoted(name);
                let sql = format!("SELECT * FROM {name} LIMIT {limit} FORMAT {kind}");
                client
                    .download("/v0/sql", &sql, |bytes| printer.bytes(bytes))
                    .await?;
                Ok(ExitStatus::Success)
            }
        },
    )
}

/// Who only asks for rows finds those that are there.
fn does(command: &DatasourceCommand) -> Does {
    match command {
        DatasourceCommand::List
        | DatasourceCommand::Export { .. }
        | DatasourceCommand::Analyze { .. }
        | DatasourceCommand::Sample { .. }
        | DatasourceCommand::Truncate { yes: false, .. }
        | DatasourceCommand::Delete { dry_run: true, .. } => Does::Nothing,
        DatasourceCommand::Append(_)
        | DatasourceCommand::Replace { .. }
        | DatasourceCommand::Truncate { .. }
        | DatasourceCommand::Delete { .. } => Does::All,
    }
}

/// The name of a data source in SQL, with that of its workspace where it has one.
fn quoted(name: &str) -> String {
    let parts: Vec<String> = name.split('.').map(quote_identifier).collect();
    parts.join(".")
}

async fn list(
    client: &Client,
    format: OutputFormat,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let answer = client.call("GET", "/v0/datasources", None).await?;
    if format == OutputFormat::Json {
        return json(&answer, printer);
    }
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let found = answer["datasources"].as_array();
    let rows: Vec<Vec<String>> = found
        .into_iter()
        .flatten()
        .map(|datasource| {
            vec![
                text(&datasource["name"]),
                text(&datasource["engine"]["engine"]),
                text(&datasource["statistics"]["row_count"]),
                text(&datasource["statistics"]["bytes"]),
            ]
        })
        .collect();
    printer.data(&table(&["name", "engine", "rows", "bytes"], &rows))?;
    Ok(ExitStatus::Success)
}

fn json(answer: &Value, printer: &Printer) -> anyhow::Result<ExitStatus> {
    printer.data(&serde_json::to_string_pretty(answer)?)?;
    Ok(ExitStatus::Success)
}

/// The format of a file by its name, unless it is said.
fn kind_of(file: &Path, said: Option<RowFormat>) -> anyhow::Result<&'static str> {
    if let Some(said) = said {
        return Ok(said.name());
    }
    let format = Format::of_file(&file.to_string_lossy());
    let format = format.with_context(|| {
        format!(
            "the name `{}` does not say how its rows are written: `--rows csv`, `ndjson` or `parquet` does",
            file.display()
        )
    })?;
    Ok(format.name())
}

/// The bytes of a file, or of standard input for `-`, as they are wanted; what has been read is counted.
fn read(
    file: &Path,
    counted: Option<Arc<AtomicU64>>,
) -> anyhow::Result<impl Stream<Item = std::io::Result<Bytes>> + Send + Sync + 'static> {
    let mut source: Box<dyn std::io::Read + Send + Sync> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        let opened = std::fs::File::open(file);
        Box::new(opened.with_context(|| format!("cannot read `{}`", file.display()))?)
    };
    let (sender, receiver) = tokio::sync::mpsc::channel::<std::io::Result<Bytes>>(4);
    std::thread::spawn(move || {
        loop {
            let mut chunk = vec![0; CHUNK];
            let got = match source.read(&mut chunk) {
                Ok(0) => return,
                Ok(bytes) => {
                    chunk.truncate(bytes);
                    if let Some(counted) = &counted {
                        counted.fetch_add(bytes as u64, Ordering::Relaxed);
                    }
                    Ok(Bytes::from(chunk))
                }
                Err(error) => Err(error),
            };
            if sender.blocking_send(got).is_err() {
                return;
            }
        }
    });
    Ok(futures::stream::unfold(receiver, async |mut receiver| {
        let chunk = receiver.recv().await?;
        Some((chunk, receiver))
    }))
}

/// Rows into a data source, beside those that are there or, with a condition that may be empty, in their place.
async fn put(
    client: &Client,
    rows: &Rows,
    replaced: Option<&str>,
    format: OutputFormat,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let kind = kind_of(&rows.file, rows.kind)?;
    let mut path = format!(
        "/v0/datasources?name={}&format={kind}&mode={}",
        escaped(&rows.name),
        if replaced.is_some() {
            "replace"
        } else {
            "append"
        }
    );
    if let Some(condition) = replaced.filter(|condition| !condition.is_empty()) {
        path.push_str("&replace_condition=");
        path.push_str(&escaped(condition));
    }
    let total = std::fs::metadata(&rows.file).map_or(0, |found| found.len());
    let sent = Arc::new(AtomicU64::new(0));
    let mut bar = Bar::new(printer);
    bar.say(&format!("sending {}", rows.file.display()));
    let upload = client.upload(&path, read(&rows.file, Some(Arc::clone(&sent)))?);
    tokio::pin!(upload);
    let answer = loop {
        tokio::select! {
            answer = &mut upload => break answer?,
            () = tokio::time::sleep(Duration::from_millis(100)) => {
                bar.bytes(sent.load(Ordering::Relaxed), total);
            }
        }
    };
    drop(bar);
    let bad = answer["quarantine_rows"].as_u64().unwrap_or(0);
    if bad > 0 {
        printer.note(&format!(
            "warning: {}",
            answer["error"].as_str().unwrap_or("some rows do not fit")
        ));
    }
    if format == OutputFormat::Json {
        json(&answer, printer)?;
    } else {
        let datasource = &answer["datasource"];
        printer.note(&format!(
            "`{}` has {} rows",
            rows.name, datasource["statistics"]["row_count"]
        ));
    }
    Ok(if bad > 0 {
        ExitStatus::Findings
    } else {
        ExitStatus::Success
    })
}

async fn delete(
    client: &Client,
    name: &str,
    condition: &str,
    dry_run: bool,
    format: OutputFormat,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let path = format!(
        "/v0/datasources/{}/delete?delete_condition={}&dry_run={dry_run}",
        escaped(name),
        escaped(condition)
    );
    let answer = client.call("POST", &path, None).await?;
    let id = answer["job_id"].as_str().or(answer["id"].as_str());
    let (status, answer) = match id {
        Some(id) if !dry_run => follow(client, id, printer).await?,
        _ => (ExitStatus::Success, answer),
    };
    if format == OutputFormat::Json {
        json(&answer, printer)?;
    } else if status == ExitStatus::Success {
        let rows = answer["statistics"]["rows_deleted"]
            .as_u64()
            .or(answer["rows_to_be_deleted"].as_u64())
            .unwrap_or(0);
        let words = if dry_run { "would go" } else { "are gone" };
        printer.note(&format!("{rows} rows {words}"));
    }
    Ok(status)
}

async fn export(
    client: &Client,
    name: &str,
    rows: RowFormat,
    out: Option<&Path>,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let kind = match rows {
        RowFormat::Csv => "CSVWithNames",
        RowFormat::Ndjson => "JSONEachRow",
        RowFormat::Parquet => "Parquet",
    };
    let sql = format!("SELECT * FROM {} FORMAT {kind}", quoted(name));
    let Some(out) = out else {
        if rows == RowFormat::Parquet && std::io::stdout().is_terminal() {
            bail!("Parquet is not for a terminal: `--out FILE` writes it to a file");
        }
        client
            .download("/v0/sql", &sql, |bytes| printer.bytes(bytes))
            .await?;
        return Ok(ExitStatus::Success);
    };
    let folder = out
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."));
    // A file is there whole or not at all.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    let bytes = client
        .download("/v0/sql", &sql, |bytes| file.write_all(bytes))
        .await?;
    file.persist(out)?;
    printer.note(&format!("wrote {bytes} bytes to {}", out.display()));
    Ok(ExitStatus::Success)
}

fn shown_analysis(
    answer: &Value,
    format: OutputFormat,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    match answer["analysis"]["schema"]
        .as_str()
        .filter(|_| format == OutputFormat::Text)
    {
        Some(schema) => {
            printer.data(schema)?;
            Ok(ExitStatus::Success)
        }
        None => json(answer, printer),
    }
}
