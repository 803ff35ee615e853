//! One line per answer, in hey's columns, written while the load runs so that memory does not grow.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use crate::recorder::{Answer, Timing};

/// hey's header.
pub const HEADER: &str = "response-time,DNS+dialup,DNS,Request-write,Response-delay,\
                                 Response-read,status-code,offset\n";
/// Bytes gathered before they are written.
const BLOCK: usize = 64 * 1024;

/// Where the rows of all threads go.
pub type Sink = Arc<Mutex<dyn Write + Send>>;

/// An output that remembers the first failure: the load goes on when rows cannot be written.
pub struct Output<W> {
    out: W,
    failure: Option<io::Error>,
}

impl<W: Write> Output<W> {
    /// Nothing written yet.
    pub fn new(out: W) -> Self {
        Self { out, failure: None }
    }

    /// The first failure, if any.
    ///
    /// # Errors
    /// What could not be written.
    pub fn end(&mut self) -> io::Result<()> {
        self.failure.take().map_or(Ok(()), Err)
    }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failure.is_none() {
            self.failure = self.out.write_all(bytes).err();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Rows of one thread; whole blocks of lines go to the sink, so lines of several threads never mix.
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

    /// Adds the row of one answer, in seconds to the microsecond (hey prints tenths of milliseconds).
    pub(crate) fn push(&mut self, answer: &Answer, latency: Duration, offset: Duration) {
        let Timing {
            dial,
            lookup,
            write,
            wait,
            read,
        } = answer.timing;
        for value in [latency, dial, lookup, write, wait, read] {
            // Writing into a String cannot fail.
            let _ = write!(self.text, "{:.6},", value.as_secs_f64());
        }
        let _ = writeln!(self.text, "{},{:.6}", answer.status, offset.as_secs_f64());
        if self.text.len() >= BLOCK {
            self.flush();
        }
    }

    /// Writes what is left.
    pub(crate) fn flush(&mut self) {
        let mut sink = self
            .sink
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        // What cannot be written is the sink's to tell.
        let _ = sink.write_all(self.text.as_bytes());
        self.text.clear();
    }
}
