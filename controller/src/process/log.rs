//! Logging.

use tracing_subscriber::{EnvFilter, fmt};

use crate::cli::args::{LogFormat, LogLevel};

/// Starts logging to standard error. `RUST_LOG` overrides `level`.
pub fn start(level: LogLevel, format: LogFormat) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level.filter()));
    let log = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Json => {
            log.json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .init();
        }
        LogFormat::Console => log.init(),
    }
}
