//! Refusals by others: validating webhooks and Pod Security.

use crate::status::{ApiError, Named};
use http::StatusCode;

use crate::admission::{Operation, Write};

/// A rule that refuses some writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Resource with its group, `deployments.apps`; empty for every resource.
    pub resource: String,
    /// Name of the objects; empty for all.
    pub name: String,
    /// The refused operations; empty for all.
    pub operations: Vec<Operation>,
    /// Sort and words of the refusal.
    pub refusal: Refusal,
}

/// The sort and the words of a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// A validating webhook says no, with 403.
    Webhook {
        /// Name of the webhook.
        webhook: String,
        /// Its explanation; empty for none, which makes it 400.
        why: String,
    },
    /// A webhook that may have side effects, so that nothing can be tried; other writes pass.
    NoDryRun {
        /// Name of the webhook.
        webhook: String,
    },
    /// Pod Security.
    PodSecurity {
        /// Level and version of the policy: `restricted:latest`.
        policy: String,
        /// The violations.
        why: String,
    },
}

impl Denial {
    /// Refuses every write of the objects of a resource by the webhook `deny.example.com`.
    #[must_use]
    pub fn by_webhook(resource: &str, why: &str) -> Self {
        Self {
            resource: resource.to_owned(),
            name: String::new(),
            operations: Vec::new(),
            refusal: Refusal::Webhook {
                webhook: "deny.example.com".to_owned(),
                why: why.to_owned(),
            },
        }
    }

    /// The same for objects of this name only.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        let name = name.to_owned();
        Self { name, ..self }
    }

    /// The same for this operation only.
    #[must_use]
    pub fn on(self, operation: Operation) -> Self {
        let operations = vec![operation];
        Self { operations, ..self }
    }

    pub(super) fn check(&self, write: &Write<'_>) -> Result<(), ApiError> {
        let fits = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
        let concerned = fits(&self.resource, &write.kind.qualified_resource())
            && fits(&self.name, write.name())
            && (self.operations.is_empty() || self.operations.contains(&write.operation()));
        if !concerned {
            return Ok(());
        }
        match &self.refusal {
            Refusal::NoDryRun { .. } if !write.dry_run => Ok(()),
            Refusal::NoDryRun { webhook } => Err(ApiError::bad_request(format!(
                "admission webhook {webhook:?} does not support dry run"
            ))),
            Refusal::Webhook { webhook, why } if why.is_empty() => Err(ApiError::bad_request(
                format!("admission webhook {webhook:?} denied the request without explanation"),
            )),
            Refusal::Webhook { webhook, why } => Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "Forbidden",
                format!("admission webhook {webhook:?} denied the request: {why}"),
            )),
            Refusal::PodSecurity { policy, why } => {
                Err(write.forbidden(&format!("violates PodSecurity {policy:?}: {why}")))
            }
        }
    }
}
