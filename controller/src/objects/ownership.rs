//! Whose an object is that has the name of one that a canary makes. There is one rule for every kind:
//!
//! 1. An object that the Canary owns is its own, whatever it looks like: it is repaired.
//! 2. An object without an owner that has the shape which this controller and Flagger give it was its own
//!    (`kubectl delete canary --cascade=orphan`, a restored backup): it is owned again, so that it goes with the Canary.
//!    So is one that a Canary owns which is gone.
//! 3. The apex Service and the route object of that name may be a user's: they are taken over as Flagger takes them
//!    over, and never owned, because they were there before the Canary.
//! 4. A copy of a ConfigMap or Secret may belong to several canaries.
//! 5. Anything else is a stranger's: the canary is refused before anything is written.
//!
//! The builders say what shape their objects have; a shape counts only where no owner does.

use serde_json::{Value, json};

/// Whose an object without a known owner seems to be, by its shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// This controller or Flagger made it.
    Ours,
    /// A user made it, to be taken over.
    Users,
    /// Somebody made it for another purpose: why that is.
    Foreign(String),
}

/// Whose an existing object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The Canary owns it.
    Owned,
    /// The Canary should own it again, or together with other canaries.
    Orphaned,
    /// A user's, which is used and not owned.
    Users,
    /// A stranger's: why that is.
    Foreign(String),
}

/// Labels and annotations by which tools mark what they apply.
const APPLIED: [(&str, &str, &str); 5] = [
    (
        "annotations",
        "kubectl.kubernetes.io/last-applied-configuration",
        "kubectl",
    ),
    ("annotations", "meta.helm.sh/release-name", "Helm"),
    ("annotations", "argocd.argoproj.io/tracking-id", "Argo CD"),
    ("labels", "kustomize.toolkit.fluxcd.io/name", "Flux"),
    ("labels", "helm.toolkit.fluxcd.io/name", "Flux"),
];

/// The tool that somebody applied the object with, if it says so.
#[must_use]
pub fn applied_with(object: &Value) -> Option<&'static str> {
    let marked = |(part, key, _): &&(&str, &str, &str)| !object["metadata"][*part][*key].is_null();
    APPLIED.iter().find(marked).map(|(_, _, tool)| *tool)
}

/// Whose `existing` is, by its owners, or by its shape where no owner tells. `shared` says that canaries may own it
/// together, `is_gone` that no Canary with this name and uid exists.
#[must_use]
pub fn standing(
    existing: &Value,
    owner: &Value,
    shared: bool,
    is_gone: impl Fn(&str, &str) -> bool,
    claim: impl FnOnce() -> Claim,
) -> Standing {
    let owners = owners(existing);
    if owners.iter().any(|one| one["uid"] == owner["uid"]) {
        return Standing::Owned;
    }
    if owners.iter().any(|one| is_stale(one, &is_gone)) {
        return Standing::Orphaned;
    }
    let by_shape = claim();
    match owners.first() {
        None => match by_shape {
            Claim::Ours => Standing::Orphaned,
            Claim::Users => Standing::Users,
            Claim::Foreign(why) => Standing::Foreign(why),
        },
        Some(_) if by_shape == Claim::Users => Standing::Users,
        Some(other) if shared && is_canary(other) => Standing::Orphaned,
        Some(other) => {
            let (kind, name) = (text(other, "kind"), text(other, "name"));
            Standing::Foreign(format!("{kind} {name} owns it"))
        }
    }
}

/// The object with the Canary among its owners, in the place of those that are gone. Only one owner can be the
/// controller: who is it stays it.
#[must_use]
pub fn own(existing: &Value, owner: &Value, is_gone: impl Fn(&str, &str) -> bool) -> Value {
    let mut owners = owners(existing).to_vec();
    owners.retain(|one| !is_stale(one, &is_gone));
    let mut own = owner.clone();
    if owners.iter().any(|one| one["controller"] == true) {
        own["controller"] = json!(false);
    }
    owners.push(own);
    let mut object = existing.clone();
    object["metadata"]["ownerReferences"] = Value::Array(owners);
    object
}

/// The owners of an object.
#[must_use]
pub fn owners(object: &Value) -> &[Value] {
    let owners = object["metadata"]["ownerReferences"].as_array();
    owners.map(Vec::as_slice).unwrap_or_default()
}

/// Whether a reference is to a Canary that is gone.
fn is_stale(reference: &Value, is_gone: impl Fn(&str, &str) -> bool) -> bool {
    is_canary(reference) && is_gone(text(reference, "name"), text(reference, "uid"))
}

fn is_canary(reference: &Value) -> bool {
    reference["kind"] == "Canary" && text(reference, "apiVersion").starts_with("flagger.app/")
}

fn text<'a>(reference: &'a Value, field: &str) -> &'a str {
    reference[field].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> Value {
        json!({ "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "app", "uid": "u2",
            "controller": true, "blockOwnerDeletion": true })
    }

    fn other(kind: &str, name: &str) -> Value {
        let group = if kind == "Canary" {
            "flagger.app/v1beta1"
        } else {
            "apps/v1"
        };
        json!({ "apiVersion": group, "kind": kind, "name": name, "uid": if name == "gone" { "u0" } else { "u1" }, "controller": true })
    }

    fn is_gone(name: &str, uid: &str) -> bool {
        (name, uid) == ("gone", "u0")
    }

    fn owned_by(owners: &[Value]) -> Value {
        json!({ "metadata": { "name": "x", "ownerReferences": owners } })
    }

    #[test]
    fn owners_count_more_than_the_shape() {
        let foreign = || Claim::Foreign("its shape".to_owned());
        let cases = [
            (vec![owner()], false, Standing::Owned),
            (vec![other("Canary", "gone")], false, Standing::Orphaned),
            (vec![other("Canary", "b")], true, Standing::Orphaned),
            (
                vec![other("Canary", "b")],
                false,
                Standing::Foreign("Canary b owns it".to_owned()),
            ),
            (
                vec![other("ReplicaSet", "r")],
                true,
                Standing::Foreign("ReplicaSet r owns it".to_owned()),
            ),
            (vec![], true, Standing::Foreign("its shape".to_owned())),
        ];
        for (owners, shared, expected) in cases {
            assert_eq!(
                standing(&owned_by(&owners), &owner(), shared, is_gone, foreign),
                expected,
                "{owners:?}"
            );
        }
    }

    #[test]
    fn without_owners_the_shape_decides_and_what_a_user_made_is_never_owned() {
        assert_eq!(
            standing(&owned_by(&[]), &owner(), false, is_gone, || Claim::Ours),
            Standing::Orphaned
        );
        for owners in [
            vec![],
            vec![other("Canary", "b")],
            vec![other("Application", "a")],
        ] {
            assert_eq!(
                standing(&owned_by(&owners), &owner(), false, is_gone, || {
                    Claim::Users
                }),
                Standing::Users
            );
        }
    }

    #[test]
    fn the_canary_takes_the_place_of_its_predecessor_and_shares_with_others() {
        assert_eq!(own(&owned_by(&[]), &owner(), is_gone), owned_by(&[owner()]));
        assert_eq!(
            own(&owned_by(&[other("Canary", "gone")]), &owner(), is_gone),
            owned_by(&[owner()])
        );
        let mut second = owner();
        second["controller"] = json!(false);
        let shared = own(&owned_by(&[other("Canary", "b")]), &owner(), is_gone);
        assert_eq!(shared, owned_by(&[other("Canary", "b"), second]));
        assert_eq!(
            standing(&shared, &owner(), true, is_gone, || Claim::Ours),
            Standing::Owned
        );
    }

    #[test]
    fn tools_say_what_they_applied() {
        let by_helm =
            json!({ "metadata": { "annotations": { "meta.helm.sh/release-name": "x" } } });
        assert_eq!(applied_with(&by_helm), Some("Helm"));
        assert_eq!(applied_with(&owned_by(&[])), None);
    }
}
