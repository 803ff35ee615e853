//! Durations in the spec.

use std::time::Duration;

use super::Check;
use crate::release::duration::parse;

impl Check<'_> {
    /// Parses a duration longer than zero. Anything else is a problem, and the default is returned.
    pub(super) fn duration(
        &mut self,
        field: &str,
        text: Option<&str>,
        default: Duration,
    ) -> Duration {
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return default;
        };
        match parse(text) {
            Some(duration) if !duration.is_zero() => duration,
            _ => {
                self.problem(
                    field,
                    format!("\"{text}\" is not a duration"),
                    "use a number and a unit (s or m), such as 30s",
                );
                default
            }
        }
    }

    /// Converts a number of seconds, at least 1.
    pub(super) fn seconds(&mut self, field: &str, seconds: i64) -> Duration {
        match u64::try_from(seconds) {
            Ok(seconds) if seconds > 0 => Duration::from_secs(seconds),
            _ => {
                self.problem(
                    field,
                    format!("{seconds} is not a number of seconds"),
                    "use 1 or more",
                );
                Duration::from_secs(1)
            }
        }
    }
}
