//! Progress: a bar on a terminal, a line now and then elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::printer::Printer;

/// So often a line says how far something is.
const EVERY: Duration = Duration::from_secs(5);

/// How far something is.
pub(super) struct Bar<'a> {
    printer: &'a Printer,
    drawn: Option<ProgressBar>,
    said: String,
    last: Instant,
}

impl<'a> Bar<'a> {
    /// For something whose end is not known yet.
    pub(super) fn new(printer: &'a Printer) -> Self {
        let drawn = printer.is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self {
            printer,
            drawn,
            said: String::new(),
            last: Instant::now(),
        }
    }

    /// What is being done.
    pub(super) fn say(&mut self, text: &str) {
        if text.is_empty() || text == self.said {
            return;
        }
        text.clone_into(&mut self.said);
        match &self.drawn {
            Some(bar) => bar.set_message(text.to_owned()),
            None => self.printer.note(text),
        }
    }

    /// How far it is, in rows.
    pub(super) fn rows(&mut self, done: u64, total: u64) {
        self.show(
            done,
            total,
            "{msg} {wide_bar} {human_pos}/{human_len} rows",
            "rows",
        );
    }

    /// How far it is, in bytes.
    pub(super) fn bytes(&mut self, done: u64, total: u64) {
        self.show(
            done,
            total,
            "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}",
            "bytes",
        );
    }

    fn show(&mut self, done: u64, total: u64, template: &str, unit: &str) {
        if total == 0 {
            return;
        }
        let Some(bar) = &self.drawn else {
            if self.last.elapsed() >= EVERY {
                self.last = Instant::now();
                self.printer.note(&format!("{done} of {total} {unit}"));
            }
            return;
        };
        if bar.length() != Some(total) {
            bar.set_length(total);
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
        }
        bar.set_position(done);
    }
}

impl Drop for Bar<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.drawn {
            bar.finish_and_clear();
        }
    }
}
