//! The last steps before an object is stored: defaults, what the server allocates, validation.

use serde_json::{Value, json};

use super::defaults::{self, ClusterAddresses};
use super::{Kind, custom, validation};
use crate::clock::Clock;
use crate::object;
use crate::status::ApiError;
use crate::store::Store;

/// Makes `new` complete and checks it. `old` is the object that it replaces.
pub(crate) fn prepare(
    (store, clock): (&Store, &Clock),
    kind: &Kind,
    new: &mut Value,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    defaults::apply(kind, new);
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "services") => addresses(store, kind, new, old)?,
        ("", "namespaces") if old.is_none() => {
            let fields = object::fields(new);
            fields.insert("spec".to_owned(), json!({ "finalizers": ["kubernetes"] }));
            fields.insert("status".to_owned(), json!({ "phase": "Active" }));
        }
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            custom::accept(new, &custom::definitions(store), clock);
        }
        _ => {}
    }
    let causes = validation::check(kind, new, old);
    if causes.is_empty() {
        Ok(())
    } else {
        Err(ApiError::invalid(kind, object::name(new), &causes))
    }
}

/// Gives a service its addresses, unless it keeps those it has.
fn addresses(
    store: &Store,
    kind: &Kind,
    new: &mut Value,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    let services = store.scan(&kind.prefix(""));
    let used = ClusterAddresses::used_by(services.iter().map(|record| &*record.value));
    if defaults::allocate(new, old, used) {
        Ok(())
    } else {
        Err(ApiError::internal(
            "no cluster address or node port is free; delete a service",
        ))
    }
}
