//! Readiness of a supervised program.

use std::time::Duration;

use crate::process::ChildState;
use tokio::{sync::watch, time::sleep};

/// Interval between readiness checks of a program that has just been started.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The readiness of a supervised process: false as soon as the process ends, true once its successor passes
/// `is_ready`. It stays false after the process is stopped on request.
pub fn readiness<F, R>(mut state: watch::Receiver<ChildState>, is_ready: F) -> watch::Receiver<bool>
where
    F: Fn() -> R + Send + Sync + 'static,
    R: Future<Output = bool> + Send,
{
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        loop {
            let now = state.borrow_and_update().clone();
            let until_ready = async {
                while !is_ready().await {
                    sleep(POLL_INTERVAL).await;
                }
            };
            match now {
                ChildState::Running { .. } => {
                    tokio::select! {
                        () = until_ready => drop(sender.send_replace(true)),
                        _ = state.changed() => state.mark_changed(),
                    }
                }
                ChildState::Stopped => break,
                ChildState::Starting | ChildState::Failing { .. } => {
                    sender.send_replace(false);
                }
            }
            if state.changed().await.is_err() {
                break;
            }
        }
        sender.send_replace(false);
    });
    receiver
}
