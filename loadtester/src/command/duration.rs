//! Go's duration syntax, which hey's flags use.

use std::time::Duration;

/// Parses `10s`, `1h30m`, `1.5s`, `250ms`, `0`.
///
/// # Errors
/// The text is anything else, a negative duration or one beyond 10 years. The error says how to write one.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    const LONGEST_SECONDS: f64 = 10.0 * 365.0 * 86_400.0;
    const UNITS: [(&str, f64); 7] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    let bad = || format!("`{text}` is not a duration: write it as 10s, 3m, 1h30m or 250ms");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(bad)?;
        let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        // The longest unit that matches, because `m` is also the beginning of `ms`.
        let (unit, scale) = UNITS
            .iter()
            .filter(|(unit, _)| rest.starts_with(unit))
            .max_by_key(|(unit, _)| unit.len())
            .ok_or_else(bad)?;
        seconds += number * scale;
        rest = &rest[unit.len()..];
    }
    if text.is_empty() || seconds > LONGEST_SECONDS {
        return Err(bad());
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn go_durations_are_parsed() {
        for (text, milliseconds) in [
            ("0", 0),
            ("10s", 10_000),
            ("1h30m", 5_400_000),
            ("1.5s", 1_500),
            ("2m3s250ms", 123_250),
            ("4000us", 4),
            ("4000µs", 4),
            (".5s", 500),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "5",
            "s",
            "5x",
            "-1s",
            "1s5",
            ".s",
            "1..s",
            "99999999h",
            "1 s",
            "1e3s",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_handled(text in "\\PC{0,20}") {
            let _ = parse_duration(&text);
        }
    }
}
