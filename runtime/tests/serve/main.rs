//! The real binary serving real HTTP over the real engine.

mod answers;
mod connections;
mod copies;
mod copies_survive;
mod crash;
mod datasources;
mod filters;
mod guarded;
mod harness;
mod lifecycle;
mod limits;
mod literate;
mod literate_refusals;
mod literate_service;
mod matrix;
mod operations;
mod page;
mod pipes_api;
mod quiet_log;
mod row_filters;
mod secrets;
mod service_data;
mod spellings;
mod story;
mod tokens;
