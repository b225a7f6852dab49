//! Sizes and durations: how they are typed, and how they are shown.

use std::time::Duration;

/// Reads a size as engines do: `512M`, `2G`, `1.5GiB`, `1024`; the units are powers of 1024.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let (number, unit) = lower.split_at(digits);
    let power = match unit {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    // Six digits are enough for a fraction, and keep it within 64 bits.
    if whole.is_empty()
        || fraction.len() > 6
        || fraction.contains('.')
        || (power == 0 && number.contains('.'))
    {
        return None;
    }
    let bytes = whole.parse::<u64>().ok()?.checked_mul(1 << power)?;
    let part = if fraction.is_empty() {
        0
    } else {
        let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
        u64::try_from((u128::from(fraction.parse::<u64>().ok()?) << power) / scale).ok()?
    };
    bytes.checked_add(part).filter(|bytes| *bytes > 0)
}

/// Reads a duration: `90s`, `10m`, `1h30m`, `500ms`; a number without a unit is none.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|n| *n > 0)?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let number: u64 = number.parse().ok()?;
        total = total.checked_add(match unit {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.checked_mul(60)?),
            "h" => Duration::from_secs(number.checked_mul(3600)?),
            _ => return None,
        })?;
        rest = after;
    }
    Some(total).filter(|total| !total.is_zero())
}

/// Shows a size: `45 MiB`, `1.5 MiB`, `820 KiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(&str, u32); 3] = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (unit, power) in UNITS {
        if bytes >> power > 0 {
            // Tenths, rounded; integers are exact where a float would not be.
            let tenths = (u128::from(bytes) * 10 + (1 << (power - 1))) >> power;
            return if tenths < 100 && tenths % 10 != 0 {
                format!("{}.{} {unit}", tenths / 10, tenths % 10)
            } else {
                format!("{} {unit}", (tenths + 5) / 10)
            };
        }
    }
    format!("{bytes} B")
}

/// Shows a duration: `25ms`, `3.2s`, `2m 5s`, `1h 4m`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{}ms", time.as_millis()),
        1..60 => format!("{seconds}.{}s", time.subsec_millis() / 100),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        _ => format!("{}h {}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Shows a digest by its first twelve digits: `sha256:0123456789ab`.
pub(crate) fn short_digest(digest: &str) -> &str {
    let start = digest.find(':').map_or(0, |colon| colon + 1);
    digest.get(..start + 12).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_engines_read_them() {
        let rows = [
            ("1024", Some(1024)),
            ("1k", Some(1024)),
            ("512M", Some(512 << 20)),
            ("2GiB", Some(2 << 30)),
            ("1.5g", Some(3 << 29)),
            ("", None),
            ("0", None),
            ("M", None),
            ("1.2.3G", None),
            ("1.5", None),
            ("-1G", None),
            ("12X", None),
            ("99999999999T", None),
        ];
        for (text, expected) in rows {
            assert_eq!(parse_size(text), expected, "{text}");
        }
    }

    #[test]
    fn durations_have_units() {
        let rows = [
            ("90s", Some(90_000)),
            ("10m", Some(600_000)),
            ("1h30m", Some(5_400_000)),
            ("500ms", Some(500)),
            ("90", None),
            ("", None),
            ("0s", None),
            ("m", None),
            ("10 m", None),
            ("99999999999999999999h", None),
            ("9999999999999999999h", None),
        ];
        for (text, expected) in rows {
            assert_eq!(parse_duration(text), expected.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_with_two_digits_or_more() {
        let rows = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (45 << 20, "45 MiB"),
            ((45 << 20) + (1 << 19), "46 MiB"),
            (3 << 29, "1.5 GiB"),
        ];
        for (bytes, expected) in rows {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn durations_are_shown_in_the_two_largest_units() {
        let rows = [(25, "25ms"), (3_250, "3.2s"), (125_000, "2m 5s"), (3_840_000, "1h 4m")];
        for (milliseconds, expected) in rows {
            assert_eq!(duration(Duration::from_millis(milliseconds)), expected);
        }
    }
}
