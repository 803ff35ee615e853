//! The HTTP side: from a request to the verb that answers it.

mod aggregated;
mod apply;
mod authn;
mod authz;
mod body;
mod create;
mod definitions;
mod delete;
mod discovery;
mod dispatch;
mod expire;
mod impersonate;
mod logs;
mod managers;
mod parse;
mod patch;
mod protobuf;
mod read;
mod render;
mod represent;
mod request;
mod requests;
mod review;
mod scale;
mod server;
mod token;
mod update;
mod user;
mod watch;

pub(crate) use authz::Action;
pub(crate) use dispatch::{authenticating_router, router};
pub(crate) use server::Server;
pub(crate) use user::User;
