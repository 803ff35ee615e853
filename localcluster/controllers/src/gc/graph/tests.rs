use proptest::prelude::*;

use super::*;

fn owner(uid: &str) -> OwnerReference {
    OwnerReference {
        uid: uid.into(),
        name: uid.into(),
        kind: "Kind".into(),
        block_owner_deletion: Some(true),
        ..OwnerReference::default()
    }
}

fn node(owners: &[&str]) -> Node<()> {
    Node {
        kind: (),
        namespace: Some("default".into()),
        name: String::new(),
        resource_version: None,
        owners: owners.iter().map(|uid| owner(uid)).collect(),
        deleting: false,
        finalizers: Vec::new(),
    }
}

fn deleting(owners: &[&str], finalizer: &str) -> Node<()> {
    Node {
        deleting: true,
        finalizers: vec![finalizer.into(), "other".into()],
        ..node(owners)
    }
}

fn delete(uid: &str, policy: Policy) -> Vec<Action> {
    vec![Action::Delete {
        uid: uid.into(),
        policy,
    }]
}

#[test]
fn dependents_of_a_deleted_owner_are_deleted() {
    let mut graph = Graph::default();
    graph.upsert("set", node(&[]));
    graph.upsert("pod", node(&["set"]));
    assert_eq!(graph.decide("pod"), []);
    assert_eq!(graph.remove("set"), ["pod"]);
    assert_eq!(graph.decide("pod"), delete("pod", Policy::Background));
}

#[test]
fn an_unknown_owner_is_verified_before_anything_is_deleted() {
    let mut graph = Graph::default();
    graph.upsert("pod", node(&["set"]));
    assert_eq!(graph.decide("pod"), [Action::Verify(vec![owner("set")])]);
    graph.is_absent("set");
    assert_eq!(graph.decide("pod"), delete("pod", Policy::Background));
}

#[test]
fn one_existing_owner_is_enough_and_references_to_others_are_removed() {
    let mut graph = Graph::default();
    graph.upsert("alive", node(&[]));
    graph.upsert("dead", node(&[]));
    graph.upsert("pod", node(&["alive", "dead"]));
    graph.remove("dead");
    assert_eq!(
        graph.decide("pod"),
        [Action::SetOwners {
            uid: "pod".into(),
            owners: vec![owner("alive")]
        }]
    );
}

#[test]
fn an_owner_in_another_namespace_counts_as_absent() {
    let mut graph = Graph::default();
    graph.upsert(
        "set",
        Node {
            namespace: Some("elsewhere".into()),
            ..node(&[])
        },
    );
    graph.upsert("pod", node(&["set"]));
    assert_eq!(graph.decide("pod"), delete("pod", Policy::Background));
    let mut graph = Graph::default();
    graph.upsert(
        "cluster-wide",
        Node {
            namespace: None,
            ..node(&[])
        },
    );
    graph.upsert("pod", node(&["cluster-wide"]));
    assert_eq!(graph.decide("pod"), []);
}

#[test]
fn in_the_foreground_the_owner_waits_for_its_dependents() {
    let mut graph = Graph::default();
    graph.upsert("deployment", node(&[]));
    graph.upsert("set", node(&["deployment"]));
    graph.upsert("pod", node(&["set"]));
    assert!(
        graph
            .upsert("deployment", deleting(&[], FOREGROUND))
            .contains(&"set".to_owned())
    );
    assert_eq!(graph.decide("deployment"), []);
    assert_eq!(graph.decide("set"), delete("set", Policy::Foreground));
    graph.upsert("set", deleting(&["deployment"], FOREGROUND));
    assert_eq!(graph.decide("pod"), delete("pod", Policy::Background));
    assert!(graph.remove("pod").contains(&"set".to_owned()));
    assert_eq!(
        graph.decide("set"),
        [Action::SetFinalizers {
            uid: "set".into(),
            finalizers: vec!["other".into()]
        }]
    );
    assert!(graph.remove("set").contains(&"deployment".to_owned()));
    assert_eq!(
        graph.decide("deployment"),
        [Action::SetFinalizers {
            uid: "deployment".into(),
            finalizers: vec!["other".into()]
        }]
    );
}

#[test]
fn orphaning_removes_the_references_before_the_owner() {
    let mut graph = Graph::default();
    graph.upsert("set", node(&[]));
    graph.upsert("pod", node(&["set"]));
    graph.upsert("set", deleting(&[], ORPHAN));
    assert_eq!(
        graph.decide("pod"),
        [],
        "it must not be deleted while it is being orphaned"
    );
    assert_eq!(
        graph.decide("set"),
        [Action::SetOwners {
            uid: "pod".into(),
            owners: vec![]
        }]
    );
    assert!(graph.upsert("pod", node(&[])).contains(&"set".to_owned()));
    assert_eq!(
        graph.decide("set"),
        [Action::SetFinalizers {
            uid: "set".into(),
            finalizers: vec!["other".into()]
        }]
    );
}

proptest! {
    /// For any deletions in any order, no object with an existing owner is deleted, and in the end no
    /// object is left whose owners are all deleted.
    #[test]
    fn exactly_the_objects_without_existing_owners_are_collected(
        owners in proptest::collection::vec(proptest::collection::vec(0..12_usize, 0..3), 12),
        removed in proptest::collection::hash_set(0..12_usize, 0..6),
    ) {
        // Owners have lower numbers, so there are no cycles.
        let owners: Vec<Vec<usize>> = owners.into_iter().enumerate()
            .map(|(me, of)| of.into_iter().filter(|owner| *owner < me).collect::<BTreeSet<_>>().into_iter().collect()).collect();
        let mut graph = Graph::default();
        for (me, of) in owners.iter().enumerate() {
            let names: Vec<String> = of.iter().map(ToString::to_string).collect();
            graph.upsert(&me.to_string(), node(&names.iter().map(String::as_str).collect::<Vec<_>>()));
        }
        let mut queue: Vec<String> = Vec::new();
        for gone in &removed {
            queue.extend(graph.remove(&gone.to_string()));
        }
        while let Some(uid) = queue.pop() {
            for action in graph.decide(&uid) {
                match action {
                    Action::Delete { uid, .. } => queue.extend(graph.remove(&uid)),
                    Action::SetOwners { uid, owners } => {
                        prop_assert!(owners.iter().all(|owner| graph.get(&owner.uid).is_some()));
                        queue.extend(graph.upsert(&uid, Node { owners, ..node(&[]) }));
                    }
                    other => prop_assert!(false, "{:?}", other),
                }
            }
        }
        let mut alive = [true; 12];
        for me in 0..12 {
            alive[me] = !removed.contains(&me) && (owners[me].is_empty() || owners[me].iter().any(|owner| alive[*owner]));
        }
        for (me, expected) in alive.iter().enumerate() {
            prop_assert_eq!(graph.get(&me.to_string()).is_some(), *expected, "object {}", me);
        }
    }
}
