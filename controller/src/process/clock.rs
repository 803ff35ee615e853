//! Where the time of day comes from. Everything that stamps or compares times asks this clock, so that tests
//! can run hours in milliseconds.

use std::{fmt, sync::Arc};

use jiff::Timestamp;

/// A source of the time of day.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(Timestamp::now))
    }

    /// A clock that starts at `start` and moves with tokio's clock, which tests can pause.
    #[must_use]
    pub fn virtual_from(start: Timestamp) -> Self {
        let origin = tokio::time::Instant::now();
        Self(Arc::new(move || {
            start
                .checked_add(origin.elapsed())
                .unwrap_or(Timestamp::MAX)
        }))
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }

    /// The time now in whole seconds, as Kubernetes writes `metav1.Time`.
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

/// `time` in whole seconds, as Kubernetes writes `metav1.Time`.
#[must_use]
pub fn seconds(time: Timestamp) -> String {
    format!("{time:.0}")
}
