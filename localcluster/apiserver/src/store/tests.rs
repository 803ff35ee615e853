//! The store against a simple model, and its life across processes.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::log::Log;
use super::*;

fn object(number: u32) -> Value {
    json!({ "metadata": { "name": "x" }, "number": number })
}

/// What a test does to a store.
#[derive(Debug, Clone)]
enum Step {
    Create { key: u8, number: u32 },
    Update { key: u8, number: u32, stale: bool },
    Delete { key: u8 },
    Compact { back: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..4_u8;
    let step = prop_oneof![
        3 => (key.clone(), any::<u32>()).prop_map(|(key, number)| Step::Create { key, number }),
        3 => (key.clone(), any::<u32>(), prop::bool::weighted(0.2))
            .prop_map(|(key, number, stale)| Step::Update { key, number, stale }),
        2 => key.prop_map(|key| Step::Delete { key }),
        1 => (0..6_u64).prop_map(|back| Step::Compact { back }),
    ];
    prop::collection::vec(step, 0..60)
}

fn key(key: u8) -> String {
    format!("/k/{key}")
}

/// A store without revisions: all states there ever were.
#[derive(Default)]
struct Model {
    states: Vec<BTreeMap<String, (u64, u32)>>,
    compacted: u64,
}

impl Model {
    fn now(&self) -> BTreeMap<String, (u64, u32)> {
        self.states.last().cloned().unwrap_or_default()
    }

    fn at(&self, revision: u64) -> BTreeMap<String, (u64, u32)> {
        let index = usize::try_from(revision).unwrap();
        if index == 0 {
            BTreeMap::new()
        } else {
            self.states[index - 1].clone()
        }
    }

    fn apply(&mut self, log: &mut Log, step: &Step) {
        let mut state = self.now();
        let revision = self.states.len() as u64 + 1;
        let written = match *step {
            Step::Create { key: k, number } => {
                let result = log.put(&key(k), object(number), Expect::Absent);
                assert_eq!(result.is_err(), state.contains_key(&key(k)));
                state.insert(key(k), (revision, number));
                result.is_ok()
            }
            Step::Update {
                key: k,
                number,
                stale,
            } => {
                let current = state.get(&key(k)).map(|(revision, _)| *revision);
                let expected = if stale { 0 } else { current.unwrap_or(0) };
                let result = log.put(&key(k), object(number), Expect::Revision(expected));
                assert_eq!(result.is_ok(), current == Some(expected));
                state.insert(key(k), (revision, number));
                result.is_ok()
            }
            Step::Delete { key: k } => {
                let result = log.delete(&key(k), None, None);
                assert_eq!(result.is_ok(), state.remove(&key(k)).is_some());
                result.is_ok()
            }
            Step::Compact { back } => {
                let revision = (self.states.len() as u64).saturating_sub(back);
                log.compact(revision);
                self.compacted = self.compacted.max(revision);
                false
            }
        };
        if written {
            self.states.push(state);
        }
    }
}

fn listed(log: &Log, at: Option<u64>) -> BTreeMap<String, (u64, u32)> {
    let page = log.list("/k/", None, 0, at).unwrap();
    page.records
        .iter()
        .map(|record| {
            let number = u32::try_from(record.value["number"].as_u64().unwrap()).unwrap();
            assert_eq!(
                record.value["metadata"]["resourceVersion"],
                record.revision.to_string()
            );
            (record.key.to_string(), (record.revision, number))
        })
        .collect()
}

proptest! {
    #[test]
    fn the_log_answers_for_every_kept_revision_as_the_model_does(steps in steps()) {
        let (mut log, mut model) = (Log::new(0), Model::default());
        for step in &steps {
            model.apply(&mut log, step);
            prop_assert_eq!(log.revision(), model.states.len() as u64);
            prop_assert_eq!(listed(&log, None), model.now());
        }
        for revision in 0..=log.revision() {
            if revision < model.compacted {
                let refused = log.list("/k/", None, 0, Some(revision)).unwrap_err();
                let is_compacted = matches!(refused, LogError::Compacted { .. });
                prop_assert!(is_compacted);
            } else {
                prop_assert_eq!(listed(&log, Some(revision)), model.at(revision));
            }
        }
    }

    #[test]
    fn a_list_and_the_writes_after_it_make_the_present(steps in steps()) {
        let (mut log, mut model) = (Log::new(0), Model::default());
        steps.iter().for_each(|step| model.apply(&mut log, step));
        for revision in model.compacted..=log.revision() {
            let mut state = listed(&log, Some(revision));
            for record in log.since("/k/", revision).unwrap() {
                let before = state.remove(&*record.key);
                prop_assert_eq!(before.is_some(), record.previous.is_some());
                if record.change != Change::Deleted {
                    let number = u32::try_from(record.value["number"].as_u64().unwrap()).unwrap();
                    state.insert(record.key.to_string(), (record.revision, number));
                }
            }
            prop_assert_eq!(state, model.now());
        }
    }

    #[test]
    fn pages_together_are_the_whole_list(steps in steps(), limit in 1..4_usize) {
        let (mut log, mut model) = (Log::new(0), Model::default());
        steps.iter().for_each(|step| model.apply(&mut log, step));
        let mut keys = Vec::new();
        let mut after = None;
        loop {
            let page = log.list("/k/", after.as_deref(), limit, None).unwrap();
            keys.extend(page.records.iter().map(|record| record.key.to_string()));
            prop_assert_eq!(page.remaining, model.now().len() - keys.len());
            after = keys.last().cloned();
            if page.remaining == 0 {
                break;
            }
        }
        prop_assert_eq!(keys, model.now().into_keys().collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn no_write_is_lost_between_list_and_watch() {
    let store = Arc::new(Store::in_memory());
    let mut watch = store.watch("/k/", store.revision()).unwrap();
    let writer = store.clone();
    let writing = tokio::spawn(async move {
        for number in 0..100 {
            writer
                .put(&format!("/k/{number}"), object(number), Expect::Absent)
                .unwrap();
            writer
                .put(&format!("/other/{number}"), object(number), Expect::Absent)
                .unwrap();
            tokio::task::yield_now().await;
        }
    });
    let mut seen = Vec::new();
    while seen.len() < 100 {
        seen.extend(
            watch
                .next()
                .await
                .unwrap()
                .iter()
                .map(|record| record.revision),
        );
    }
    writing.await.unwrap();
    assert!(seen.is_sorted() && seen.len() == 100);
}

#[tokio::test]
async fn a_watch_that_falls_behind_is_told_so() {
    let store = Arc::new(Store::in_memory());
    let mut watch = store.watch("/k/", 0).unwrap();
    store.put("/k/a", object(1), Expect::Absent).unwrap();
    store.put("/k/b", object(1), Expect::Absent).unwrap();
    store.compact(2);
    assert!(matches!(
        watch.next().await,
        Err(LogError::Compacted {
            wanted: 0,
            compacted: 2
        })
    ));
    assert!(store.watch("/k/", 1).is_err() && store.watch("/k/", 9).is_err());
}

#[tokio::test]
async fn what_is_durable_is_there_after_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (
        directory.path().join("a.redb"),
        directory.path().join("b.redb"),
    );
    let store = Store::open(&path).unwrap();
    let kept = store.put("/k/kept", object(1), Expect::Absent).unwrap();
    let gone = store.put("/k/gone", object(2), Expect::Absent).unwrap();
    let last = store.delete("/k/gone", None, Some(gone.revision)).unwrap();
    store.durable(last.revision).await.unwrap();
    // The file as a killed process leaves it: nothing was closed.
    std::fs::copy(&path, &copy).unwrap();
    let again = Store::open(&copy).unwrap();
    assert_eq!(again.get("/k/kept").unwrap().value, kept.value);
    assert!(again.get("/k/gone").is_none());
    // Revisions that were handed out are not handed out again.
    assert!(again.revision() > last.revision);
    let next = again.put("/k/new", object(3), Expect::Absent).unwrap();
    again.durable(next.revision).await.unwrap();
    assert!(Arc::new(again).watch("/k/", last.revision).is_err());
}

#[tokio::test]
async fn one_process_at_a_time_has_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("objects.redb");
    let store = Store::open(&path).unwrap();
    let refused = Store::open(&path).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("is another API server using it?"),
        "{refused}"
    );
    drop(store);
    Store::open(&path).unwrap();
}
