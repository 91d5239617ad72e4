//! The real binary serving real HTTP over the real engine.

mod answers;
mod connections;
mod copies;
mod copies_survive;
mod crash;
mod datasources;
mod filters;
mod harness;
mod lifecycle;
mod operations;
mod page;
mod pipes_api;
mod secrets;
mod service_data;
mod tokens_api;
