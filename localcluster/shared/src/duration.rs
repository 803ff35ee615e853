//! Durations in three formats: Istio and the Gateway API (`1h`, `1m30s`, `1.5s`, `20ms`), Envoy (`90s`), and
//! Prometheus (`1d12h`).

use std::{sync::LazyLock, time::Duration};

use regex::Regex;

/// Nanoseconds per unit. Longer names come first, so that `ms` is not read as `m`.
const UNITS: [(&str, f64); 7] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
];

/// The longest accepted duration, well within the range of Envoy's timers.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Parses a duration of Istio or the Gateway API.
///
/// # Errors
/// A message for people that states the expected form.
pub fn parse(text: &str) -> Result<Duration, String> {
    let expected = || {
        format!("{text:?} is not a duration; write a number and a unit (ms, s, m, h), as in 1m30s")
    };
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

/// Parses a duration of Prometheus, such as `1h30m` or `500ms`: units from large to small, each at most once.
#[must_use]
pub fn parse_prometheus(text: &str) -> Option<Duration> {
    static FORM: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^(?:(\d{1,3})y)?(?:(\d{1,4})w)?(?:(\d{1,5})d)?(?:(\d{1,7})h)?(?:(\d{1,8})m)?(?:(\d{1,9})s)?(?:(\d{1,12})ms)?$")
            .expect("the pattern is constant")
    });
    const MILLISECONDS: [u64; 7] = [
        365 * 86_400_000,
        7 * 86_400_000,
        86_400_000,
        3_600_000,
        60_000,
        1000,
        1,
    ];
    let parts = FORM.captures(text)?;
    let sum = MILLISECONDS
        .iter()
        .enumerate()
        .try_fold(0_u64, |sum, (index, unit)| {
            let part = parts
                .get(index + 1)
                .map_or(Some(0), |part| part.as_str().parse().ok())?;
            sum.checked_add(u64::checked_mul(part, *unit)?)
        })?;
    (sum > 0).then_some(Duration::from_millis(sum))
}

/// Formats a duration as Protobuf's JSON mapping does: seconds with as many decimals as needed, then `s`.
#[must_use]
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
    fn parse_reads_durations_in_the_format_of_go() {
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
    fn an_invalid_duration_is_refused_with_the_form_to_use() {
        for text in ["", "5", "5x", "s", "-1s", "1s ", "1..5s", "١s"] {
            let error = parse(text).unwrap_err();
            assert!(error.contains("as in 1m30s"), "{text}: {error}");
        }
        assert!(parse("9999999999h").unwrap_err().contains("too long"));
    }

    #[test]
    fn parse_prometheus_reads_durations_in_the_format_of_prometheus() {
        assert_eq!(parse_prometheus("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(parse_prometheus("500ms"), Some(Duration::from_millis(500)));
        for text in ["", "0s", "5", "5x", "1.5s", "30s1m", "-1s"] {
            assert_eq!(parse_prometheus(text), None, "{text}");
        }
    }
}
