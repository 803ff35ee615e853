//! Admission, for tests: refusals that a stock API server gives after it knows who may do what.
//!
//! Nothing is on by default, and nothing of it can be switched on from outside the process. A test holds
//! [`ApiServer::admission`](crate::ApiServer::admission), which stands for the cluster's administrator, and
//! switches a rule on and off while the server runs. Every rule holds for requests with `dryRun=All` too, and
//! answers with the words of Kubernetes.

mod answers;
mod owners;
mod quota;
mod webhook;

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::api::{ApiError, Server, User};
use crate::object;
use crate::registry::Kind;

pub use answers::{Answer, Failure};
pub use quota::Quota;
pub use webhook::{Denial, Refusal};

/// The switches of admission. Each setter replaces all rules of its sort; an empty list switches the sort off.
#[derive(Debug, Default)]
pub struct Admission {
    switches: Mutex<Switches>,
}

#[derive(Debug, Default)]
struct Switches {
    quotas: Vec<Quota>,
    denials: Vec<Denial>,
    enforces_owners: bool,
    answers: Vec<Answer>,
}

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

impl Admission {
    /// Limits how many objects of some resources a namespace may have.
    pub fn set_quotas(&self, quotas: impl IntoIterator<Item = Quota>) {
        self.switches().quotas = quotas.into_iter().collect();
    }

    /// Refuses some writes, as admission webhooks and Pod Security do.
    pub fn set_denials(&self, denials: impl IntoIterator<Item = Denial>) {
        self.switches().denials = denials.into_iter().collect();
    }

    /// Switches `OwnerReferencesPermissionEnforcement`, which OpenShift has on by default.
    pub fn set_enforces_owners(&self, on: bool) {
        self.switches().enforces_owners = on;
    }

    /// Makes some answers slow or lets them fail.
    pub fn set_answers(&self, answers: impl IntoIterator<Item = Answer>) {
        self.switches().answers = answers.into_iter().collect();
    }

    fn switches(&self) -> MutexGuard<'_, Switches> {
        self.switches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first answer that is to be changed for this request, if any; it counts as used.
    pub(crate) fn answer(&self, verb: &str, resource: &str, path: &str) -> Option<Answer> {
        let mut switches = self.switches();
        let chosen = |answer: &&mut Answer| answer.concerns(verb, resource, path);
        let answer = switches.answers.iter_mut().find(chosen)?;
        answer.used();
        Some(answer.clone())
    }

    /// Refuses a write that one of the switches forbids.
    pub(crate) fn check(&self, server: &Server, write: &Write<'_>) -> Result<(), ApiError> {
        // The order of Kubernetes: plugins that only check, then webhooks, and quotas last.
        let (quotas, denials, enforces_owners) = {
            let switches = self.switches();
            (
                switches.quotas.clone(),
                switches.denials.clone(),
                switches.enforces_owners,
            )
        };
        if enforces_owners {
            owners::check(server, write)?;
        }
        for denial in &denials {
            denial.check(write)?;
        }
        for quota in &quotas {
            quota.check(server, write)?;
        }
        Ok(())
    }
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
    fn operation(&self) -> Operation {
        match (self.old, self.new) {
            (None, _) => Operation::Create,
            (Some(_), Some(_)) => Operation::Update,
            (Some(_), None) => Operation::Delete,
        }
    }

    fn object(&self) -> &Value {
        self.new.or(self.old).unwrap_or(&Value::Null)
    }

    fn name(&self) -> &str {
        object::name(self.object())
    }

    fn namespace(&self) -> &str {
        object::namespace(self.object())
    }

    fn forbidden(&self, why: &str) -> ApiError {
        ApiError::forbidden(self.kind, self.name(), why)
    }
}
