//! The pure release logic of the canary controller.
//!
//! One tick is: observe → [`questions`] (which gates and queries to ask, in which order) → answers →
//! [`plan`] (ordered actions, events, the new status). This crate has no Kubernetes client, no async runtime,
//! no clock and no randomness; its `Cargo.toml` proves it.
//!
//! # Layout
//! - [`canary`]: the validated specification
//! - [`observed`]: everything read for one tick
//! - [`status`]: what is remembered between ticks
//! - [`phase`]: phases and legal transitions
//! - [`question`]: what to ask before planning, and the answers
//! - [`action`]: what a plan consists of
//! - [`condition`]: the condition `Promoted`

pub mod action;
pub mod canary;
pub mod condition;
pub mod observed;
pub mod phase;
pub mod question;
pub mod status;

use action::Plan;
use canary::Canary;
use observed::Observed;
use question::{Answers, Question};

/// Every revision digest of this controller starts with this. A digest in `status.lastAppliedSpec` that does
/// not (Flagger's, or that of a version with another scheme) is adopted as the current revision: changing the
/// controller never starts a release.
pub const REVISION_PREFIX: &str = "sha256:";

/// What has to be asked next before this tick can be planned, given the answers so far; empty when nothing
/// is missing. See [`question`] for the loop.
#[must_use]
pub fn questions(_canary: &Canary, _observed: &Observed, _answers: &Answers) -> Vec<Question> {
    Vec::new()
}

/// What to do now.
#[must_use]
pub fn plan(_canary: &Canary, _observed: &Observed, _answers: &Answers) -> Plan {
    Plan {
        actions: Vec::new(),
        requeue: None,
    }
}
