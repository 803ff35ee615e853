//! The source of the time of day. Everything that writes or compares timestamps uses this clock, so that tests can run
//! hours in milliseconds.

use std::{fmt, sync::Arc};

use jiff::Timestamp;

/// A source of the time of day.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// Returns the system clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(Timestamp::now))
    }

    /// Returns a clock that starts at `start` and advances with tokio's clock, which tests can pause.
    #[must_use]
    pub fn virtual_from(start: Timestamp) -> Self {
        let origin = tokio::time::Instant::now();
        Self(Arc::new(move || {
            start
                .checked_add(origin.elapsed())
                .unwrap_or(Timestamp::MAX)
        }))
    }

    /// Returns the current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }

    /// Returns the current time in whole seconds, in the format of `metav1.Time`.
    #[must_use]
    pub fn now_text(&self) -> String {
        seconds(self.now())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Formats `time` in whole seconds, in the format of `metav1.Time`.
#[must_use]
pub fn seconds(time: Timestamp) -> String {
    format!("{time:.0}")
}
