//! Effects that no resource version guards: events, alerts, counts, calls of webhooks. Each happens once.
//!
//! A plan is applied again when its status could not be written, because someone else wrote the status first
//! or the API server did not answer. Everything else in it is idempotent. An effect that is not has a
//! key, made of the status before the plan, and happens once for each key in the life of this process.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// A plan that fails is applied again within a minute or so. Events are kept by API servers for an hour, and a
/// refusal that comes back after this time is published again.
const REMEMBERED_FOR: Duration = Duration::from_secs(30 * 60);

/// Far more than what thousands of releases at once do within minutes.
const MOST: usize = 16_384;

/// Outcomes by key, bounded in number and time.
#[derive(Debug)]
pub struct Once<T>(Mutex<Remembered<T>>);

#[derive(Debug)]
struct Remembered<T> {
    outcomes: HashMap<String, (Instant, T)>,
    /// Keys in the order in which they were remembered.
    order: VecDeque<(Instant, String)>,
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self(Mutex::new(Remembered {
            outcomes: HashMap::new(),
            order: VecDeque::new(),
        }))
    }
}

impl<T: Clone> Once<T> {
    /// The outcome of what was done under this key.
    pub fn outcome(&self, key: &str) -> Option<T> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.forget_old();
        all.outcomes.get(key).map(|(_, outcome)| outcome.clone())
    }

    /// Remembers an outcome. False if one was remembered already, which is replaced.
    pub fn remember(&self, key: &str, outcome: T) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.forget_old();
        let now = Instant::now();
        all.order.push_back((now, key.to_owned()));
        all.outcomes
            .insert(key.to_owned(), (now, outcome))
            .is_none()
    }
}

impl<T> Remembered<T> {
    fn forget_old(&mut self) {
        while let Some((at, _)) = self.order.front() {
            if at.elapsed() < REMEMBERED_FOR && self.order.len() < MOST {
                return;
            }
            let Some((at, key)) = self.order.pop_front() else {
                return;
            };
            // One that was replaced has a later entry.
            if self
                .outcomes
                .get(&key)
                .is_some_and(|(since, _)| *since == at)
            {
                self.outcomes.remove(&key);
            }
        }
    }
}

/// How an event was answered that this process sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It was stored, or refused for good.
    Answered,
    /// There was no answer, so it may have been stored.
    Unanswered,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_is_remembered_for_a_while() {
        let once = Once::default();
        assert!(once.remember("a", 1));
        assert!(!once.remember("a", 2));
        assert_eq!(once.outcome("a"), Some(2));
        tokio::time::advance(REMEMBERED_FOR).await;
        assert_eq!(once.outcome("a"), None);
        assert!(once.remember("a", 3));
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_the_oldest_go_first() {
        let once = Once::default();
        for number in 0..3 * MOST {
            once.remember(&number.to_string(), ());
        }
        let all = once.0.lock().unwrap();
        assert!(all.outcomes.len() <= MOST && all.order.len() <= MOST);
        assert!(all.outcomes.contains_key(&(3 * MOST - 1).to_string()));
        assert!(!all.outcomes.contains_key("0"));
    }
}
