//! Reads one HTTP/1.1 response from pieces of any size: the head, then the body, which is counted and dropped.

use std::mem::MaybeUninit;

use crate::chunked::Chunked;

/// Largest head that is accepted.
const LARGEST_HEAD: usize = 256 * 1024;
/// Headers that are parsed without allocating.
const USUAL_HEADERS: usize = 64;
const MOST_HEADERS: usize = 1024;

/// Reasons why the bytes received are not a complete HTTP/1.1 response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadResponse {
    /// The head is malformed.
    #[error("the response is not HTTP/1.1")]
    Head,
    /// The head does not end.
    #[error("the head of the response is larger than 256 KiB")]
    HeadTooLarge,
    /// `Content-Length` is not a number, or there are two that differ.
    #[error("the response has a bad Content-Length")]
    Length,
    /// The chunks of the body are malformed.
    #[error("the response has bad chunks")]
    Chunks,
    /// The connection ended in the middle of the response.
    #[error("the connection was closed before the response was complete")]
    Truncated,
    /// The connection ended before the response began.
    #[error("the connection was closed without a response")]
    Closed,
}

#[derive(Debug)]
enum State {
    Head,
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    Complete,
}

/// Reader of one response.
#[derive(Debug)]
pub(crate) struct ResponseReader {
    state: State,
    /// The beginning of a head that arrives in several pieces.
    partial: Vec<u8>,
    is_to_head: bool,
    wants_location: bool,
    status: u16,
    bytes: u64,
    keep_alive: bool,
    location: Option<String>,
}

impl ResponseReader {
    /// Reads one response. The response to a HEAD request has no body. `Location` is kept only if wanted.
    pub(crate) fn new(is_to_head: bool, wants_location: bool) -> Self {
        Self {
            state: State::Head,
            partial: Vec::new(),
            is_to_head,
            wants_location,
            status: 0,
            bytes: 0,
            keep_alive: true,
            location: None,
        }
    }

    /// Reads the next bytes; true once the response is complete.
    ///
    /// # Errors
    /// The bytes are not an HTTP/1.1 response.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<bool, BadResponse> {
        loop {
            match &mut self.state {
                State::Head => {
                    let Some(rest) = self.feed_head(bytes)? else {
                        return Ok(false);
                    };
                    bytes = rest;
                }
                State::Length(left) => {
                    let taken = (*left).min(bytes.len() as u64);
                    *left -= taken;
                    self.bytes += taken;
                    if *left > 0 {
                        return Ok(false);
                    }
                    bytes = &bytes[taken as usize..];
                    self.state = State::Complete;
                }
                State::Chunked(chunked) => {
                    let progress = chunked.feed(bytes).ok_or(BadResponse::Chunks)?;
                    self.bytes += progress.data;
                    if !progress.complete {
                        return Ok(false);
                    }
                    bytes = &bytes[progress.taken..];
                    self.state = State::Complete;
                }
                State::UntilClose => {
                    self.bytes += bytes.len() as u64;
                    return Ok(false);
                }
                State::Complete => {
                    // Bytes after the response would be taken for the beginning of the next one.
                    self.keep_alive &= bytes.is_empty();
                    return Ok(true);
                }
            }
        }
    }

    /// Handles the end of the connection, which completes a body without a length.
    ///
    /// # Errors
    /// The response is incomplete.
    pub(crate) fn end(&mut self) -> Result<(), BadResponse> {
        match self.state {
            State::UntilClose | State::Complete => {
                self.state = State::Complete;
                Ok(())
            }
            State::Head if self.partial.is_empty() => Err(BadResponse::Closed),
            _ => Err(BadResponse::Truncated),
        }
    }

    /// Status code, once the head is read.
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// Bytes of the body so far, without framing.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// True if the connection can be reused.
    pub(crate) fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// The `Location` header, if it was wanted.
    pub(crate) fn into_location(self) -> Option<String> {
        self.location
    }

    /// Reads the head if it is complete, and returns the bytes after it.
    fn feed_head<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<&'a [u8]>, BadResponse> {
        if self.partial.is_empty() {
            return match self.parse_head(bytes)? {
                Some(length) => Ok(Some(&bytes[length..])),
                None => {
                    self.partial.extend_from_slice(bytes);
                    Ok(None)
                }
            };
        }
        let before = self.partial.len();
        let mut head = std::mem::take(&mut self.partial);
        head.extend_from_slice(bytes);
        match self.parse_head(&head)? {
            // The head ends in the new bytes, or it would have been complete before.
            Some(length) => Ok(Some(&bytes[length - before..])),
            None => {
                self.partial = head;
                Ok(None)
            }
        }
    }

    /// Length of the head if it is complete, with the interim (1xx) heads before it.
    fn parse_head(&mut self, bytes: &[u8]) -> Result<Option<usize>, BadResponse> {
        let mut interim = 0;
        loop {
            // Uninitialised, because writing 2 KiB takes longer than parsing a usual head.
            let mut usual = [const { MaybeUninit::uninit() }; USUAL_HEADERS];
            let length = match self.read_head(&bytes[interim..], &mut usual) {
                Err(HeadError::TooMany) => {
                    let mut many = vec![MaybeUninit::uninit(); MOST_HEADERS];
                    self.read_head(&bytes[interim..], &mut many)
                }
                other => other,
            };
            match length {
                Ok(Some(length)) if (100..200).contains(&self.status) => interim += length,
                Ok(Some(length)) => return Ok(Some(interim + length)),
                Ok(None) if bytes.len() > LARGEST_HEAD => return Err(BadResponse::HeadTooLarge),
                Ok(None) => return Ok(None),
                Err(HeadError::TooMany) => return Err(BadResponse::HeadTooLarge),
                Err(HeadError::Bad(bad)) => return Err(bad),
            }
        }
    }

    fn read_head<'b>(
        &mut self,
        bytes: &'b [u8],
        headers: &mut [MaybeUninit<httparse::Header<'b>>],
    ) -> Result<Option<usize>, HeadError> {
        let mut head = httparse::Response::new(&mut []);
        let parser = httparse::ParserConfig::default();
        let length = match parser.parse_response_with_uninit_headers(&mut head, bytes, headers) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooMany),
            Err(_) => return Err(HeadError::Bad(BadResponse::Head)),
        };
        self.status = head.code.unwrap_or_default();
        self.keep_alive = head.version == Some(1);
        let mut content_length = None;
        let mut chunked = false;
        for header in head.headers.iter() {
            match header.name.len() {
                10 if header.name.eq_ignore_ascii_case("connection") => {
                    if has_token(header.value, "close") {
                        self.keep_alive = false;
                    } else if has_token(header.value, "keep-alive") {
                        self.keep_alive = true;
                    }
                }
                14 if header.name.eq_ignore_ascii_case("content-length") => {
                    let length = parse_length(header.value)?;
                    if content_length.is_some_and(|other| other != length) {
                        return Err(HeadError::Bad(BadResponse::Length));
                    }
                    content_length = Some(length);
                }
                17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                    chunked |= has_token(header.value, "chunked");
                }
                8 if self.wants_location && header.name.eq_ignore_ascii_case("location") => {
                    self.location = str::from_utf8(header.value).ok().map(str::to_owned);
                }
                _ => {}
            }
        }
        // In the order of RFC 9112 section 6.3.
        self.state = match (self.status, chunked, content_length) {
            (204 | 304, ..) => State::Complete,
            _ if self.is_to_head => State::Complete,
            (_, true, _) => State::Chunked(Chunked::new()),
            (_, false, Some(length)) => State::Length(length),
            (_, false, None) => {
                self.keep_alive = false;
                State::UntilClose
            }
        };
        if (100..200).contains(&self.status) {
            self.state = State::Head;
        }
        Ok(Some(length))
    }
}

enum HeadError {
    TooMany,
    Bad(BadResponse),
}

fn parse_length(value: &[u8]) -> Result<u64, HeadError> {
    str::from_utf8(value)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or(HeadError::Bad(BadResponse::Length))
}

fn has_token(value: &[u8], token: &str) -> bool {
    value
        .split(|byte| *byte == b',')
        .any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads `text` in pieces of `piece` bytes.
    fn read(text: &str, piece: usize) -> Result<Read, BadResponse> {
        let mut reader = ResponseReader::new(false, true);
        let mut complete = false;
        for part in text.as_bytes().chunks(piece) {
            complete = reader.feed(part)?;
        }
        Ok((
            complete,
            reader.status(),
            reader.bytes(),
            reader.keep_alive(),
        ))
    }

    /// Complete, status, bytes, reusable.
    type Read = (bool, u16, u64, bool);

    const RESPONSES: [(&str, Read); 12] = [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            (true, 200, 5, true),
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel",
            (false, 200, 3, true),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Close\r\n\r\n",
            (true, 200, 0, false),
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", (true, 204, 0, true)),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            (true, 304, 0, true),
        ),
        (
            "HTTP/1.1 500 \r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            (true, 500, 3, true),
        ),
        (
            "HTTP/1.1 200 OK\r\n\r\nuntil the end",
            (false, 200, 13, false),
        ),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
            (true, 200, 2, false),
        ),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
            (true, 200, 2, true),
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\na",
            (true, 201, 1, true),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
            (true, 200, 2, true),
        ),
        ("HTTP/1.1 200 OK\r\nConte", (false, 0, 0, true)),
    ];

    #[test]
    fn responses_are_framed_by_the_rules_whatever_the_pieces() {
        for (text, expected) in RESPONSES {
            for piece in [1, 2, 3, 7, 1000] {
                assert_eq!(read(text, piece), Ok(expected), "{text:?} by {piece}");
            }
        }
    }

    #[test]
    fn the_response_to_head_has_no_body() {
        let mut reader = ResponseReader::new(true, false);
        assert_eq!(
            reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
            Ok(true)
        );
        assert!(reader.keep_alive());
    }

    #[test]
    fn bytes_after_the_response_end_the_connection() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1";
        assert_eq!(read(text, 1000), Ok((true, 200, 1, false)));
    }

    #[test]
    fn bytes_that_are_not_a_response_are_rejected() {
        for (text, reason) in [
            ("SSH-2.0-OpenSSH\r\n", BadResponse::Head),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n",
                BadResponse::Length,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                BadResponse::Length,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
                BadResponse::Chunks,
            ),
        ] {
            assert_eq!(read(text, 1000), Err(reason), "{text:?}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(LARGEST_HEAD));
        assert_eq!(read(&endless, 1 << 16), Err(BadResponse::HeadTooLarge));
    }

    #[test]
    fn many_headers_are_parsed() {
        let headers: String = (0..500).map(|i| format!("X-{i}: y\r\n")).collect();
        let text = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: 2\r\n\r\nok");
        assert_eq!(read(&text, 100), Ok((true, 200, 2, true)));
    }

    #[test]
    fn the_end_of_the_connection_completes_only_a_body_without_length() {
        let end = |text: &str| {
            let mut reader = ResponseReader::new(false, false);
            reader.feed(text.as_bytes()).unwrap();
            reader.end()
        };
        assert_eq!(end("HTTP/1.1 200 OK\r\n\r\nabc"), Ok(()));
        assert_eq!(
            end("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"),
            Err(BadResponse::Truncated)
        );
        assert_eq!(end("HTTP/1.1 200 OK\r\nCon"), Err(BadResponse::Truncated));
        assert_eq!(end(""), Err(BadResponse::Closed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_handled(
            bytes in proptest::collection::vec(any::<u8>(), 0..80), prefix in 0usize..60,
        ) {
            let start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            let mut reader = ResponseReader::new(false, true);
            let _ = reader.feed(&start[..prefix.min(start.len())]);
            let _ = reader.feed(&bytes);
            let _ = reader.end();
        }
    }
}
