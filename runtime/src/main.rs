//! Parses the arguments, runs the command, and turns the outcome into an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    pipewright::cli::main().into()
}
