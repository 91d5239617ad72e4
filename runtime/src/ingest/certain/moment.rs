//! Days and seconds as they are written nearly always, as the numbers that the engine keeps.

/// Days of a year before each month.
const BEFORE: [u16; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

/// The days since 1970 of `YYYY-MM-DD`, from 1971 to 2099, up to the 28th, which every month has.
pub(super) fn day(text: &[u8]) -> Option<u16> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text else {
        return None;
    };
    let year = 100 * two(y1, y2)? + two(y3, y4)?;
    let (month, day) = (two(m1, m2)?, two(d1, d2)?);
    if !(1971..=2099).contains(&year) || !(1..=12).contains(&month) || !(1..=28).contains(&day) {
        return None;
    }
    // In these years every fourth has one day more.
    let leaps = (year - 1969) / 4 + u16::from(year % 4 == 0 && month > 2);
    Some(365 * (year - 1970) + leaps + BEFORE[usize::from(month) - 1] + day - 1)
}

/// The seconds since 1970 of `YYYY-MM-DD hh:mm:ss` in UTC.
pub(super) fn second(text: &[u8]) -> Option<u32> {
    let (date, time) = text.split_at_checked(10)?;
    let [b' ', h1, h2, b':', m1, m2, b':', s1, s2] = *time else {
        return None;
    };
    let (hours, minutes, seconds) = (two(h1, h2)?, two(m1, m2)?, two(s1, s2)?);
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let minutes = 60 * (24 * u32::from(day(date)?) + u32::from(hours)) + u32::from(minutes);
    Some(60 * minutes + u32::from(seconds))
}

/// The number that two digits are.
fn two(tens: u8, ones: u8) -> Option<u16> {
    (tens.is_ascii_digit() && ones.is_ascii_digit())
        .then(|| u16::from(tens - b'0') * 10 + u16::from(ones - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_seconds_are_counted_as_the_calendar_has_them() {
        let mut date = jiff::civil::date(1971, 1, 1);
        while date.year() < 2100 {
            let expected = (date.day() <= 28).then(|| {
                let since = date - jiff::civil::date(1970, 1, 1);
                u16::try_from(since.get_days()).unwrap()
            });
            assert_eq!(day(date.to_string().as_bytes()), expected, "{date}");
            date = date.tomorrow().unwrap();
        }
        assert_eq!(second(b"2026-11-23 01:02:03"), Some(1_795_395_723));
        for text in [
            "2026-11-23 24:00:00",
            "2026-11-23 00:60:00",
            "2026-11-23 00:00:60",
            "2026-11-23T00:00:00",
            "2026-11-2x 00:00:00",
            "1970-01-01 00:00:00",
            "2026-13-01 00:00:00",
            "2026-00-01 00:00:00",
            "2026-01-00 00:00:00",
            "2026-01-01",
            "",
        ] {
            assert_eq!(second(text.as_bytes()), None, "{text}");
        }
    }
}
