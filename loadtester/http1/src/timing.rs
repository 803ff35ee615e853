//! Durations of the phases of one exchange.

use std::time::Duration;

/// Durations of the phases of one exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// Name lookup and connecting, with tunnel and TLS; zero on a reused connection.
    pub dial: Duration,
    /// Name lookup alone.
    pub lookup: Duration,
    /// Writing the request.
    pub write: Duration,
    /// From the request written to the first byte of the response.
    pub wait: Duration,
    /// From the first byte of the response to the last.
    pub read: Duration,
}

impl std::ops::AddAssign for Timing {
    fn add_assign(&mut self, other: Self) {
        self.dial += other.dial;
        self.lookup += other.lookup;
        self.write += other.write;
        self.wait += other.wait;
        self.read += other.read;
    }
}
