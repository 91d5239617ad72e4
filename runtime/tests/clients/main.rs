//! Programs that were written for the existing service, as their registries have them, against the real binary. What they need is installed once below the
//! target folder; a test fails when that is not possible.

mod command_line;
mod command_line_forms;
mod forward;
mod forward_sdk;
#[path = "../serve/harness.rs"]
#[expect(dead_code, reason = "the tests of the server use more of it")]
mod harness;
mod offline;
mod packages;
mod page;
mod schemathesis;
mod terminal;
mod tools;
