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

pub mod action;
pub mod canary;
pub mod observed;
pub mod phase;
pub mod question;
pub mod status;

use action::Plan;
use canary::Canary;
use observed::Observed;
use question::{Answers, Questions};

/// What has to be asked before this tick can be planned.
#[must_use]
pub fn questions(_canary: &Canary, _observed: &Observed) -> Questions {
    Questions::default()
}

/// What to do now.
#[must_use]
pub fn plan(_canary: &Canary, _observed: &Observed, _answers: &Answers) -> Plan {
    Plan { actions: Vec::new(), requeue: None }
}
