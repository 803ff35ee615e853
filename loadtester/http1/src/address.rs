//! Where a connection goes.

use std::fmt;
use std::path::PathBuf;

use http::Uri;

/// Where a connection goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// Host name or IP address, and port.
    Tcp(String, u16),
    /// Path of a Unix socket.
    Unix(PathBuf),
}

impl Address {
    /// Host and port of a URI that has a host; the port defaults to the scheme's.
    pub fn of_uri(uri: &Uri) -> Self {
        let default = if uri.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        Self::Tcp(host.to_owned(), uri.port_u16().unwrap_or(default))
    }
}

/// `HOST:PORT` with brackets around an IPv6 address, or the path of the socket.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_defaults_to_that_of_the_scheme() {
        for (uri, address) in [
            ("http://app.default/x", "app.default:80"),
            ("https://app.default/", "app.default:443"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://[::1]:81/", "[::1]:81"),
        ] {
            let uri: Uri = uri.parse().unwrap();
            assert_eq!(Address::of_uri(&uri).to_string(), address);
        }
    }
}
