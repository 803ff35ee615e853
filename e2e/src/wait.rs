//! Waiting with a deadline.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

/// Ask again and again until the answer is `Ok`, at most for `limit`.
///
/// # Panics
/// When the time is over, with the last answer.
pub fn until<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(why) => {
                assert!(
                    Instant::now() < deadline,
                    "gave up after {limit:?} waiting for {what}: {why}"
                );
            }
        }
        sleep(Duration::from_millis(50));
    }
}
