//! The block of loopback addresses 127.N.0.0/16 that one cluster owns.
//!
//! Holding the API server's port is the claim: it needs no file, and it ends with the process.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

/// Port of the API server.
const API_SERVER_PORT: u16 = 6443;
/// Blocks to choose from: 127.0 is everybody's, and the last is left alone as the usual broadcast.
const BLOCKS: std::ops::RangeInclusive<u8> = 10..=250;

/// The addresses of one cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block(pub u8);

impl Block {
    /// The API server.
    pub fn api_server(self) -> SocketAddr {
        (Ipv4Addr::new(127, self.0, 0, 1), API_SERVER_PORT).into()
    }

    /// Envoy as the pods' outbound proxy.
    pub fn proxy(self) -> SocketAddr {
        (Ipv4Addr::new(127, self.0, 0, 2), 15001).into()
    }

    /// Envoy's admin page.
    pub fn envoy_admin(self) -> SocketAddr {
        (Ipv4Addr::new(127, self.0, 0, 2), 15000).into()
    }

    /// Prometheus.
    pub fn prometheus(self) -> SocketAddr {
        (Ipv4Addr::new(127, self.0, 0, 3), 9090).into()
    }

    /// Take the remembered block, or else the first free one.
    ///
    /// # Errors
    /// Every block is taken, or the system refuses to listen on 127.N.0.1 at all.
    pub fn claim(remembered: Option<u8>) -> io::Result<(Self, TcpListener)> {
        for n in remembered.into_iter().chain(BLOCKS) {
            match TcpListener::bind(Self(n).api_server()) {
                Ok(listener) => return Ok((Self(n), listener)),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "every block 127.N.0.0/16 has a cluster already",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_block_is_passed_over_and_a_remembered_one_comes_first() {
        let (first, listener) = Block::claim(None).unwrap();
        let (second, _second) = Block::claim(Some(first.0)).unwrap();
        assert_ne!(first, second);
        drop(listener);
        let (again, _again) = Block::claim(Some(first.0)).unwrap();
        assert_eq!(again, first);
    }
}
