//! Durations as Istio writes them (`1h`, `1m30s`, `1.5s`, `20ms`) and as Envoy wants them (`90s`).

use std::time::Duration;

/// Nanoseconds of each unit; longer names first, so that `ms` is not read as `m`.
const UNITS: [(&str, f64); 7] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
];

/// Longest duration that is accepted: what Envoy's timers take with room to spare.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Read a duration.
///
/// # Errors
/// Says what is expected, for a message to people.
pub fn parse(text: &str) -> Result<Duration, String> {
    let expected =
        || format!("{text:?} is no duration; write a number and a unit (ms, s, m, h), as in 1m30s");
    let mut rest = text;
    let mut nanos = 0.0;
    if text.is_empty() {
        return Err(expected());
    }
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(expected)?;
        let number: f64 = rest[..digits].parse().map_err(|_| expected())?;
        rest = &rest[digits..];
        let (unit, factor) = UNITS
            .iter()
            .find(|(unit, _)| rest.starts_with(unit))
            .ok_or_else(expected)?;
        nanos += number * factor;
        rest = &rest[unit.len()..];
    }
    Duration::try_from_secs_f64(nanos.round() / 1e9)
        .ok()
        .filter(|duration| *duration <= LONGEST)
        .ok_or_else(|| format!("{text:?} is too long"))
}

/// Protobuf's JSON form: seconds with as many digits as needed, and `s`.
pub fn protobuf(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match duration.subsec_nanos() {
        0 => format!("{seconds}s"),
        nanos => {
            let fraction = format!("{nanos:09}");
            format!("{seconds}.{}s", fraction.trim_end_matches('0'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, envoy) in [
            ("0s", "0s"),
            ("0", "0s"),
            ("250ms", "0.25s"),
            ("1.5s", "1.5s"),
            ("1m30s", "90s"),
            ("2h", "7200s"),
            ("1h1m1s1ms", "3661.001s"),
        ] {
            assert_eq!(protobuf(parse(text).unwrap()), envoy, "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_the_form_to_use() {
        for text in ["", "5", "5x", "s", "-1s", "1s ", "1..5s", "١s"] {
            let error = parse(text).unwrap_err();
            assert!(error.contains("as in 1m30s"), "{text}: {error}");
        }
        assert!(parse("9999999999h").unwrap_err().contains("too long"));
    }
}
