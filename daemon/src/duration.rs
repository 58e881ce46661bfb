//! Durations as people write them: `90s`, `10m`, `1h30m`; a bare number is seconds.

use std::time::Duration;

const DAY: u64 = 86_400;

/// Reads `450ms`, `90s`, `10m`, `1h30m`, `30d`, or a bare number of seconds such as `2.5`.
pub fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err(expected(text));
    }
    if text.bytes().all(is_number_byte) {
        return scaled(text, 1.0).ok_or_else(|| expected(text));
    }
    let mut sum = Duration::ZERO;
    let mut last_unit = f64::INFINITY;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, tail) = split_where(rest, |b| !is_number_byte(b));
        let (unit, tail) = split_where(tail, |b| !b.is_ascii_alphabetic());
        let seconds = seconds_of(unit).ok_or_else(|| expected(text))?;
        // Falling units refuse `30m1h` and `1m1m`, which are more likely slips than wishes.
        if seconds >= last_unit {
            return Err(expected(text));
        }
        last_unit = seconds;
        sum = scaled(number, seconds)
            .and_then(|part| sum.checked_add(part))
            .ok_or_else(|| expected(text))?;
        rest = tail.trim_start();
    }
    Ok(sum)
}

/// Writes a duration so that [`parse`] reads it back, to the millisecond.
pub fn show(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis < 1000 {
        return if millis == 0 { "0s".to_owned() } else { format!("{millis}ms") };
    }
    let (seconds, fraction) = (duration.as_secs(), duration.subsec_millis());
    let mut text = String::new();
    for (count, unit) in
        [(seconds / DAY, "d"), (seconds % DAY / 3600, "h"), (seconds % 3600 / 60, "m")]
    {
        if count > 0 {
            text.push_str(&count.to_string());
            text.push_str(unit);
        }
    }
    if seconds % 60 > 0 || fraction > 0 {
        let last = format!("{}.{fraction:03}", seconds % 60);
        text.push_str(last.trim_end_matches('0').trim_end_matches('.'));
        text.push('s');
    }
    text
}

fn expected(text: &str) -> String {
    format!("`{text}` is no duration; write for example 90s, 10m or 1h30m")
}

fn is_number_byte(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'.'
}

fn split_where(text: &str, ends: impl Fn(u8) -> bool) -> (&str, &str) {
    text.split_at(text.bytes().position(ends).unwrap_or(text.len()))
}

fn seconds_of(unit: &str) -> Option<f64> {
    Some(match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    })
}

fn scaled(number: &str, seconds: f64) -> Option<Duration> {
    let number: f64 = number.parse().ok()?;
    Duration::try_from_secs_f64(number * seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_durations_in_many_ways() {
        for (text, millis) in [
            ("90s", 90_000),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            (" 30 ", 30_000),
            ("2.5", 2_500),
            ("0.45s", 450),
            ("450ms", 450),
            ("30d", 2_592_000_000),
            ("1d12h", 129_600_000),
            ("1.5h", 5_400_000),
            ("0", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_and_named() {
        for text in [
            "",
            " ",
            "-5",
            "ten",
            "10x",
            "m",
            "1h-30m",
            "30m1h",
            "1m1m",
            "1.2.3",
            "1e3",
            "10 m",
            "∞",
            "5é",
            "s5",
            ".",
            "99999999999999999999d",
        ] {
            let error = parse(text).unwrap_err();

            assert!(error.contains(&format!("`{}`", text.trim())), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read_back() {
        for (millis, text) in [
            (0, "0s"),
            (450, "450ms"),
            (1_500, "1.5s"),
            (90_000, "1m30s"),
            (90_250, "1m30.25s"),
            (600_000, "10m"),
            (5_400_000, "1h30m"),
            (129_600_000, "1d12h"),
            (2_592_000_000, "30d"),
        ] {
            let duration = Duration::from_millis(millis);

            assert_eq!(show(duration), text);
            assert_eq!(parse(text), Ok(duration));
        }
    }
}
