//! The debug lines that tell when a phase started and ended (requirement H7).

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::console::{Console, Level};

/// Tells when it is made and when it is dropped.
pub(crate) struct Timer<'c> {
    console: &'c Console,
    name: &'static str,
    start: Instant,
}

impl<'c> Timer<'c> {
    /// Starts to measure.
    pub(crate) fn start(console: &'c Console, name: &'static str) -> Self {
        console.log(Level::Debug, &format!("Timer: {name} started at {}", now()));
        Self { console, name, start: Instant::now() }
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        let took = self.start.elapsed();
        self.console.log(
            Level::Debug,
            &format!("Timer: {} ran for {} and ended at {}", self.name, go_duration(took), now()),
        );
    }
}

fn now() -> String {
    rfc3339(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()))
}

/// Returns a time in UTC as RFC 3339 has it.
fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years that start in March, so that a leap day is the last of its year; eras of 400 years.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}

/// Returns a length of time as Go shows it: `1m2.5s`, `6.78ms`.
fn go_duration(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        return format!("{duration:?}");
    }
    let minutes = duration.as_secs() / 60;
    let rest = duration.saturating_sub(Duration::from_secs(minutes * 60));
    let seconds = format!("{}s", rest.as_secs_f64());
    match (minutes / 60, minutes % 60) {
        (0, 0) => seconds,
        (0, minutes) => format!("{minutes}m{seconds}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_utc() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(rfc3339(4_102_444_799), "2099-12-31T23:59:59Z");
    }

    #[test]
    fn lengths_are_shown_as_go_shows_them() {
        assert_eq!(go_duration(Duration::from_micros(6_784)), "6.784ms");
        assert_eq!(go_duration(Duration::from_millis(3_662_500)), "1h1m2.5s");
    }
}
