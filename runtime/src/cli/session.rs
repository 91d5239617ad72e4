//! Commands over data: given to the server that is named, or to one that this process runs for itself alone.

use std::path::Path;

use serde_json::Value;

use super::arguments::Remote;
use super::bar::Bar;
use super::client::Client;
use super::printer::Printer;
use super::serve::Does;
use super::{ExitStatus, project_folder, serve};

/// How long a command waits before it asks again how far a job is.
const EVERY: std::time::Duration = std::time::Duration::from_millis(200);

/// Runs a command; one that only reads leaves everything as it is.
pub(super) fn run<F>(
    remote: &Remote,
    does: Does,
    project: Option<&Path>,
    printer: &Printer,
    work: impl FnOnce(Client) -> F,
) -> anyhow::Result<ExitStatus>
where
    F: Future<Output = anyhow::Result<ExitStatus>>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    if let Some(client) = Client::of(remote)? {
        return runtime.block_on(work(client));
    }
    let folder = project_folder(None, project)?;
    runtime.block_on(serve::for_myself(
        &folder,
        does,
        printer,
        |address, token| work(Client::at(address, token)),
    ))
}

/// Shows how far a job is until it has ended.
pub(super) async fn follow(
    client: &Client,
    id: &str,
    printer: &Printer,
) -> anyhow::Result<(ExitStatus, Value)> {
    let mut bar = Bar::new(printer);
    loop {
        let job = client.call("GET", &format!("/v0/jobs/{id}"), None).await?;
        let progress = &job["progress"];
        bar.say(job["kind"].as_str().unwrap_or_default());
        bar.rows(
            progress["rows"].as_u64().unwrap_or(0),
            progress["rows_total"].as_u64().unwrap_or(0),
        );
        match job["status"].as_str() {
            Some("done") => return Ok((ExitStatus::Success, job)),
            Some("error" | "cancelled") => {
                drop(bar);
                let status = job["status"].as_str().unwrap_or_default();
                let why = job["error"].as_str().unwrap_or(status);
                printer.error(&format!("job {id}: {why}"));
                return Ok((ExitStatus::Findings, job));
            }
            _ => tokio::time::sleep(EVERY).await,
        }
    }
}

/// Columns of text, each as wide as its widest.
pub(super) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = heads.iter().map(|head| head.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let mut text = line(&mut heads.iter().copied());
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".to_owned(), "1".to_owned()]];
        assert_eq!(table(&["name", "n"], &rows), "name  n\na     1\n");
    }
}
