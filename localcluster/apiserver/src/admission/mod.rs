//! Admission, for tests: refusals that a stock API server gives after it knows who may do what.
//!
//! Nothing is on by default, and nothing of it can be switched on from outside the process. A test holds
//! [`ApiServer::admission`](crate::ApiServer::admission), which stands for the cluster's administrator, and
//! switches a rule on and off while the server runs. Every rule holds for requests with `dryRun=All` too, and
//! answers with the words of Kubernetes.

mod answers;
mod check;
mod owners;
mod quota;
mod webhook;
mod write;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use answers::{Answer, Failure};
pub(crate) use check::check;
pub use quota::Quota;
pub use webhook::{Denial, Refusal};
pub use write::Operation;
pub(crate) use write::Write;

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
}
