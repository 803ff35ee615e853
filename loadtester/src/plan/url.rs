//! URLs: as typed, as redirects name them, and the user they may contain.

use base64::Engine as _;
use http::{HeaderValue, Uri};
// axum depends on it too, so it costs nothing.
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// Characters that people and servers write although a URL may not contain them. They are sent encoded, as hey and browsers do.
const NOT_IN_A_URL: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\');
/// Characters of a bad URL that an error message quotes.
const SHOWN: usize = 200;

/// The text is not an HTTP URL. The text itself is not part of the error, because a redirect may name another one each time and
/// errors are counted by their text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAUrl;

/// Parses a URL as typed; the error says what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Uri, String> {
    let shown: String = text.escape_debug().take(SHOWN).collect();
    let bad = |why: &str| format!("`{shown}` is not a URL: {why}");
    let uri: Uri = encoded(text)
        .parse()
        .map_err(|_| bad("write it as http://HOST:PORT/PATH"))?;
    if !has_valid_port(&uri) {
        return Err(bad("its port must be from 1 to 65535"));
    }
    match uri.scheme_str() {
        Some("http" | "https") if uri.host().is_some_and(|host| !host.is_empty()) => Ok(uri),
        _ => Err(bad(
            "it must start with http:// or https:// and name a host",
        )),
    }
}

/// Encodes characters that path and query may not contain; the host stays unchanged.
fn encoded(text: &str) -> String {
    let after_scheme = text.find("://").map_or(0, |at| at + "://".len());
    let host = text[after_scheme..].find(['/', '?']);
    let (host, rest) = text.split_at(host.map_or(text.len(), |at| after_scheme + at));
    format!("{host}{}", utf8_percent_encode(rest, NOT_IN_A_URL))
}

/// True if there is no port or a valid one. `Uri` accepts any digits as a port, and then reports none.
pub(super) fn has_valid_port(uri: &Uri) -> bool {
    let Some(authority) = uri.authority() else {
        return true;
    };
    let place = authority.as_str();
    let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
    match place.strip_prefix(authority.host()) {
        Some("" | ":") => true,
        Some(port) => port[1..].parse::<u16>().is_ok_and(|port| port > 0),
        None => false,
    }
}

/// Resolves a reference against the URI of the request, by RFC 3986 section 5.2: absolute, `//host/…`, `/path`,
/// `path` or `?query`.
pub(super) fn resolve(base: &Uri, location: &str) -> Result<Uri, NotAUrl> {
    let location = location.split('#').next().unwrap_or_default();
    let scheme = base.scheme_str().ok_or(NotAUrl)?;
    let authority = base.authority().ok_or(NotAUrl)?;
    let before_path = location.split(['/', '?']).next().unwrap_or_default();
    let text = if before_path.contains(':') {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else {
        let (path, query) = match location.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (location, None),
        };
        let (path, query) = match path {
            "" => (base.path().to_owned(), query.or(base.query())),
            absolute if absolute.starts_with('/') => (without_dots(absolute), query),
            relative => {
                let folder = base.path().rsplit_once('/');
                let folder = folder.map_or("", |(folder, _)| folder);
                (without_dots(&format!("{folder}/{relative}")), query)
            }
        };
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        format!("{scheme}://{authority}{path}{query}")
    };
    parse(&text).map_err(|_| NotAUrl)
}

/// An absolute path without the segments `.` and `..`.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut is_folder = false;
    for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
        is_folder = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    let slash = if is_folder && !kept.is_empty() {
        "/"
    } else {
        ""
    };
    format!("/{}{slash}", kept.join("/"))
}

/// Splits the user off the URI and returns the value of the `Authorization` header for it.
pub(super) fn split_user(uri: Uri) -> Result<(Uri, Option<HeaderValue>), NotAUrl> {
    let Some(authority) = uri.authority() else {
        return Ok((uri, None));
    };
    let Some((user, host)) = authority.as_str().rsplit_once('@') else {
        return Ok((uri, None));
    };
    let (user, host) = (credentials(user)?, host.to_owned());
    let mut parts = uri.into_parts();
    parts.authority = Some(host.parse().map_err(|_| NotAUrl)?);
    Ok((Uri::from_parts(parts).map_err(|_| NotAUrl)?, Some(user)))
}

/// `Basic …` for the part of a URL before the `@`: `USER:PASSWORD` with `%` codes, or `USER` alone.
pub(super) fn credentials(user_information: &str) -> Result<HeaderValue, NotAUrl> {
    let (user, password) = match user_information.split_once(':') {
        Some((user, password)) => (user, password),
        None => (user_information, ""),
    };
    let mut decoded: Vec<u8> = percent_decode_str(user).collect();
    decoded.push(b':');
    decoded.extend(percent_decode_str(password));
    basic(&decoded).map_err(|_| NotAUrl)
}

/// `Basic …` for `USER:PASSWORD`.
pub(super) fn basic(credentials: &[u8]) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
    let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
    HeaderValue::from_str(&format!("Basic {encoded}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_url_is_refused_with_the_expected_form() {
        for (url, why) in [
            ("app", "http"),
            ("/path", "http"),
            ("ftp://app/", "http"),
            ("http://", "http"),
            ("http:///x", "http"),
            ("http://a b/", "http"),
            ("http://app:80800/", "port"),
            ("http://app:abc/", "port"),
            ("http://app:-1/", "port"),
            ("http://app:0/", "port"),
            ("http://[::1]:99999/", "port"),
            ("http://u:1@app:65536/", "port"),
        ] {
            let error = parse(url).unwrap_err();
            assert!(error.contains(why), "{url}: {error}");
        }
        let endless = format!("app{}", "a".repeat(100_000));
        assert!(parse(&endless).unwrap_err().len() < 500);
        for url in ["http://app:65535/", "http://app:/", "http://u:99999@app/"] {
            assert!(parse(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn characters_that_a_url_may_not_contain_are_encoded() {
        for (typed, uri) in [
            ("http://a/b c?d \"e\"", "http://a/b%20c?d%20%22e%22"),
            ("http://a/\u{e9}%20<", "http://a/%C3%A9%20%3C"),
            ("http://a?b c", "http://a/?b%20c"),
        ] {
            assert_eq!(parse(typed).unwrap().to_string(), uri);
        }
    }

    #[test]
    fn a_location_is_resolved_by_rfc_3986() {
        let base = parse("http://a/b/c/d?q").unwrap();
        for (location, uri) in [
            ("/login?next=http://a/b", "http://a/login?next=http://a/b"),
            ("g?next=http://x/y", "http://a/b/c/g?next=http://x/y"),
            ("?y=1", "http://a/b/c/d?y=1"),
            ("", "http://a/b/c/d?q"),
            ("#part", "http://a/b/c/d?q"),
            ("./g", "http://a/b/c/g"),
            ("../g", "http://a/b/g"),
            ("../../../g", "http://a/g"),
            (".", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../..", "http://a/"),
            ("/./g/../h/", "http://a/h/"),
            ("g;x=1/./y", "http://a/b/c/g;x=1/y"),
            ("/x y", "http://a/x%20y"),
            ("//g?y", "http://g/?y"),
            ("https://g", "https://g/"),
        ] {
            assert_eq!(resolve(&base, location).unwrap(), uri, "{location}");
        }
        for location in ["mailto:a@b", "http://g:99999/", "//"] {
            assert_eq!(resolve(&base, location).unwrap_err(), NotAUrl, "{location}");
        }
    }

    #[test]
    fn credentials_are_decoded_and_need_no_password() {
        for (url, plain) in [
            ("http://u%40x:p%3a@a/", "u@x:p:"),
            ("http://u@a/", "u:"),
            ("http://u:p:q@a/", "u:p:q"),
        ] {
            let (uri, header) = split_user(parse(url).unwrap()).unwrap();
            assert_eq!(uri, "http://a/");
            assert_eq!(header, basic(plain.as_bytes()).ok(), "{url}");
        }
    }
}
