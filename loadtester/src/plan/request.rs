//! One request of a plan, built once and sent many times.

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST,
    HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION, TRANSFER_ENCODING, USER_AGENT,
};
use http::uri::Authority;
use http::{Method, Uri};
use loadtester_http1::{Address, Parts};

use super::url::{self, NotAUrl};
use crate::command::{Typed, UsageError};

/// Method, absolute URI, headers (`Host` among them) and body.
#[derive(Clone, Debug)]
pub struct Request {
    /// HTTP method.
    pub method: Method,
    /// Absolute URI without user information.
    pub uri: Uri,
    /// All headers except those that frame the message.
    pub headers: HeaderMap,
    /// Body; may be empty.
    pub body: Bytes,
}

impl Request {
    /// Builds the request for one URL from the flags.
    pub(super) fn new(typed: &Typed, uri: Uri, body: Bytes) -> Result<Self, UsageError> {
        let method = typed
            .method
            .as_deref()
            .unwrap_or("GET")
            .to_ascii_uppercase();
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|_| UsageError(format!("-m: `{method}` is not an HTTP method")))?;
        let (uri, user) = url::split_user(uri).map_err(|NotAUrl| no_user())?;

        let mut headers = HeaderMap::new();
        headers.insert(HOST, host_header(&uri)?);
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("loadtester/", env!("CARGO_PKG_VERSION"))),
        );
        // hey sends it with every method.
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        // As in hey: the response to HEAD has no body to compress.
        if !typed.disable_compression && method != Method::HEAD {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        for header in &typed.headers {
            let (name, value) = parse_header(header)?;
            headers.insert(name, value);
        }
        for (name, flag, value) in [
            (ACCEPT, "-A", &typed.accept),
            (CONTENT_TYPE, "-T", &typed.content_type),
            (USER_AGENT, "-U", &typed.user_agent),
            (HOST, "-host", &typed.host),
        ] {
            if let Some(value) = value {
                headers.insert(name, header_value(flag, value)?);
            }
        }
        if let Some(credentials) = &typed.basic_auth {
            if !credentials.contains(':') {
                return Err(UsageError("-a: write it as USER:PASSWORD".to_owned()));
            }
            let header = url::basic(credentials.as_bytes());
            let header = header.map_err(|error| UsageError(format!("-a: {error}")))?;
            headers.insert(AUTHORIZATION, header);
        } else if let Some(header) = user {
            headers.insert(AUTHORIZATION, header);
        }
        // The client frames the message. A wrong length or a second encoding would break every connection.
        for framing in [CONTENT_LENGTH, TRANSFER_ENCODING] {
            headers.remove(framing);
        }
        if let Some(connection) = headers.get(CONNECTION)
            && (is_option(connection, "close") || is_option(connection, "keep-alive"))
        {
            headers.remove(CONNECTION);
        }
        Ok(Self {
            method,
            uri,
            headers,
            body,
        })
    }

    /// The request in HTTP/1.1. A forwarding proxy needs `absolute_form`.
    pub fn encode(
        &self,
        absolute_form: bool,
        keep_alive: bool,
        proxy_auth: Option<&HeaderValue>,
    ) -> loadtester_http1::Request {
        let mut headers = self.headers.clone();
        if let Some(credentials) = proxy_auth {
            headers.insert(PROXY_AUTHORIZATION, credentials.clone());
        }
        loadtester_http1::Request::encode(&Parts {
            method: &self.method,
            uri: &self.uri,
            headers: &headers,
            body: &self.body,
            absolute_form,
            keep_alive,
        })
    }

    /// The name that the server's certificate must have: the host of the `Host` header.
    pub(crate) fn server_name(&self) -> String {
        let host = self.headers.get(HOST).and_then(|host| host.to_str().ok());
        let authority = host.and_then(|host| host.parse::<Authority>().ok());
        let name = authority
            .as_ref()
            .map_or(self.uri.host().unwrap_or_default(), Authority::host);
        name.trim_matches(['[', ']']).to_owned()
    }

    /// True if the request may be sent again over a new connection, after the server closed an idle one.
    pub fn is_idempotent(&self) -> bool {
        self.method.is_idempotent()
    }

    /// Puts `address` into the URI, which a proxy reads; the `Host` header stays unchanged.
    pub(crate) fn set_authority(&mut self, address: &Address) {
        let Address::Tcp(host, _) = address else {
            return;
        };
        if self.uri.host().map(|own| own.trim_matches(['[', ']'])) == Some(host) {
            return;
        }
        let mut parts = self.uri.clone().into_parts();
        // If the address is not a valid authority, the URI becomes empty: the refused name must not stay in it.
        parts.authority = address.to_string().parse().ok();
        self.uri = Uri::from_parts(parts).unwrap_or_default();
    }

    /// The request that follows a redirect, by RFC 9110 section 15.4. Credentials are sent only to the host that they were
    /// given for, and not without TLS if they were given for TLS.
    ///
    /// # Errors
    /// `location` is not an HTTP URL.
    pub fn redirected(&self, status: u16, location: &str) -> Result<Self, NotAUrl> {
        let (uri, user) = url::split_user(url::resolve(&self.uri, location)?)?;
        let mut next = self.clone();
        let keeps_method = matches!(status, 307 | 308) || self.method == Method::HEAD;
        if !keeps_method {
            next.method = Method::GET;
            next.body = Bytes::new();
        }
        let leaves_tls = self.uri.scheme_str() == Some("https") && uri.scheme_str() == Some("http");
        if uri.authority() != self.uri.authority() || leaves_tls {
            next.headers.remove(AUTHORIZATION);
            next.headers.remove(COOKIE);
            let host = host_header(&uri).map_err(|_| NotAUrl)?;
            next.headers.insert(HOST, host);
        }
        if let Some(credentials) = user {
            next.headers.insert(AUTHORIZATION, credentials);
        }
        next.uri = uri;
        Ok(next)
    }
}

/// True if `-H 'Connection: close'` is among the headers. The client then writes that header itself.
pub(super) fn asks_to_close(headers: &[String]) -> bool {
    let parsed = headers
        .iter()
        .filter_map(|header| parse_header(header).ok());
    // The last header of a name wins.
    let mut last_first = parsed.rev().filter(|(name, _)| name == CONNECTION);
    last_first
        .next()
        .is_some_and(|(_, value)| is_option(&value, "close"))
}

fn is_option(connection: &HeaderValue, option: &str) -> bool {
    let text = connection.to_str().unwrap_or_default();
    text.split(',')
        .any(|own| own.trim().eq_ignore_ascii_case(option))
}

fn no_user() -> UsageError {
    UsageError(
        "the user and password in the URL are not valid: encode them, as in http://us%40er:pass%3aword@HOST/"
            .to_owned(),
    )
}

fn host_header(uri: &Uri) -> Result<HeaderValue, UsageError> {
    header_value(
        "Host",
        uri.authority().map_or("", |authority| authority.as_str()),
    )
}

fn header_value(what: &str, value: &str) -> Result<HeaderValue, UsageError> {
    HeaderValue::from_str(value).map_err(|_| {
        UsageError(format!(
            "{what}: `{}` is not a valid header value",
            value.escape_debug()
        ))
    })
}

fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), UsageError> {
    let (name, value) = text.split_once(':').ok_or_else(|| {
        UsageError(format!(
            "-H: `{}` is not a header: write it as 'Name: value'",
            text.escape_debug()
        ))
    })?;
    let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
        UsageError(format!(
            "-H: `{}` is not a valid header name",
            name.escape_debug()
        ))
    })?;
    Ok((header, header_value("-H", value.trim())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(typed: &Typed, url: &str) -> Request {
        Request::new(typed, url.parse().unwrap(), Bytes::new()).unwrap()
    }

    fn wire(typed: &Typed, url: &str) -> String {
        text(&request(typed, url).encode(false, true, None))
    }

    fn text(request: &loadtester_http1::Request) -> String {
        String::from_utf8(request.bytes().to_vec()).unwrap()
    }

    #[test]
    fn the_request_on_the_wire_is_that_of_hey() {
        let expected = format!(
            "GET /a?b=1 HTTP/1.1\r\nHost: app:81\r\nUser-Agent: loadtester/{}\r\n\
             Content-Type: text/html\r\nAccept-Encoding: gzip\r\n\r\n",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(wire(&Typed::default(), "http://app:81/a?b=1"), expected);
    }

    #[test]
    fn a_proxy_gets_the_absolute_form() {
        let request = request(&Typed::default(), "http://app.default:80/");
        let wire = text(&request.encode(true, true, None));
        assert!(
            wire.starts_with("GET http://app.default:80/ HTTP/1.1\r\nHost: app.default:80\r\n")
        );
    }

    #[test]
    fn headers_replace_the_defaults_and_the_last_of_a_name_wins() {
        let typed = Typed {
            headers: vec!["x-a: 1".into(), "X-A: 2".into(), "host: other".into()],
            accept: Some("text/plain".into()),
            content_type: Some("application/json".into()),
            user_agent: Some("mine".into()),
            basic_auth: Some("u:p".into()),
            disable_compression: true,
            ..Typed::default()
        };
        let wire = wire(&typed, "http://app/");
        for line in [
            "Host: other",
            "X-A: 2",
            "Accept: text/plain",
            "Content-Type: application/json",
            "User-Agent: mine",
            "Authorization: Basic dTpw",
        ] {
            assert!(
                wire.contains(&format!("\r\n{line}\r\n")),
                "{line} is missing in: {wire}"
            );
        }
        assert!(!wire.contains("X-A: 1") && !wire.contains("gzip"), "{wire}");
    }

    #[test]
    fn a_header_can_neither_break_the_framing_nor_add_a_line() {
        let typed = Typed {
            headers: vec!["Content-Length: 7".into()],
            ..Typed::default()
        };
        assert!(!wire(&typed, "http://app/").contains("Content-Length"));
        let closing = [vec!["Connection: Close".to_owned()], vec![]];
        assert_eq!(
            closing.map(|headers| asks_to_close(&headers)),
            [true, false]
        );
        for bad in ["a", "a b: c", "a: b\r\nc: d"] {
            let typed = Typed {
                headers: vec![bad.into()],
                ..Typed::default()
            };
            let result = Request::new(&typed, Uri::from_static("http://app/"), Bytes::new());
            assert!(result.is_err(), "{bad:?}");
        }
    }

    #[test]
    fn credentials_in_the_url_are_sent_only_as_a_header() {
        let wire = wire(&Typed::default(), "http://u:p@app/");
        assert!(
            wire.contains("Host: app\r\n") && wire.contains("Basic dTpw"),
            "{wire}"
        );
    }

    #[test]
    fn redirects_change_method_and_host_by_the_rules() {
        let typed = Typed {
            method: Some("POST".into()),
            basic_auth: Some("u:p".into()),
            ..Typed::default()
        };
        let post = Request::new(&typed, Uri::from_static("http://a/x/y"), "body".into()).unwrap();
        let same_host = post.redirected(302, "z").unwrap();
        assert_eq!(same_host.uri, "http://a/x/z");
        assert_eq!((same_host.method, same_host.body.len()), (Method::GET, 0));
        assert!(same_host.headers.contains_key(AUTHORIZATION));
        let elsewhere = post.redirected(307, "//b/z#part").unwrap();
        assert_eq!(elsewhere.uri, "http://b/z");
        assert_eq!((elsewhere.method, elsewhere.body.len()), (Method::POST, 4));
        assert!(!elsewhere.headers.contains_key(AUTHORIZATION));
        assert_eq!(elsewhere.headers[HOST], "b");
        assert!(post.redirected(302, "ftp://b/").is_err());
    }

    #[test]
    fn credentials_do_not_follow_a_redirect_to_another_host_or_out_of_tls() {
        let typed = Typed {
            headers: vec!["Cookie: session=1".into()],
            basic_auth: Some("u:p".into()),
            ..Typed::default()
        };
        let from = request(&typed, "https://a/");
        let secrets = |location: &str| {
            let next = from.redirected(302, location).unwrap();
            [AUTHORIZATION, COOKIE].map(|name| next.headers.contains_key(name))
        };
        assert_eq!(secrets("/b"), [true, true]);
        assert_eq!(secrets("https://b/"), [false, false]);
        assert_eq!(secrets("http://a/"), [false, false]);
        let next = from.redirected(302, "https://v:w@b/").unwrap();
        assert_eq!(next.headers[HOST], "b");
        assert_eq!(next.headers[AUTHORIZATION], "Basic djp3");
        assert_eq!(next.uri, "https://b/");
    }

    #[test]
    fn a_query_without_a_path_goes_to_the_root() {
        let wire = wire(&Typed::default(), "http://app?x=1");
        assert!(wire.starts_with("GET /?x=1 HTTP/1.1\r\n"), "{wire}");
    }
}
