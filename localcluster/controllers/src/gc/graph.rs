//! The graph of owners and dependents, and the resulting actions. Pure.
//!
//! There are three ways to delete an owner (Kubernetes: "Cascading deletion"):
//! - *Background*: the owner is removed immediately, its dependents afterwards.
//! - *Foreground*: the owner has the finalizer `foregroundDeletion` until its blocking dependents
//!   are removed.
//! - *Orphan*: the owner has the finalizer `orphan` until its dependents no longer refer to it.

use std::collections::{BTreeSet, HashMap, HashSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

pub(super) const FOREGROUND: &str = "foregroundDeletion";
pub(super) const ORPHAN: &str = "orphan";

/// The collector's knowledge about an object. `K` identifies its kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node<K> {
    pub(super) kind: K,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    pub(super) resource_version: Option<String>,
    pub(super) owners: Vec<OwnerReference>,
    pub(super) deleting: bool,
    pub(super) finalizers: Vec<String>,
}

impl<K> Node<K> {
    fn waits_for_dependents(&self) -> bool {
        self.deleting
            && self
                .finalizers
                .iter()
                .any(|finalizer| finalizer == FOREGROUND)
    }
}

/// Propagation policy of a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    Background,
    Foreground,
    Orphan,
}

/// An action for one object.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// Query the API for these owners, then decide again.
    Verify(Vec<OwnerReference>),
    /// Delete the object `uid`.
    Delete { uid: String, policy: Policy },
    /// Replace the owner references of the object `uid`.
    SetOwners {
        uid: String,
        owners: Vec<OwnerReference>,
    },
    /// Replace the finalizers of the object `uid`.
    SetFinalizers {
        uid: String,
        finalizers: Vec<String>,
    },
}

/// All objects by uid.
#[derive(Debug)]
pub(super) struct Graph<K> {
    nodes: HashMap<String, Node<K>>,
    dependents: HashMap<String, BTreeSet<String>>,
    /// Uids of owners known not to exist. A uid is never reused.
    absent: HashSet<String>,
}

impl<K> Default for Graph<K> {
    fn default() -> Self {
        Self {
            nodes: HashMap::new(),
            dependents: HashMap::new(),
            absent: HashSet::new(),
        }
    }
}

impl<K> Graph<K> {
    pub(super) fn get(&self, uid: &str) -> Option<&Node<K>> {
        self.nodes.get(uid)
    }

    /// Returns the uids of all objects that match.
    pub(super) fn uids(&self, holds: impl Fn(&Node<K>) -> bool) -> Vec<String> {
        self.nodes
            .iter()
            .filter(|(_, node)| holds(node))
            .map(|(uid, _)| uid.clone())
            .collect()
    }

    /// Adds or updates an object. Returns the objects to decide on.
    pub(super) fn upsert(&mut self, uid: &str, node: Node<K>) -> Vec<String> {
        self.absent.remove(uid);
        let mut look = self.unlink(uid);
        for owner in &node.owners {
            self.dependents
                .entry(owner.uid.clone())
                .or_default()
                .insert(uid.to_owned());
        }
        // Its dependents are affected when it begins to wait for them, its former owners when it no
        // longer blocks them.
        if node.deleting {
            look.extend(self.dependents.get(uid).into_iter().flatten().cloned());
        }
        look.push(uid.to_owned());
        self.nodes.insert(uid.to_owned(), node);
        look
    }

    /// Removes a deleted object. Returns the objects to decide on.
    pub(super) fn remove(&mut self, uid: &str) -> Vec<String> {
        let mut look = self.unlink(uid);
        self.nodes.remove(uid);
        if let Some(dependents) = self.dependents.get(uid) {
            self.absent.insert(uid.to_owned());
            look.extend(dependents.iter().cloned());
        }
        look
    }

    /// Records that an owner does not exist. The record is dropped with its last dependent.
    pub(super) fn is_absent(&mut self, uid: &str) {
        self.absent.insert(uid.to_owned());
    }

    /// Removes the edges from an object to its owners. Returns the owners that exist.
    fn unlink(&mut self, uid: &str) -> Vec<String> {
        let owners = self
            .nodes
            .get(uid)
            .map(|node| node.owners.clone())
            .unwrap_or_default();
        for owner in &owners {
            if let Some(dependents) = self.dependents.get_mut(&owner.uid) {
                dependents.remove(uid);
                if dependents.is_empty() {
                    self.dependents.remove(&owner.uid);
                    self.absent.remove(&owner.uid);
                }
            }
        }
        owners
            .into_iter()
            .map(|owner| owner.uid)
            .filter(|owner| self.nodes.contains_key(owner))
            .collect()
    }

    /// Returns the actions for the object `uid`.
    pub(super) fn decide(&self, uid: &str) -> Vec<Action> {
        let Some(node) = self.nodes.get(uid) else {
            return Vec::new();
        };
        if node.deleting {
            return self.release_dependents(uid, node);
        }
        let (mut solid, mut rest, mut waiting, mut unknown) = (Vec::new(), 0, false, Vec::new());
        for owner in &node.owners {
            match self.nodes.get(&owner.uid) {
                // An owner in another namespace is invalid and counts as absent.
                Some(found) if found.namespace.is_some() && found.namespace != node.namespace => {
                    rest += 1;
                }
                Some(found) if found.waits_for_dependents() => {
                    waiting = true;
                    rest += 1;
                }
                Some(_) => solid.push(owner.clone()),
                None if self.absent.contains(&owner.uid) => rest += 1,
                None => unknown.push(owner.clone()),
            }
        }
        if !unknown.is_empty() {
            return vec![Action::Verify(unknown)];
        }
        if rest == 0 {
            return Vec::new();
        }
        let uid = uid.to_owned();
        if !solid.is_empty() {
            return vec![Action::SetOwners { uid, owners: solid }];
        }
        let has = |name: &str| node.finalizers.iter().any(|finalizer| finalizer == name);
        let policy = if has(ORPHAN) {
            Policy::Orphan
        } else if has(FOREGROUND) || (waiting && self.dependents.contains_key(&uid)) {
            Policy::Foreground
        } else {
            Policy::Background
        };
        vec![Action::Delete { uid, policy }]
    }

    /// Handles an object that is being deleted and has to release its dependents first.
    fn release_dependents(&self, uid: &str, node: &Node<K>) -> Vec<Action> {
        let dependents = || {
            self.dependents
                .get(uid)
                .into_iter()
                .flatten()
                .filter_map(|of| Some((of, self.nodes.get(of)?)))
        };
        let without = |gone: &str| Action::SetFinalizers {
            uid: uid.to_owned(),
            finalizers: node
                .finalizers
                .iter()
                .filter(|finalizer| *finalizer != gone)
                .cloned()
                .collect(),
        };
        let has = |name: &str| node.finalizers.iter().any(|finalizer| finalizer == name);
        if has(ORPHAN) {
            let mut actions: Vec<Action> = dependents()
                .map(|(of, dependent)| Action::SetOwners {
                    uid: of.clone(),
                    owners: dependent
                        .owners
                        .iter()
                        .filter(|owner| owner.uid != uid)
                        .cloned()
                        .collect(),
                })
                .collect();
            if actions.is_empty() {
                actions.push(without(ORPHAN));
            }
            return actions;
        }
        if has(FOREGROUND) {
            let blocks = |dependent: &Node<K>| {
                dependent
                    .owners
                    .iter()
                    .any(|owner| owner.uid == uid && owner.block_owner_deletion == Some(true))
            };
            // The dependents are queued when their owner begins to wait; see `upsert`.
            if !dependents().any(|(_, dependent)| blocks(dependent)) {
                return vec![without(FOREGROUND)];
            }
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests;
