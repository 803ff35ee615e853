//! `OwnerReferencesPermissionEnforcement`: owners are set only by those who could delete.
//!
//! As Kubernetes has it in `plugin/pkg/admission/gc`:
//!
//! - A new object may have any owners. Changing the owners of an existing object, in number, order or any
//!   field, needs the verb `delete` on that object.
//! - A reference that newly has `blockOwnerDeletion: true`, on a new object too, needs the verb `update` on
//!   the `finalizers` of the owner's resource; whoever has it on every resource need not be asked about each.
//! - The status of pods is exempt.

use crate::status::ApiError;
use serde_json::Value;

use crate::admission::{Operation, Write};
use crate::api::{Action, Server};
use crate::object;

/// Why the authorizer did not allow it, and its error, as Go prints them: RBAC gives neither.
const NO_REASON: &str = ", <nil>";

pub(super) fn check(server: &Server, write: &Write<'_>) -> Result<(), ApiError> {
    let Some(new) = write.new else { return Ok(()) };
    if write.kind.is("", "pods") && write.subresource == "status" {
        return Ok(());
    }
    let (before, after) = (owners(write.old), owners(Some(new)));
    if before == after {
        return Ok(());
    }
    if write.operation() != Operation::Create {
        let delete = Action::Resource {
            verb: "delete".to_owned(),
            group: write.kind.group.clone(),
            resource: with_subresource(&write.kind.plural, write.subresource),
            namespace: write.namespace().to_owned(),
            name: write.name().to_owned(),
        };
        if !server.allows(write.user, &delete) {
            return Err(write.forbidden(&format!(
                "cannot set an ownerRef on a resource you can't delete: {NO_REASON}"
            )));
        }
    }
    let mut blocking = newly_blocking(&before, &after).peekable();
    if blocking.peek().is_none() || server.allows(write.user, &finalizers("*", "*", "", "*")) {
        return Ok(());
    }
    for owner in blocking {
        check_owner(server, write, owner)?;
    }
    Ok(())
}

/// Refuses a reference to an owner whose finalizers the user cannot set.
fn check_owner(server: &Server, write: &Write<'_>, owner: &Value) -> Result<(), ApiError> {
    let (api_version, kind) = (
        object::text(owner, "/apiVersion"),
        object::text(owner, "/kind"),
    );
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let catalog = server.catalog();
    let Some(resource) = catalog
        .iter()
        .find(|known| known.group == group && known.version == version && known.kind == kind)
    else {
        return Err(write.forbidden(&format!(
            "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion {api_version} Kind {kind}: no matches for kind {kind:?} in version {api_version:?}"
        )));
    };
    let namespace = if resource.namespaced {
        write.namespace()
    } else {
        ""
    };
    let name = object::text(owner, "/name");
    let action = finalizers(group, &resource.plural, namespace, name);
    if server.allows(write.user, &action) {
        return Ok(());
    }
    Err(write.forbidden(&format!(
        "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: {NO_REASON}"
    )))
}

/// Setting the finalizers of objects.
fn finalizers(group: &str, plural: &str, namespace: &str, name: &str) -> Action {
    Action::Resource {
        verb: "update".to_owned(),
        group: group.to_owned(),
        resource: with_subresource(plural, "finalizers"),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

fn with_subresource(plural: &str, subresource: &str) -> String {
    if subresource.is_empty() {
        plural.to_owned()
    } else {
        format!("{plural}/{subresource}")
    }
}

fn owners(object: Option<&Value>) -> Vec<Value> {
    object
        .and_then(|object| object.pointer("/metadata/ownerReferences"))
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
}

/// The references that block the deletion of their owners and did not before.
fn newly_blocking<'a>(before: &'a [Value], after: &'a [Value]) -> impl Iterator<Item = &'a Value> {
    let blocks = |owner: &Value| owner["blockOwnerDeletion"] == true;
    after.iter().filter(move |&owner| {
        let blocked = before
            .iter()
            .any(|known| known["uid"] == owner["uid"] && blocks(known));
        blocks(owner) && !blocked
    })
}
