//! Where timestamps come from.

use std::fmt;
use std::sync::Arc;

use jiff::{Timestamp, Unit};

/// Source of the current time. The default is the wall clock; tests that pause tokio's time, which does
/// not move the wall clock, give their own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// A clock that asks `now` each time.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }

    /// The current time as Kubernetes writes it in metadata: RFC 3339 in whole seconds.
    #[must_use]
    pub fn now_rfc3339(&self) -> String {
        let now = self.now();
        now.round(Unit::Second).unwrap_or(now).to_string()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(Timestamp::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Clock")
    }
}
