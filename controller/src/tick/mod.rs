//! One tick of one canary: snapshot, ask, snapshot again, plan, apply.
//!
//! - [`wake`], [`index`]: which change wakes which canary
//! - [`reconcile`]: the pipeline
//! - [`snapshot`], [`observe`]: everything a tick is decided on, from local copies
//! - [`claims`]: whose the objects are that exist before a canary makes them
//! - [`ask`]: asks webhooks and metrics servers what the engine wants to know
//! - [`adoption`]: owns again what was a canary's own
//! - [`dry_run`]: tries what will be created before the first write
//! - [`apply`], [`write_status`]: applies the engine's plan
//! - [`report`], [`events`], `notify`: events, reasons in the status, alerts
//! - [`once`]: what no resource version guards is done once

pub mod adoption;
pub mod apply;
pub mod ask;
pub mod claims;
pub mod context;
pub mod definition;
mod dry_run;
pub mod error;
pub mod events;
pub mod index;
mod notify;
pub mod observe;
pub mod once;
pub mod reconcile;
pub mod report;
pub mod snapshot;
pub mod wake;
pub mod write_status;
