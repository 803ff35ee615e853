//! What every namespace has, and what becomes of its contents when it goes.

mod account;

pub(crate) use account::{Context as AccountContext, reconcile as ensure_account};
