//! Output for people.

use std::{
    future::Future,
    io::{self, Write as _},
    time::Instant,
};

/// Prints text. A closed pipe (`… | head`) is not an error.
///
/// # Errors
/// Writing to standard output fails for another reason.
pub fn print(text: &str) -> io::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Runs one step of the start and prints its result and duration.
///
/// # Errors
/// Those of the step. The printed line names the step.
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
