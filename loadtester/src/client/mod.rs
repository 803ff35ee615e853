//! Clients: how one worker sends a request and reads the response.
//!
//! - [`http1`] uses the crate `loadtester-http1` on its reactor; [`http2`] uses hyper on tokio, and [`connect`] makes its
//!   connections. The plan's protocol decides between them, once for a run.
//! - [`redirect`] follows redirects with either of them.

pub(crate) mod connect;
mod failure;
pub(crate) mod http1;
pub(crate) mod http2;
mod redirect;
pub(crate) mod tls;

pub(crate) use failure::Failure;
pub(crate) use redirect::{Client, exchange};
