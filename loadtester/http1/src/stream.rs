//! A non-blocking connection: a socket, or TLS on a socket.

use std::io::{self, Read as _, Write as _};
use std::sync::Arc;

use rustix::fd::OwnedFd;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

/// A non-blocking connection.
pub(crate) enum Stream {
    /// Plain text.
    Plain(Socket),
    /// TLS; boxed because plain text is the common case and its state should stay small.
    Tls(Box<Tls>),
}

pub(crate) struct Tls {
    socket: Socket,
    session: ClientConnection,
}

impl Stream {
    /// Starts TLS on a socket; [`Stream::handshake`] does the rest.
    ///
    /// # Errors
    /// The name cannot be a server's.
    pub(crate) fn tls(socket: Socket, name: &str, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let session = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        Ok(Self::Tls(Box::new(Tls { socket, session })))
    }

    /// Goes on with the TLS handshake; `WouldBlock` means to call it again when the socket is ready.
    ///
    /// # Errors
    /// The server's certificate is refused, or the connection fails.
    pub(crate) fn handshake(&mut self) -> io::Result<()> {
        if let Self::Tls(tls) = self {
            while tls.session.is_handshaking() || tls.session.wants_write() {
                tls.session.complete_io(&mut tls.socket)?;
            }
        }
        Ok(())
    }

    /// Sends as much of `rest` as the socket takes; true once all of it has left.
    ///
    /// # Errors
    /// The connection failed.
    pub(crate) fn send(&mut self, rest: &mut &[u8]) -> io::Result<bool> {
        match self {
            Self::Plain(socket) => {
                while !rest.is_empty() {
                    match socket.write(rest) {
                        Ok(sent) => *rest = &rest[sent..],
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            return Ok(false);
                        }
                        Err(error) => return Err(error),
                    }
                }
                Ok(true)
            }
            Self::Tls(tls) => tls.send(rest),
        }
    }

    /// Receives bytes; 0 is the end of the connection, `WouldBlock` means that none have arrived.
    ///
    /// # Errors
    /// The connection failed.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(tls) => tls.receive(buffer),
        }
    }

    /// True if an idle connection is still usable: the server has neither closed it nor sent bytes that nobody asked for.
    pub(crate) fn is_usable(&mut self) -> bool {
        // A byte that is taken out here is no loss: a connection that has one is not used again.
        let received = self.receive(&mut [0; 1]);
        received.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl Tls {
    fn send(&mut self, rest: &mut &[u8]) -> io::Result<bool> {
        loop {
            let taken = self.session.writer().write(rest)?;
            *rest = &rest[taken..];
            while self.session.wants_write() {
                match self.session.write_tls(&mut self.socket) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                    Err(error) => return Err(error),
                }
            }
            if rest.is_empty() {
                return Ok(true);
            }
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Closed without `close_notify`. The framing of HTTP shows if the response is incomplete.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                other => return other,
            }
            self.session.read_tls(&mut self.socket)?;
            let state = self.session.process_new_packets();
            // Replies to the server's own messages, such as new keys; they leave with the next request at the latest.
            if self.session.wants_write() {
                let _ = self.session.write_tls(&mut self.socket);
            }
            state.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }
}

/// A non-blocking socket.
pub(crate) struct Socket(pub(crate) OwnedFd);

impl io::Read for Socket {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match recv(&self.0, &mut *buffer, RecvFlags::empty()) {
                Ok((length, _)) => return Ok(length),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl io::Write for Socket {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match send(&self.0, bytes, SendFlags::NOSIGNAL) {
                Ok(sent) => return Ok(sent),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
