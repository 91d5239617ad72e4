//! `pipewright engine`, and how every other command comes by an engine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use pipewright_compiler::project::Config as ProjectConfig;

use super::ExitStatus;
use super::arguments::Engine as EngineCommand;
use super::printer::Printer;
use crate::engine::install::Step;
use crate::engine::{self, Config, Engine, install};

pub(super) fn run(command: &EngineCommand, printer: &Printer) -> anyhow::Result<ExitStatus> {
    match command {
        EngineCommand::Install => {
            let path = installed(printer)?;
            printer.data(&path.display().to_string())?;
        }
        EngineCommand::Info => {
            let Some(path) = engine::locate() else {
                printer.note(&engine::absence());
                return Ok(ExitStatus::Findings);
            };
            printer.data(&format!(
                "package  {}\nlibrary  {}",
                install::VERSION,
                path.display()
            ))?;
        }
    }
    Ok(ExitStatus::Success)
}

/// The engine's library, fetched now if it is not there.
fn installed(printer: &Printer) -> anyhow::Result<PathBuf> {
    if let Some(path) = engine::locate() {
        return Ok(path);
    }
    if engine::missing().is_some() {
        bail!(engine::absence());
    }
    printer.note("fetching the embedded ClickHouse (about 180 MB, once for all projects)");
    let mut bar = Bar::new(printer);
    let path =
        install(&mut |step| bar.show(step)).context("cannot install the embedded ClickHouse")?;
    drop(bar);
    printer.note(&format!("installed {}", path.display()));
    Ok(path)
}

/// Opens the engine that the project names: a server, or the embedded one with its data in `state`.
pub(super) async fn open(
    config: &ProjectConfig,
    state: &Path,
    printer: &Printer,
) -> anyhow::Result<Arc<dyn Engine>> {
    let config = if let Some(url) = &config.server.clickhouse_url {
        // Rows on their way to it wait in the state folder, and who changes its tables must know of them.
        let mut config = engine::server::Config::new(url);
        config.state = Some(state.to_owned());
        Config::Server(config)
    } else {
        installed(printer)?;
        Config::embedded(state)
    };
    Ok(engine::open(config).await?)
}

/// Progress of an installation: a bar on a terminal, a line for each step elsewhere.
struct Bar<'a> {
    printer: &'a Printer,
    drawn: Option<ProgressBar>,
    step: &'static str,
}

impl<'a> Bar<'a> {
    fn new(printer: &'a Printer) -> Self {
        let bar = printer.is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self {
            printer,
            drawn: bar,
            step: "",
        }
    }

    fn show(&mut self, step: Step) {
        let (name, template, position, length) = match step {
            Step::Waiting => (
                "waiting for another installation",
                "{spinner} {msg} {elapsed}",
                0,
                None,
            ),
            Step::Downloading { bytes } => (
                "downloading",
                "{spinner} {msg} {bytes} {elapsed}",
                bytes,
                None,
            ),
            Step::Checking => ("checking", "{spinner} {msg}", 0, None),
            Step::Unpacking { bytes, total } => (
                "unpacking",
                "{msg} {wide_bar} {bytes}/{total_bytes}",
                bytes,
                Some(total),
            ),
        };
        let begins = name != self.step;
        self.step = name;
        let Some(bar) = &self.drawn else {
            if begins {
                self.printer.note(name);
            }
            return;
        };
        if begins && let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
            bar.set_message(name);
        }
        if let Some(length) = length {
            bar.set_length(length);
        }
        bar.set_position(position);
    }
}

impl Drop for Bar<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.drawn {
            bar.finish_and_clear();
        }
    }
}
