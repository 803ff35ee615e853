//! Name lookup for the workers of one thread.
//!
//! Results are kept until a connection fails, so that a run costs one lookup and yet finds an address that moved.
//! The lookup blocks its thread: without an address its workers could do nothing anyway.

use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use super::Failure;
use crate::plan::Address;

/// A name that could not be looked up is not asked for again sooner.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Default)]
pub(crate) struct Resolver {
    known: HashMap<(String, u16), Vec<SocketAddr>>,
    failed: HashMap<(String, u16), (Instant, String)>,
}

impl Resolver {
    /// Addresses of `host`, and how long the lookup took if there was one.
    pub(crate) fn resolve(
        &mut self,
        host: &str,
        port: u16,
    ) -> Result<(Vec<SocketAddr>, Duration), Failure> {
        let key = (host.to_owned(), port);
        if let Some(addresses) = self.known.get(&key) {
            return Ok((addresses.clone(), Duration::ZERO));
        }
        let failure = |why: String| Failure::Lookup(Address::Tcp(host.to_owned(), port), why);
        if let Some((at, why)) = self.failed.get(&key)
            && at.elapsed() < PAUSE
        {
            return Err(failure(why.clone()));
        }
        let started = Instant::now();
        let result = match (host, port).to_socket_addrs() {
            Ok(addresses) => Ok(addresses.collect::<Vec<_>>()),
            Err(error) => Err(error.to_string()),
        };
        match result {
            Ok(addresses) if !addresses.is_empty() => {
                self.failed.remove(&key);
                self.known.insert(key, addresses.clone());
                Ok((addresses, started.elapsed()))
            }
            other => {
                let why = other.err().unwrap_or_else(|| "no address".to_owned());
                self.failed.insert(key, (Instant::now(), why.clone()));
                Err(failure(why))
            }
        }
    }

    /// Puts the address that a connection was made to first, so that the next one asks no dead one before it.
    pub(crate) fn prefer(&mut self, host: &str, port: u16, address: SocketAddr) {
        if let Some(addresses) = self.known.get_mut(&(host.to_owned(), port))
            && let Some(at) = addresses.iter().position(|known| *known == address)
        {
            addresses[..=at].rotate_right(1);
        }
    }

    /// Forgets the addresses of `host`: a connection to them failed.
    pub(crate) fn forget(&mut self, host: &str, port: u16) {
        self.known.remove(&(host.to_owned(), port));
    }
}
