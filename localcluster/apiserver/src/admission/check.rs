//! The checks of one write.

use super::{Write, owners};
use crate::api::Server;
use crate::status::ApiError;

/// Refuses a write that one of the switches forbids.
pub(crate) fn check(server: &Server, write: &Write<'_>) -> Result<(), ApiError> {
    // The order of Kubernetes: plugins that only check, then webhooks, and quotas last.
    let (quotas, denials, enforces_owners) = {
        let switches = server.admission.switches();
        (
            switches.quotas.clone(),
            switches.denials.clone(),
            switches.enforces_owners,
        )
    };
    if enforces_owners {
        owners::check(server, write)?;
    }
    for denial in &denials {
        denial.check(write)?;
    }
    for quota in &quotas {
        quota.check(&server.store, write)?;
    }
    Ok(())
}
