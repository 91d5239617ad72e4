//! The real binary: exit code, stdout and stderr of each command together.

mod bad_projects;
mod commands;
mod diff;
mod explain;
mod harness;
mod lineage;
mod places;
mod refusals;
mod types;
mod watch;
