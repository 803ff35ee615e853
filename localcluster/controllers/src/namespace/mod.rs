//! Namespaces: their default ServiceAccount and the deletion of their contents.

mod account;
mod teardown;

pub(crate) use account::{Context as AccountContext, reconcile as ensure_account};
pub(crate) use teardown::{Context as TeardownContext, reconcile as tear_down};
