//! What a person sees.

use std::{
    future::Future,
    io::{self, Write as _},
    time::Instant,
};

/// Print text. A reader that has seen enough (`… | head`) is no error.
///
/// # Errors
/// Standard output cannot be written for another reason.
pub fn print(text: &str) -> io::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Do one step of a start and say so, with its duration.
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
