//! Everything of Pipewright that touches the world: disk, engine, network.

pub mod engine;
pub mod state;
