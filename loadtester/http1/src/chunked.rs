//! Decodes the chunked transfer coding of RFC 9112 section 7.1 from pieces of any size.

/// The part of the coding that comes next.
#[derive(Clone, Copy, Debug)]
enum State {
    Size { size: u64, digits: u8 },
    Extension { size: u64 },
    SizeEnd { size: u64 },
    Data { left: u64 },
    DataReturn,
    DataEnd,
    Trailer { empty: bool },
    TrailerEnd { empty: bool },
    Complete,
}

/// The result of decoding one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Bytes of data in it.
    pub(crate) data: u64,
    /// Bytes of it that belong to this body.
    pub(crate) taken: usize,
    /// True once the body has ended.
    pub(crate) complete: bool,
}

/// Decoder of one body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunked(State);

impl Chunked {
    pub(crate) fn new() -> Self {
        Self(State::Size { size: 0, digits: 0 })
    }

    /// Decodes a piece; `None` if it is malformed.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Option<Progress> {
        let mut data = 0;
        let mut at = 0;
        while at < bytes.len() {
            if let State::Complete = self.0 {
                break;
            }
            if let State::Data { left } = self.0 {
                let here = left.min((bytes.len() - at) as u64);
                data += here;
                at += here as usize;
                let left = left - here;
                self.0 = if left == 0 {
                    State::DataReturn
                } else {
                    State::Data { left }
                };
                continue;
            }
            self.0 = step(self.0, bytes[at])?;
            at += 1;
        }
        Some(Progress {
            data,
            taken: at,
            complete: matches!(self.0, State::Complete),
        })
    }
}

/// The state after one byte of framing.
fn step(state: State, byte: u8) -> Option<State> {
    /// Sixteen hexadecimal digits fill 64 bits.
    const MOST_DIGITS: u8 = 16;
    Some(match (state, byte) {
        (State::Size { digits: 1.., size } | State::Extension { size }, b'\r') => {
            State::SizeEnd { size }
        }
        (State::Size { size, digits: 1.. }, b';' | b' ' | b'\t') => State::Extension { size },
        (
            State::Size {
                size,
                digits: digits @ ..MOST_DIGITS,
            },
            _,
        ) => {
            let digit = char::from(byte).to_digit(16)?;
            State::Size {
                size: size << 4 | u64::from(digit),
                digits: digits + 1,
            }
        }
        (State::Extension { .. } | State::Trailer { .. }, b'\n') => return None,
        (State::Extension { size }, _) => State::Extension { size },
        (State::SizeEnd { size: 0 } | State::TrailerEnd { empty: false }, b'\n') => {
            State::Trailer { empty: true }
        }
        (State::SizeEnd { size }, b'\n') => State::Data { left: size },
        (State::DataReturn, b'\r') => State::DataEnd,
        (State::DataEnd, b'\n') => State::Size { size: 0, digits: 0 },
        (State::Trailer { empty }, b'\r') => State::TrailerEnd { empty },
        (State::Trailer { .. }, _) => State::Trailer { empty: false },
        (State::TrailerEnd { empty: true }, b'\n') => State::Complete,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]]) -> Option<Progress> {
        let mut chunked = Chunked::new();
        let mut sum = Progress {
            data: 0,
            taken: 0,
            complete: false,
        };
        for piece in pieces {
            let progress = chunked.feed(piece)?;
            sum.data += progress.data;
            sum.taken += progress.taken;
            sum.complete = progress.complete;
        }
        Some(sum)
    }

    #[test]
    fn extensions_and_trailers_are_skipped() {
        let body = b"5;name=\"v\"\r\nhello\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n";
        let expected = Progress {
            data: 5,
            taken: body.len(),
            complete: true,
        };
        assert_eq!(read(&[body]), Some(expected));
    }

    #[test]
    fn malformed_chunks_are_rejected() {
        for body in [
            &b"x\r\n"[..],
            b"\r\n",
            b";\r\n",
            b"5\nhello",
            b"2\r\nhello\r\n",
            b"5\r\nhelloX",
            b"0\r\nX: 1\n\r\n",
            b"11111111111111111\r\n",
        ] {
            assert_eq!(read(&[body]), None, "{:?}", String::from_utf8_lossy(body));
        }
    }

    proptest! {
        #[test]
        fn data_is_counted_whatever_the_pieces(
            chunks in proptest::collection::vec(1usize..300, 0..8),
            piece in 1usize..40,
        ) {
            let mut body = Vec::new();
            for length in &chunks {
                body.extend(format!("{length:x}\r\n").bytes());
                body.extend(std::iter::repeat_n(b'\r', *length));
                body.extend(b"\r\n");
            }
            body.extend(b"0\r\n\r\n");
            let length = body.len();
            body.extend(b"HTTP/1.1 200 OK");
            let pieces: Vec<&[u8]> = body.chunks(piece).collect();
            let data = chunks.iter().sum::<usize>() as u64;
            let expected = Progress { data, taken: length, complete: true };
            prop_assert_eq!(read(&pieces), Some(expected));
        }

        #[test]
        fn any_bytes_are_handled(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = read(&[&bytes]);
        }
    }
}
