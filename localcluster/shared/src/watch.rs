//! A watch that never stops retrying.

use std::{fmt::Debug, hash::Hash, time::Duration};

use api_failure::ApiFailure;
use futures::{Stream, StreamExt, future};
use kube::{
    Api, Resource,
    runtime::{
        WatchStreamExt,
        utils::Backoff,
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;

/// Delays between attempts. They are short because the API server runs on the same machine, and because a kind may be
/// defined shortly after its watch has started.
#[derive(Debug)]
struct Delays(Duration);

impl Delays {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(2);
}

impl Iterator for Delays {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let now = self.0;
        self.0 = (now * 2).min(Self::LONGEST);
        Some(now)
    }
}

impl Backoff for Delays {
    fn reset(&mut self) {
        self.0 = Self::FIRST;
    }
}

/// Lists and watches all objects of `api`. `kind` is the name of the kind in log lines.
///
/// The watch reconnects by itself. An error that repeats is logged once, until the next event.
pub fn watch<K>(api: Api<K>, kind: String) -> impl Stream<Item = Event<K>> + Send
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    K::DynamicType: Clone + Debug + Eq + Hash,
{
    let mut last = String::new();
    watcher(api, watcher::Config::default())
        .backoff(Delays(Delays::FIRST))
        .filter_map(move |event| {
            future::ready(match event {
                Ok(event) => {
                    // `Init` comes before the list request is sent, so it is no sign of success.
                    if !matches!(event, Event::Init) {
                        last.clear();
                    }
                    Some(event)
                }
                Err(error) => {
                    let failure = ApiFailure::from(error).to_string();
                    if failure != last {
                        tracing::warn!(kind, failure, "cannot watch; retrying");
                        last = failure;
                    }
                    None
                }
            })
        })
}
