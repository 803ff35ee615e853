//! Decides the delay and the failure of each request. Pure: the caller draws the random numbers.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Faults that a release injects, to show that a rollback works.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// Delay of the response.
    pub delay: Delay,
    /// Share of requests that fail.
    pub error_rate: ErrorRate,
}

/// Two independent uniform draws from `[0, 1)`.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    /// Decides whether the request fails.
    pub error: f64,
    /// Decides the delay within the range of the jitter.
    pub jitter: f64,
}

/// Delay and failure of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Treatment {
    /// Time to wait before the response.
    pub delay: Duration,
    /// True if the status is 500.
    pub fails: bool,
}

impl Faults {
    /// Decides the treatment of one request.
    pub fn treat(&self, draw: Draw) -> Treatment {
        Treatment {
            delay: self.delay.at(draw.jitter),
            fails: draw.error < self.error_rate.0,
        }
    }
}

/// A delay with symmetric jitter, written `3s`, `3s±500ms` or `3s+-500ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delay {
    base: Duration,
    jitter: Duration,
}

impl Delay {
    /// The delay for a draw from `[0, 1)`: uniform in base ± jitter, never negative.
    fn at(&self, draw: f64) -> Duration {
        if self.jitter.is_zero() {
            return self.base;
        }
        (self.base + self.jitter.mul_f64(2.0 * draw)).saturating_sub(self.jitter)
    }
}

/// A malformed value. The text says how to write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadValue(String);

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadValue {}

impl FromStr for Delay {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let bad = |_| {
            BadValue(format!(
                "`{text}` is not a delay: write `3s`, `250ms` or `3s±500ms`"
            ))
        };
        let (base, jitter) = text
            .split_once('±')
            .or_else(|| text.split_once("+-"))
            .unwrap_or((text, "0s"));
        let base = parse_duration(base.trim()).map_err(bad)?;
        let jitter = parse_duration(jitter.trim()).map_err(bad)?;
        if jitter > base {
            return Err(BadValue(format!(
                "`{text}`: the jitter is greater than the delay"
            )));
        }
        Ok(Self { base, jitter })
    }
}

/// A share from 0 to 1, written `0.25` or `25%`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ErrorRate(f64);

impl FromStr for ErrorRate {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (number, scale) = match text.trim().strip_suffix('%') {
            Some(percent) => (percent.trim_end(), 100.0),
            None => (text.trim(), 1.0),
        };
        match number.parse::<f64>().map(|value| value / scale) {
            Ok(share) if (0.0..=1.0).contains(&share) => Ok(Self(share)),
            _ => Err(BadValue(format!(
                "`{text}` is not a share: write a number from 0 to 1, or 0% to 100%"
            ))),
        }
    }
}

/// Parses `250ms`, `3s`, `1.5s`, `2m`, up to one day.
///
/// # Errors
/// The text is anything else. The error says how to write a duration.
pub fn parse_duration(text: &str) -> Result<Duration, BadValue> {
    const LONGEST: f64 = 86_400.0;
    let bad = || {
        BadValue(format!(
            "`{text}` is not a duration: write `250ms`, `3s` or `2m`"
        ))
    };
    let (number, unit) = [("ms", 0.001), ("s", 1.0), ("m", 60.0)]
        .iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))
        .ok_or_else(bad)?;
    match number.parse::<f64>() {
        Ok(value) if (0.0..=LONGEST).contains(&(value * unit)) => {
            Ok(Duration::from_secs_f64(value * unit))
        }
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(delay: &str, error_rate: &str) -> Faults {
        Faults {
            delay: delay.parse().unwrap(),
            error_rate: error_rate.parse().unwrap(),
        }
    }

    #[test]
    fn without_faults_no_request_is_delayed_or_fails() {
        for draw in [0.0, 0.5, 0.999_999] {
            let treatment = Faults::default().treat(Draw {
                error: draw,
                jitter: draw,
            });
            assert_eq!(
                treatment,
                Treatment {
                    delay: Duration::ZERO,
                    fails: false
                }
            );
        }
    }

    #[test]
    fn the_error_rate_is_the_share_of_draws_that_fail() {
        for (text, expected) in [
            ("0", 0),
            ("0.25", 250),
            ("25%", 250),
            ("1", 1000),
            ("100%", 1000),
        ] {
            let faults = faults("0s", text);
            let failed = (0..1000)
                .filter(|i| {
                    faults
                        .treat(Draw {
                            error: f64::from(*i) / 1000.0,
                            jitter: 0.0,
                        })
                        .fails
                })
                .count();
            assert_eq!(failed, expected, "{text}");
        }
    }

    #[test]
    fn jitter_spreads_the_delay_evenly_on_both_sides() {
        let at = |text: &str, jitter| faults(text, "0").treat(Draw { error: 0.0, jitter }).delay;
        assert_eq!(at("3s±500ms", 0.0), Duration::from_millis(2500));
        assert_eq!(at("3s+-500ms", 0.5), Duration::from_secs(3));
        assert_eq!(at("3s±500ms", 0.75), Duration::from_millis(3250));
        assert_eq!(at("250ms", 0.9), Duration::from_millis(250));
    }

    #[test]
    fn malformed_values_are_refused() {
        for text in [
            "", "3", "s", "-1s", "3s±", "1s±2s", "nan s", "infs", "1e9s", "3h",
        ] {
            assert!(text.parse::<Delay>().is_err(), "{text}");
        }
        for text in ["", "%", "-0.1", "1.1", "101%", "NaN", "half"] {
            assert!(text.parse::<ErrorRate>().is_err(), "{text}");
        }
    }
}
