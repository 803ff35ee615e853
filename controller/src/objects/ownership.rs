//! Ownership of existing objects whose name is that of a generated object. The rules are the same for all kinds:
//!
//! 1. An object that the Canary owns is repaired, whatever its content.
//! 2. An object without an owner and with the shape that this controller and Flagger generate is an orphan of the
//!    Canary (`kubectl delete canary --cascade=orphan`, a restored backup). The Canary becomes its owner again, so that
//!    it is deleted with the Canary. The same applies to an object whose owner is a Canary that no longer exists.
//! 3. The apex Service and the route object can belong to a user. They are adopted, as Flagger does, but never owned,
//!    because they existed before the Canary.
//! 4. A copy of a ConfigMap or Secret can belong to several canaries.
//! 5. Any other object is foreign: the Canary is refused before anything is written.
//!
//! The builders define the shape of their objects. The shape matters only if no owner decides.

use serde_json::{Value, json};

/// The claim on an object without a known owner, judged by its shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// This controller or Flagger generated it.
    Ours,
    /// A user created it, and it is adopted.
    Users,
    /// It serves another purpose, for this reason.
    Foreign(String),
}

/// The ownership of an existing object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The Canary owns it.
    Owned,
    /// The Canary should own it again, or together with other canaries.
    Orphaned,
    /// It belongs to a user: it is adopted but not owned.
    Users,
    /// It belongs to something else, for this reason.
    Foreign(String),
}

/// Labels and annotations that tools set on the objects they apply.
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

/// The tool that applied the object, according to its labels and annotations.
#[must_use]
pub fn applied_with(object: &Value) -> Option<&'static str> {
    let marked = |(part, key, _): &&(&str, &str, &str)| !object["metadata"][*part][*key].is_null();
    APPLIED.iter().find(marked).map(|(_, _, tool)| *tool)
}

/// The ownership of `existing`, decided by its owners, or by its shape if they do not decide. With `shared`, several
/// canaries can own it. `is_gone` returns whether no Canary with this name and UID exists.
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
            Standing::Foreign(format!("it is owned by {kind} {name}"))
        }
    }
}

/// The object with the Canary added to its owners and stale owners removed. Only one owner can be the controller, so an
/// existing controller is kept.
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

/// Returns whether a reference points to a Canary that no longer exists.
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
    fn owners_take_precedence_over_the_shape() {
        let foreign = || Claim::Foreign("its shape".to_owned());
        let cases = [
            (vec![owner()], false, Standing::Owned),
            (vec![other("Canary", "gone")], false, Standing::Orphaned),
            (vec![other("Canary", "b")], true, Standing::Orphaned),
            (
                vec![other("Canary", "b")],
                false,
                Standing::Foreign("it is owned by Canary b".to_owned()),
            ),
            (
                vec![other("ReplicaSet", "r")],
                true,
                Standing::Foreign("it is owned by ReplicaSet r".to_owned()),
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
    fn without_owners_the_shape_decides_and_objects_of_users_are_never_owned() {
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
    fn the_canary_replaces_a_stale_owner_and_joins_other_owners() {
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
    fn the_applying_tool_is_detected() {
        let by_helm =
            json!({ "metadata": { "annotations": { "meta.helm.sh/release-name": "x" } } });
        assert_eq!(applied_with(&by_helm), Some("Helm"));
        assert_eq!(applied_with(&owned_by(&[])), None);
    }
}
