//! Points in time as seconds since 1970, read from and shown as RFC 3339 in UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Reads seconds since 1970, or RFC 3339: `2026-11-23T03:09:00Z`, `2026-11-23T04:09:00+01:00`.
pub(crate) fn parse(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| parse_rfc3339(text))
}

/// Returns the seconds since 1970 of `time`.
pub(crate) fn seconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |s| -s),
    }
}

/// Shows `time` in UTC, to the millisecond.
pub(crate) fn show(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, rest) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(i64::try_from(days).unwrap_or(0));
    let (hour, minute, second) = (rest / 3600, rest % 3600 / 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since.subsec_millis())
}

/// Shows how long before `now` the moment `then` was: `3 hours ago`.
pub(crate) fn ago(then: i64, now: i64) -> String {
    let seconds = now.saturating_sub(then);
    let (number, unit) = match seconds {
        i64::MIN..60 => return "just now".to_owned(),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        86_400..2_592_000 => (seconds / 86_400, "day"),
        2_592_000..31_536_000 => (seconds / 2_592_000, "month"),
        _ => (seconds / 31_536_000, "year"),
    };
    format!("{number} {unit}{} ago", if number == 1 { "" } else { "s" })
}

fn parse_rfc3339(text: &str) -> Option<i64> {
    let field = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
    let separators: Vec<u8> =
        [4, 7, 10, 13, 16].iter().filter_map(|i| text.as_bytes().get(*i).copied()).collect();
    if !matches!(separators.as_slice(), [b'-', b'-', b'T' | b't' | b' ', b':', b':']) {
        return None;
    }
    let mut zone = text.get(19..)?;
    if let Some(fraction) = zone.strip_prefix('.') {
        zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
        if zone.len() == fraction.len() {
            return None;
        }
    }
    let offset = match zone.as_bytes() {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let start = text.len() - 5;
            let (hours, minutes) = (field(start, start + 2)?, field(start + 3, start + 5)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 3600 + minutes * 60) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let days = days_from_civil(year, month, day);
    // A day that does not exist, such as 30 February, comes back as another one.
    if hour > 23
        || minute > 59
        || second > 60
        || !(1..=12).contains(&month)
        || civil(days) != (year, month, day)
    {
        return None;
    }
    Some(days * 86_400 + hour * 3600 + minute * 60 + second - offset)
}

/// Returns the days from 1970-01-01 to a date of the Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March, so that the leap day is the last of them.
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Returns the date that is `days` after 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_rfc_3339_are_read() {
        let rows = [
            ("0", Some(0)),
            ("-5", Some(-5)),
            ("1980-01-01T00:00:01Z", Some(315_532_801)),
            ("2024-02-29T12:30:15Z", Some(1_709_209_815)),
            ("2024-02-29T12:30:15.25+01:30", Some(1_709_204_415)),
            ("1969-12-31T23:59:59Z", Some(-1)),
            ("2023-02-29T00:00:00Z", None),
            ("2024-13-01T00:00:00Z", None),
            ("2024-01-01T24:00:00Z", None),
            ("2024-01-01T00:00:00", None),
            ("2024-01-01T00:00:00.Z", None),
            ("2024-01-01", None),
            ("yesterday", None),
            ("2024-01-01Tää:00:00Z", None),
        ];
        for (text, expected) in rows {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn a_moment_is_shown_in_utc_to_the_millisecond() {
        let time = UNIX_EPOCH + Duration::from_millis(1_709_209_815_042);
        assert_eq!(show(time), "2024-02-29T12:30:15.042Z");
        assert_eq!(show(UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn ages_are_told_in_one_unit() {
        let rows = [(5, "just now"), (60, "1 minute ago"), (7200, "2 hours ago"), (90_000, "1 day ago")];
        for (seconds, expected) in rows {
            assert_eq!(ago(1_000, 1_000 + seconds), expected);
        }
        assert_eq!(ago(5_000, 1_000), "just now");
    }
}
