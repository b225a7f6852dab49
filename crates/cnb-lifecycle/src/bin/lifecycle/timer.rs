//! The debug lines that tell when a phase started and ended (requirement H7).

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cnb_spec::oci::time::rfc3339;

use crate::console::{Console, Level};

/// Tells when it is made and when it is dropped.
pub(crate) struct Timer<'c> {
    console: &'c Console,
    name: String,
    start: Instant,
}

impl<'c> Timer<'c> {
    /// Starts to measure.
    pub(crate) fn start(console: &'c Console, name: &str) -> Self {
        console.log(Level::Debug, &format!("Timer: {name} started at {}", now()));
        Self { console, name: name.to_owned(), start: Instant::now() }
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
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    i64::try_from(seconds).ok().and_then(rfc3339).unwrap_or_default()
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
    fn lengths_are_shown_as_go_shows_them() {
        assert_eq!(go_duration(Duration::from_micros(6_784)), "6.784ms");
        assert_eq!(go_duration(Duration::from_millis(3_662_500)), "1h1m2.5s");
    }
}
