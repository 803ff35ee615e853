//! A request encoded once and sent many times.

use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderMap, HeaderName, Method, Uri};

/// Servers close idle connections after seconds; a connection that was idle this long is checked before it is used.
const TRUSTED_IDLE_TIME: Duration = Duration::from_millis(500);
/// The same for a request that must not be sent twice, and so fails if the connection turns out to be closed.
const TRUSTED_IDLE_TIME_WITHOUT_RETRY: Duration = Duration::from_millis(1);

/// The parts of a request to encode.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'p> {
    /// Method.
    pub method: &'p Method,
    /// Absolute URI.
    pub uri: &'p Uri,
    /// All headers, `Host` among them, without `Content-Length`, `Transfer-Encoding` and `Connection`.
    pub headers: &'p HeaderMap,
    /// Body; may be empty.
    pub body: &'p [u8],
    /// True if the request line holds the whole URI, as a forwarding proxy needs it.
    pub absolute_form: bool,
    /// False adds `Connection: close`.
    pub keep_alive: bool,
}

/// A request encoded once and sent many times.
#[derive(Clone, Debug)]
pub struct Request {
    bytes: Vec<u8>,
    is_head: bool,
    may_repeat: bool,
    trusted_idle_time: Duration,
}

impl Request {
    /// Encodes a request. Header names are written as `User-Agent`, which servers that compare names by case expect.
    pub fn encode(parts: &Parts<'_>) -> Self {
        // A URI such as `http://app?x=1` has the path `?x=1`; the displayed form has the slash.
        let path = parts.uri.path_and_query();
        let path = path.map_or_else(|| "/".to_owned(), ToString::to_string);
        let mut bytes = Vec::with_capacity(512 + parts.body.len());
        bytes.extend_from_slice(parts.method.as_str().as_bytes());
        bytes.push(b' ');
        if parts.absolute_form {
            bytes.extend_from_slice(parts.uri.to_string().as_bytes());
        } else {
            bytes.extend_from_slice(path.as_bytes());
        }
        bytes.extend_from_slice(b" HTTP/1.1\r\n");
        let mut line = |name: &HeaderName, value: &[u8]| {
            bytes.extend_from_slice(title_case(name.as_str()).as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        };
        for (name, value) in parts.headers {
            line(name, value.as_bytes());
        }
        if has_length(parts) {
            line(&CONTENT_LENGTH, parts.body.len().to_string().as_bytes());
        }
        if !parts.keep_alive {
            line(&CONNECTION, b"close");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(parts.body);
        let may_repeat = parts.method.is_idempotent();
        Self {
            bytes,
            is_head: parts.method == Method::HEAD,
            may_repeat,
            trusted_idle_time: if may_repeat {
                TRUSTED_IDLE_TIME
            } else {
                TRUSTED_IDLE_TIME_WITHOUT_RETRY
            },
        }
    }

    /// The bytes on the wire.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// True for HEAD, whose response has no body.
    pub(crate) fn is_head(&self) -> bool {
        self.is_head
    }

    /// True if the request is idempotent, so that it may be sent again over a new connection.
    pub(crate) fn may_repeat(&self) -> bool {
        self.may_repeat
    }

    /// A connection that was idle for less is used without a check.
    pub(crate) fn trusted_idle_time(&self) -> Duration {
        self.trusted_idle_time
    }
}

/// The length is announced with any body, and with the methods that usually have one.
fn has_length(parts: &Parts<'_>) -> bool {
    !parts.body.is_empty() || [Method::POST, Method::PUT, Method::PATCH].contains(parts.method)
}

/// `user-agent` as `User-Agent`.
fn title_case(name: &str) -> String {
    let mut start = true;
    name.chars()
        .map(|c| {
            let c = if start { c.to_ascii_uppercase() } else { c };
            start = c == '-';
            c
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::{HOST, USER_AGENT};

    use super::*;

    fn encode(method: Method, uri: &str, body: &str, absolute_form: bool, close: bool) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("app:81"));
        headers.insert(USER_AGENT, HeaderValue::from_static("test"));
        let request = Request::encode(&Parts {
            method: &method,
            uri: &uri.parse().unwrap(),
            headers: &headers,
            body: body.as_bytes(),
            absolute_form,
            keep_alive: !close,
        });
        String::from_utf8(request.bytes().to_vec()).unwrap()
    }

    #[test]
    fn the_request_line_has_the_path_or_the_whole_uri() {
        let get = |uri, absolute| encode(Method::GET, uri, "", absolute, false);
        let end = "Host: app:81\r\nUser-Agent: test\r\n\r\n";
        let path = format!("GET /a?b=1 HTTP/1.1\r\n{end}");
        assert_eq!(get("http://app:81/a?b=1", false), path);
        assert_eq!(get("http://app:81?b=1", false), path.replace("/a?", "/?"));
        let whole = format!("GET http://app:81/a HTTP/1.1\r\n{end}");
        assert_eq!(get("http://app:81/a", true), whole);
    }

    #[test]
    fn a_body_has_its_length_and_so_has_a_method_that_usually_has_a_body() {
        for (method, body, length) in [
            (Method::GET, "", None),
            (Method::DELETE, "", None),
            (Method::GET, "abc", Some("3")),
            (Method::POST, "", Some("0")),
            (Method::PUT, "abc", Some("3")),
        ] {
            let bytes = encode(method.clone(), "http://app/", body, false, false);
            let line = bytes
                .lines()
                .find_map(|l| l.strip_prefix("Content-Length: "));
            assert_eq!(line, length, "{method} {body:?}");
            assert!(bytes.ends_with(&format!("\r\n\r\n{body}")));
        }
    }

    #[test]
    fn a_connection_that_is_not_kept_is_announced() {
        let bytes = encode(Method::GET, "http://app/", "", false, true);
        assert!(bytes.ends_with("\r\nConnection: close\r\n\r\n"), "{bytes}");
    }

    #[test]
    fn only_idempotent_requests_may_be_repeated() {
        let may_repeat = |method: Method| {
            let parts = Parts {
                method: &method,
                uri: &Uri::from_static("http://app/"),
                headers: &HeaderMap::new(),
                body: b"",
                absolute_form: false,
                keep_alive: true,
            };
            Request::encode(&parts).may_repeat()
        };
        assert!(may_repeat(Method::GET) && may_repeat(Method::PUT) && may_repeat(Method::HEAD));
        assert!(!may_repeat(Method::POST) && !may_repeat(Method::PATCH));
    }
}
