//! One tick of one canary: snapshot, ask, snapshot again, plan, apply.
//!
//! - [`wake`], [`index`]: which change wakes which canary
//! - [`reconcile`]: the pipeline
//! - [`snapshot`], [`observe`]: everything a tick is decided on, from local copies
//! - [`ask`]: asks webhooks and metrics servers what the engine wants to know
//! - [`apply`]: applies the engine's plan
//! - [`report`], [`events`]: what people are shown
//! - [`once`]: what no resource version guards is done once

pub mod apply;
pub mod ask;
pub mod context;
pub mod definition;
pub mod events;
pub mod index;
pub mod observe;
pub mod once;
pub mod reconcile;
pub mod report;
pub mod snapshot;
pub mod wake;
