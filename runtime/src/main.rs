//! Parses the arguments, runs the command, and turns the outcome into an exit code.

use std::process::ExitCode;

// Compiling is many small allocations, on several threads at once.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pipewright::engine::chdb::ffi::keep_universal_time();
    pipewright::cli::main().into()
}
