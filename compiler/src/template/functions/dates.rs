//! `day_diff` and `date_diff_in_…`: the whole units between two times.
//!
//! The calendar is `jiff`'s. Its `strptime` is not the one of the original, which is Python's: there a field may have one digit, letters match in any case, a blank
//! stands for one or more, and what a format leaves out is of the year 1900. So formats are read here.

use jiff::civil::Date;
use jiff::tz::Offset;
use minijinja::Value;

use super::Arguments;
use crate::template::error::{ErrorKind, Outcome, TemplateError};
use crate::template::value::{Thing, View, as_text, none, to_text, type_name, view};

const DAY: &str = "%Y-%m-%d";
const TIME: &str = "%Y-%m-%d %H:%M:%S";

/// `day_diff(a, b)`.
pub(super) fn day_diff(arguments: &Arguments<'_>) -> Outcome<Value> {
    arguments.only(&["d0", "d1"])?;
    let first = arguments.required(0, "d0")?;
    let second = arguments.required(1, "d1")?;
    if [first, second].into_iter().any(is_placeholder) {
        return Ok(Value::from(0));
    }
    let days = (moment(first, DAY, None)? - moment(second, DAY, None)?).abs() / (86400 * 1_000_000);
    Ok(Value::from(days))
}

/// `date_diff_in_days(a, b, date_format, default, backup_date_format, none_if_error)` and its kin, in units of `seconds`.
pub(super) fn difference(
    arguments: &Arguments<'_>,
    seconds: i64,
    with_time: bool,
) -> Outcome<Value> {
    arguments.only(&[
        "d0",
        "d1",
        "date_format",
        "default",
        "backup_date_format",
        "none_if_error",
    ])?;
    let first = arguments.required(0, "d0")?;
    let second = arguments.required(1, "d1")?;
    let given = |at, name| {
        arguments
            .get(at, name)
            .filter(|value| !matches!(view(value), View::None))
    };
    if [first, second].into_iter().any(is_placeholder) {
        return Ok(given(3, "default")
            .cloned()
            .unwrap_or_else(|| Value::from(0)));
    }
    let format = given(2, "date_format")
        .map_or_else(|| if with_time { TIME } else { DAY }.to_owned(), to_text);
    let backup = given(4, "backup_date_format").map(to_text);
    let between =
        || -> Outcome<i64> {
            Ok(moment(first, &format, backup.as_deref())?
                - moment(second, &format, backup.as_deref())?)
        };
    match between() {
        Ok(difference) => Ok(Value::from(difference.abs() / (seconds * 1_000_000))),
        Err(_) if given(5, "none_if_error").is_some_and(Value::is_true) => Ok(none()),
        Err(error) => Err(error),
    }
}

fn is_placeholder(value: &Value) -> bool {
    matches!(view(value), View::Thing(Thing::Placeholder))
        || value.as_str() == Some(crate::template::value::NO_VALUE)
}

fn moment(value: &Value, format: &str, backup: Option<&str>) -> Outcome<i64> {
    let Some(text) = as_text(value) else {
        return Err(TemplateError::new(
            ErrorKind::BadDateDiff,
            format!("a date is expected, not {}", type_name(value)),
        ));
    };
    read(&text, format)
        .or_else(|| backup.and_then(|backup| read(&text, backup)))
        .ok_or_else(|| {
            TemplateError::new(
                ErrorKind::BadDateDiff,
                format!(
                    "'{}' is not a date of the format '{}'",
                    text.chars().take(40).collect::<String>().escape_debug(),
                    format.escape_debug()
                ),
            )
        })
}

/// The fields that a format can fill.
struct Fields {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    micro: i64,
    afternoon: Option<bool>,
    offset: i64,
}

/// Microseconds since 1970 of a text in a `strptime` format.
fn read(text: &str, format: &str) -> Option<i64> {
    let mut fields = Fields {
        year: 1900,
        month: 1,
        day: 1,
        hour: 0,
        minute: 0,
        second: 0,
        micro: 0,
        afternoon: None,
        offset: 0,
    };
    let mut rest = text;
    let mut wanted = format.chars();
    while let Some(character) = wanted.next() {
        if character == '%' {
            rest = fields.take(wanted.next()?, rest)?;
        } else if character.is_whitespace() {
            let trimmed = rest.trim_start();
            if trimmed.len() == rest.len() {
                return None;
            }
            rest = trimmed;
        } else {
            let next = rest.chars().next()?;
            if !next.to_lowercase().eq(character.to_lowercase()) {
                return None;
            }
            rest = &rest[next.len_utf8()..];
        }
    }
    rest.is_empty().then(|| fields.microseconds())?
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

impl Fields {
    fn take<'t>(&mut self, directive: char, text: &'t str) -> Option<&'t str> {
        let (value, rest) = match directive {
            'Y' => exactly(text, 4)?,
            'y' => exactly(text, 2)?,
            'm' | 'd' | 'H' | 'I' | 'M' | 'S' => {
                let low = i64::from(matches!(directive, 'm' | 'd' | 'I'));
                let high = match directive {
                    'm' | 'I' => 12,
                    'd' => 31,
                    'H' => 23,
                    'M' => 59,
                    _ => 61,
                };
                up_to_two(text, low, high)?
            }
            'f' => return self.fraction(text),
            'p' => {
                let half = text.get(..2)?.to_ascii_lowercase();
                self.afternoon = Some(match half.as_str() {
                    "am" => false,
                    "pm" => true,
                    _ => return None,
                });
                return Some(&text[2..]);
            }
            'b' | 'h' | 'B' => {
                let (at, length) = MONTHS.iter().enumerate().find_map(|(at, name)| {
                    let name = if directive == 'B' { name } else { &name[..3] };
                    let start = text.get(..name.len())?;
                    start.eq_ignore_ascii_case(name).then_some((at, name.len()))
                })?;
                self.month = i64::try_from(at).ok()? + 1;
                return Some(&text[length..]);
            }
            'z' => return self.zone(text),
            '%' => return text.strip_prefix('%'),
            _ => return None,
        };
        match directive {
            'Y' => self.year = value,
            'y' => {
                self.year = if value < 69 {
                    2000 + value
                } else {
                    1900 + value
                }
            }
            'm' => self.month = value,
            'd' => self.day = value,
            'H' | 'I' => self.hour = value,
            'M' => self.minute = value,
            _ => self.second = value,
        }
        Some(rest)
    }

    fn fraction<'t>(&mut self, text: &'t str) -> Option<&'t str> {
        let count = text.bytes().take(6).take_while(u8::is_ascii_digit).count();
        let digits = &text[..count];
        let value: i64 = digits.parse().ok()?;
        let missing = u32::try_from(6 - count).ok()?;
        self.micro = value * 10i64.pow(missing);
        Some(&text[count..])
    }

    fn zone<'t>(&mut self, text: &'t str) -> Option<&'t str> {
        if let Some(rest) = text.strip_prefix('Z') {
            return Some(rest);
        }
        let sign = match text.as_bytes().first()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let (hours, rest) = exactly(&text[1..], 2)?;
        let (minutes, rest) = exactly(rest.strip_prefix(':').unwrap_or(rest), 2)?;
        self.offset = sign * (hours * 3600 + minutes * 60);
        Some(rest)
    }

    fn microseconds(&self) -> Option<i64> {
        let narrow = |value: i64| i8::try_from(value).ok();
        let year = i16::try_from(self.year).ok().filter(|year| *year >= 1)?;
        let date = Date::new(year, narrow(self.month)?, narrow(self.day)?).ok()?;
        let midnight = Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()?;
        let hour = match self.afternoon {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        };
        // The second may be one that is put in now and then, the 61st.
        let seconds = midnight.as_second() + hour * 3600 + self.minute * 60 + self.second;
        Some((seconds - self.offset) * 1_000_000 + self.micro)
    }
}

fn exactly(text: &str, count: usize) -> Option<(i64, &str)> {
    let digits = text.get(..count)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((digits.parse().ok()?, &text[count..]))
}

fn up_to_two(text: &str, low: i64, high: i64) -> Option<(i64, &str)> {
    [2, 1].into_iter().find_map(|count| {
        let (value, rest) = exactly(text, count)?;
        (low..=high).contains(&value).then_some((value, rest))
    })
}
