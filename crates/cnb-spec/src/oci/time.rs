//! Times as image documents have them.

/// The time of images that are made without `SOURCE_DATE_EPOCH` (requirements B69, E25): 1980-01-01T00:00:01Z, one
/// second after the oldest that zip files know.
pub const NORMAL_TIME: i64 = 315_532_801;

/// Returns seconds since 1970 as RFC 3339 in UTC; `None` outside the years 0 to 9999, which it cannot write.
pub fn rfc3339(seconds: i64) -> Option<String> {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date(days)?;
    (0..=9999).contains(&year).then(|| {
        format!(
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
            second / 3600,
            second / 60 % 60,
            second % 60
        )
    })
}

/// Returns year, month and day of a count of days since 1970, in the Gregorian calendar.
fn date(days: i64) -> Option<(i64, i64, i64)> {
    // Count from 0000-03-01, so that leap days end a year; 400 years always have 146 097 days.
    let days = days.checked_add(719_468)?;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    Some((era * 400 + year + i64::from(month <= 2), month, day))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_utc_text() {
        for (seconds, text) in [
            (NORMAL_TIME, Some("1980-01-01T00:00:01Z")),
            (0, Some("1970-01-01T00:00:00Z")),
            (-1, Some("1969-12-31T23:59:59Z")),
            (951_782_400, Some("2000-02-29T00:00:00Z")),
            (4_107_542_400, Some("2100-03-01T00:00:00Z")),
            (253_402_300_799, Some("9999-12-31T23:59:59Z")),
            (253_402_300_800, None),
            (-62_167_219_200, Some("0000-01-01T00:00:00Z")),
            (-62_167_219_201, None),
            (i64::MAX, None),
            (i64::MIN, None),
        ] {
            assert_eq!(rfc3339(seconds).as_deref(), text, "{seconds}");
        }
    }
}
