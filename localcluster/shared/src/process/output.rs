//! Destinations for the output of a child.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::io::{AsyncRead, AsyncReadExt};

/// Longer lines are split. This bounds the memory that a child can use by never ending its line.
const MAX_LINE: usize = 256 * 1024;

/// Receives the output of a child.
pub trait Output: Send + Sync + 'static {
    /// Receives one or more whole lines, each ending in `\n`. Called from several tasks, for standard output and
    /// standard error alike. Must not block for long.
    fn write(&self, lines: &[u8]);
}

impl Output for () {
    fn write(&self, _: &[u8]) {}
}

impl<A: Output, B: Output> Output for (A, B) {
    fn write(&self, lines: &[u8]) {
        self.0.write(lines);
        self.1.write(lines);
    }
}

impl<T: Output + ?Sized> Output for Arc<T> {
    fn write(&self, lines: &[u8]) {
        (**self).write(lines);
    }
}

/// Reads `pipe` to its end and passes whole lines to `output`. Adds `\n` to a last line that lacks it.
pub(super) async fn forward(mut pipe: impl AsyncRead + Unpin, output: Arc<dyn Output>) {
    let mut pending = Vec::with_capacity(8 * 1024);
    loop {
        match pipe.read_buf(&mut pending).await {
            Ok(0) | Err(_) => break,
            Ok(read) => {
                let fresh = pending.len() - read;
                if let Some(end) = pending[fresh..].iter().rposition(|byte| *byte == b'\n') {
                    let whole = fresh + end + 1;
                    output.write(&pending[..whole]);
                    pending.drain(..whole);
                } else if pending.len() >= MAX_LINE {
                    pending.push(b'\n');
                    output.write(&pending);
                    pending.clear();
                }
            }
        }
    }
    if !pending.is_empty() {
        pending.push(b'\n');
        output.write(&pending);
    }
}

/// Keeps the last lines for error messages.
#[derive(Debug)]
pub struct Tail {
    lines: Mutex<VecDeque<String>>,
    keep: usize,
}

impl Tail {
    /// Creates a tail that keeps `keep` lines.
    pub fn new(keep: usize) -> Self {
        Self {
            lines: Mutex::default(),
            keep,
        }
    }

    /// The kept lines, oldest first, joined by `\n`.
    pub fn text(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

impl Output for Tail {
    fn write(&self, chunk: &[u8]) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        for line in chunk
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            if lines.len() == self.keep {
                lines.pop_front();
            }
            lines.push_back(String::from_utf8_lossy(line).into_owned());
        }
    }
}

/// Appends to a file and renames it to `NAME.1` when it reaches its limit, so at most twice the limit is on disk.
///
/// Writes happen on the calling thread, not on a blocking thread. They only reach the page cache, and the lines stay
/// in order without a queue.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    limit: u64,
    stamped: bool,
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    size: u64,
    failed: bool,
}

impl LogFile {
    /// Opens a log that appends lines unchanged. `limit` is in bytes. The file's folder must exist.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn plain(path: PathBuf, limit: u64) -> io::Result<Self> {
        Self::open(path, limit, false)
    }

    /// Opens a log that starts every line with the time (RFC 3339, nine fractional digits, UTC) and a space. The API
    /// server's `log` subresource reads this format.
    ///
    /// # Errors
    /// The same as [`Self::plain`].
    pub fn stamped(path: PathBuf, limit: u64) -> io::Result<Self> {
        Self::open(path, limit, true)
    }

    fn open(path: PathBuf, limit: u64, stamped: bool) -> io::Result<Self> {
        let open = Mutex::new(Open::append(&path)?);
        Ok(Self {
            path,
            limit,
            stamped,
            open,
        })
    }

    fn rotate(&self, open: &mut Open) -> io::Result<()> {
        let mut previous = self.path.clone().into_os_string();
        previous.push(".1");
        std::fs::rename(&self.path, previous)?;
        *open = Open::append(&self.path)?;
        Ok(())
    }
}

impl Open {
    fn append(path: &PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let size = file.metadata()?.len();
        Ok(Self {
            file,
            size,
            failed: false,
        })
    }
}

impl Output for LogFile {
    fn write(&self, lines: &[u8]) {
        let stamped = self.stamped.then(|| stamp(lines, jiff::Timestamp::now()));
        let lines = stamped.as_deref().unwrap_or(lines);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let full = open.size > 0 && open.size + lines.len() as u64 > self.limit;
        let written = if full { self.rotate(&mut open) } else { Ok(()) }
            .and_then(|()| open.file.write_all(lines));
        open.size += lines.len() as u64;
        if let Err(error) = written {
            // Log once: a full disk would otherwise repeat this for every line.
            if !std::mem::replace(&mut open.failed, true) {
                tracing::warn!(file = %self.path.display(), %error, "cannot write the output of a process");
            }
        }
    }
}

fn stamp(lines: &[u8], now: jiff::Timestamp) -> Vec<u8> {
    let time = format!("{now:.9} ");
    let mut stamped = Vec::with_capacity(lines.len() + time.len() * 4);
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        stamped.extend_from_slice(time.as_bytes());
        stamped.extend_from_slice(line);
    }
    stamped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Collect(Mutex<Vec<u8>>);
    impl Output for Collect {
        fn write(&self, lines: &[u8]) {
            assert!(lines.ends_with(b"\n"), "output got a partial line");
            self.0.lock().unwrap().extend_from_slice(lines);
        }
    }

    #[tokio::test]
    async fn lines_arrive_whole_wherever_the_pipe_splits_them() {
        let collected = Arc::new(Collect::default());
        let pipe = tokio_test_reader(&[b"one\ntw", b"o\n\nthr", b"ee"]);
        forward(pipe, collected.clone()).await;
        assert_eq!(*collected.0.lock().unwrap(), b"one\ntwo\n\nthree\n");
    }

    #[tokio::test]
    async fn an_endless_line_is_split() {
        let collected = Arc::new(Collect::default());
        forward(&vec![b'x'; MAX_LINE * 2][..], collected.clone()).await;
        let text = collected.0.lock().unwrap().clone();
        assert_eq!(
            text.iter().filter(|byte| **byte == b'x').count(),
            MAX_LINE * 2
        );
        assert!(text.iter().filter(|byte| **byte == b'\n').count() >= 1);
    }

    #[test]
    fn stamped_log_lines_survive_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        let log = LogFile::stamped(path.clone(), 120).unwrap();
        for number in 0..6 {
            log.write(format!("line {number}\n").as_bytes());
        }
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let (old, new) = (read("0.log.1"), read("0.log"));
        let lines: Vec<&str> = old.lines().chain(new.lines()).collect();
        assert_eq!(lines.len(), 6);
        for (number, line) in lines.iter().enumerate() {
            let (time, text) = line.split_once(' ').unwrap();
            assert_eq!(text, format!("line {number}"));
            assert_eq!(time.len(), "2026-01-01T00:00:00.000000000Z".len());
            time.parse::<jiff::Timestamp>().unwrap();
        }
        assert!(old.len() <= 120 && new.len() <= 120);
    }

    #[test]
    fn the_tail_keeps_only_the_last_lines() {
        let tail = Tail::new(2);
        tail.write(b"a\nb\n");
        tail.write(b"c\n");
        assert_eq!(tail.text(), "b\nc");
    }

    fn tokio_test_reader(parts: &[&'static [u8]]) -> impl AsyncRead + Unpin + use<> {
        let parts: Vec<io::Result<bytes::Bytes>> = parts
            .iter()
            .map(|part| Ok(bytes::Bytes::from_static(part)))
            .collect();
        tokio_util::io::StreamReader::new(futures::stream::iter(parts))
    }
}
