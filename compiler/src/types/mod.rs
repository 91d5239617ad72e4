//! ClickHouse types.
