//! Name lookup for the workers of one thread.
//!
//! An address is kept until it does not answer, so that a run costs one lookup and yet finds an address that moved.
//! The lookup blocks its thread: without an address its workers could do nothing anyway.

use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use super::Failure;
use crate::plan::Address;

/// Names that are remembered. A run has few; a server that redirects can invent any number.
const MOST_NAMES: usize = 1024;
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
        if self.known.len() + self.failed.len() >= MOST_NAMES {
            self.known.clear();
            self.failed.clear();
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

    /// Takes out an address of `host` that did not answer; with none left, `host` is looked up again.
    pub(crate) fn take_out(&mut self, host: &str, port: u16, address: SocketAddr) {
        let key = (host.to_owned(), port);
        if let Some(addresses) = self.known.get_mut(&key) {
            addresses.retain(|known| *known != address);
            if addresses.is_empty() {
                self.known.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_do_not_answer_are_left_out_until_none_is_left() {
        let mut resolver = Resolver::default();
        let [first, second] = [1, 2].map(|last| SocketAddr::from(([127, 0, 0, last], 80)));
        let key = ("app".to_owned(), 80);
        resolver.known.insert(key.clone(), vec![first, second]);
        resolver.take_out("app", 80, first);
        assert_eq!(resolver.resolve("app", 80).unwrap().0, [second]);
        resolver.take_out("app", 80, second);
        assert!(!resolver.known.contains_key(&key), "it is looked up again");
    }

    #[test]
    fn any_number_of_names_is_remembered_in_bounded_memory() {
        let mut resolver = Resolver::default();
        for port in 1..=3000 {
            resolver.resolve("127.0.0.1", port).unwrap();
        }
        assert!(resolver.known.len() <= MOST_NAMES);
    }
}
