//! The only place that knows `sqlparser`.
