//! How a server is reached: address, tunnel through a proxy, TLS.

use std::io;

use http::HeaderValue;

use crate::address::Address;

/// How a server is reached. Requests to equal endpoints can share a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Address of the server, or of the proxy.
    pub address: Address,
    /// Tunnel to open first, if `address` is a proxy that does not forward requests itself.
    pub tunnel: Option<Tunnel>,
    /// Server name for TLS; `None` means plain text.
    pub tls: Option<String>,
}

impl Endpoint {
    /// Plain text, directly to `address`.
    pub fn plain(address: Address) -> Self {
        Self {
            address,
            tunnel: None,
            tls: None,
        }
    }
}

/// A tunnel through a proxy: `CONNECT`, RFC 9110 section 9.3.6.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tunnel {
    /// `HOST:PORT` of the server behind the proxy.
    pub to: String,
    /// `Proxy-Authorization` header.
    pub credentials: Option<HeaderValue>,
}

impl Tunnel {
    /// A proxy's response head must end within this many bytes.
    pub const LARGEST_HEAD: usize = 16 * 1024;

    /// The bytes that ask the proxy for the tunnel.
    pub fn request(&self) -> Vec<u8> {
        let to = &self.to;
        let mut head = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n").into_bytes();
        if let Some(credentials) = &self.credentials {
            head.extend_from_slice(b"Proxy-Authorization: ");
            head.extend_from_slice(credentials.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        head
    }

    /// Reads the proxy's response as far as `head` holds it: true once the tunnel is open. Feed it byte by byte, because
    /// the bytes after the head belong to the tunnel.
    ///
    /// # Errors
    /// The proxy refuses, or its response is not HTTP.
    pub fn is_open(head: &[u8]) -> io::Result<bool> {
        if !head.ends_with(b"\r\n\r\n") {
            if head.len() < Self::LARGEST_HEAD {
                return Ok(false);
            }
            return Err(io::Error::other("the proxy's response is not HTTP"));
        }
        let text = String::from_utf8_lossy(head);
        match text.split(' ').nth(1) {
            Some("200") => Ok(true),
            status => Err(io::Error::other(format!(
                "the proxy refuses the tunnel with status {}",
                status.unwrap_or_default()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tunnel_is_requested_with_credentials() {
        let tunnel = Tunnel {
            to: "app:443".into(),
            credentials: Some(HeaderValue::from_static("Basic dTpw")),
        };
        assert_eq!(
            String::from_utf8(tunnel.request()).unwrap(),
            "CONNECT app:443 HTTP/1.1\r\nHost: app:443\r\nProxy-Authorization: Basic dTpw\r\n\r\n"
        );
    }

    #[test]
    fn a_tunnel_opens_with_status_200_only() {
        assert!(!Tunnel::is_open(b"HTTP/1.1 200 OK\r\n").unwrap());
        assert!(Tunnel::is_open(b"HTTP/1.1 200 OK\r\nVia: a\r\n\r\n").unwrap());
        let refused = Tunnel::is_open(b"HTTP/1.1 407 Who?\r\n\r\n").unwrap_err();
        assert!(refused.to_string().contains("407"), "{refused}");
        assert!(Tunnel::is_open(&[b'x'; Tunnel::LARGEST_HEAD]).is_err());
    }
}
