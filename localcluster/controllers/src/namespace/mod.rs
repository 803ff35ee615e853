//! What every namespace has, and what becomes of its contents when it goes.

mod account;
mod teardown;

pub(crate) use account::{Context as AccountContext, reconcile as ensure_account};
pub(crate) use teardown::{Context as TeardownContext, reconcile as tear_down};
