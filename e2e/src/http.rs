//! A minimal HTTP/1.1 client with a keep-alive connection.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Body.
    pub body: String,
}

/// A client of one server. It connects on first use and reconnects after an error.
#[derive(Debug)]
pub struct Client {
    authority: String,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    /// Creates a client for `http://HOST:PORT/…`. The path is passed with each request.
    ///
    /// # Panics
    /// Panics if `url` is not an `http` URL.
    pub fn new(url: &str) -> Self {
        let rest = url.strip_prefix("http://").expect("an http URL");
        let authority = rest.split('/').next().unwrap_or(rest).to_owned();
        Self {
            authority,
            connection: None,
        }
    }

    /// Sends a GET request for `path`.
    ///
    /// # Errors
    /// Returns an error if the connection fails or the response is incomplete. Requests are never
    /// retried, as every error that a user would see must count.
    pub fn get(&mut self, path: &str) -> io::Result<Response> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.authority)?,
        };
        let head = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.authority);
        connection.get_mut().write_all(head.as_bytes())?;
        let (response, keep) = read(&mut connection)?;
        if keep {
            self.connection = Some(connection);
        }
        Ok(response)
    }
}

/// Sends a single GET request on a new connection.
///
/// # Errors
/// See [`Client::get`].
pub fn get(url: &str) -> io::Result<Response> {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let path = rest.find('/').map_or("/", |slash| &rest[slash..]);
    Client::new(url).get(path)
}

fn connect(authority: &str) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(authority)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    Ok(BufReader::new(stream))
}

fn read(connection: &mut BufReader<TcpStream>) -> io::Result<(Response, bool)> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let first = line(connection)?;
    let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| invalid(&format!("no status in {first:?}")))?;
    let (mut length, mut chunked, mut keep) = (0, false, true);
    loop {
        let header = line(connection)?;
        let Some((name, value)) = header.split_once(':') else {
            break;
        };
        match (name.to_ascii_lowercase().as_str(), value.trim()) {
            ("content-length", value) => {
                length = value.parse().map_err(|_| invalid("content-length"))?;
            }
            ("transfer-encoding", "chunked") => chunked = true,
            ("connection", "close") => keep = false,
            _ => {}
        }
    }
    let mut body = Vec::new();
    if chunked {
        loop {
            let size = usize::from_str_radix(line(connection)?.trim(), 16)
                .map_err(|_| invalid("chunk"))?;
            take(connection, size, &mut body)?;
            line(connection)?;
            if size == 0 {
                break;
            }
        }
    } else {
        take(connection, length, &mut body)?;
    }
    Ok((
        Response {
            status,
            body: String::from_utf8_lossy(&body).into_owned(),
        },
        keep,
    ))
}

fn take(connection: &mut BufReader<TcpStream>, size: usize, body: &mut Vec<u8>) -> io::Result<()> {
    let start = body.len();
    body.resize(start + size, 0);
    connection.read_exact(&mut body[start..])
}

fn line(connection: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    if connection.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}
