//! Times as the API writes them: `YYYY-MM-DD HH:MM:SS.ffffff`, UTC.

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since 1970.
pub fn now_micros() -> i64 {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX)
}

/// A time in microseconds since 1970 as the API writes it.
pub fn format_micros(micros: i64) -> String {
    let time = jiff::Timestamp::from_microsecond(micros).unwrap_or_default();
    time.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_microseconds() {
        assert_eq!(format_micros(0), "1970-01-01 00:00:00.000000");
        assert_eq!(
            format_micros(951_827_696_000_789),
            "2000-02-29 12:34:56.000789"
        );
        assert_eq!(
            format_micros(1_767_225_599_999_999),
            "2025-12-31 23:59:59.999999"
        );
    }
}
