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
//! - [`check`]: rules that every plan keeps

pub mod action;
mod analysis;
pub mod canary;
pub mod check;
pub mod condition;
pub mod observed;
pub mod phase;
mod plan;
pub mod question;
mod readiness;
pub mod status;
mod text;
mod tick;
mod weights;

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
pub fn questions(canary: &Canary, observed: &Observed, answers: &Answers) -> Vec<Question> {
    plan::decide(canary, observed, answers)
        .err()
        .unwrap_or_default()
}

/// What to do now. Called before [`questions`] has run dry, it plans nothing and looks again after an interval.
#[must_use]
pub fn plan(canary: &Canary, observed: &Observed, answers: &Answers) -> Plan {
    let nothing = Plan {
        actions: Vec::new(),
        requeue: Some(canary.analysis.interval),
    };
    plan::decide(canary, observed, answers).unwrap_or(nothing)
}
