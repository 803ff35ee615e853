//! Checks the log of all tests for debug dumps of API server responses.

use std::{
    io::{self, Write},
    sync::{Mutex, Once, PoisonError},
};

use controller::cli::args::LogLevel;
use tracing_subscriber::EnvFilter;

/// Fragments of kube's errors and of Rust's debug format, which no readable message contains.
pub const DUMPS: [&str; 5] = ["ApiError", "ServiceError", "Status {", "Some(", "None,"];

static FOUND: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Starts reading the log, with the default log level.
pub fn watch() {
    static START: Once = Once::new();
    START.call_once(|| {
        let filter = EnvFilter::new(LogLevel::Info.filter());
        let log = tracing_subscriber::fmt().with_env_filter(filter);
        log.with_ansi(false).with_writer(|| Reader).init();
    });
}

/// Returns the log lines with dumps so far.
pub fn dumps() -> Vec<String> {
    FOUND.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

struct Reader;

impl Write for Reader {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        if DUMPS.iter().any(|dump| text.contains(dump)) {
            let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
            found.push(text.into_owned());
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
