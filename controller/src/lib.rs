//! Canary controller that speaks Flagger's API on Istio and the Gateway API.
//!
//! # Layout
//! One tick of one canary is a pipeline, [`reconcile`]:
//! - [`validate`]: from the custom resource ([`crd`]) to a [`release`]
//! - [`observe`]: from local copies ([`cluster`]) to what the engine sees; both together are one [`look`]
//! - [`answer`]: asks webhooks ([`webhook`]) and metrics servers ([`measure`]) what the engine wants to know
//! - [`apply`]: carries out the engine's plan, with the builders of [`generate`] and the routers of [`routing`]
//!
//! Around it: [`controller`] decides which change wakes which canary, [`lease`] whether this process may act,
//! [`definition`] whether what it writes is kept,
//! [`events`], [`explain`], [`notify`] and [`background`] tell people, [`metrics`] and [`admin`] tell machines, and [`run`] puts
//! everything together. [`args`] is the command line, [`overview`] the view for people at a terminal, [`page`] the one
//! for people at a browser, [`serve`] what both of its and the machines' endpoints are served by.

pub mod admin;
pub mod answer;
pub mod apply;
pub mod args;
pub mod background;
pub mod clock;
pub mod cluster;
pub mod context;
pub mod controller;
pub mod crd;
pub mod definition;
pub mod events;
pub mod explain;
pub mod generate;
pub mod http;
pub mod lease;
pub mod look;
pub mod measure;
pub mod metrics;
pub mod notify;
pub mod observe;
pub mod overview;
pub mod page;
pub mod reconcile;
pub mod release;
pub mod routing;
pub mod run;
pub mod serve;
pub mod settings;
pub mod status;
pub mod telemetry;
pub mod validate;
pub mod webhook;
