//! A watch that retries for ever.

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

/// The waits between two tries. They are short: the API server runs on the same machine, and a kind may be defined a
/// moment after its watch has started.
#[derive(Debug)]
struct Waits(Duration);

impl Waits {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(2);
}

impl Iterator for Waits {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let now = self.0;
        self.0 = (now * 2).min(Self::LONGEST);
        Some(now)
    }
}

impl Backoff for Waits {
    fn reset(&mut self) {
        self.0 = Self::FIRST;
    }
}

/// Lists and watches everything that `api` covers. `kind` names it in logs.
///
/// A lost connection is taken up again. An error is logged once, until the next event.
pub fn watch<K>(api: Api<K>, kind: String) -> impl Stream<Item = Event<K>> + Send
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    K::DynamicType: Clone + Debug + Eq + Hash,
{
    let mut last = String::new();
    watcher(api, watcher::Config::default())
        .backoff(Waits(Waits::FIRST))
        .filter_map(move |event| {
            future::ready(match event {
                Ok(event) => {
                    // A list begins before its request is sent.
                    if !matches!(event, Event::Init) {
                        last.clear();
                    }
                    Some(event)
                }
                Err(error) => {
                    let failure = ApiFailure::from(error).to_string();
                    if failure != last {
                        tracing::warn!(kind, failure, "cannot watch; trying again");
                        last = failure;
                    }
                    None
                }
            })
        })
}
