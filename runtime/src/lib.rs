#![doc = include_str!("../../README.md")]

pub mod catalog;
pub mod cli;
pub mod deploy;
pub mod engine;
pub mod explain;
mod fence;
pub mod http;
pub mod ingest;
pub mod jobs;
pub mod schedule;
pub mod secrets;
pub mod service;
pub mod state;
pub mod typing;
pub mod workspace;
