//! What a person sees while a cluster starts: one line per step, with its duration.

use std::{future::Future, time::Instant};

/// Do one step of a start and say so.
///
/// # Errors
/// Those of the step, which is named in the line above them.
pub async fn step<T, E>(title: &str, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let started = Instant::now();
    let result = work.await;
    let verdict = if result.is_ok() { "ok  " } else { "FAIL" };
    println!(
        "  {verdict}  {title} ({:.2} s)",
        started.elapsed().as_secs_f64()
    );
    result
}
