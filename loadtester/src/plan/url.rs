//! URLs: as typed, in a redirect, and the user they may name.

use base64::Engine as _;
use http::{HeaderValue, Uri};
// Taken by axum too, so it costs nothing.
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// What people and servers write although a URL may not hold it; sent encoded, as hey and browsers do.
const NOT_IN_A_URL: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\');
/// More of a URL than this does not help to recognise it.
const SHOWN: usize = 200;

/// Text that is no URL of HTTP. What a redirect names may differ each time, so the text is not part of this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoUrl;

/// A URL as typed; the error says what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Uri, String> {
    let shown: String = text.escape_debug().take(SHOWN).collect();
    let bad = |why: &str| format!("`{shown}` is no URL: {why}");
    let uri: Uri = encoded(text)
        .parse()
        .map_err(|_| bad("write it as http://HOST:PORT/PATH"))?;
    if !has_valid_port(&uri) {
        return Err(bad("its port is none from 1 to 65535"));
    }
    match uri.scheme_str() {
        Some("http" | "https") if uri.host().is_some_and(|host| !host.is_empty()) => Ok(uri),
        _ => Err(bad(
            "it must start with http:// or https:// and name a host",
        )),
    }
}

/// Encodes what a path or query may not hold; a host is left as it is.
fn encoded(text: &str) -> String {
    let after_scheme = text.find("://").map_or(0, |at| at + "://".len());
    let host = text[after_scheme..].find(['/', '?']);
    let (host, rest) = text.split_at(host.map_or(text.len(), |at| after_scheme + at));
    format!("{host}{}", utf8_percent_encode(rest, NOT_IN_A_URL))
}

/// Whether the port, if there is one, can be connected to. `Uri` takes any digits and then knows of no port.
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

/// A reference resolved against the URI of the request, as RFC 3986 section 5.2 says: absolute, `//host/…`, `/path`,
/// `path` or `?query`.
pub(super) fn resolve(base: &Uri, location: &str) -> Result<Uri, NoUrl> {
    let location = location.split('#').next().unwrap_or_default();
    let scheme = base.scheme_str().ok_or(NoUrl)?;
    let authority = base.authority().ok_or(NoUrl)?;
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
    parse(&text).map_err(|_| NoUrl)
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

/// The URI without its user, and that user's credentials as a header has them.
pub(super) fn split_user(uri: Uri) -> Result<(Uri, Option<HeaderValue>), NoUrl> {
    let Some(authority) = uri.authority() else {
        return Ok((uri, None));
    };
    let Some((user, host)) = authority.as_str().rsplit_once('@') else {
        return Ok((uri, None));
    };
    let (user, host) = (credentials(user)?, host.to_owned());
    let mut parts = uri.into_parts();
    parts.authority = Some(host.parse().map_err(|_| NoUrl)?);
    Ok((Uri::from_parts(parts).map_err(|_| NoUrl)?, Some(user)))
}

/// `Basic …` for what stands before the `@` of a URL: `USER:PASSWORD` with `%` codes, or `USER` alone.
pub(super) fn credentials(user_information: &str) -> Result<HeaderValue, NoUrl> {
    let (user, password) = match user_information.split_once(':') {
        Some((user, password)) => (user, password),
        None => (user_information, ""),
    };
    let mut decoded: Vec<u8> = percent_decode_str(user).collect();
    decoded.push(b':');
    decoded.extend(percent_decode_str(password));
    basic(&decoded).map_err(|_| NoUrl)
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
    fn what_is_no_url_is_refused_with_the_form_expected() {
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
    fn what_a_url_may_not_hold_is_encoded() {
        for (typed, uri) in [
            ("http://a/b c?d \"e\"", "http://a/b%20c?d%20%22e%22"),
            ("http://a/\u{e9}%20<", "http://a/%C3%A9%20%3C"),
            ("http://a?b c", "http://a/?b%20c"),
        ] {
            assert_eq!(parse(typed).unwrap().to_string(), uri);
        }
    }

    #[test]
    fn a_location_is_resolved_as_rfc_3986_says() {
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
            assert_eq!(resolve(&base, location).unwrap_err(), NoUrl, "{location}");
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
