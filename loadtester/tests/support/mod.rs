//! A small HTTP/1.1 server for tests, which sees what is on the wire and can misbehave, and helpers to run loads.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use loadtester::command::{Asked, parse_command};
use loadtester::engine::{self, Control, Outcome};
use loadtester::plan::{Origin, Plan, Proxies};

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A request as it came.
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

/// What to do with a request.
pub(crate) enum Reply {
    /// Send these bytes and keep the connection.
    Keep(String),
    /// Send these bytes and close the connection without having said so.
    Close(String),
    /// Never answer.
    Never,
}

/// `200 OK` with a body.
pub(crate) fn ok(body: &str) -> Reply {
    answer("200 OK", "", body)
}

/// Any answer with a length; `headers` end with line ends.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Reply {
    Reply::Keep(format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

/// A server, as a rule on a free port; it stops taking connections when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    pub(crate) connections: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
}

impl Server {
    pub(crate) fn start(reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), reply)
    }

    /// A server on a listener of the caller's.
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

/// Runs a command in this process; `variables` are the environment as far as proxies go.
pub(crate) fn load_with(
    command: &str,
    variables: &[(&str, &str)],
    control: &Arc<Control>,
) -> Outcome {
    let Asked::Run(typed) = parse_command(command).unwrap() else {
        panic!("{command} asks for help")
    };
    let get = |name: &str| {
        variables
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| (*value).to_owned())
    };
    let plan = Plan::new(&typed, &Origin::Person, &Proxies::read(get)).unwrap();
    engine::run(&plan, control, None).unwrap()
}

/// Runs a command in this process.
pub(crate) fn load(command: &str) -> Outcome {
    load_with(command, &[], &Arc::default())
}

/// One request on a connection of its own: status code and body.
pub(crate) fn call(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {text:?}"));
    (
        head.split(' ').nth(1).unwrap().parse().unwrap(),
        body.to_owned(),
    )
}

/// Waits until the condition holds.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(
            started.elapsed() < DEADLINE,
            "not within {DEADLINE:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}
