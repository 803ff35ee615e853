//! Objects that every cluster has.

use serde_json::{Value, json};

use super::{Catalog, meta, roles};
use crate::Error;
use crate::clock::Clock;
use crate::object;
use crate::store::{Expect, LogError, Store};

const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// Creates what is missing.
pub(crate) async fn ensure(catalog: &Catalog, store: &Store, clock: &Clock) -> Result<(), Error> {
    let put_if_absent = |group, version, plural, object| {
        put_if_absent(catalog, store, clock, (group, version, plural), object)
    };
    let mut revision = 0;
    for namespace in NAMESPACES {
        let object = json!({
            "kind": "Namespace",
            "apiVersion": "v1",
            "metadata": {
                "name": namespace,
                "labels": { "kubernetes.io/metadata.name": namespace },
            },
            "spec": { "finalizers": ["kubernetes"] },
            "status": { "phase": "Active" },
        });
        revision = revision.max(put_if_absent("", "v1", "namespaces", object)?);
    }
    let rbac = "rbac.authorization.k8s.io";
    for role in roles::cluster_roles() {
        revision = revision.max(put_if_absent(rbac, "v1", "clusterroles", role)?);
    }
    for binding in roles::cluster_role_bindings() {
        revision = revision.max(put_if_absent(rbac, "v1", "clusterrolebindings", binding)?);
    }
    Ok(store.durable(revision).await?)
}

/// Returns the revision at which the object was written, zero if it was there.
fn put_if_absent(
    catalog: &Catalog,
    store: &Store,
    clock: &Clock,
    (group, version, plural): (&str, &str, &str),
    mut object: Value,
) -> Result<u64, Error> {
    let name = object::name(&object).to_owned();
    let failed = |reason: String| Error::Bootstrap {
        object: format!("{plural}/{name}"),
        reason,
    };
    let kind = catalog
        .find(group, version, plural)
        .map_err(|error| failed(error.message))?;
    meta::initialise(&kind, &mut object, clock);
    match store.put(
        &kind.key(object::namespace(&object), &name),
        object,
        Expect::Absent,
    ) {
        Ok(record) => Ok(record.revision),
        Err(LogError::Exists(_)) => Ok(0),
        Err(error) => Err(failed(error.to_string())),
    }
}
