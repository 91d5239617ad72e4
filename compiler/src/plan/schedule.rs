//! When a copy runs: on demand, or by a cron expression whose fields are looked at here and whose times are worked out here, so that a file, a request and
//! the scheduler mean the same. Times come in as values; no clock is read.

use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use serde::Serialize;

/// When a copy runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// When it is asked for.
    OnDemand,
    /// By a cron expression of five fields, in UTC.
    Cron(String),
}

/// A cron expression of five fields, each in its range, that comes at some time.
#[derive(Debug, Clone)]
pub struct Cron(croner::Cron);

/// Why a text is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// There are not five fields.
    #[error("`{0}` is not a schedule")]
    NotFiveFields(String),
    /// A field cannot be read or is out of its range.
    #[error(
        "field {number} (the {name}) of the schedule `{schedule}` is `{field}`, which is none of {range}"
    )]
    BadField {
        /// The whole expression.
        schedule: String,
        /// The field.
        field: String,
        /// Which field, from 1.
        number: usize,
        /// What the field is about.
        name: &'static str,
        /// What it can be.
        range: &'static str,
    },
    /// No day is ever like that.
    #[error("the schedule `{0}` never comes")]
    Never(String),
}

/// The fields with their ranges.
const FIELDS: [(&str, &str); 5] = [
    ("minute", "0-59"),
    ("hour", "0-23"),
    ("day of the month", "1-31"),
    ("month", "1-12 or JAN-DEC"),
    ("weekday", "0-7 or SUN-SAT"),
];

/// A year from which on every day of the calendar has come once before the search for it ends.
const SOME_DAY: i64 = 946_684_800;

impl Schedule {
    /// Reads a schedule: nothing or `@on-demand`, or five cron fields.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let text = text.trim();
        if text.is_empty() || text.eq_ignore_ascii_case("@on-demand") {
            return Ok(Self::OnDemand);
        }
        Cron::parse(text).map(|_| Self::Cron(text.to_owned()))
    }
}

impl Cron {
    /// Reads five fields: minute, hour, day of the month, month, weekday.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        if fields.len() != FIELDS.len() || text.contains('@') {
            return Err(ScheduleError::NotFiveFields(text.to_owned()));
        }
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .sloppy_ranges(true)
            .build();
        // One by one among stars, so that the one that is wrong can be named.
        for (at, (field, (name, range))) in fields.iter().zip(FIELDS).enumerate() {
            let mut alone = ["*"; FIELDS.len()];
            alone[at] = field;
            if parser.parse(&alone.join(" ")).is_err() {
                return Err(ScheduleError::BadField {
                    schedule: text.to_owned(),
                    field: (*field).to_owned(),
                    number: at + 1,
                    name,
                    range,
                });
            }
        }
        let never = || ScheduleError::Never(text.to_owned());
        let cron = parser.parse(text).map(Self).map_err(|_| never())?;
        cron.next_after(SOME_DAY).ok_or_else(never)?;
        Ok(cron)
    }

    /// The latest time of the schedule that is not after `time`; seconds since 1970, UTC.
    pub fn latest_until(&self, time: i64) -> Option<i64> {
        let found = self.0.find_previous_occurrence(&civil(time)?, true).ok()?;
        seconds(found)
    }

    /// The first time of the schedule that is after `time`; seconds since 1970, UTC.
    pub fn next_after(&self, time: i64) -> Option<i64> {
        let found = self.0.find_next_occurrence(&civil(time)?, false).ok()?;
        seconds(found)
    }
}

fn civil(time: i64) -> Option<DateTime> {
    Some(Offset::UTC.to_datetime(Timestamp::from_second(time).ok()?))
}

fn seconds(time: DateTime) -> Option<i64> {
    Some(Offset::UTC.to_timestamp(time).ok()?.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> i64 {
        seconds(text.parse().unwrap()).unwrap()
    }

    fn text(time: Option<i64>) -> String {
        time.and_then(civil)
            .map_or("never".to_owned(), |time| time.to_string())
    }

    #[test]
    fn times_are_found_before_and_after_a_moment() {
        let cases = [
            (
                "*/15 * * * *",
                "2024-02-29T23:59:30",
                "2024-02-29T23:45:00",
                "2024-03-01T00:00:00",
            ),
            (
                "0 * * * *",
                "2024-01-01T00:00:00",
                "2024-01-01T00:00:00",
                "2024-01-01T01:00:00",
            ),
            (
                "30 6 * * MON-FRI",
                "2024-06-09T12:00:00",
                "2024-06-07T06:30:00",
                "2024-06-10T06:30:00",
            ),
            (
                "0 0 29 2 *",
                "2026-01-01T00:00:00",
                "2024-02-29T00:00:00",
                "2028-02-29T00:00:00",
            ),
            (
                "0 0 1 * 1",
                "2024-06-09T12:00:00",
                "2024-06-03T00:00:00",
                "2024-06-10T00:00:00",
            ),
            (
                "5-59/20 0,12 * JAN,JUL 7",
                "2024-01-08T00:00:00",
                "2024-01-07T12:45:00",
                "2024-01-14T00:05:00",
            ),
            (
                "0 0 * * 7",
                "2024-06-09T00:00:00",
                "2024-06-09T00:00:00",
                "2024-06-16T00:00:00",
            ),
        ];
        for (schedule, now, before, after) in cases {
            let (cron, now) = (Cron::parse(schedule).unwrap(), time(now));
            assert_eq!(
                (
                    text(cron.latest_until(now)).as_str(),
                    text(cron.next_after(now)).as_str()
                ),
                (before, after),
                "{schedule}"
            );
        }
    }

    #[test]
    fn a_field_out_of_its_range_is_named() {
        let refused = |text: &str| Schedule::parse(text).unwrap_err().to_string();
        let all: Vec<String> = [
            "99 99 * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "*/0 * * * *",
            "50-40 * * * *",
            "x * * * *",
            "0 0 31 2 *",
            "* * * *",
            "0 0 0 * * *",
            "@daily",
        ]
        .map(refused)
        .to_vec();
        insta::assert_snapshot!(all.join("\n"), @r"
        field 1 (the minute) of the schedule `99 99 * * *` is `99`, which is none of 0-59
        field 2 (the hour) of the schedule `* 24 * * *` is `24`, which is none of 0-23
        field 3 (the day of the month) of the schedule `* * 0 * *` is `0`, which is none of 1-31
        field 4 (the month) of the schedule `* * * 13 *` is `13`, which is none of 1-12 or JAN-DEC
        field 5 (the weekday) of the schedule `* * * * 8` is `8`, which is none of 0-7 or SUN-SAT
        field 1 (the minute) of the schedule `*/0 * * * *` is `*/0`, which is none of 0-59
        field 1 (the minute) of the schedule `50-40 * * * *` is `50-40`, which is none of 0-59
        field 1 (the minute) of the schedule `x * * * *` is `x`, which is none of 0-59
        the schedule `0 0 31 2 *` never comes
        `* * * *` is not a schedule
        `0 0 0 * * *` is not a schedule
        `@daily` is not a schedule
        ");
    }
}
