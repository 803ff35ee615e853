//! Whether a supervised program serves.

use std::time::Duration;

use crate::process::ChildState;
use tokio::{sync::watch, time::sleep};

/// Time between looks at a program that has just been started.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A value that is false as soon as the process ends, and true once a new one passes `is_ready`. It stays
/// false after the process was stopped.
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
                    sleep(LOOK_AGAIN).await;
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
