//! Name lookup for the workers of one thread.
//!
//! An address is kept until it does not respond. So a run costs one lookup, and still finds a server that has moved. The
//! lookup blocks its thread: without an address the workers could not send anyway.

use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::error::Error;

/// Most names that are kept. A run has few; a server that redirects can name any number.
const MOST_NAMES: usize = 1024;
/// A failed lookup is repeated after this time at the earliest.
const RETRY_AFTER: Duration = Duration::from_millis(500);

#[derive(Default)]
pub(crate) struct Resolver {
    known: HashMap<(String, u16), Vec<SocketAddr>>,
    failed: HashMap<(String, u16), (Instant, String)>,
}

impl Resolver {
    /// The addresses of `host`, and the duration of the lookup, which is zero for a known name.
    pub(crate) fn resolve(
        &mut self,
        host: &str,
        port: u16,
    ) -> Result<(Vec<SocketAddr>, Duration), Error> {
        let key = (host.to_owned(), port);
        if let Some(addresses) = self.known.get(&key) {
            return Ok((addresses.clone(), Duration::ZERO));
        }
        let failure = |why: String| Error::Lookup(Address::Tcp(host.to_owned(), port), why);
        if let Some((at, why)) = self.failed.get(&key)
            && at.elapsed() < RETRY_AFTER
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

    /// Removes an address of `host` that did not respond. Without any left, `host` is looked up again.
    pub(crate) fn remove(&mut self, host: &str, port: u16, address: SocketAddr) {
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
    fn addresses_that_do_not_respond_are_removed_until_none_is_left() {
        let mut resolver = Resolver::default();
        let [first, second] = [1, 2].map(|last| SocketAddr::from(([127, 0, 0, last], 80)));
        let key = ("app".to_owned(), 80);
        resolver.known.insert(key.clone(), vec![first, second]);
        resolver.remove("app", 80, first);
        assert_eq!(resolver.resolve("app", 80).unwrap().0, [second]);
        resolver.remove("app", 80, second);
        assert!(
            !resolver.known.contains_key(&key),
            "the name is looked up again"
        );
    }

    #[test]
    fn any_number_of_names_takes_bounded_memory() {
        let mut resolver = Resolver::default();
        for port in 1..=3000 {
            resolver.resolve("127.0.0.1", port).unwrap();
        }
        assert!(resolver.known.len() <= MOST_NAMES);
    }
}
