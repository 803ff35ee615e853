//! A small HTTP/1.1 server that records requests and can misbehave. The tests of `loadtester-http1` use it too.

use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A request as received.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) headers: Vec<String>,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let is_it = |line: &&String| {
            line.to_lowercase()
                .starts_with(&format!("{}:", name.to_lowercase()))
        };
        self.headers
            .iter()
            .find(is_it)
            .map(|line| line.split_once(':').unwrap().1.trim())
    }
}

/// The server's reaction to a request.
pub(crate) enum Reply {
    /// Send these bytes and keep the connection.
    Keep(String),
    /// Send these bytes and close the connection without announcing it.
    Close(String),
    /// Never respond.
    Never,
}

/// `200 OK` with a body.
pub(crate) fn ok(body: &str) -> Reply {
    response("200 OK", "", body)
}

/// A response with a length; each of `headers` ends with a line end.
pub(crate) fn response(status: &str, headers: &str, body: &str) -> Reply {
    Reply::Keep(format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

/// A server that stops accepting connections when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    pub(crate) connections: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
}

impl Server {
    /// A server on a free port.
    pub(crate) fn start(reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), reply)
    }

    /// A server on the caller's listener.
    pub(crate) fn on(
        listener: TcpListener,
        reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let server = Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
            connections: Arc::default(),
            stopped: Arc::default(),
        };
        let (seen, connections, stopped) = (
            Arc::clone(&server.seen),
            Arc::clone(&server.connections),
            Arc::clone(&server.stopped),
        );
        let reply = Arc::new(reply);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                connections.fetch_add(1, Ordering::SeqCst);
                let (seen, reply) = (Arc::clone(&seen), Arc::clone(&reply));
                std::thread::spawn(move || serve(&stream, &seen, &*reply));
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub(crate) fn first(&self) -> Seen {
        self.seen.lock().unwrap().first().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

fn serve(stream: &TcpStream, seen: &Mutex<Vec<Seen>>, reply: &dyn Fn(&Seen) -> Reply) {
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader) {
        seen.lock().unwrap().push(request.clone());
        let mut writer = stream;
        match reply(&request) {
            Reply::Keep(bytes) => {
                if writer.write_all(bytes.as_bytes()).is_err() {
                    return;
                }
            }
            Reply::Close(bytes) => {
                let _ = writer.write_all(bytes.as_bytes());
                return;
            }
            Reply::Never => std::thread::sleep(DEADLINE),
        }
    }
}

pub(crate) fn read_request(reader: &mut impl std::io::BufRead) -> Option<Seen> {
    let mut request = Seen::default();
    reader
        .read_line(&mut request.line)
        .ok()
        .filter(|length| *length > 0)?;
    request.line.truncate(request.line.trim_end().len());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        request.headers.push(line.to_owned());
    }
    let length = request
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    request.body = String::from_utf8(body).unwrap();
    Some(request)
}
