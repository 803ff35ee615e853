//! Who owns whom, and what follows from that. Pure.
//!
//! Three ways to delete an owner (Kubernetes: "Cascading deletion"): in the *background* it goes at once and its
//! dependents follow; in the *foreground* it carries the finalizer `foregroundDeletion` until the
//! dependents that block it are gone; as *orphan* it carries `orphan` until they no longer name it.

use std::collections::{BTreeSet, HashMap, HashSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

pub(super) const FOREGROUND: &str = "foregroundDeletion";
pub(super) const ORPHAN: &str = "orphan";

/// What the collector knows of an object. `K` names its kind.
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

/// How a dependent is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    Background,
    Foreground,
    Orphan,
}

/// What to do about one object.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// Ask the API whether these owners exist, then decide again.
    Verify(Vec<OwnerReference>),
    /// Delete the object `uid`.
    Delete { uid: String, policy: Policy },
    /// Leave only these owner references in the object `uid`.
    SetOwners {
        uid: String,
        owners: Vec<OwnerReference>,
    },
    /// Leave only these finalizers in the object `uid`.
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
    /// Uids that once owned something and are known not to exist; they never come back.
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

    /// Uids of the objects of which this holds.
    pub(super) fn uids(&self, holds: impl Fn(&Node<K>) -> bool) -> Vec<String> {
        self.nodes
            .iter()
            .filter(|(_, node)| holds(node))
            .map(|(uid, _)| uid.clone())
            .collect()
    }

    /// Take in an object as it is now. Returns which objects to look at.
    pub(super) fn upsert(&mut self, uid: &str, node: Node<K>) -> Vec<String> {
        self.absent.remove(uid);
        let mut look = self.unlink(uid);
        for owner in &node.owners {
            self.dependents
                .entry(owner.uid.clone())
                .or_default()
                .insert(uid.to_owned());
        }
        // Its dependents are concerned when it begins to wait for them, its former owners when it
        // no longer holds them up.
        if node.deleting {
            look.extend(self.dependents.get(uid).into_iter().flatten().cloned());
        }
        look.push(uid.to_owned());
        self.nodes.insert(uid.to_owned(), node);
        look
    }

    /// An object is gone. Returns which objects to look at.
    pub(super) fn remove(&mut self, uid: &str) -> Vec<String> {
        let mut look = self.unlink(uid);
        self.nodes.remove(uid);
        if let Some(dependents) = self.dependents.get(uid) {
            self.absent.insert(uid.to_owned());
            look.extend(dependents.iter().cloned());
        }
        look
    }

    /// The API says that there is no such object. Forgotten with the last one that names it.
    pub(super) fn is_absent(&mut self, uid: &str) {
        self.absent.insert(uid.to_owned());
    }

    /// Forget the owners of an object; returns those of them that exist.
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

    /// What to do about the object `uid` now.
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
                // An owner in another namespace is none.
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

    /// An object that is being deleted lets its dependents go first when a finalizer says so.
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
            // Dependents see by themselves that their owner waits; see `upsert`.
            if !dependents().any(|(_, dependent)| blocks(dependent)) {
                return vec![without(FOREGROUND)];
            }
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests;
