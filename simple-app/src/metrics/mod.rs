//! Metrics of the app, in the text format of Prometheus' Python client.

mod process;
mod summary;
mod text;

use prometheus::{Encoder as _, Registry};

pub use summary::Summary;
pub use text::PythonTextEncoder;

/// Content type of [`Metrics::text`].
pub use prometheus::TEXT_FORMAT;

/// The registry of one process and the summary that requests observe.
pub struct Metrics {
    registry: Registry,
    /// Time spent processing `GET /`.
    pub request_processing: Summary,
}

impl Metrics {
    /// Registers the request summary, which is zero at the start, and the process metrics.
    ///
    /// # Errors
    /// A name is registered twice or is not a metric name.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let request_processing = Summary::new(
            "request_processing_seconds",
            "Time spent processing request",
        )?;
        registry.register(Box::new(request_processing.clone()))?;
        registry.register(Box::new(process::ProcessCollector::new()?))?;
        Ok(Self {
            registry,
            request_processing,
        })
    }

    /// All registered metrics as text.
    ///
    /// # Errors
    /// A metric cannot be encoded.
    pub fn text(&self) -> prometheus::Result<Vec<u8>> {
        let mut text = Vec::new();
        PythonTextEncoder.encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}
