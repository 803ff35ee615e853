//! Numbers in event messages, formatted as by Go's `fmt`, because people search for Flagger's messages.

use std::fmt::Write;

/// Formats a number like `%v`: the shortest digits that parse to the same number; below 1e-4 and from 1e+06 on with an
/// exponent of at least two digits. Examples: 99, 0.5, 100000, 1e+06, 1e-05.
pub(crate) fn float(value: f64) -> String {
    if !value.is_finite() {
        return not_finite(value);
    }
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..6).contains(&exponent) && value != 0.0 => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => format!("{value}"),
    }
}

/// Formats a number like `%.2f`.
pub(crate) fn float2(value: f64) -> String {
    if value.is_finite() {
        format!("{value:.2}")
    } else {
        not_finite(value)
    }
}

fn not_finite(value: f64) -> String {
    let text = if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "+Inf"
    } else {
        "-Inf"
    };
    text.to_owned()
}

/// Formats whole milliseconds as a Go duration: `0s`, `500ms`, `1.515s`, `1m30s`, `1h0m0s`. Fractions of a millisecond
/// are truncated (Flagger).
pub(crate) fn milliseconds(value: f64) -> String {
    if !value.is_finite() {
        return not_finite(value);
    }
    // The cast saturates, which is right for an absurd measurement.
    let total = value.trunc() as i64;
    let magnitude = total.unsigned_abs();
    let mut text = String::new();
    if total < 0 {
        text.push('-');
    }
    if magnitude == 0 {
        text.push_str("0s");
    } else if magnitude < 1_000 {
        push(&mut text, format_args!("{magnitude}ms"));
    } else {
        let (seconds, fraction) = (magnitude / 1_000, magnitude % 1_000);
        let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        if hours > 0 {
            push(&mut text, format_args!("{hours}h"));
        }
        if hours > 0 || minutes > 0 {
            push(&mut text, format_args!("{minutes}m"));
        }
        let fraction = format!("{fraction:03}");
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        push(&mut text, format_args!("{seconds}{point}{fraction}s"));
    }
    text
}

fn push(text: &mut String, piece: std::fmt::Arguments<'_>) {
    text.write_fmt(piece)
        .expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_formatted_as_in_go() {
        for (value, expected) in [
            (0.0, "0"),
            (99.0, "99"),
            (0.5, "0.5"),
            (99.95, "99.95"),
            (-3.25, "-3.25"),
            (100_000.0, "100000"),
            (123_456.7, "123456.7"),
            (1_000_000.0, "1e+06"),
            (1_234_567.0, "1.234567e+06"),
            (1e21, "1e+21"),
            (1e100, "1e+100"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (0.1 + 0.2, "0.30000000000000004"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(float(value), expected);
        }
    }

    #[test]
    fn two_decimals_are_rounded_not_truncated() {
        assert_eq!(float2(97.126), "97.13");
        assert_eq!(float2(5.0), "5.00");
        assert_eq!(float2(f64::INFINITY), "+Inf");
    }

    #[test]
    fn milliseconds_are_formatted_as_go_durations() {
        for (value, expected) in [
            (0.0, "0s"),
            (0.9, "0s"),
            (500.0, "500ms"),
            (999.99, "999ms"),
            (1_000.0, "1s"),
            (1_515.0, "1.515s"),
            (1_500.0, "1.5s"),
            (90_000.0, "1m30s"),
            (60_050.0, "1m0.05s"),
            (3_600_000.0, "1h0m0s"),
            (-1_500.0, "-1.5s"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(milliseconds(value), expected);
        }
    }
}
