//! Durations and sizes: strings with a unit ("2ms", "16MiB") are read, and durations written.

use std::time::Duration;

/// The longest duration that can be written: longer ones are a mistake, and would overflow a clock.
pub const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

const DURATIONS: &[(&str, f64)] = &[
    ("us", 1e-6),
    ("µs", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("min", 60.0),
    ("h", 3600.0),
    ("d", 86400.0),
];

const SIZES: &[(&str, f64)] = &[
    ("B", 1.0),
    ("kB", 1e3),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("KiB", 1024.0),
    ("MiB", 1048576.0),
    ("GiB", 1073741824.0),
    ("TiB", 1099511627776.0),
];

/// "500ms", "1.5s", "2m", "1h".
pub fn parse_duration(text: &str) -> Option<Duration> {
    let seconds = parse(text, DURATIONS)?;
    let duration = Duration::try_from_secs_f64(seconds).ok()?;
    (duration <= LONGEST).then_some(duration)
}

/// "16MiB", "1.5GB", "4096B". At most 2^53 bytes.
pub fn parse_size(text: &str) -> Option<u64> {
    let bytes = parse(text, SIZES)?;
    (bytes <= 9_007_199_254_740_992.0).then_some(bytes as u64)
}

/// "30", "30 sec" and "2 hours" as they were meant.
pub fn mend_duration(text: &str) -> Option<String> {
    let (number, unit) = split(text);
    let unit = match unit.to_lowercase().as_str() {
        "micros" | "microsecond" | "microseconds" => "us",
        "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => "ms",
        "" | "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "mins" | "minute" | "minutes" => "m",
        "h" | "hr" | "hrs" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        _ => return None,
    };
    Some(format!("{number}{unit}")).filter(|meant| parse_duration(meant).is_some())
}

/// "16M", "16mb" and "16 mib" as they were meant.
pub fn mend_size(text: &str) -> Option<String> {
    let (number, unit) = split(text);
    let unit = match unit.to_lowercase().as_str() {
        "b" | "byte" | "bytes" => "B",
        "" | "m" | "mib" => "MiB",
        "k" | "kib" => "KiB",
        "g" | "gib" => "GiB",
        "t" | "tib" => "TiB",
        "kb" => "KB",
        "mb" => "MB",
        "gb" => "GB",
        "tb" => "TB",
        _ => return None,
    };
    Some(format!("{number}{unit}")).filter(|meant| parse_size(meant).is_some())
}

/// The number and what follows it, without the space between them.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let (number, unit) =
        text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()));
    (number, unit.trim())
}

/// A number that is not negative and a unit, with or without a space between them.
fn parse(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(at);
    let number: f64 = number.parse().ok()?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    Some(number * factor)
}

/// Writes a duration in the unit that reads best: "250us", "1.5ms", "30s", "5m", "1h 30m".
pub fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let whole = duration.as_secs();
    if duration.is_zero() {
        "0s".into()
    } else if seconds < 1e-3 {
        format!("{}us", short(seconds * 1e6))
    } else if seconds < 1.0 {
        format!("{}ms", short(seconds * 1e3))
    } else if seconds < 60.0 {
        format!("{}s", short(seconds))
    } else {
        let parts = [(whole / 3600, "h"), (whole / 60 % 60, "m"), (whole % 60, "s")];
        let parts: Vec<String> =
            parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
        parts.join(" ")
    }
}

/// Three digits or so.
fn short(number: f64) -> String {
    let text = if number >= 100.0 {
        format!("{number:.0}")
    } else if number >= 10.0 {
        format!("{number:.1}")
    } else {
        format!("{number:.2}")
    };
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let table = [
            ("2ms", Some(2_000)),
            ("0ms", Some(0)),
            ("1.5s", Some(1_500_000)),
            ("30 s", Some(30_000_000)),
            ("250us", Some(250)),
            ("250µs", Some(250)),
            ("2m", Some(120_000_000)),
            ("1h", Some(3_600_000_000)),
            ("", None),
            ("30", None),
            ("s", None),
            ("-1s", None),
            ("1e3s", None),
            ("1.2.3s", None),
            ("NaNs", None),
            ("infs", None),
            ("2 weeks", None),
            ("99999999999999999999999h", None),
            ("367d", None),
        ];
        for (text, micros) in table {
            assert_eq!(parse_duration(text), micros.map(Duration::from_micros), "{text}");
        }
    }

    #[test]
    fn sizes() {
        let table = [
            ("16MiB", Some(16 << 20)),
            ("1.5 KiB", Some(1536)),
            ("10MB", Some(10_000_000)),
            ("4096B", Some(4096)),
            ("1GiB", Some(1 << 30)),
            ("4096", None),
            ("16M", None),
            ("-1B", None),
            ("99999999TiB", None),
        ];
        for (text, bytes) in table {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
    }

    #[test]
    fn what_was_meant() {
        let durations =
            [("30", "30s"), ("30 sec", "30s"), ("2 Hours", "2h"), ("5 minutes", "5m"), ("1.5S", "1.5s")];
        for (text, meant) in durations {
            assert_eq!(mend_duration(text).as_deref(), Some(meant));
        }
        for (text, meant) in [("16M", "16MiB"), ("16mb", "16MB"), ("1 gib", "1GiB"), ("4096", "4096MiB")] {
            assert_eq!(mend_size(text).as_deref(), Some(meant));
        }
        for text in ["", "soon", "-1 sec", "30 weeks", "sec"] {
            assert_eq!((mend_duration(text), mend_size(text)), (None, None), "{text}");
        }
    }

    #[test]
    fn written_in_the_unit_that_reads_best() {
        let durations =
            [(0, "0s"), (250, "250us"), (1_500, "1.5ms"), (250_000, "250ms"), (30_000_000, "30s")];
        for (micros, text) in durations {
            assert_eq!(format_duration(Duration::from_micros(micros)), text);
        }
        assert_eq!(format_duration(Duration::from_secs(5400)), "1h 30m");
        assert_eq!(format_duration(Duration::from_secs(300)), "5m");
    }
}
