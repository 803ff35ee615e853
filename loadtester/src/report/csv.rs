//! One line per response in hey's columns, written while the load runs so that memory does not grow.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use loadtester_http1::Timing;

use crate::recorder::Response;

/// hey's header.
pub const HEADER: &str = "response-time,DNS+dialup,DNS,Request-write,Response-delay,\
                                 Response-read,status-code,offset\n";
/// Bytes collected before they are written.
const BLOCK: usize = 64 * 1024;

/// The output that the rows of all threads go to.
pub type Sink = Arc<Mutex<dyn Write + Send>>;

/// An output that keeps its first error: the load continues when rows cannot be written.
pub struct Output<W> {
    out: W,
    error: Option<io::Error>,
}

impl<W: Write> Output<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out, error: None }
    }

    /// Returns the first error.
    ///
    /// # Errors
    /// A write failed.
    pub fn end(&mut self) -> io::Result<()> {
        self.error.take().map_or(Ok(()), Err)
    }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.error.is_none() {
            self.error = self.out.write_all(bytes).err();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The rows of one thread. They go to the sink in blocks of whole lines, so that lines of several threads never mix.
pub(crate) struct Rows {
    text: String,
    sink: Sink,
}

impl Rows {
    pub(crate) fn new(sink: Sink) -> Self {
        Self {
            text: String::with_capacity(BLOCK + 256),
            sink,
        }
    }

    /// Adds the row of one response, in seconds with six decimals (hey prints four).
    pub(crate) fn push(&mut self, response: &Response, latency: Duration, offset: Duration) {
        let Timing {
            dial,
            lookup,
            write,
            wait,
            read,
        } = response.timing;
        for value in [latency, dial, lookup, write, wait, read] {
            // Writing into a String cannot fail.
            let _ = write!(self.text, "{:.6},", value.as_secs_f64());
        }
        let _ = writeln!(self.text, "{},{:.6}", response.status, offset.as_secs_f64());
        if self.text.len() >= BLOCK {
            self.flush();
        }
    }

    /// Writes the remaining rows.
    pub(crate) fn flush(&mut self) {
        let mut sink = self
            .sink
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        // The sink keeps the error.
        let _ = sink.write_all(self.text.as_bytes());
        self.text.clear();
    }
}
