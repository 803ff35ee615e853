//! A write as admission sees it.

use crate::status::ApiError;
use serde_json::Value;

use crate::api::User;
use crate::object;
use crate::registry::Kind;

/// A verb of admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A new object.
    Create,
    /// Any change of an existing object: update, patch, apply, and those of subresources.
    Update,
    /// A deletion.
    Delete,
}

/// A write on its way into the store.
pub(crate) struct Write<'a> {
    pub(crate) user: &'a User,
    pub(crate) kind: &'a Kind,
    pub(crate) subresource: &'a str,
    pub(crate) dry_run: bool,
    /// The stored object; none for a new one.
    pub(crate) old: Option<&'a Value>,
    /// The object as it would be stored; none for a deletion.
    pub(crate) new: Option<&'a Value>,
}

impl Write<'_> {
    pub(super) fn operation(&self) -> Operation {
        match (self.old, self.new) {
            (None, _) => Operation::Create,
            (Some(_), Some(_)) => Operation::Update,
            (Some(_), None) => Operation::Delete,
        }
    }

    pub(super) fn object(&self) -> &Value {
        self.new.or(self.old).unwrap_or(&Value::Null)
    }

    pub(super) fn name(&self) -> &str {
        object::name(self.object())
    }

    pub(super) fn namespace(&self) -> &str {
        object::namespace(self.object())
    }

    pub(super) fn forbidden(&self, why: &str) -> ApiError {
        ApiError::forbidden(self.kind, self.name(), why)
    }
}
