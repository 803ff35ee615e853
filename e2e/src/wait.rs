//! Polling with a deadline.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

/// Polls `ask` until it returns `Ok`, for at most `limit`.
///
/// # Panics
/// Panics with the last error if the limit passes before.
pub fn until<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(why) => {
                assert!(
                    Instant::now() < deadline,
                    "timed out after {limit:?} waiting for {what}: {why}"
                );
            }
        }
        sleep(Duration::from_millis(50));
    }
}
