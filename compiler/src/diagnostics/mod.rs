//! Rendering of diagnostics, and the registry of codes.
pub mod codes;
