//! `pipewright engine`, and how every other command comes by an engine.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use pipewright_compiler::project::Config as ProjectConfig;

use super::ExitStatus;
use super::arguments::Engine as EngineCommand;
use super::printer::Printer;
use crate::engine::{self, Config, Engine, install};

pub(super) fn run(command: &EngineCommand, printer: &Printer) -> anyhow::Result<ExitStatus> {
    match command {
        EngineCommand::Install => {
            let path = installed(printer)?;
            printer.data(&path.display().to_string())?;
        }
        EngineCommand::Info => {
            let Some(path) = engine::locate() else {
                printer.note("the embedded ClickHouse is not installed");
                printer.hint("`pipewright engine install` fetches it");
                return Ok(ExitStatus::Findings);
            };
            printer.data(&format!("package  {}\nlibrary  {}", install::package().unwrap_or_default(), path.display()))?;
        }
    }
    Ok(ExitStatus::Success)
}

/// The engine's library, fetched now if it is not there.
fn installed(printer: &Printer) -> anyhow::Result<std::path::PathBuf> {
    if let Some(path) = engine::locate() {
        return Ok(path);
    }
    printer.note("fetching the embedded ClickHouse (about 180 MB, once for all projects)");
    let path = engine::install(&Bar::new(printer)).context("cannot install the embedded ClickHouse")?;
    printer.note(&format!("installed {}", path.display()));
    Ok(path)
}

/// Opens the engine that the project names: a server, or the embedded one with its data in `state`.
pub(super) async fn open(config: &ProjectConfig, state: &Path, printer: &Printer) -> anyhow::Result<Arc<dyn Engine>> {
    let config = match &config.server.clickhouse_url {
        Some(_url) => Config::Server(engine::server::Config {}),
        None => {
            installed(printer)?;
            Config::embedded(state)
        }
    };
    Ok(engine::open(config).await?)
}

/// Progress of an installation: a bar on a terminal, a few lines elsewhere.
struct Bar(Option<ProgressBar>);

impl Bar {
    fn new(printer: &Printer) -> Self {
        Self(printer.is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        }))
    }
}

impl install::Progress for Bar {
    fn phase(&self, name: &str, total: Option<u64>) {
        let Some(bar) = &self.0 else {
            Printer.note(name);
            return;
        };
        let template = if total.is_some() { "{msg} {wide_bar} {bytes}/{total_bytes}" } else { "{spinner} {msg} {bytes} {elapsed}" };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_position(0);
        if let Some(total) = total {
            bar.set_length(total);
        }
        bar.set_message(name.to_owned());
    }

    fn bytes(&self, done: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(done);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
