//! Where output goes: data to stdout, everything else to stderr. Colour carries no meaning, and `anstream` alone decides on it.

use std::io::{self, IsTerminal as _, Write as _};

use owo_colors::OwoColorize as _;
use pipewright_compiler::diagnostics::render::Style;

/// The two streams of the terminal.
#[derive(Debug)]
pub(crate) struct Printer;

impl Printer {
    /// Writes data as it is: a control character in it is part of it.
    #[expect(clippy::unused_self, reason = "every output goes through a printer")]
    pub(crate) fn data(&self, text: &str) -> io::Result<()> {
        Self::lines(io::stdout().lock(), text)
    }

    /// Writes what has a style, in colour where it is wanted.
    #[expect(clippy::unused_self, reason = "every output goes through a printer")]
    pub(crate) fn styled(&self, text: &str) -> io::Result<()> {
        Self::lines(anstream::stdout().lock(), text)
    }

    fn lines(mut stdout: impl io::Write, text: &str) -> io::Result<()> {
        stdout.write_all(text.as_bytes())?;
        if !text.ends_with('\n') && !text.is_empty() {
            stdout.write_all(b"\n")?;
        }
        stdout.flush()
    }

    /// Writes bytes of data as they are.
    #[expect(clippy::unused_self, reason = "every output goes through a printer")]
    pub(crate) fn bytes(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()
    }

    /// Says something about the run. A closed stderr is no reason to stop.
    #[expect(clippy::unused_self, reason = "every output goes through a printer")]
    pub(crate) fn note(&self, text: &str) {
        let mut stderr = anstream::stderr().lock();
        _ = writeln!(stderr, "{}", text.trim_end_matches('\n'));
    }

    /// Says why the command failed.
    pub(crate) fn error(&self, text: &str) {
        self.note(&format!("{} {text}", "error:".red().bold()));
    }

    /// Says what to do next.
    pub(crate) fn hint(&self, text: &str) {
        self.note(&format!("{} {text}", "hint:".cyan().bold()));
    }

    /// The style of rendered diagnostics: with colour, which `anstream` takes out again where it is not wanted.
    #[expect(clippy::unused_self, reason = "every output goes through a printer")]
    pub(crate) fn style(&self) -> Style {
        Style::Coloured
    }

    /// Whether progress bars can be drawn.
    #[expect(clippy::unused_self, reason = "every output goes through a printer")]
    pub(crate) fn is_terminal(&self) -> bool {
        io::stderr().is_terminal()
    }
}
