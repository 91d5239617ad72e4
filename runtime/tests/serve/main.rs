//! The real binary serving real HTTP over the real engine.

mod answers;
mod harness;
mod lifecycle;
mod pipes_api;
mod secrets;
mod tokens_api;
