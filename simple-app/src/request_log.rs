//! The lines `Request: N, version: X` on standard output.
//!
//! If the handlers wrote them, every request would wait for one pipe. Instead, handlers append to a buffer, and one thread
//! writes it. A line after a pause is written at once; lines in quick succession are collected for 5 ms and written together.
//! If the reader of the output stops reading, lines beyond 1 MiB are dropped and counted, so that a blocked log neither delays
//! requests nor fills memory.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Time in which lines are collected between two writes.
const COLLECT: Duration = Duration::from_millis(5);
/// With this many bytes waiting, further lines are dropped.
const FULL: usize = 1 << 20;

#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    dropped: u64,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    pending: Mutex<Pending>,
    filled: Condvar,
}

impl Shared {
    /// Locks the buffer. A poisoned one is valid, because no panic leaves half a line in it.
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passes lines to the writing thread.
#[derive(Clone)]
pub struct RequestLog(Arc<Shared>);

/// Owner of the writing thread; [`Writer::finish`] writes the remaining lines.
pub struct Writer {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

impl RequestLog {
    /// Starts the writing thread.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<(Self, Writer)> {
        let shared = Arc::new(Shared::default());
        let behind = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("request-log".into())
            .spawn(move || write_lines(&behind, out))?;
        Ok((Self(Arc::clone(&shared)), Writer { shared, thread }))
    }

    /// Appends one line.
    pub fn request(&self, number: u64, version: &str) {
        let mut pending = self.0.lock();
        if pending.bytes.len() >= FULL {
            pending.dropped += 1;
            return;
        }
        let was_empty = pending.bytes.is_empty();
        // Writing into a Vec cannot fail.
        let _ = writeln!(pending.bytes, "Request: {number}, version: {version}");
        drop(pending);
        if was_empty {
            self.0.filled.notify_one();
        }
    }
}

impl Writer {
    /// Writes all remaining lines, then ends the thread.
    pub fn finish(self) {
        self.shared.lock().closed = true;
        self.shared.filled.notify_one();
        // The thread has no result. After a panic there is nothing left to do.
        let _ = self.thread.join();
    }
}

fn write_lines(shared: &Shared, mut out: impl Write) {
    let mut batch = Vec::new();
    loop {
        let mut pending = shared.lock();
        while pending.bytes.is_empty() && !pending.closed {
            pending = shared
                .filled
                .wait(pending)
                .unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut batch, &mut pending.bytes);
        let dropped = std::mem::take(&mut pending.dropped);
        let closed = pending.closed;
        drop(pending);

        if dropped > 0 {
            let _ = writeln!(batch, "({dropped} lines dropped: the reader was too slow)");
        }
        // A closed output (`| head`) ends the log, not the app.
        let _ = out.write_all(&batch).and_then(|()| out.flush());
        batch.clear();
        if closed {
            return;
        }
        std::thread::sleep(COLLECT);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    struct Channel(mpsc::Sender<Vec<u8>>);

    impl Write for Channel {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_written_without_waiting_for_more() {
        let (sender, written) = mpsc::channel();
        let (log, _writer) = RequestLog::start(Channel(sender)).unwrap();
        log.request(1, "1.0.0");
        let line = written.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(line, b"Request: 1, version: 1.0.0\n");
    }

    #[test]
    fn finish_writes_every_line_in_order() {
        let (sender, written) = mpsc::channel();
        let (log, writer) = RequestLog::start(Channel(sender)).unwrap();
        for number in 1..=10_000 {
            log.request(number, "1.0.0");
        }
        writer.finish();
        let text: Vec<u8> = written.try_iter().flatten().collect();
        let expected: String = (1..=10_000)
            .map(|n| format!("Request: {n}, version: 1.0.0\n"))
            .collect();
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn with_a_blocked_reader_memory_is_bounded_and_dropped_lines_are_counted() {
        struct Gate(Arc<Mutex<()>>, mpsc::Sender<Vec<u8>>);
        impl Write for Gate {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let _open = self.0.lock().unwrap();
                let _ = self.1.send(bytes.to_vec());
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let gate = Arc::new(Mutex::new(()));
        let (sender, written) = mpsc::channel();
        let shut = gate.lock().unwrap();
        let (log, writer) = RequestLog::start(Gate(Arc::clone(&gate), sender)).unwrap();
        for number in 0..100_000 {
            log.request(number, "1.0.0");
        }
        assert!(log.0.lock().bytes.len() < FULL + 100);
        drop(shut);
        writer.finish();
        let text: Vec<u8> = written.try_iter().flatten().collect();
        assert!(String::from_utf8(text).unwrap().contains("lines dropped"));
    }
}
