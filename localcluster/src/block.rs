//! The block of loopback addresses 127.N.0.0/16 that a cluster owns.
//!
//! A cluster claims its block by listening on the port of the API server. The claim needs no file and ends with the
//! process.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

/// Port of the API server.
const API_SERVER_PORT: u16 = 6443;
/// The available blocks. 127.0 is shared by all programs, and 127.255 is the broadcast range.
const BLOCKS: std::ops::RangeInclusive<u8> = 10..=250;

/// The addresses of one cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block(pub u8);

impl Block {
    /// Address of the API server.
    pub fn api_server(self) -> SocketAddr {
        (Ipv4Addr::new(127, self.0, 0, 1), API_SERVER_PORT).into()
    }

    /// Address of Envoy as the forward proxy of the pods.
    pub fn proxy(self) -> SocketAddr {
        (Ipv4Addr::new(127, self.0, 0, 2), 15001).into()
    }

    /// Address of Envoy's admin interface.
    pub fn envoy_admin(self) -> SocketAddr {
        (Ipv4Addr::new(127, self.0, 0, 2), 15000).into()
    }

    /// Address of Prometheus.
    pub fn prometheus(self) -> SocketAddr {
        (Ipv4Addr::new(127, self.0, 0, 3), 9090).into()
    }

    /// Claims the remembered block if it is free, otherwise the first free one.
    ///
    /// # Errors
    /// All blocks are in use, or this machine cannot listen on 127.N.0.1.
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
            "all address blocks 127.N.0.0/16 are in use; stop a cluster first",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_in_use_is_skipped_and_a_remembered_one_is_preferred() {
        let (first, listener) = Block::claim(None).unwrap();
        let (second, _second) = Block::claim(Some(first.0)).unwrap();
        assert_ne!(first, second);
        drop(listener);
        let (again, _again) = Block::claim(Some(first.0)).unwrap();
        assert_eq!(again, first);
    }
}
