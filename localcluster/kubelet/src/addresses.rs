//! Addresses of pods.

use std::{collections::HashMap, net::Ipv4Addr};

/// Range of the third and fourth octets; 127.N.0.x is reserved for the cluster's own servers.
const FIRST: u8 = 1;
const LAST: u8 = 254;
const PER_OCTET: usize = (LAST - FIRST + 1) as usize;

/// Allocates 127.N.1.1 to 127.N.254.254, each to one pod at a time.
///
/// Allocation is round-robin rather than lowest-free, so that an address is not reused while
/// clients may still connect to its previous owner.
#[derive(Debug)]
pub(crate) struct Addresses {
    block: u8,
    owners: HashMap<Ipv4Addr, String>,
    /// Inverse of `owners`.
    of: HashMap<String, Ipv4Addr>,
    next: usize,
}

impl Addresses {
    pub(crate) fn new(block: u8) -> Self {
        Self {
            block,
            owners: HashMap::new(),
            of: HashMap::new(),
            next: 0,
        }
    }

    /// Records that the pod `uid` already has `address`. Returns whether the pod holds the address
    /// afterwards: it must be free and in this cluster's block, and the pod must have no other.
    pub(crate) fn claim(&mut self, uid: &str, address: Ipv4Addr) -> bool {
        let [a, block, c, d] = address.octets();
        let ours = a == 127
            && block == self.block
            && (FIRST..=LAST).contains(&c)
            && (FIRST..=LAST).contains(&d);
        if !ours
            || self.owners.get(&address).is_some_and(|owner| owner != uid)
            || self.of.contains_key(uid)
        {
            return self.of.get(uid) == Some(&address);
        }
        self.take(uid, address);
        true
    }

    /// Returns the address of the pod `uid`, allocating one if it has none. `None` if all are taken.
    pub(crate) fn allocate(&mut self, uid: &str) -> Option<Ipv4Addr> {
        if let Some(address) = self.of.get(uid) {
            return Some(*address);
        }
        for _ in 0..PER_OCTET * PER_OCTET {
            let (c, d) = (self.next / PER_OCTET, self.next % PER_OCTET);
            self.next = (self.next + 1) % (PER_OCTET * PER_OCTET);
            let octet = |index: usize| FIRST + u8::try_from(index).unwrap_or(0);
            let address = Ipv4Addr::new(127, self.block, octet(c), octet(d));
            if !self.owners.contains_key(&address) {
                self.take(uid, address);
                return Some(address);
            }
        }
        None
    }

    /// Frees the address of the pod `uid`.
    pub(crate) fn release(&mut self, uid: &str) {
        if let Some(address) = self.of.remove(uid) {
            self.owners.remove(&address);
        }
    }

    fn take(&mut self, uid: &str, address: Ipv4Addr) {
        self.owners.insert(address, uid.to_owned());
        self.of.insert(uid.to_owned(), address);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_pod_gets_its_own_address_until_none_is_left() {
        let mut addresses = Addresses::new(9);
        let mut seen = HashSet::new();
        for number in 0..PER_OCTET * PER_OCTET {
            let address = addresses.allocate(&format!("pod-{number}")).unwrap();
            let [a, n, c, d] = address.octets();
            assert!(
                a == 127 && n == 9 && (1..=254).contains(&c) && (1..=254).contains(&d),
                "{address}"
            );
            assert!(seen.insert(address));
        }
        assert_eq!(addresses.allocate("one too many"), None);
        addresses.release("pod-5");
        assert_eq!(
            addresses.allocate("one more"),
            Some(Ipv4Addr::new(127, 9, 1, 6))
        );
    }

    #[test]
    fn a_pod_keeps_its_address() {
        let mut addresses = Addresses::new(9);
        let address = Ipv4Addr::new(127, 9, 1, 1);
        assert!(addresses.claim("a", address));
        assert!(!addresses.claim("b", address));
        assert_eq!(addresses.allocate("a"), Some(address));
        assert_ne!(addresses.allocate("b"), Some(address));
    }

    #[test]
    fn a_released_address_is_not_used_again_at_once() {
        let mut addresses = Addresses::new(9);
        let first = addresses.allocate("a");
        addresses.release("a");
        assert_ne!(addresses.allocate("b"), first);
    }

    #[test]
    fn foreign_addresses_are_not_claimed() {
        let mut addresses = Addresses::new(9);
        for address in [
            [127, 9, 0, 1],
            [127, 8, 1, 1],
            [10, 9, 1, 1],
            [127, 9, 1, 255],
        ] {
            assert!(!addresses.claim("a", address.into()));
        }
    }
}
