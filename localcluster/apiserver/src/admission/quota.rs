//! Quotas of objects, as ResourceQuota's `count/RESOURCE.GROUP`.

use crate::admission::{Operation, Write};
use crate::status::{ApiError, Named};
use crate::store::Store;

/// A limit of objects in one namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// Name of the ResourceQuota.
    pub name: String,
    /// Namespace that it limits.
    pub namespace: String,
    /// Resource with its group, `deployments.apps`; `services` in the core group.
    pub resource: String,
    /// Number of objects that the namespace may have.
    pub limit: usize,
}

impl Quota {
    /// A quota called `objects`.
    #[must_use]
    pub fn new(namespace: &str, resource: &str, limit: usize) -> Self {
        Self {
            name: "objects".to_owned(),
            namespace: namespace.to_owned(),
            resource: resource.to_owned(),
            limit,
        }
    }

    pub(super) fn check(&self, store: &Store, write: &Write<'_>) -> Result<(), ApiError> {
        let concerned = write.operation() == Operation::Create
            && write.namespace() == self.namespace
            && write.kind.qualified_resource() == self.resource;
        if !concerned {
            return Ok(());
        }
        let used = store.scan(&write.kind.prefix(&self.namespace)).len();
        if used < self.limit {
            return Ok(());
        }
        let count = format!("count/{}", self.resource);
        Err(write.forbidden(&format!(
            "exceeded quota: {}, requested: {count}=1, used: {count}={used}, limited: {count}={}",
            self.name, self.limit
        )))
    }
}
