//! Whole-pipeline cases: one input, many snapshots. This crate has tests only.
