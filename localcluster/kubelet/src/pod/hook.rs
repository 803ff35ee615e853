//! Lifecycle hooks: `postStart` and `preStop`.

use std::time::Duration;

use k8s_openapi::api::core::v1::LifecycleHandler;
use tokio::time::sleep;

use crate::probe::Checker;

/// Runs a `postStart` or `preStop` hook.
pub(super) async fn run_hook(
    hook: &LifecycleHandler,
    checker: &Checker,
    limit: Duration,
) -> Result<(), String> {
    if let Some(pause) = &hook.sleep {
        sleep(Duration::from_secs(
            u64::try_from(pause.seconds).unwrap_or(0),
        ))
        .await;
        Ok(())
    } else if let Some(get) = &hook.http_get {
        checker.http_get(get, limit).await
    } else if let Some(exec) = &hook.exec {
        checker.exec(exec, limit).await
    } else {
        Ok(())
    }
}
